"""Test the error messages of SyntheaSource for exports that can't be read."""

from __future__ import annotations

import gzip

import pytest

from survlstm.data.sources.synthea import SyntheaSource
from survlstm.utils.errors import SourceError

ROW = "2001-02-03,,anna,e1,44054006,Diabetes"
HEADER = "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION"


def test_missing_folder(tmp_path):
    with pytest.raises(SourceError, match=r"data\.path must be the folder .* is not there"):
        SyntheaSource(str(tmp_path / "nowhere"), ("conditions",), 0.01).files()


def test_path_is_a_file(export):
    path = export.conditions(ROW)
    with pytest.raises(SourceError, match=r"data\.path must be the folder .*conditions\.csv is a file"):
        SyntheaSource(str(path), ("conditions",), 0.01).read()


def test_no_patients_table(export):
    export.conditions(ROW)
    (export.folder / "patients.csv").unlink()
    with pytest.raises(SourceError, match=r"must hold patients\.csv or patients\.csv\.gz; it holds conditions\.csv"):
        export.read()


def test_no_event_table(export):
    export.write("claims.csv", "Id")
    with pytest.raises(SourceError, match=r"at least one of the event tables conditions, devices .*claims\.csv, pat"):
        export.read("conditions", "devices")


def test_unknown_table_name(export):
    export.conditions(ROW)
    with pytest.raises(SourceError, match="found 'condition', the nearest is conditions"):
        export.read("condition")


def test_a_table_twice(export):
    export.conditions(ROW)
    export.write("conditions.csv.gz", HEADER, ROW)
    with pytest.raises(
        SourceError, match=r"conditions is there as conditions\.csv and conditions\.csv\.gz: remove all"
    ):
        export.source().files()


def test_missing_column(export):
    export.write("conditions.csv", "START,STOP,PATIENT,ENCOUNTER,DESCRIPTION", "2001-02-03,,anna,e1,Diabetes")
    match = (
        r"\(2019 or later\) in its first line; CODE missing, found START, STOP, PATIENT, ENCOUNTER, DESCRIPTION, sep"
    )
    with pytest.raises(SourceError, match=match):
        export.read()


def test_missing_time_column(export):
    export.write("procedures.csv", "PATIENT,ENCOUNTER,CODE", "anna,e1,1")
    with pytest.raises(SourceError, match="START or DATE missing"):
        export.read()


def test_missing_birth_column(export):
    export.conditions(ROW)
    export.write("patients.csv", "Id,DEATHDATE", "anna,")
    with pytest.raises(SourceError, match=r"patients\.csv must have .* BIRTHDATE missing, found Id, DEATHDATE"):
        export.read()


def test_repeated_column(export):
    export.write("conditions.csv", f"{HEADER},CODE", f"{ROW},1")
    with pytest.raises(SourceError, match="must name each column once; its header names CODE more than once"):
        export.read()


def test_empty_file(export):
    export.write_bytes("conditions.csv", b"")
    with pytest.raises(SourceError, match=r"conditions\.csv must hold a header and rows; it is empty"):
        export.read()


def test_patients_without_rows(export):
    export.conditions(ROW)
    export.patients()
    with pytest.raises(SourceError, match=r"patients\.csv must hold at least one patient; it has a header only"):
        export.read()


@pytest.mark.parametrize("kept", [3, 25, 5000, -9, -1])
def test_truncated_gzip(export, kept):
    content = gzip.compress("\n".join([HEADER, *(f"2001-02-03,,anna,e{n},{n * n},d" for n in range(5000))]).encode())
    export.write_bytes("conditions.csv.gz", content[:kept])
    with pytest.raises(SourceError, match=r"conditions\.csv\.gz is cut short: its gzip data ends too early"):
        export.read()


def test_damaged_gzip(export):
    content = bytearray(gzip.compress(f"{HEADER}\n{ROW}\n".encode()))
    content[-6] ^= 0xFF
    export.write_bytes("conditions.csv.gz", bytes(content))
    with pytest.raises(SourceError, match=r"conditions\.csv\.gz is damaged: .*Copy or export it again"):
        export.read()


def test_gz_that_is_not_gzip(export):
    export.write_bytes("conditions.csv.gz", f"{HEADER}\n{ROW}\n".encode())
    with pytest.raises(SourceError, match=r"must be gzip data, as its name says, and isn't\. Name it \.csv"):
        export.read()


def test_gzip_named_csv(export):
    export.write_bytes("conditions.csv", gzip.compress(HEADER.encode()))
    with pytest.raises(SourceError, match=r"it is gzip data; name it \.csv\.gz"):
        export.read()


@pytest.mark.parametrize("name", ["conditions.csv", "conditions.csv.gz"])
def test_utf16(export, name):
    export.write(name, HEADER, ROW, encoding="utf-16")
    with pytest.raises(SourceError, match="it is UTF-16 text; save it as UTF-8"):
        export.read()


def test_latin1(export):
    export.write("conditions.csv", HEADER, "2001-02-03,,andré,e1,44054006,d", encoding="latin-1")
    with pytest.raises(SourceError, match=r"conditions\.csv must be UTF-8 text and isn't: .*Save it as UTF-8"):
        export.read()


def test_latin1_header(export):
    export.write("conditions.csv", f"{HEADER},VERÄNDERT", f"{ROW},1", encoding="latin-1")
    with pytest.raises(
        SourceError, match="must be comma-separated UTF-8 text; its header holds bytes that are not UTF-8"
    ):
        export.read()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"%PDF-1.7\n...", "a PDF"),
        (b"PK\x03\x04\x14\x00", "a zip archive or a spreadsheet"),
        (b"\n <!DOCTYPE html><html>", "HTML or XML"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "binary data"),
    ],
)
def test_no_csv(export, content, what):
    export.write_bytes("conditions.csv", content)
    with pytest.raises(SourceError, match=f"must be comma-separated UTF-8 text; it is {what}"):
        export.read()


def test_a_quote_that_never_closes_loses_no_rows_silently(export):
    export.conditions('2001-02-03,,anna,e1,44054006,"Diabetes', *[ROW] * 50)
    with pytest.raises(SourceError, match=r"it has 51 lines after the header and 1 rows: .* first in line 2\. Close"):
        export.read()


def test_repeated_patients(export):
    export.conditions(ROW)
    export.patients("anna,1950-01-01,,A", "bert,1950-01-01,,B", "anna,1951-01-01,,A")
    match = r"name every patient once; 1 ids occur more than once, in 2 rows, the first in line 2 of patients\.csv"
    with pytest.raises(SourceError, match=match):
        export.read()


def test_no_usable_patient(export):
    export.conditions(ROW)
    export.patients("anna,,,A")
    with pytest.raises(
        SourceError, match=r"must hold a usable patient; none of 1 is\. The first row with 'no date' is line 2"
    ):
        export.read(max_unusable_share=1.0)


def test_too_many_unusable_patients(export):
    export.conditions(ROW)
    export.patients("anna,1950-01-01,,A", "bert,0202-01-01,,B", "carl,1950-01-01,2000-02-30,B")
    match = (
        r"patients: at most 0\.01 of the rows may be unusable; 2 of 3 are \(0\.667\): 1 impossible date, 1 unparsable "
        r"or impossible date of death\. The first row with 'impossible date' is line 3 of patients\.csv, whose "
        r"BIRTHDATE is a date\. Write D"
    )
    with pytest.raises(SourceError, match=match):
        export.read()


def test_too_many_unusable_rows(export):
    export.conditions(*[ROW] * 96, *["2001-02-03,,carl,e1,44054006,d"] * 3, "3/2/2001,,anna,e1,44054006,d")
    match = (
        r"conditions: at most 0\.01 of the rows may be unusable; 4 of 100 are \(0\.04\): 3 unknown patient, "
        r"1 unparsable date\. The first row with 'unparsable date' is line 101 of conditions\.csv, whose START is "
        r"a date in another form\. Correct the export, or accept the loss of these rows with "
        r"data\.source\.max_unusable_share=0\.04"
    )
    with pytest.raises(SourceError, match=match):
        export.read()
    assert len(export.read(max_unusable_share=0.04).events) == 96


def test_a_header_of_another_width(export):
    export.write("conditions.csv", HEADER, *[f"{ROW},more"] * 4)
    with pytest.raises(
        SourceError,
        match=r"4 of 4 are \(1\): 4 malformed row\. The first malformed row is line 2 of cond.* must have 6 cells",
    ):
        export.read()


def test_a_table_without_a_usable_row_gets_no_advice_to_accept_that(export):
    export.conditions(*["someday,,anna,e1,44054006,Diabetes"] * 3)
    with pytest.raises(SourceError, match=r"3 of 3 are \(1\): 3 unparsable date.*no row of the table is left\.$"):
        export.read()
