"""Test SyntheaSource on small exports: codes, times, encounters, values, and counts of rows."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from survlstm.data.events import SourceData, ValueFault
from survlstm.data.source_parts import open_parts

ROW = "2001-02-03,,anna,e1,44054006,Diabetes"


def rows(reading: SourceData) -> list[tuple[str, str, str, int]]:
    """Return subject, code, time and encounter of every event, sorted."""
    events = reading.events
    names = events.subjects.subject_id[events.subject], events.codes[events.code]
    return sorted(zip(*(array.tolist() for array in names), events.time.astype(str), events.encounter, strict=True))


def count(reading: SourceData, table: str):
    return next(entry for entry in reading.tables if entry.table == table)


def test_subjects_are_sorted_and_stay_without_events(export):
    export.conditions(ROW)
    subjects = export.read().events.subjects
    assert subjects.subject_id.tolist() == ["anna", "bert"]
    assert subjects.birth.astype(str).tolist() == ["1950-01-01T00:00:00", "1960-05-05T00:00:00"]
    assert np.isnat(subjects.death).tolist() == [True, False]
    assert subjects.death[1] == np.datetime64("2000-01-01")


def test_a_time_of_death_counts_as_its_day(export):
    export.patients("anna,1950-01-01,2001-02-03T10:00:00Z,A")
    export.conditions(ROW)
    assert export.read().events.subjects.death[0] == np.datetime64("2001-02-03T00:00:00")


def test_every_table_has_its_code_system(export):
    tables = {
        "conditions": "SNOMED",
        "medications": "RxNorm",
        "procedures": "SNOMED",
        "immunizations": "CVX",
        "allergies": "SNOMED",
        "careplans": "SNOMED",
        "devices": "SNOMED",
    }
    for number, name in enumerate(tables):
        export.write(f"{name}.csv", "START,PATIENT,ENCOUNTER,CODE", f"2001-01-01,anna,e,10000{number}")
    export.write("encounters.csv", "Id,START,PATIENT,CODE", "e,2001-01-01,anna,100008")
    export.write("observations.csv", "DATE,PATIENT,ENCOUNTER,CODE,VALUE,TYPE", "2001-01-01,anna,e,1-1,2,numeric")
    expected = [f"{system}/10000{number}" for number, system in enumerate(tables.values())]
    reading = export.read()
    assert reading.events.codes.tolist() == sorted([*expected, "SNOMED/100008", "LOINC/1-1"])
    assert set(reading.events.encounter.tolist()) == {0}
    assert [entry.table for entry in reading.tables][:3] == ["patients", "encounters", "conditions"]


@pytest.mark.parametrize(
    ("written", "time"),
    [
        ("2001-02-03", "2001-02-03T00:00:00"),
        ("2001-02-03T04:05:06Z", "2001-02-03T04:05:06"),
        ("2001-02-03T04:05:06", "2001-02-03T04:05:06"),
        ("2001-02-03 04:05:06.789Z", "2001-02-03T04:05:06"),
        ("2001-02-03T00:05:06+01:00", "2001-02-02T23:05:06"),
        ("2001-02-03T20:05:06.5-0500", "2001-02-04T01:05:06"),
        ("2000-02-29T23:59:59Z", "2000-02-29T23:59:59"),
    ],
)
def test_times_in_every_spelling(export, written, time):
    export.conditions(f"{written},,anna,e1,44054006,Diabetes")
    assert export.read().events.time.astype(str).tolist() == [time]


def test_headers_of_2019(export):
    export.write("patients.csv", "ID,BIRTHDATE,DEATHDATE", "anna,1950-01-01,")
    export.write("encounters.csv", "ID,START,STOP,PATIENT,CODE", "e1,2001-02-03,2001-02-03,anna,185345009")
    export.write("procedures.csv", "DATE,PATIENT,ENCOUNTER,CODE", "2001-02-03,anna,e1,430193006")
    export.write("observations.csv", "DATE,PATIENT,ENCOUNTER,CODE,VALUE,UNITS", "2001-02-03,anna,e1,8302-2,1.5,cm")
    time = "2001-02-03T00:00:00"
    assert rows(export.read()) == [
        ("anna", code, time, 0) for code in ("LOINC/8302-2", "SNOMED/185345009", "SNOMED/430193006")
    ]


def test_headers_of_2025(export):
    export.write("patients.csv", "Id,BIRTHDATE,DEATHDATE,FIRST,MIDDLE,LAST", "anna,1950-01-01,,A,B,C")
    header = "START,STOP,PATIENT,ENCOUNTER,SYSTEM,CODE,DESCRIPTION"
    stated = "http://snomed.info/sct"
    export.write("conditions.csv", header, f"2001-02-03,,anna,e1,{stated},44054006,Diabetes")
    export.write("procedures.csv", header, f"2001-02-03T01:00:00Z,,anna,e2,{stated},430193006,Reconciliation")
    assert rows(export.read()) == [
        ("anna", "SNOMED/430193006", "2001-02-03T01:00:00", 1),
        ("anna", "SNOMED/44054006", "2001-02-03T00:00:00", 0),
    ]


@pytest.mark.parametrize(
    ("system", "code", "name"),
    [
        ("SNOMED-CT", "84489001", "SNOMED/84489001"),
        ("http://snomed.info/sct", "1191", "SNOMED/1191"),
        ("RxNorm", "1191", "RxNorm/1191"),
        ("http://www.nlm.nih.gov/research/umls/rxnorm", "1191", "RxNorm/1191"),
        ("http://loinc.org", "8302-2", "LOINC/8302-2"),
        ("http://hl7.org/fhir/sid/cvx", "140", "CVX/140"),
        ("Unknown", "84489001", "SNOMED/84489001"),
        ("Unknown", "7984", "RxNorm/7984"),
        ("", "29046", "RxNorm/29046"),
    ],
)
def test_allergies_say_their_system(export, system, code, name):
    export.write("allergies.csv", "START,PATIENT,ENCOUNTER,CODE,SYSTEM", f"2001-01-01,anna,e1,{code},{system}")
    reading = export.read()
    assert reading.events.codes.tolist() == [name]
    assert reading.warnings == ()


def test_one_code_in_two_systems_is_two_codes(export):
    lines = [f"2001-01-01,anna,e1,119100,{system}" for system in ("RxNorm", "SNOMED-CT", "RxNorm")]
    export.write("allergies.csv", "START,PATIENT,ENCOUNTER,CODE,SYSTEM", *lines)
    events = export.read().events
    assert events.codes[events.code].tolist() == ["RxNorm/119100", "SNOMED/119100", "RxNorm/119100"]


def test_an_unknown_system_is_read_as_the_tables_own_and_counted(export):
    header = "START,PATIENT,ENCOUNTER,SYSTEM,CODE"
    export.write("conditions.csv", header, *["2001-01-01,anna,e1,ICD-10,44054006"] * 3)
    reading = export.read()
    assert reading.events.codes.tolist() == ["SNOMED/44054006"]
    assert reading.warnings == (
        "conditions: 3 rows have an unknown SYSTEM and were read as SNOMED. "
        "Known systems are CVX, LOINC, RxNorm, SNOMED.",
    )


def test_encounters_share_one_numbering_and_empty_is_none(export):
    export.write("encounters.csv", "Id,START,PATIENT,CODE", "e1,2001-01-01,anna,1", "e2,2001-01-02,anna,1")
    export.write("conditions.csv", "START,PATIENT,ENCOUNTER,CODE", "2001-01-02,anna,e2,2", "2001-01-03,anna,,2")
    export.write("devices.csv", "START,PATIENT,ENCOUNTER,CODE", "2001-01-05,anna,e9,3")
    assert export.read().events.encounter.tolist() == [0, 1, 1, -1, 2]


def measures(reading: SourceData) -> list[tuple[str, float, str, str]]:
    """Return code, value, unit and fault of every event."""
    events = reading.events
    assert (events.unit.dtype, events.value_fault.dtype) == (np.int32, np.int8)
    columns = events.codes[events.code], events.numeric_value, events.units[events.unit]
    faults = [ValueFault(fault).name for fault in events.value_fault]
    return list(zip(*(column.tolist() for column in columns), faults, strict=True))


def test_values_are_numbers_only_where_the_type_says_so(export):
    header = "DATE,PATIENT,ENCOUNTER,CODE,VALUE,UNITS,TYPE"
    values = ["1.5,cm,numeric", "-2e1,cm,numeric", "7,cm,text", "Never smoker,,text", "high,cm,numeric"]
    export.write("observations.csv", header, *(f"2001-01-01,anna,e1,8302-2,{value}" for value in values))
    reading = export.read()
    np.testing.assert_array_equal(reading.events.numeric_value, [1.5, -20, np.nan, np.nan, np.nan])
    assert [row[2:] for row in measures(reading)] == [("cm", "NONE")] * 2 + [("", "NONE")] * 2 + [("", "TEXT")]
    assert reading.warnings == (
        "observations: 1 rows of TYPE numeric have no number in VALUE and were read without a value.",
    )


def test_values_without_a_type_are_numbers_where_they_parse(export):
    values = ["1.5", "text", "", "1e99", "null"]
    lines = [f"2001-01-01,anna,e1,8302-2,{value}" for value in values]
    # A code that has no number has ordinary texts.
    lines += [f"2001-01-01,anna,e1,72166-2,{value}" for value in ("Never smoker", "Smoker")]
    export.write("observations.csv", "DATE,PATIENT,ENCOUNTER,CODE,VALUE", *lines)
    reading = export.read()
    np.testing.assert_array_equal(reading.events.numeric_value, [1.5, *[np.nan] * 6])
    faults = ["NONE", "TEXT", "NONE", "INFINITE", "NONE", "NONE", "NONE"]
    assert [row[2:] for row in measures(reading)] == [("", fault) for fault in faults]
    assert reading.warnings == (
        "observations: 1 values are infinite or beyond single precision and were read as missing.",
    )


@pytest.mark.parametrize("value", ["inf", "-Infinity", "+INF", "3.5e38", "1e400", "-1e999999", "1" * 400])
def test_values_beyond_single_precision_are_missing_and_counted(export, value):
    header = "DATE,PATIENT,ENCOUNTER,CODE,VALUE,UNITS,TYPE"
    rows = [f"2001-01-01,anna,e1,8302-2,{one},cm,numeric" for one in (value, "3.4e38", "")]
    export.write("observations.csv", header, *rows, f"2001-01-01,anna,e1,8302-2,{value},cm,text")
    reading = export.read()
    nothing = ("LOINC/8302-2", pytest.approx(np.nan, nan_ok=True), "")
    assert measures(reading) == [
        (*nothing, "INFINITE"),
        ("LOINC/8302-2", pytest.approx(3.4e38), "cm", "NONE"),
        (*nothing, "NONE"),
        (*nothing, "NONE"),
    ]
    assert reading.warnings == (
        "observations: 1 rows of TYPE numeric have no number in VALUE and were read without a value.",
        "observations: 1 values are infinite or beyond single precision and were read as missing.",
    )


def test_units_are_those_of_the_rows_with_a_number(export):
    units = [" mg/dL ", "mmol/L", "", "n/a", "mg/dL", "2020-01-31", "u" * 65, "{score}"]
    values = [*"1234567", ""]
    rows = [f"2001-01-01,anna,e1,2345-7,{pair},numeric" for pair in map(",".join, zip(values, units, strict=True))]
    rows += ["2001-01-01,carl,e1,2345-7,1,kg,numeric", "2001-01-01,anna,e1,72166-2,9,{nominal},text"]
    export.write("observations.csv", "DATE,PATIENT,ENCOUNTER,CODE,VALUE,UNITS,TYPE", *rows)
    export.conditions(ROW)
    reading = export.read(max_unusable_share=0.5)
    # Units of rows that are not used, or of no number, are not listed.
    assert reading.events.units.tolist() == ["", "mg/dL", "mmol/L"]
    by_code = [row[2] for row in measures(reading) if row[0] == "LOINC/2345-7"]
    assert by_code == ["mg/dL", "mmol/L", "", "", "mg/dL", "", "", ""]
    assert (
        "observations: 2 values have a text in UNITS that can't be a unit (longer than 64 characters, with a control "
        "character, a UUID or a date) and were read without one."
    ) in reading.warnings


def test_parts_of_an_export_have_its_units(export, tmp_path_factory):
    rows = [f"2001-01-01,{name},e,1-1,2,{unit},numeric" for name, unit in (("anna", "kg"), ("bert", "g"))]
    export.write("observations.csv", "DATE,PATIENT,ENCOUNTER,CODE,VALUE,UNITS,TYPE", *rows)
    into = tmp_path_factory.mktemp("parts")
    with open_parts(export.source(), subjects_at_once=1, into=into) as cut:
        assert [measures(cut.read(part)) for part in cut.parts] == [
            [("LOINC/1-1", 2.0, "kg", "NONE")],
            [("LOINC/1-1", 2.0, "g", "NONE")],
        ]


def test_book_keeping_is_left_out_by_design(export):
    codes = ["QALY", "DALY", "QOLS", "8302-2"]
    header = "DATE,PATIENT,ENCOUNTER,CODE,VALUE,TYPE"
    export.write("observations.csv", header, *(f"2001-01-01,anna,,{code},1,numeric" for code in codes))
    reading = export.read()
    assert reading.events.codes.tolist() == ["LOINC/8302-2"]
    entry = count(reading, "observations")
    assert (entry.rows_read, entry.rows_used, entry.unusable) == (4, 1, {})
    assert entry.left_out == {"book-keeping (QALY, DALY, QOLS)": 3}


def test_every_row_is_used_or_counted_by_reason(export):
    export.conditions(
        ROW,
        "2001-02-03,,anna,e1,44054006",
        "2001-02-03,,,e1,44054006,d",
        "2001-02-03,,carl,e1,44054006,d",
        "2001-02-03,,anna,e1,,d",
        ",,anna,e1,44054006,d",
        "3/2/2001,,anna,e1,44054006,d",
        "2020-02-30,,anna,e1,44054006,d",
        "0202-01-01,,anna,e1,44054006,d",
        "2301-01-01,,anna,e1,44054006,d",
        "1949-12-30,,anna,e1,44054006,d",
    )
    entry = count(export.read(max_unusable_share=1.0), "conditions")
    assert (entry.rows_read, entry.rows_used, entry.left_out) == (11, 1, {})
    assert entry.unusable == {
        "malformed row": 1,
        "no patient id": 1,
        "unknown patient": 1,
        "no code": 1,
        "no date": 1,
        "unparsable date": 1,
        "impossible date": 4,
    }


def test_the_day_before_birth_is_the_time_zone(export):
    export.conditions("1949-12-31T22:30:00Z,,anna,e1,44054006,d")
    assert len(export.read().events) == 1


def test_repeated_rows_and_rows_after_death_are_kept(export):
    export.conditions(ROW, ROW, "2015-01-01,,bert,e2,44054006,d")
    assert len(export.read().events) == 3


def test_an_unusable_patient_is_counted_once_and_its_rows_are_left_out(export):
    good = [f"p{number},1950-01-01,,X" for number in range(96)]
    bad = ["nobirth,,,X", "badbirth,1/2/50,,X", "baddeath,1950-01-01,2001-02-30,X", "early,1950-01-01,1949-01-01,X"]
    export.patients(*good, *bad)
    export.conditions(*(f"2001-02-03,,{name},e1,44054006,d" for name in ("p1", "nobirth", "baddeath", "early")))
    reading = export.read(max_unusable_share=0.04)
    assert len(reading.events.subjects) == 96
    assert count(reading, "patients").unusable == {
        "no date": 1,
        "unparsable date": 1,
        "unparsable or impossible date of death": 1,
        "death before birth": 1,
    }
    entry = count(reading, "conditions")
    assert (entry.rows_read, entry.rows_used, entry.left_out) == (4, 1, {"patient left out": 3})


def test_gzip_byte_order_mark_and_column_order_change_nothing(export):
    plain = export.conditions(ROW, "2015-01-01,,bert,e2,38341003,d")
    expected = rows(export.read())
    plain.unlink()
    export.write(
        "conditions.csv.gz", "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION", ROW, "2015-01-01,,bert,e2,38341003,d"
    )
    assert rows(export.read()) == expected
    (export.folder / "conditions.csv.gz").unlink()
    lines = ["CODE,EXTRA,ENCOUNTER,PATIENT,START", "44054006,x,e1,anna,2001-02-03", "38341003,x,e2,bert,2015-01-01"]
    export.write("conditions.csv", *lines, encoding="utf-8-sig")
    assert rows(export.read()) == expected


def test_quoted_values_are_read(export):
    export.conditions('"2001-02-03",,"anna","e1","44054006","Diabetes, type 2"')
    assert rows(export.read()) == [("anna", "SNOMED/44054006", "2001-02-03T00:00:00", 0)]


@pytest.mark.parametrize("ending", ["\n", ""])
def test_a_header_without_rows_is_a_warning(export, ending):
    export.conditions(ROW)
    export.write_bytes("devices.csv", b"START,PATIENT,ENCOUNTER,CODE" + ending.encode())
    reading = export.read()
    assert count(reading, "devices").rows_read == 0
    assert reading.warnings == ("devices.csv has a header and no rows.",)


def test_files_are_those_that_reading_opens(export):
    export.conditions(ROW)
    export.write("devices.csv.gz", "START,PATIENT,ENCOUNTER,CODE")
    export.write("claims.csv", "Id")
    assert [path.name for path in export.source().files()] == ["conditions.csv", "devices.csv.gz", "patients.csv"]
    assert [path.name for path in export.source("conditions").files()] == ["conditions.csv", "patients.csv"]


def test_tables_not_asked_for_are_not_read_but_named(export, caplog):
    export.conditions(ROW)
    export.write("claims.csv", "Id")
    export.write("devices.csv", "not even a header")
    with caplog.at_level(logging.INFO, logger="survlstm"):
        export.read("conditions", "careplans")
    assert "tables not read: claims, devices" in caplog.text
    assert "2 tables, 3 rows, 2 subjects, 1 events" in caplog.text


def yearly_visits(export, first_year: int, subjects: int = 30) -> None:
    """Write an export in which every subject has one entry a year from ``first_year`` to 2020."""
    names = [f"p{number:02}" for number in range(subjects)]
    export.patients(*(f"{name},1950-01-01,,X" for name in names))
    export.conditions(
        *(f"{year}-06-01,,{name},{name}-{year},1,d" for year in range(first_year, 2021) for name in names)
    )


@pytest.mark.parametrize("years", [2, 5, 10, 20])
def test_cut_histories_are_a_warning(export, years):
    yearly_visits(export, 2021 - years)
    (warning,) = export.read().warnings
    assert f"{years} years before the end: of 30 living subjects" in warning
    assert "100% have a record in a year after that month and 0% in a year before it" in warning


@pytest.mark.parametrize(("first_year", "subjects"), [(1951, 30), (2011, 19)])
def test_full_histories_and_few_subjects_are_none(export, first_year, subjects):
    yearly_visits(export, first_year, subjects)
    assert export.read().warnings == ()
