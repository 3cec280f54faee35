"""Tests of the reader of event tables: accepted spellings, notes, and refusals with their messages."""

import datetime

import numpy as np
import pandas as pd
import pytest

from survlstm.inference.events_table import read_events_table
from survlstm.utils.errors import SourceError

TIMES = ["2020-01-02T03:04:05", "2020-01-01T00:00:00", "1950-06-07T00:00:00", "2020-12-31T23:00:00"]
ROWS = {
    "subject_id": ["b", "a", "b", "b"],
    "time": ["2020-01-02T03:04:05Z", "2020-01-01", "1950-06-07", "2021-01-01T00:00:00+01:00"],
    "code": ["X/2", "X/1", "MEDS_BIRTH", "X/1"],
}


def table(**changes):
    return pd.DataFrame(ROWS | changes)


def test_subjects_and_codes_are_sorted_and_times_are_utc():
    events, notes = read_events_table(table())
    assert events.subjects.subject_id.tolist() == ["a", "b"]
    assert events.codes.tolist() == ["X/1", "X/2"]
    assert events.subject.tolist() == [1, 0, 1]
    assert events.code.tolist() == [1, 0, 0]
    assert events.time.astype(str).tolist() == ["2020-01-02T03:04:05", "2020-01-01T00:00:00", "2020-12-31T23:00:00"]
    assert events.subjects.birth.astype("datetime64[D]").astype(str).tolist() == ["NaT", "1950-06-07"]
    assert np.isnat(events.subjects.death).all()
    assert events.encounter.tolist() == [-1, -1, -1]
    assert notes == ("no column encounter_id: entries of one day make one visit",)


@pytest.mark.parametrize(
    "times",
    [
        pd.to_datetime(TIMES),
        pd.to_datetime(TIMES).tz_localize("UTC").tz_convert("Asia/Tokyo"),
        [
            datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
            datetime.date(2020, 1, 1),
            datetime.date(1950, 6, 7),
            pd.Timestamp("2020-12-31T23:00"),
        ],
        pd.Series(pd.to_datetime(TIMES)).astype("timestamp[us][pyarrow]"),
        pd.Series(pd.to_datetime(TIMES).tz_localize("UTC").tz_convert("Asia/Tokyo")).astype(
            "timestamp[us, tz=Asia/Tokyo][pyarrow]"
        ),
    ],
    ids=["datetime64", "with a zone", "objects", "arrow", "arrow with a zone"],
)
def test_times_of_every_kind_are_the_same_times(times):
    np.testing.assert_array_equal(
        read_events_table(table(time=times)).events.time, read_events_table(table()).events.time
    )


def test_meds_own_types_are_read():
    rows = table(subject_id=[2, 1, 2, 2]).astype({"time": "object"})
    rows["numeric_value"] = np.array([1.5, np.nan, np.nan, 2.0], dtype=np.float32)
    events = read_events_table(rows).events
    assert events.subjects.subject_id.tolist() == ["1", "2"]
    np.testing.assert_array_equal(events.numeric_value, np.array([1.5, np.nan, 2.0], dtype=np.float32))


def test_a_unit_belongs_to_a_number():
    rows = table(numeric_value=[1.5, 2.0, 7.0, None], unit=[" mg/dL ", "10*3/uL", "kg", "mg/dL"])
    events = read_events_table(rows).events
    assert events.units.tolist() == ["", "10*3/uL", "mg/dL"]
    assert events.units[events.unit].tolist() == ["mg/dL", "10*3/uL", ""]
    assert not events.value_fault.any()


@pytest.mark.parametrize("unit", [None, np.nan, pd.NA, "", " ", "NULL", "n/a", "-"])
def test_a_missing_unit_is_none(unit):
    rows = table(numeric_value=1.5, unit=pd.Series([unit, "%", None, unit], dtype=object))
    events = read_events_table(rows).events
    assert events.units[events.unit].tolist() == ["", "%", ""]
    without = read_events_table(table(numeric_value=1.5)).events
    assert (without.units.tolist(), without.unit.tolist()) == ([""], [0, 0, 0])


@pytest.mark.parametrize("units", [[1, 1, None, 1], [1.0, 1.0, None, 1.0], ["1", "1", None, "1"]])
def test_whole_numbers_as_units_are_texts(units):
    # UCUM writes the unit of a ratio as 1.
    assert read_events_table(table(numeric_value=2.0, unit=units)).events.units.tolist() == ["", "1"]


def test_ids_that_became_floats_are_whole_numbers_again():
    assert read_events_table(table(subject_id=[2.0, 1.0, 2.0, 2.0])).events.subjects.subject_id.tolist() == ["1", "2"]


@pytest.mark.parametrize("ids", [[2.0, 1, 2, "2"], pd.array([2, 1, 2, 2], dtype="Int64"), pd.Categorical([2, 1, 2, 2])])
def test_ids_of_every_kind_are_texts(ids):
    assert read_events_table(table(subject_id=ids)).events.subject.tolist() == [1, 0, 1]


def test_encounters_are_numbered_and_a_row_may_have_none():
    events, notes = read_events_table(table(encounter_id=["e1", None, None, "e1"]))
    assert events.encounter.tolist() == [0, -1, 0]
    assert notes == ()


def test_static_facts_are_codes_of_their_subject_and_other_columns_are_noted():
    rows = table(encounter_id=None, ward="7")
    rows.loc[0, "time"] = None
    events, notes = read_events_table(rows)
    assert len(events) == 2
    static = events.subjects.static
    assert static.codes[static.code].tolist() == [rows.loc[0, "code"]]
    has_one = events.subjects.subject_id == str(rows.loc[0, "subject_id"])
    assert static.per_subject.tolist() == has_one.astype(int).tolist()
    assert notes == ("columns not read: 1 name not shown here (1 text)",)


def test_a_death_is_a_day_of_the_subject():
    rows = pd.concat(
        [table(), pd.DataFrame({"subject_id": ["a"], "time": ["2022-02-03T10:00:00"], "code": ["MEDS_DEATH"]})]
    )
    subjects = read_events_table(rows).events.subjects
    assert subjects.death.astype("datetime64[D]").astype(str).tolist() == ["2022-02-03", "NaT"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([1, 2], "must be a pandas DataFrame; found list"),
        (pd.DataFrame({"PATIENT": [1], "code": ["X/1"]}), "subject_id, time missing, found PATIENT, code. Rename"),
        (table().iloc[:0], "must hold at least one row"),
        (pd.DataFrame(), "missing, found nothing"),
        (
            table(time=["2020-01-02", "soon", "1950-06-07", "x"]),
            "2 of 4 rows have none that can be read, the first is row 2",
        ),
        (table(time=["2020-01-02", "2020-02-30", "1950-06-07", "2020-01-01"]), "the first is row 2"),
        (table(time=["2020-01-02", 20200101, "1950-06-07", "2020-01-01"]), "the first is row 2"),
        (table(code=["X/2", "", "X/1", None]), "must have a code in every row; 2 of 4"),
        (table(subject_id=["b", None, "b", "b"]), "must have a subject_id in every row; 1 of 4"),
        (table(subject_id=[2.0, 1.5, 2.0, 2.0]), "whole numbers or texts as subject_id; 1 of 4"),
        (table(subject_id=[1e19, 2e19, 3.0, 3.0]), "whole numbers or texts as subject_id; 2 of 4"),
        (table(numeric_value=[1, "much", None, 2]), r"must have a number of single precision .* numeric_value; 1 of 4"),
        (table(numeric_value=[1, 1e39, None, -np.inf]), r"a number of single precision .* numeric_value; 2 of 4"),
        (table(numeric_value=1, unit=[None, 0.5, "%", None]), "whole numbers or texts as unit; 1 of 4 .* is row 2"),
        (table(numeric_value=1, unit=[None, ["%"], "%", ["%"]]), "a text or nothing as unit; 2 of 4 .* is row 2"),
        (
            table(numeric_value=1, unit=[None, None, "%", "m\0"]),
            "at most 64 characters as unit; 1 of 4 .* row 4",
        ),
        (table(numeric_value=1, unit="m" * 65), "printable text of at most 64 .* as unit; 3 of 4 .* is row 1"),
        (pd.concat([table(), table(code="MEDS_BIRTH")]), "one day of MEDS_BIRTH; 1 subjects have several"),
    ],
)
def test_what_can_not_be_read_is_refused_with_a_sentence(rows, said):
    with pytest.raises(SourceError, match=said):
        read_events_table(rows)


def test_a_column_named_twice_is_refused():
    rows = table()
    rows.insert(3, "time", "2020-01-01", allow_duplicates=True)
    with pytest.raises(SourceError, match="name each column once; found time more than once"):
        read_events_table(rows)


def test_no_message_repeats_what_stands_in_a_row():
    with pytest.raises(SourceError, match="row 1") as caught:
        read_events_table(table(time=["secret", "2020-01-01", "1950-06-07", "2020-01-01"]))
    assert "secret" not in str(caught.value)


def test_a_table_without_its_header_is_not_quoted():
    # pandas has read the first row as the header.
    rows = pd.DataFrame([["b", "2020-01-03", "X/2"]], columns=["999-59-3229", "1985-12-17", "secret"])
    with pytest.raises(SourceError, match=r"code missing, found 3 names not shown here \(2 texts, 1 date\)") as caught:
        read_events_table(rows)
    assert not [text for text in rows.columns if text in str(caught.value)]
    _, notes = read_events_table(table(secret="a", text_value="b"))
    assert notes[0] == "columns not read: text_value and 1 name not shown here (1 text)"
    twice = table(secret="a")
    twice.insert(3, "secret", "b", allow_duplicates=True)
    assert "secret" not in "".join(read_events_table(twice).notes)


@pytest.mark.parametrize("suffix", ["", "//HOSPITAL", "//unknown//x"])
def test_births_and_deaths_may_have_a_suffix(suffix):
    written = [
        ("a", "1950-06-07", f"MEDS_BIRTH{suffix}"),
        ("a", "2020-01-02", "X/1"),
        ("a", "2022-02-03", f"MEDS_DEATH{suffix}"),
        # Codes that only begin with the same letters.
        ("a", "2020-01-03", "MEDS_DEATHLY"),
        ("a", "2020-01-04", "MEDS_BIRTH/ORDER"),
    ]
    rows = pd.DataFrame(written, columns=["subject_id", "time", "code"])
    events, _ = read_events_table(rows)
    assert events.subjects.birth.astype("datetime64[D]").astype(str).tolist() == ["1950-06-07"]
    assert events.subjects.death.astype("datetime64[D]").astype(str).tolist() == ["2022-02-03"]
    assert events.codes.tolist() == ["MEDS_BIRTH/ORDER", "MEDS_DEATHLY", "X/1"]


def test_a_subject_has_one_day_of_death_whatever_its_suffix():
    deaths = pd.DataFrame(
        [("a", "2022-02-03", "MEDS_DEATH//A"), ("a", "2022-02-04", "MEDS_DEATH//B")],
        columns=["subject_id", "time", "code"],
    )
    with pytest.raises(SourceError, match="one day of MEDS_DEATH; 1 subjects have several"):
        read_events_table(pd.concat([table(), deaths]))


def test_words_for_missing_are_no_times_and_no_encounters():
    rows = table(encounter_id=["NULL", "e1", "nan", " "], time=["NULL", "2020-01-01", "1950-06-07", "NaT"])
    events, notes = read_events_table(rows)
    assert events.encounter.tolist() == [0]
    assert events.subjects.static.per_subject.sum() == 2
    assert notes == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"code": ["X/2", "X/1", "MEDS_BIRTH", "X" * 1001]}, "text of at most 1,000 characters as code; 1 of 4"),
        ({"subject_id": ["b", "a", "b" * 201, "b"]}, "text of at most 200 characters as subject_id; 1 of 4"),
        ({"code": ["X/2", "X/1", "MEDS_BIRTH", "X/1\0"]}, "printable text .* as code; 1 of 4"),
        ({"code": ["X/2", "X/1", "MEDS_BIRTH", "\ud800"]}, "printable text .* as code; 1 of 4"),
        ({"time": ["2020-01-01", "\ud800", "1950-06-07", "x"]}, "a time as in .*; 2 of 4"),
        (
            {"time": np.array(["2020-01-01", "2301-01-01", "1950-01-01", "NaT"], dtype="datetime64[s]")},
            "1800 to 2300; 1",
        ),
        (
            {"time": np.array(["2020-01-01", "1799-01-01", "1950-01-01", "NaT"], dtype="datetime64[s]")},
            "1800 to 2300; 1",
        ),
    ],
)
def test_texts_and_times_have_bounds(changes, said):
    with pytest.raises(SourceError, match=said):
        read_events_table(table(**changes))


def test_codes_that_a_spreadsheet_made_are_noted():
    _, notes = read_events_table(table(code=["SNOMED/1.24171E+14", "X/1", "MEDS_BIRTH", "X/2.0"], encounter_id="e"))
    assert [note.split(" as ")[0] for note in notes] == [
        "events: 1 codes in 1 rows look like 1.2E+14,",
        "events: 1 codes in 1 rows look like 44054006.0,",
    ]


def test_a_long_code_costs_no_room_for_every_row():
    import tracemalloc

    rows = pd.DataFrame({"subject_id": "a", "time": "2020-01-01", "code": ["X" * 1000, *["X/1"] * 20_000]})
    tracemalloc.start()
    read_events_table(rows)
    assert tracemalloc.get_traced_memory()[1] < 40e6
    tracemalloc.stop()


def test_a_nul_makes_no_two_encounters_one():
    assert len({*read_events_table(table(encounter_id=["e", "e\0", "e\0\0", "\ud800"])).events.encounter.tolist()}) == 3
