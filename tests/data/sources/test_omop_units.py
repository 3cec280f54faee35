"""Units of the values of OMOP tables: concepts, source values, and what is no unit."""

import numpy as np
import pyarrow as pa
import pytest

from survlstm.data.source_parts import open_parts
from survlstm.data.sources.omop.concepts import are_units
from survlstm.data.sources.omop.format import EVENT_TABLES
from survlstm.data.sources.omop.source import OmopSource
from tests.omop import write_csv, write_parquet

CONCEPTS = {
    "concept_id": [8840, 8753, 201826],
    "vocabulary_id": ["UCUM", "UCUM", "SNOMED"],
    "concept_code": ["mg/dL", "mmol/L", "44054006"],
    "concept_name": ["milligram per deciliter", "millimole per liter", "Type 2 diabetes"],
}


def rows(*measured):
    """Measurements of person 1 and 2 in turn, a day apart: value, concept and source value of the unit."""
    values, concepts, sources = zip(*measured, strict=True)
    return {
        "person_id": [1 + number % 2 for number in range(len(measured))],
        "measurement_concept_id": [201826] * len(measured),
        "measurement_date": [f"2001-01-{1 + number:02d}" for number in range(len(measured))],
        "value_as_number": pa.array(values, pa.float64()),
        "unit_concept_id": concepts,
        "unit_source_value": pa.array(sources, pa.string()),
    }


def source_of(place, measured, *, write=write_parquet, concepts=True):
    tables = {"person": {"person_id": [1, 2], "year_of_birth": [1950, 1950]}, "measurement": measured}
    tables |= {"concept": CONCEPTS} if concepts else {}
    written = write({name: pa.table(columns) for name, columns in tables.items()}, place)
    return OmopSource(written, tuple(EVENT_TABLES), 1.0)


def named(events):
    """The unit of each event, in the order of time."""
    assert (events.unit.dtype, events.units[0]) == (np.int32, "")
    return events.units[events.unit][np.argsort(events.time, kind="stable")].tolist()


MEASURED = rows(
    (1.0, 8840, "mg per dl"),
    (2.0, 0, " mmol/L "),
    (3.0, 8753, None),
    (4.0, 9999, "kg"),
    (5.0, None, "mmHg"),
    (None, 8840, "g"),
    (6.0, 0, "told by Mary"),
    (7.0, None, None),
    (8.0, 0, "n/a"),
    (9.0, -1, "%"),
)
UNITS = ["mg/dL", "mmol/L", "mmol/L", "OMOP/9999", "mmHg", "", "", "", "", "%"]


@pytest.mark.parametrize("write", [write_parquet, write_csv])
def test_the_unit_is_the_code_of_its_concept_else_the_source_value(tmp_path, write):
    source = source_of(tmp_path / "cdm", MEASURED, write=write)
    reading = source.read()
    assert named(reading.events) == UNITS
    assert reading.events.units.tolist() == sorted(set(UNITS))
    sentences = [warning for warning in reading.warnings if "without a unit" in warning]
    assert sentences == [
        "Values that are read without a unit, because their unit_source_value is a text, a day or an id, or their "
        "unit_concept_id is no number: measurement 1."
    ]
    # The concepts of units are no codes of entries.
    assert source.descriptions() == {"SNOMED/44054006": "Type 2 diabetes"}


def test_parts_name_units_as_the_whole(tmp_path):
    source = source_of(tmp_path / "cdm", MEASURED)
    with open_parts(source, subjects_at_once=1, into=tmp_path) as cut:
        parts = [cut.read(part).events for part in cut.parts]
    assert [named(part) for part in parts] == [UNITS[::2], UNITS[1::2]]


def test_without_a_vocabulary_or_columns_of_units(tmp_path):
    reading = source_of(tmp_path / "no vocabulary", MEASURED, concepts=False).read()
    assert named(reading.events)[:3] == ["OMOP/8840", "mmol/L", "OMOP/8753"]
    for lacking, expected in (("unit_concept_id", "kg"), ("unit_source_value", "OMOP/9999")):
        fewer = {name: column for name, column in MEASURED.items() if name != lacking}
        assert named(source_of(tmp_path / lacking, fewer).read().events)[3] == expected
    bare = {name: column for name, column in MEASURED.items() if not name.startswith("unit")}
    reading = source_of(tmp_path / "no units", bare).read()
    assert (reading.events.units.tolist(), reading.events.unit.any()) == ([""], False)


def test_a_unit_concept_that_is_no_number_is_counted(tmp_path):
    measured = rows((1.0, "mg", None), (2.0, "mg", "kg"), (3.0, "8840.0", None))
    reading = source_of(tmp_path / "cdm", measured).read()
    assert named(reading.events) == ["", "kg", "mg/dL"]
    assert any(warning.endswith("unit_concept_id is no number: measurement 1.") for warning in reading.warnings)


def test_two_units_of_one_value_have_an_order(tmp_path):
    units = ("mmol/L", "mg/dL", "mmol/L", "mg/dL")
    readings = []
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        measured = rows(*((1.0, 0, units[number]) for number in order))
        measured |= {"measurement_date": ["2001-01-01"] * 4, "person_id": [1] * 4}
        events = source_of(tmp_path / f"{order[0]}", measured).read().events
        readings.append(events.units[events.unit].tolist())
    assert readings == [["mg/dL", "mg/dL", "mmol/L", "mmol/L"]] * 2


def test_what_looks_like_a_unit():
    units = ["mg/dL", "%", "mmol/L", "10*3/uL", "mL/min/{1.73_m2}", "mm[Hg]", "Cel", "Celsius", "10^9/L", "\u00b5g/L"]
    units += ["\u00b0C", "{score}", "pH", "[degF]", "IU/mL", "beats/min"]
    others = [
        "Smith",
        "Mary has",
        "1950-03-09",
        "09/03/1950",
        "12345",
        "7",
        "MRN0012345",
        "x" * 33,
        "",
        "-",
        "told,by me",
    ]
    others += ["0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"]
    words = pa.array([*units, *others])
    assert are_units(words).tolist() == [True] * len(units) + [False] * len(others)
