"""One sentence for each dataset that can't be read, without a value of a patient in it."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from survlstm.utils.errors import SourceError

SECRET = "Anna-Schmidt"
ROWS = [(4711, "1950-03-04T05:06:07", SECRET, 1.5), (4712, "2020-01-01", "B", 2.5)]


def refused(dataset, match, *, encounter_column="auto", share=1.0):
    """The read fails with this message, which quotes nothing of the rows."""
    with pytest.raises(SourceError, match=match) as caught:
        dataset.read(encounter_column, share)
    said = str(caught.value)
    assert not any(value in said for value in ("4711", "1950-03-04", SECRET)), said
    assert "\n" not in said
    assert caught.value.__cause__ is None
    return said


def test_a_folder_that_is_none(dataset):
    missing = replace(dataset, folder=dataset.folder / "missing")
    refused(missing, "must be the folder of a MEDS dataset; .*missing is not there. Set data.path")
    file = replace(dataset, folder=dataset.metadata("dataset.json", {}))
    refused(file, "must be the folder of a MEDS dataset; .* is a file. Set data.path")


def test_a_folder_without_data(dataset):
    (dataset.folder / "data").rmdir()
    refused(dataset, "must hold a folder data with the parquet files of a MEDS dataset; it holds none.$")
    (dataset.folder / "patients.csv").touch()
    refused(dataset, "holds none, but patients.csv: for a Synthea CSV export set data=synthea")
    (dataset.folder / "patients.csv").unlink()
    (dataset.folder / "inner" / "data").mkdir(parents=True)
    refused(dataset, "but 1 folders with a folder data: inner. Set data.path to one of them")


def test_no_parquet_file_below_data(dataset):
    refused(dataset, "must hold parquet files below data/; it holds none. Write the dataset as parquet")
    (dataset.folder / "data" / "train").mkdir()
    (dataset.folder / "data" / "train" / "0.csv").write_text(f"subject_id,time,code\n4711,,{SECRET}\n")
    refused(dataset, "it holds none, but 1 files of CSV or JSON. Write the dataset as parquet")


def test_csv_with_the_name_of_parquet(dataset):
    (dataset.folder / "data" / "0.parquet").write_text(f"subject_id,time,code\n4711,,{SECRET}\n")
    refused(dataset, r"must be readable; data/0.parquet is not: it is not a parquet file, whatever its name says")


@pytest.mark.parametrize("kept", [0, 3, 0.5, 0.99])
def test_a_truncated_file(dataset, kept):
    path = dataset.write("train/0.parquet", ROWS)
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    refused(dataset, "data/train/0.parquet is not: it is (truncated or damaged|not a parquet file)")


def test_a_damaged_page(dataset):
    path = dataset.write("0.parquet", ROWS * 500)
    content = bytearray(path.read_bytes())
    content[40:200] = os.urandom(160)
    path.write_bytes(content)
    refused(dataset, "data/0.parquet is not: it is truncated or damaged. Write or copy the file again")


@pytest.mark.parametrize("name", ["subject_id", "time", "code"])
def test_a_missing_column(dataset, name):
    dataset.write("0.parquet", ROWS, standard=False, **{name: None, SECRET: pa.array(["x", "y"])})
    said = refused(dataset, f"data/0.parquet must have the columns subject_id, time, code; {name} missing, found")
    assert "and 1 name not shown here (1 text)" in said


def test_columns_of_an_older_version(dataset):
    dataset.write("0.parquet", ROWS, standard=False, subject_id=None, patient_id=pa.array([1, 2]))
    refused(dataset, "A column patient_id is that of MEDS 0.3 and older: convert the dataset to MEDS 0.4")


@pytest.mark.parametrize(
    ("name", "column", "expected", "found"),
    [
        ("subject_id", pa.array(["4711", "4712"]), r"whole numbers \(int64\)", "string"),
        ("subject_id", pa.array([4711.0, 4712.0]), r"whole numbers \(int64\)", "double"),
        ("time", pa.array(["1950-03-04", "x"]), "timestamps", "string"),
        ("time", pa.array([1, 2], pa.date32()), "timestamps", "date32"),
        ("code", pa.array([1, 2]), "texts", "int64"),
        ("code", pa.array([{SECRET: 1}, {SECRET: 2}]), "texts", "struct"),
        ("numeric_value", pa.array(["1.5", "2.5"]), r"numbers \(float32\)", "string"),
        ("visit_id", pa.array([[1], [2]]), "numbers or texts", "list"),
    ],
)
def test_a_column_of_another_type(dataset, name, column, expected, found):
    dataset.write("0.parquet", ROWS, standard=False, **{name: column})
    refused(dataset, f"data/0.parquet must have {expected} as {name}; found {found}. Write the dataset again")


def test_ids_beyond_int64(dataset):
    dataset.write("0.parquet", ROWS, standard=False, subject_id=pa.array([1, 2**63], pa.uint64()))
    refused(dataset, "must have ids that fit into int64 as subject_id; some are greater")


def test_a_column_that_is_there_twice(dataset):
    table = pa.table([pa.array([1]), pa.array([2]), pa.array(["A"])], names=["subject_id", "subject_id", "code"])
    dataset.put("0.parquet", table.append_column("time", pa.nulls(1, pa.timestamp("us"))))
    refused(dataset, "must have one column subject_id; found several. Keep one")


def test_shards_with_other_types_are_named(dataset):
    dataset.write("0.parquet", ROWS)
    dataset.write("1.parquet", [(1, "2020-01-01", "A")], standard=False, subject_id=pa.array(["x"]))
    refused(dataset, "data/1.parquet must have whole numbers .* as subject_id; found string")


@pytest.mark.parametrize("version", ["0.3.3", "0.1"])
def test_an_older_version(dataset, version):
    dataset.write("0.parquet", ROWS)
    dataset.metadata("dataset.json", {"meds_version": version})
    refused(dataset, rf"a dataset of MEDS 0.4 is read; metadata/dataset.json says version {version[:3]}, .*Convert")


def test_a_newer_version_is_read_and_said(dataset, caplog):
    caplog.set_level("INFO")
    dataset.write("0.parquet", ROWS)
    dataset.metadata("dataset.json", {"meds_version": "0.5.0"})
    assert len(dataset.read().events) == 2
    assert "MEDS 0.5 is read as MEDS 0.4" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("dataset.json", SECRET, "metadata/dataset.json must be a JSON file with one object; it is not"),
        ("dataset.json", [SECRET], "metadata/dataset.json must be a JSON file with one object; it is not"),
        ("dataset.json", {"meds_version": SECRET}, "must give meds_version as a version, as in 0.4.0; found another"),
        (
            "survlstm.json",
            {"format": 2, "day_tolerance": 0},
            "must have format 1; found another. Read the dataset with",
        ),
        ("survlstm.json", {"format": 1, "day_tolerance": 2}, "must have day_tolerance 0 or 1; found another"),
        ("survlstm.json", {"format": 1}, "must have day_tolerance 0 or 1; found another"),
        (
            "source_subjects.parquet",
            pa.table({"subject_id": [4711], "source_subject_id": ["x"]}),
            "must name every subject of the dataset; 1 of 2 are missing. Convert",
        ),
        (
            "source_subjects.parquet",
            pa.table({"subject_id": [4711, 4712], "source_subject_id": [SECRET, SECRET]}),
            "one id of the source and each id to one subject; found 2 rows with 2 subjects, 1 ids of the source",
        ),
        (
            "source_subjects.parquet",
            pa.table({"subject_id": [4711, 4711], "source_subject_id": ["x", SECRET]}),
            "found 2 rows with 1 subjects, 2 ids of the source",
        ),
        (
            "source_subjects.parquet",
            pa.table({"subject_id": [4711, 4712], "source_subject_id": ["x", f"{SECRET}\n"]}),
            "must hold printable ids of at most 128 characters as source_subject_id; 1 of 2 are not",
        ),
        (
            "subject_splits.parquet",
            pa.table({"subject_id": [4711, 4711], "split": ["train", "tuning"]}),
            "must assign each subject to one split; 1 subjects are in several",
        ),
        (
            "subject_splits.parquet",
            pa.table({"subject_id": [1]}),
            "must have the columns subject_id, split; split miss",
        ),
        ("subject_splits.parquet", SECRET, "metadata/subject_splits.parquet is not: it is not a parquet file"),
    ],
)
def test_metadata_that_cannot_be_used(dataset, name, content, match):
    dataset.write("0.parquet", ROWS)
    if isinstance(content, list):
        content = '["Anna-Schmidt"]'
    dataset.metadata(name, content)
    refused(dataset, match)


def test_codes_that_cannot_be_read(dataset):
    dataset.write("0.parquet", ROWS)
    source = dataset.source()
    with pytest.raises(
        SourceError, match=r"codes below others are found in metadata/codes\.parquet, .* the dataset has none"
    ):
        source.descendants(["A"])
    dataset.metadata("codes.parquet", pa.table({"code": ["A"], "parent_codes": ["B"]}))
    with pytest.raises(SourceError, match="must have lists of texts as parent_codes; found string"):
        source.descendants(["A"])
    dataset.metadata("codes.parquet", pa.table({"code": ["A"], "description": [1]}))
    with pytest.raises(SourceError, match="must have texts as description; found int64"):
        source.descriptions()


def test_a_subject_in_two_shards(dataset, tmp_path):
    dataset.write("a/0.parquet", [*ROWS, (1, "2020-01-01", "A")])
    dataset.write("b/0.parquet", ROWS)
    match = "must be in one parquet file, as the MEDS standard asks; 2 of 3 subjects are in two or more"
    refused(dataset, match)
    for ask in (dataset.source().subject_ids, dataset.source().parts(subjects_at_once=9, into=tmp_path).__enter__):
        with pytest.raises(SourceError, match=match):
            ask()


def test_no_event_at_all(dataset):
    dataset.write("0.parquet", [(4711, None, "GENDER//F"), (4711, "1950-03-04", "MEDS_BIRTH")])
    refused(dataset, "must hold an event, a row with a time and a code .* holds none in 2 rows")
    dataset.write("0.parquet", [])
    refused(dataset, "must hold an event, a row with a time and a code .* holds none in 0 rows")


def test_too_many_unusable_rows(dataset):
    dataset.write("0.parquet", [*ROWS, (4711, "2020-01-01", None)], standard=False)
    refused(
        dataset,
        r"data: at most 0.01 of the rows may be unusable; 1 of 3 are \(0.333\): 1 no code. Correct the export, or "
        r"accept the loss of these rows with data.source.max_unusable_share=0.34",
        share=0.01,
    )


def test_an_encounter_column_that_is_not_there(dataset):
    dataset.write("0.parquet", ROWS)
    refused(
        dataset,
        "encounter_column must name a column beside MEDS's own, auto or null; no shard has such a column 'stay', "
        "their columns are code, numeric_value, subject_id, time. Name another",
        encounter_column="stay",
    )
    refused(dataset, "no shard has such a column 'code'", encounter_column="code")


def test_shards_that_are_no_files(dataset):
    (dataset.folder / "data" / "0.parquet").mkdir()
    refused(dataset, "every .parquet below data/ must be a file; data/0.parquet is a folder. Put the file")
    (dataset.folder / "data" / "0.parquet").rmdir()
    (dataset.folder / "data" / "0.parquet").symlink_to("nowhere")
    refused(dataset, "data/0.parquet is a link to nothing")


def test_files_without_permission(dataset, monkeypatch):
    path = dataset.write("0.parquet", ROWS)
    path.chmod(0)
    if os.access(path, os.R_OK):
        # The superuser may read every file.
        shutil.rmtree(dataset.folder)
        pytest.skip("needs a user who is not root")
    refused(dataset, "data/0.parquet is not: Permission denied")


def test_a_file_that_the_system_refuses(dataset, monkeypatch):
    import pyarrow.parquet as pq

    dataset.write("0.parquet", ROWS)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", SECRET)

    monkeypatch.setattr(pq, "read_schema", refuse)
    refused(dataset, "every parquet file of a MEDS dataset must be readable; data/0.parquet is not: Permission denied")


def test_a_shard_without_rows_or_values_is_read(dataset):
    dataset.write("0.parquet", ROWS)
    dataset.write("1.parquet", [])
    dataset.write("2.parquet", [(1, None, "A")], standard=False, time=pa.nulls(1), numeric_value=None)
    data = dataset.read()
    assert len(data.events.subjects) == 3
    assert np.isnat(data.events.subjects.birth).all()
