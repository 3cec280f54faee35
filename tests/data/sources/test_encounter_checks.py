"""Test the warnings on entries and the encounters that they name."""

import logging

import numpy as np
import pytest

ENCOUNTERS = "Id,START,STOP,PATIENT,CODE"
TIMED = "START,STOP,PATIENT,ENCOUNTER,CODE"


def written(export, *, encounters, procedures=(), conditions=()):
    """Write the three tables, and return the export."""
    export.write("encounters.csv", ENCOUNTERS, *encounters)
    export.write("procedures.csv", TIMED, *procedures)
    export.conditions(*(f"{line},text" for line in conditions))
    return export


def test_rows_that_name_an_encounter_that_is_not_there_are_counted_per_table(export, caplog):
    known = [f"e{n},2001-01-0{n + 1}T10:00:00Z,,anna,185349003" for n in range(5)]
    procedures = [f"2001-01-01T10:00:00Z,,anna,e{n % 7},71388002" for n in range(70)]
    reading = written(
        export, encounters=known, procedures=procedures, conditions=["2001-01-01,,anna,e0,44054006"]
    ).read()
    (warning,) = [text for text in reading.warnings if "name an encounter" in text]
    assert warning.startswith(
        "procedures: 20 of 70 rows (28.6%) name an encounter that is not in the table of encounters"
    )
    assert len(reading.events) == 76


def test_few_such_rows_are_logged_and_rows_without_an_encounter_are_none(export, caplog):
    rows = [f"2001-01-01T10:00:00Z,,anna,{'lost' if n == 0 else ('' if n % 2 else 'e0')},71388002" for n in range(150)]
    export = written(export, encounters=["e0,2001-01-01T10:00:00Z,,anna,185349003"], procedures=rows)
    with caplog.at_level(logging.INFO, logger="survlstm"):
        reading = export.read()
    assert not [text for text in reading.warnings if "name an encounter" in text]
    assert "procedures: 1 of 150 rows (0.7%) name an encounter" in caplog.text


def test_without_the_table_of_encounters_nothing_is_missing(export):
    export.conditions("2001-01-01,,anna,e0,44054006,text")
    assert not [text for text in export.read().warnings if "encounter" in text]


def test_an_encounter_of_two_patients_is_one_of_each(export):
    export = written(
        export,
        encounters=["e0,2001-01-01T10:00:00Z,,anna,185349003"],
        procedures=["2001-01-01T10:00:00Z,,anna,e0,71388002", "2005-01-01T10:00:00Z,,bert,e0,71388002"],
    )
    reading = export.read()
    events = reading.events
    assert len(np.unique(events.encounter)) == 2
    assert [text for text in reading.warnings if text.startswith("1 encounter ids are used by more than one patient")]


@pytest.mark.parametrize(("day", "later"), [("2001-01-01", 0), ("2001-01-02", 1), ("2000-12-31", -1)])
def test_days_are_compared_with_the_encounters_times(export, day, later, caplog):
    export = written(
        export,
        encounters=["e0,2001-01-01T10:00:00Z,,anna,185349003"],
        conditions=[f"{day},,anna,e0,44054006"],
    )
    with caplog.at_level(logging.INFO, logger="survlstm"):
        warnings = [text for text in export.read().warnings if "dated to the day" in text]
    sentence = (
        f"Of 1 entries dated to the day, {int(later == 1)} are dated a day after the timed entries of their encounter, "
        f"{int(later == -1)} a day before and 0 further away"
    )
    assert sentence in (warnings[0] if later else caplog.text)
    assert len(warnings) == abs(later)


def test_times_in_the_zone_of_the_export(export):
    export = written(
        export,
        encounters=["e0,2001-03-31T22:00:00Z,,anna,185349003", "e1,2001-06-30T14:00:00Z,,anna,185349003"],
        conditions=["2001-04-01,,anna,e0,44054006"],
    )
    events = export.source(timezone="Australia/Melbourne").read().events
    # Ten hours ahead of UTC on both days. Midnight stands for a day, so a time at midnight is moved by a second.
    assert sorted(str(time) for time in events.time) == [
        "2001-04-01T00:00:00",
        "2001-04-01T08:00:00",
        "2001-07-01T00:00:01",
    ]
    assert events.day_tolerance == 0
    assert export.read().events.day_tolerance == 1
