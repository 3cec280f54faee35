"""Values of a MEDS dataset: their units, and texts in place of numbers."""

import logging

import numpy as np
import pyarrow as pa
import pytest

from survlstm.data.events import ValueFault
from survlstm.data.sources.meds import shard_rows


def measures_of(data):
    """Code, value, unit and fault of each event, in the order of time."""
    events = data.events
    order = np.argsort(events.time, kind="stable")
    columns = events.codes[events.code], events.numeric_value, events.units[events.unit], events.value_fault
    return [tuple(row) for row in zip(*(column[order].tolist() for column in columns), strict=True)]


def test_a_value_has_the_unit_of_its_row(dataset, caplog):
    caplog.set_level(logging.INFO)
    units = [" mg/dL ", "mmol/L", None, "NULL", "kg", "2020-01-31", "x" * 65, "a\tb"]
    values = [1.0, 2.0, 3.0, 4.0, None, 6.0, 7.0, 8.0]
    rows = [(1, f"2020-01-0{day}", "A", value) for day, value in enumerate(values, start=1)]
    dataset.write("0.parquet", rows, unit=pa.array(units))
    # The other shards have no unit, one that is not text, and one in another shard's encoding.
    dataset.write("1.parquet", [(2, "2020-02-01", "A", 1.0)])
    dataset.write("2.parquet", [(3, "2020-02-02", "B", 1.0)], unit=pa.array([None], pa.null()))
    dataset.write("3.parquet", [(4, "2020-02-03", "B", 1.0)], unit=pa.array(["g"], pa.large_string()))
    data = dataset.read()
    # The unit "kg" belongs to no number.
    assert data.events.units.tolist() == ["", "g", "mg/dL", "mmol/L"]
    assert (data.events.unit.dtype, data.events.value_fault.dtype) == (np.int32, np.int8)
    named = [row[2] for row in measures_of(data)]
    assert named == ["mg/dL", "mmol/L", "", "", "", "", "", "", "", "", "g"]
    assert data.warnings == (
        "3 values have a text in unit that can't be a unit (longer than 64 characters, with a control character, a "
        "UUID or a date); they are read without one.",
    )
    assert "columns not read" not in caplog.text


def test_a_column_unit_that_is_no_text_is_not_read(dataset, caplog):
    caplog.set_level(logging.INFO)
    dataset.write("0.parquet", [(1, "2020-01-01", "A", 1.0)], unit=pa.array([7]))
    assert dataset.read().events.units.tolist() == [""]
    assert "columns not read: unit" in caplog.text
    # A column of encounters is none of units.
    dataset.write("0.parquet", [(1, "2020-01-01", "A", 1.0)], unit=pa.array(["7"]))
    events = dataset.read(encounter_column="unit").events
    assert (events.units.tolist(), events.encounter.tolist()) == ([""], [0])


@pytest.mark.parametrize("longest", [1, 100])
@pytest.mark.parametrize("rows_at_once", [2, 1 << 18])
def test_a_text_in_place_of_a_number_is_a_fault(dataset, monkeypatch, longest, rows_at_once):
    monkeypatch.setattr(shard_rows, "BATCH_ROWS", rows_at_once)
    rows = [
        (1, "2020-01-01", "A", 1.0),
        (1, "2020-01-02", "A"),
        (1, "2020-01-03", "A"),
        (1, "2020-01-04", "A"),
        (1, "2020-01-05", "B"),
        (1, "2020-01-06", "C", np.inf),
        (1, "2020-01-07", "C"),
        (1, "2020-01-08", "A", 2.0),
    ]
    texts = [None, "high", None, "", "text", "text", "text", "text"]
    # Long texts are read without a dictionary, short ones that repeat with one.
    texts = [text and (text * longest if longest == 1 else f"{text}{day}" * longest) for day, text in enumerate(texts)]
    dataset.write("0.parquet", rows, text_value=pa.array(texts, pa.large_string()), unit=pa.array(["g"] * 8))
    dataset.write("1.parquet", [(2, "2020-01-09", "A")], text_value=pa.array([None], pa.large_string()))
    measures = measures_of(dataset.read())
    faults = [ValueFault(row[3]).name for row in measures]
    assert faults == ["NONE", "TEXT", "NONE", "NONE", "NONE", "INFINITE", "TEXT", "NONE", "NONE"]
    assert [row[2] for row in measures] == ["g", "", "", "", "", "", "", "g", ""]
    assert not any("text" in repr(value) for value in vars(dataset.read().events).values())
