"""A written MEDS dataset is valid by the package meds, complete, and sorted."""

from __future__ import annotations

import json
from pathlib import Path

import meds
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from survlstm.data.events import Events, SourceData, StaticCodes, Subjects, ValueFault
from survlstm.data.sources.meds.source import MedsSource
from survlstm.data.sources.meds.writer import FIRST_HASHED, MedsWriter, meds_subject_id
from survlstm.data.split import Split
from survlstm.utils.errors import SourceError


def seconds(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[s]")


def reading(names: list[str] | None = None, *, day_tolerance: int = 1) -> SourceData:
    """Two subjects: the first with a birth, a death and a sex, the second with an end of observation."""
    subjects = Subjects(
        np.array(names or ["7", "patient-b"]),
        birth=seconds("1950-02-03", "NaT"),
        death=seconds("2012-01-01", "NaT"),
        observed_until=seconds("NaT", "2015-06-30"),
        static=StaticCodes.from_rows(np.array([0]), np.array(["SEX/F"]), subjects=2),
    )
    events = Events(
        subjects,
        codes=np.array(["LOINC/1", "SNOMED/2"]),
        subject=np.array([1, 0, 0, 1], dtype=np.int32),
        code=np.array([0, 1, 0, 1], dtype=np.int32),
        time=seconds("2015-01-01", "2010-05-05T10:00:00", "2009-01-01", "2014-01-01T23:59:59"),
        encounter=np.array([1, 0, -1, 1], dtype=np.int32),
        numeric_value=np.array([5.5, np.nan, 0.0, np.nan], dtype=np.float32),
        day_tolerance=day_tolerance,
        units=np.array(["", "mg/dL", "mmol/L"]),
        unit=np.array([2, 0, 0, 0], dtype=np.int32),
        value_fault=np.array([0, ValueFault.TEXT, 0, 0], dtype=np.int8),
    )
    return SourceData(events, (), (), split=np.array([Split.VAL, -1], dtype=np.int8))


def written(folder: Path) -> Path:
    writer = MedsWriter(folder)
    writer.add(reading())
    writer.add(reading(["8", "patient-c"], day_tolerance=0))
    writer.finish(dataset_name="two", descriptions={"LOINC/1": "a test"}, parents={"LOINC/1": ["LOINC/0"]})
    return folder


def test_the_rows_of_a_shard(tmp_path: Path) -> None:
    table = pq.read_table(written(tmp_path) / "data" / "000000.parquet")
    meds.DataSchema.validate(table)
    other = meds_subject_id("patient-b")
    rows = [tuple(row.values()) for row in table.to_pylist()]
    times = [None if row[1] is None else row[1].isoformat() for row in rows]
    assert [row[0] for row in rows] == [7] * 5 + [other] * 3
    assert [row[2] for row in rows] == [
        *("SEX/F", "MEDS_BIRTH", "LOINC/1", "SNOMED/2", "MEDS_DEATH"),
        *("SNOMED/2", "LOINC/1", "SURVLSTM_OBSERVED_UNTIL"),
    ]
    assert times == [
        *(None, "1950-02-03T00:00:00", "2009-01-01T00:00:00", "2010-05-05T10:00:00", "2012-01-01T00:00:00"),
        *("2014-01-01T23:59:59", "2015-01-01T00:00:00", "2015-06-30T00:00:00"),
    ]
    assert [row[3] for row in rows] == [None, None, 0.0, None, None, None, 5.5, None]
    assert [row[4] for row in rows] == [None, None, None, 0, None, 1, 1, None]
    assert [row[5] for row in rows] == [None] * 6 + ["mmol/L", None]
    assert table.column_names[4:] == ["encounter_id", "unit"]


def test_values_and_units_are_read_back_and_faults_are_not(tmp_path: Path) -> None:
    events = MedsSource(str(written(tmp_path)), max_unusable_share=1.0).read().events
    order = np.lexsort([events.time, events.subject])
    values = events.numeric_value[order], events.units[events.unit][order]
    np.testing.assert_array_equal(values[0], np.array([0, np.nan] * 2 + [np.nan, 5.5] * 2, dtype=np.float32))
    assert values[1].tolist() == [""] * 5 + ["mmol/L", "", "mmol/L"]
    assert events.units.tolist() == ["", "mmol/L"]
    assert not events.value_fault.any()


def test_the_metadata(tmp_path: Path) -> None:
    folder = written(tmp_path)
    dataset = json.loads((folder / meds.dataset_metadata_filepath).read_text())
    meds.DatasetMetadataSchema.validate(dataset)
    assert (dataset["dataset_name"], dataset["other_extension_columns"]) == ("two", ["encounter_id", "unit"])
    codes = pq.read_table(folder / meds.code_metadata_filepath)
    meds.CodeMetadataSchema.validate(codes)
    used = pa.concat_tables([pq.read_table(path) for path in folder.glob("data/*.parquet")])["code"].unique()
    assert set(codes["code"].to_pylist()) == set(used.to_pylist())
    row = codes.to_pylist()[codes["code"].to_pylist().index("LOINC/1")]
    assert (row["description"], row["parent_codes"]) == ("a test", ["LOINC/0"])
    splits = pq.read_table(folder / meds.subject_splits_filepath)
    meds.SubjectSplitSchema.validate(splits)
    assert splits.to_pylist() == [{"subject_id": 7, "split": "tuning"}, {"subject_id": 8, "split": "tuning"}]
    assert json.loads((folder / "metadata" / "survlstm.json").read_text())["day_tolerance"] == 1
    known = pq.read_table(folder / "metadata" / "source_subjects.parquet").to_pylist()
    assert {row["source_subject_id"] for row in known} == {"7", "patient-b", "8", "patient-c"}


def test_encounters_of_two_shards_differ(tmp_path: Path) -> None:
    folder = written(tmp_path)
    first, second = (
        set(pq.read_table(path)["encounter_id"].drop_null().to_pylist()) for path in sorted(folder.glob("data/*"))
    )
    assert first == {0, 1}
    assert second == {2, 3}


@pytest.mark.parametrize(
    ("name", "kept"),
    [("0", True), ("17", True), (str(FIRST_HASHED - 1), True), (str(FIRST_HASHED), False)]
    + [(name, False) for name in ("007", "-1", "+1", "1.0", "", "²", "b7c3")],
)
def test_ids_that_are_whole_numbers_stay(name: str, kept: bool) -> None:
    number = meds_subject_id(name)
    assert (number == int(name)) if kept else (FIRST_HASHED <= number < 2**63)


def test_numbers_alone_need_no_list_of_ids(tmp_path: Path) -> None:
    writer = MedsWriter(tmp_path)
    writer.add(reading(["1", "2"]))
    writer.finish(dataset_name="numbers", descriptions={}, parents={})
    assert not (tmp_path / "metadata" / "source_subjects.parquet").exists()


def test_a_subject_in_two_parts_is_refused(tmp_path: Path) -> None:
    writer = MedsWriter(tmp_path)
    for _ in range(2):
        writer.add(reading())
    with pytest.raises(SourceError, match="2 of 4 got that of another subject"):
        writer.finish(dataset_name="twice", descriptions={}, parents={})
    with pytest.raises(SourceError, match="at least one subject"):
        MedsWriter(tmp_path).finish(dataset_name="none", descriptions={}, parents={})


def test_a_subject_without_rows_is_counted(tmp_path: Path) -> None:
    nothing = Subjects(np.array(["1"]), seconds("NaT"), seconds("NaT"))
    none, number = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
    writer = MedsWriter(tmp_path)
    writer.add(SourceData(Events(nothing, np.empty(0, np.str_), none, none, seconds(), none, number), (), ()))
    assert (writer.subjects, writer.without_rows) == (1, 1)
