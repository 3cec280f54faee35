"""Test tables written unlike Synthea's: read and logged if they are unambiguous, otherwise counted or refused."""

from __future__ import annotations

import logging
import resource
import time

import numpy as np
import pytest

from survlstm.data.sources.missing_values import MISSING_WORDS
from survlstm.data.sources.row_checks import LONGEST_CODE, LONGEST_ID
from survlstm.data.sources.spreadsheet_codes import warn_of_spreadsheet_codes
from survlstm.utils.errors import SourceError

HEADER = "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION"
ROW = "2001-02-03,,anna,e1,44054006,Diabetes"
LONG = f"id longer than {LONGEST_ID} characters, or code longer than {LONGEST_CODE}"
CONTROL = "control character in an id or a code"


def unusable(reading, table="conditions"):
    return next(count.unusable for count in reading.tables if count.table == table)


def log_messages(caplog):
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("separator", "word"),
    [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")],
    ids=["semicolons", "tabs", "bars"],
)
def test_other_separators_are_read_and_named(export, caplog, separator, word):
    export.write("conditions.csv", HEADER.replace(",", separator), ROW.replace(",", separator))
    export.write(
        "patients.csv", *(line.replace(",", separator) for line in ("Id,BIRTHDATE,DEATHDATE", "anna,1950-01-01,"))
    )
    with caplog.at_level(logging.INFO, logger="survlstm"):
        events = export.read().events
    assert events.codes.tolist() == ["SNOMED/44054006"]
    assert [
        f"{table}.csv: columns separated by {word}" in log_messages(caplog) for table in ("patients", "conditions")
    ] == [
        True,
        True,
    ]


def test_column_names_in_another_case_are_read_and_named(export, caplog):
    export.write("conditions.csv", "start,Stop, Patient,Encounter ,code,DESCRIPTION", ROW)
    export.write("patients.csv", "id,birthdate,DeathDate", "anna,1950-01-01,")
    with caplog.at_level(logging.INFO, logger="survlstm"):
        assert len(export.read().events) == 1
    assert "conditions.csv: 4 column names in another case, or with spaces around them" in log_messages(caplog)


def test_two_columns_of_one_name_in_two_cases_are_refused(export):
    export.write("conditions.csv", "START,patient,Patient,ENCOUNTER,CODE", "2001-02-03,anna,anna,e1,1")
    with pytest.raises(SourceError, match="must name each column once; its header names PATIENT more than once"):
        export.read()


@pytest.mark.parametrize("word", [*MISSING_WORDS, "NULL", "NaN", "None", "N/A", " null ", "  "])
def test_a_word_for_missing_is_an_empty_cell(export, caplog, word):
    export.patients(f"anna,1950-01-01,{word},A", f"bert,1960-05-05,{word},B", "carl,1950-01-01,2000-01-01,C")
    export.conditions(f"2001-02-03,,anna,{word},44054006,d", f"2001-02-03,,bert,{word},44054006,d")
    with caplog.at_level(logging.INFO, logger="survlstm"):
        reading = export.read()
    assert np.isnat(reading.events.subjects.death).tolist() == [True, True, False]
    # Entries of two patients must not share an encounter whose name is the word.
    assert reading.events.encounter.tolist() == [-1, -1]
    logged = [text for text in log_messages(caplog) if "hold a word for a missing value" in text]
    assert [text.split(" hold")[0] for text in logged] == (
        ["patients.csv: 2 cells of DEATHDATE", "conditions.csv: 2 cells of ENCOUNTER"] if word.strip() else []
    )


def test_words_for_missing_where_something_must_stand_are_counted(export):
    export.patients("anna,1950-01-01,,A", "NULL,1950-01-01,,B", "NULL,1950-01-01,,B")
    export.conditions("nan,,anna,e1,44054006,d", "2001-02-03,,N/A,e1,44054006,d", "2001-02-03,,anna,e1,NULL,d", ROW)
    reading = export.read(max_unusable_share=1.0)
    assert unusable(reading, "patients") == {"no patient id": 2}
    assert unusable(reading) == {"no date": 1, "no patient id": 1, "no code": 1}


@pytest.mark.parametrize("deaths", ["alive", "29/02/2001", "2001-02-30"])
def test_no_advice_selects_the_cohort_by_outcome(export, deaths):
    living = [f"p{number},1950-01-01,{deaths},X" for number in range(85)]
    dead = [f"d{number},1950-01-01,2005-01-01,X" for number in range(15)]
    export.patients(*living, *dead)
    export.conditions(*(f"2001-02-03,,d{number},e{number},44054006,d" for number in range(15)), "2006-01-01,,d1,e,1,d")
    with pytest.raises(SourceError, match="85 unparsable or impossible date of death") as refused:
        export.read()
    assert "DO NOT raise data.source.max_unusable_share" in str(refused.value)
    assert "max_unusable_share=" not in str(refused.value)
    # A user who raises the limit all the same gets a warning, also in the report.
    (warning,) = export.read(max_unusable_share=0.85).warnings
    assert warning.startswith("SELECTED BY OUTCOME: 85 of 100 patients are left out")


def test_a_death_after_the_last_entry_is_a_warning(export):
    export.conditions(ROW)
    export.patients("anna,1950-01-01,2029-01-01,A", "bert,1950-01-01,2001-02-04,A")
    (warning,) = export.read().warnings
    assert warning.startswith("patients: 1 death is dated after the last entry of the export")
    assert "20" not in warning.replace("2029", "")


@pytest.mark.parametrize("column", ["PATIENT", "ENCOUNTER", "CODE"])
@pytest.mark.parametrize("length", [LONGEST_ID + 1, 100_000, 3_000_000, 9_000_000])
def test_an_id_or_a_code_has_a_longest(export, column, length):
    cells = ROW.split(",")
    cells[HEADER.split(",").index(column)] = "7" * length
    export.conditions(*[ROW] * 150, ",".join(cells), *[ROW] * 150)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    (reason,) = unusable(export.read())
    # A row that is longer than two blocks of the parser loses its middle.
    assert reason in ({LONG} if length < 2**21 else {LONG, "malformed row"})
    assert time.monotonic() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_an_id_and_a_code_may_be_as_long_as_the_longest(export):
    name, code = "p" * LONGEST_ID, "7" * LONGEST_CODE
    export.patients(f"{name},1950-01-01,,A")
    export.conditions(f"2001-02-03,,{name},{'e' * LONGEST_ID},{code},d")
    events = export.read().events
    assert (events.subjects.subject_id.tolist(), events.codes.tolist()) == ([name], [f"SNOMED/{code}"])


def test_a_patient_of_a_long_id_is_left_out_and_counted(export):
    export.patients(*(f"p{number},1950-01-01,,A" for number in range(200)), f"{'x' * 100_000},1950-01-01,,A")
    export.conditions(ROW.replace("anna", "p1"))
    assert unusable(export.read(), "patients") == {LONG: 1}


def test_a_trailing_nul_makes_no_two_codes_one(export):
    export.write_bytes(
        "conditions.csv",
        "\n".join(
            [HEADER, *[ROW] * 300, "2001-02-03,,anna,e1,44054006\0,d", "2001-02-03,,an\tna,e1,44054006,d", ""]
        ).encode(),
    )
    reading = export.read()
    assert unusable(reading) == {CONTROL: 2}
    assert reading.events.codes.tolist() == ["SNOMED/44054006"]


def test_neither_an_id_nor_a_day_becomes_a_code(export):
    wrong = ("0f8fad5b-d9cb-469f-a165-70867728950e", "2001-02-03", "2001-02-03T10:00:00Z")
    export.conditions(*[ROW] * 300, *(f"2001-02-03,,anna,e1,{code},d" for code in wrong))
    assert unusable(export.read()) == {"a UUID or a date in place of a code": 3}


def test_a_malformed_row_that_is_not_utf8_is_counted_and_the_run_goes_on(export):
    lines = [HEADER, *[ROW] * 300, "2001-02-03,,andré,e1,44054006,d,more", ROW, "zu,kürz"]
    export.write("conditions.csv", *lines, encoding="latin-1")
    reading = export.read()
    assert unusable(reading) == {"malformed row": 2}
    assert reading.tables[1].rows_used == 301


def test_a_cell_that_is_not_utf8_is_located(export):
    lines = [HEADER, "", ROW, "a,b", "2001-02-03,,andré,e1,44054006,d", "2001-02-03,,andré,e1,44054006,d"]
    export.write("conditions.csv", *lines, encoding="latin-1")
    match = r"column PATIENT holds bytes that are not UTF-8 in 2 rows, the first in line 5\. Save it as UTF-8"
    with pytest.raises(SourceError, match=match):
        export.read()


def test_only_columns_that_are_read_must_be_utf8(export):
    from survlstm.data.sources.descriptions import read_descriptions

    export.write("conditions.csv", HEADER, *["2001-02-03,,anna,e1,44054006,Ménière"] * 2, encoding="cp1252")
    assert export.read().tables[1].rows_used == 2
    with pytest.raises(SourceError, match="column DESCRIPTION holds bytes that are not UTF-8 in 2 rows, the first in"):
        read_descriptions(export.folder, ("conditions",))


def test_what_is_split_over_blocks_is_whole(export):
    # Two bytes of one letter, and a cut row, at the borders of the parser's blocks of 2 MiB.
    filler = "2001-02-03,,anna,e1,44054006,é\n" * 80_000
    for shift in range(3):
        text = f"{HEADER}\n{'x' * shift}2001-02-03,,anna,e1,44054006,d\n{filler}"
        export.write_bytes("conditions.csv", text.encode())
        count = export.read().tables[1]
        assert (count.rows_read, count.rows_used) == (80_001, 80_001 - (shift > 0))


@pytest.mark.parametrize(
    ("codes", "start"),
    [
        (["1.24171E+14", "1,2E+15", "4e8"], "3 codes in 3 rows look like 1.2E+14"),
        (["44054006.0"], "1 codes in 1 rows look like 44054006.0"),
        (
            ["10939881000119100", "10939881000119100", "1234567890123400000"],
            "2 codes in 3 rows have more than 15 digits",
        ),
    ],
)
def test_codes_that_a_spreadsheet_made_are_counted(export, codes, start):
    export.conditions(ROW, *(f'2001-02-03,,anna,e1,"{code}",d' for code in codes))
    (warning,) = export.read().warnings
    assert warning.startswith(f"conditions: {start}")
    assert "10939881000119100" not in warning


def test_sound_codes_are_not_taken_for_those_of_a_spreadsheet():
    # Real SNOMED identifiers with 16 and 17 digits; the check digit of the third is zero.
    names = [f"SNOMED/{code}" for code in ("10939881000119105", "16335031000119103", "1010311000000100", "44054006")]
    assert (
        warn_of_spreadsheet_codes("conditions", [*names, "LOINC/1-1", "RxNorm/310"], np.arange(6, dtype=np.int32)) == []
    )
