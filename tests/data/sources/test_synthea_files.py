"""Test which files of a folder are read as tables of an export, and the messages for those that can't be read."""

from __future__ import annotations

import logging
import os
from dataclasses import replace

import pytest

from survlstm.utils.errors import SourceError

HEADER = "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION"
ROW = "2001-02-03,,anna,e1,44054006,Diabetes"
OTHER = "2001-02-04,,bert,e2,38341003,Hypertension"


def events(reading):
    """Return subject and code of every event, sorted."""
    table = reading.events
    return sorted(zip(table.subjects.subject_id[table.subject], table.codes[table.code], strict=True))


@pytest.fixture
def expected(export):
    """Return the events of both rows, read from one file that is then removed."""
    export.conditions(ROW, OTHER)
    both = events(export.read())
    (export.folder / "conditions.csv").unlink()
    return both


@pytest.mark.parametrize("name", ["CONDITIONS.CSV", "Conditions.csv", "CONDITIONS.CSV.GZ", "conditions.Csv.gz"])
def test_a_name_in_any_case_is_the_table(export, expected, caplog, name):
    content = export.write(f"a{'.gz' if name.lower().endswith('gz') else ''}", HEADER, ROW, OTHER)
    content.rename(export.folder / name)
    with caplog.at_level(logging.INFO, logger="survlstm"):
        assert events(export.read()) == expected
    if name != "conditions.csv":
        assert f"{name} is read as conditions" in caplog.text


@pytest.mark.parametrize(
    "names",
    [
        ("conditions-0001.csv", "conditions-0002.csv"),
        ("conditions-0.csv", "conditions-1.csv.gz"),
        ("conditions_1.csv", "conditions_2.csv"),
        ("conditions.part1.csv", "Conditions.Part2.csv"),
    ],
)
def test_the_parts_of_a_table_are_read_together(export, expected, caplog, names):
    for name, row in zip(names, (ROW, OTHER), strict=True):
        export.write(name, HEADER, row)
    with caplog.at_level(logging.INFO, logger="survlstm"):
        reading = export.read()
    assert events(reading) == expected
    assert [path.name for path in export.source().files()] == sorted([*names, "patients.csv"])
    assert "conditions is read from 2 files" in caplog.text
    assert reading.tables[1].rows_read == 2


def test_the_tenth_part_comes_after_the_second(export):
    for number in range(1, 11):
        export.write(f"conditions-{number}.csv", HEADER, f"2001-02-03,,anna,e1,{100000 + number},d")
    codes = export.read().events
    assert codes.codes[codes.code].tolist() == [f"SNOMED/{100000 + number}" for number in range(1, 11)]


def test_parts_are_streamed_as_they_are_read(export):
    from survlstm.data.sources.csv_table import CsvStream
    from survlstm.data.sources.synthea_format import EVENT_TABLES

    export.write("conditions-1.csv", HEADER, ROW, "too,short")
    # The second has its columns in another order, and in other case.
    export.write("conditions-2.csv", "code,PATIENT,ENCOUNTER,START", "38341003,bert,e2,2001-02-04", "too,short")
    files = export.source().files_by_table()["conditions"]
    stream = CsvStream(files, EVENT_TABLES["conditions"].fields)
    rows = [row for block in stream.blocks() for row in block.select(["PATIENT", "CODE"]).to_pylist()]
    assert rows == [{"PATIENT": "anna", "CODE": "44054006"}, {"PATIENT": "bert", "CODE": "38341003"}]
    assert stream.malformed == export.read(max_unusable_share=1.0).tables[1].unusable["malformed row"] == 2


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (("conditions-1.csv", "conditions-3.csv"), "conditions has the numbers 1, 3 in .*Put the missing parts there"),
        (("conditions-2.csv",), "numbered from 0 or 1 on without a gap; conditions has the numbers 2 in"),
        (("conditions-1.csv", "conditions_1.csv"), "conditions has the numbers 1, 1 in .*keep each part once"),
        (("conditions.csv", "conditions-1.csv"), "conditions is there as conditions-1.csv and conditions.csv: remove"),
        (("conditions.csv", "CONDITIONS.CSV"), "conditions is there as CONDITIONS.CSV and conditions.csv: remove all"),
    ],
)
def test_parts_that_are_not_the_table_are_refused(export, names, match):
    for name in names:
        export.write(name, HEADER, ROW)
    with pytest.raises(SourceError, match=match):
        export.read()


def test_parts_must_have_the_same_columns(export):
    export.write("conditions-1.csv", HEADER, ROW)
    export.write("conditions-2.csv", f"{HEADER},SYSTEM", f"{ROW},SNOMED-CT")
    match = r"same columns; conditions-1\.csv and conditions-2\.csv differ in SYSTEM"
    with pytest.raises(SourceError, match=match):
        export.read()


def test_a_row_is_found_in_its_part(export):
    export.write("conditions-1.csv", HEADER, *[ROW] * 3)
    export.write("conditions-2.csv", HEADER, ROW, "", "x,y", ROW.replace("2001-02-03", "soon"))
    with pytest.raises(
        SourceError,
        match=r"The first row with 'unparsable date' is line 5 of conditions-2\.csv, whose START is 4 characters of",
    ):
        export.read()


def make_folder(path):
    path.mkdir()
    (path / "part-00000.csv").write_text("x")


MAKES = {
    "a folder that holds 1 CSV files": make_folder,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a pipe, which can't be read twice": os.mkfifo,
}


@pytest.mark.parametrize("what", MAKES)
@pytest.mark.parametrize("table", ["conditions", "patients"])
def test_what_is_no_file_is_named(export, what, table):
    export.conditions(ROW)
    (export.folder / f"{table}.csv").unlink()
    MAKES[what](export.folder / f"{table}.csv")
    with pytest.raises(SourceError, match=rf"must hold {table} as a file; {table}\.csv is {what}"):
        export.source("conditions", "devices").read()
    if table == "conditions":
        export.write("devices.csv", "START,PATIENT,ENCOUNTER,CODE", "2001-01-01,anna,e1,1")
        assert len(export.read("devices").events) == 1


def test_a_link_to_a_file_is_the_file(export, expected):
    export.write("elsewhere", HEADER, ROW, OTHER)
    (export.folder / "conditions.csv").symlink_to(export.folder / "elsewhere")
    assert events(export.read()) == expected


def test_a_folder_per_run_is_named(export, tmp_path):
    run = tmp_path / "runs" / "2024_01_01"
    run.mkdir(parents=True)
    export.conditions(ROW)
    for name in ("patients.csv", "conditions.csv"):
        (export.folder / name).rename(run / name)
    above = replace(export, folder=tmp_path / "runs")
    match = r"no CSV file, but 1 folders with a patients table: 2024_01_01\. Set data\.path .*runs/2024_01_01\."
    with pytest.raises(SourceError, match=match):
        above.read()
    assert len(replace(export, folder=run).read().events) == 1


def test_a_file_that_may_not_be_read(export, monkeypatch):
    import pyarrow as pa

    path = export.conditions(ROW)

    def forbidden(name, **options):
        if str(name) == str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return input_stream(name, **options)

    input_stream = pa.input_stream
    monkeypatch.setattr(pa, "input_stream", forbidden)
    with pytest.raises(SourceError, match=r"conditions\.csv can't be read; the system says: Permission denied"):
        export.read()
