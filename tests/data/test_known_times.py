"""Known times of entries, and entries before a limit, compared with tables worked by hand."""

from dataclasses import replace

import numpy as np
import pytest

from survlstm.data.known_times import FURTHER, NEVER, UNTIED, RecordLimits, known_times
from tests.records import events_of


def times_of(*rows, tolerance=1):
    """Known times of entries of one subject, given as (time, encounter), in the same order."""
    events = events_of({"a": [(time, encounter, [f"X/{n}"]) for n, (time, encounter) in enumerate(rows)]})
    return known_times(replace(events, day_tolerance=tolerance))


def text(seconds):
    return str(np.datetime64(int(seconds), "s"))


MORNING, NOON, EVENING = "2019-04-02T07:00:00", "2019-04-02T12:00:00", "2019-04-02T22:00:00"
ENCOUNTER = [(NOON, "e"), (EVENING, "e"), (MORNING, "e")]


@pytest.mark.parametrize(
    ("day", "anchored", "days_off"),
    [
        ("2019-04-02", True, 0),
        ("2019-04-03", True, 1),
        ("2019-04-01", True, -1),
        ("2019-04-04", False, FURTHER),
        ("2019-03-31", False, FURTHER),
    ],
)
def test_a_dated_entry_has_the_time_of_its_encounter_within_a_day(day, anchored, days_off):
    times = times_of(*ENCOUNTER, (day, "e"))
    assert bool(times.is_anchored[-1]) is anchored
    assert times.days_off[-1] == days_off
    expected = (MORNING, EVENING) if anchored else (f"{day}T00:00:00", f"{day}T23:59:59")
    assert (text(times.earliest[-1]), text(times.latest[-1])) == expected


@pytest.mark.parametrize("others", [[], [("2019-04-02T12:00:00", "other")], [("2019-04-02", "e")]])
def test_without_a_timed_entry_of_its_encounter_a_dated_entry_has_its_day(others):
    times = times_of(*others, ("2019-04-02", "e"), ("2019-04-02", None))
    assert not times.is_anchored.any()
    assert (times.days_off == UNTIED).all()
    assert [text(end) for end in times.latest[-2:]] == ["2019-04-02T23:59:59"] * 2


def test_a_timed_entry_was_known_at_its_time():
    times = times_of(*ENCOUNTER)
    assert (times.earliest == times.latest).all()
    assert text(times.latest[0]) == NOON
    assert not times.is_dated.any()


def test_a_day_within_a_stay_is_matched_before_its_neighbours():
    stay = [(f"2019-04-0{day}T{hour}:00:00", "e") for day in (1, 2, 3) for hour in ("08", "20")]
    # With local days and times in UTC (tolerance 1), it can have been known a day before or after.
    for tolerance, earliest in ((1, "2019-04-01T08:00:00"), (0, "2019-04-02T08:00:00")):
        times = times_of(*stay, ("2019-04-02", "e"), tolerance=tolerance)
        assert (text(times.earliest[-1]), text(times.latest[-1])) == (earliest, "2019-04-02T20:00:00")
    gap = [stay[0], stay[-1], ("2019-04-02", "e")]
    assert text(times_of(*gap).latest[-1]) == "2019-04-03T20:00:00"


def test_entries_of_before_1970():
    times = times_of(("1955-04-02T07:00:00", "e"), ("1955-04-03", "e"))
    assert text(times.latest[-1]) == "1955-04-02T07:00:00"


ROWS = [
    ("2019-04-01T23:59:59", None),
    ("2019-04-02T00:00:01", None),
    ("2019-04-02T22:00:00", "e"),
    ("2019-04-03", "e"),
    ("2019-04-02", None),
    ("2019-04-03", None),
    ("2019-04-04T00:00:01", None),
]


@pytest.mark.parametrize(
    ("tolerance", "inside"),
    [
        (0, [True, True, True, True, True, False, False]),
        (1, [True, False, False, False, True, False, False]),
        (-1, [True, True, True, True, True, False, False]),
    ],
)
def test_limits_from_a_day(tolerance, inside):
    """Dated entries are compared by day; timed entries, and those with the time of their encounter, by time."""
    limits = RecordLimits.from_days(np.array(["2019-04-03"], dtype="datetime64[s]"), tolerance=tolerance)
    assert limits.contain(times_of(*ROWS), np.zeros(len(ROWS), dtype=int)).tolist() == inside


@pytest.mark.parametrize(
    ("row", "tolerance", "moment", "day"),
    [
        (("2019-04-03T10:00:00", None), 1, "2019-04-03T10:00:00", "2019-04-02"),
        (("2019-04-03T10:00:00", None), 0, "2019-04-03T10:00:00", "2019-04-03"),
        (("2019-04-03", None), 1, "2019-04-02T00:00:00", "2019-04-03"),
        (("2019-04-03", None), 0, "2019-04-03T00:00:00", "2019-04-03"),
    ],
)
def test_limits_lowered_to_an_entry(row, tolerance, moment, day):
    limits = RecordLimits.none(1).lowered(times_of(row), np.zeros(1, dtype=int), tolerance=tolerance)
    assert text(limits.moment[0]) == moment
    assert str(np.datetime64(int(limits.day[0]), "D")) == day


def test_limits_lowered_to_the_first_of_several_entries_and_never_raised():
    rows = [("2019-04-05T10:00:00", None), ("2019-04-03", "e"), ("2019-04-02T22:00:00", "e")]
    limits = RecordLimits.none(2).lowered(times_of(*rows), np.zeros(3, dtype=int), tolerance=1)
    assert text(limits.moment[0]) == "2019-04-02T22:00:00"
    assert str(np.datetime64(int(limits.day[0]), "D")) == "2019-04-01"
    assert limits.moment[1] == limits.day[1] == NEVER
    again = limits.lowered(times_of(("2020-01-01", None)), np.zeros(1, dtype=int), tolerance=1)
    assert (again.moment == limits.moment).all()
    assert (again.day == limits.day).all()
