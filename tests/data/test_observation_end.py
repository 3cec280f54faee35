"""The end of observation that a source states: when follow-up ends, which deaths are observed, and what is an input."""

import dataclasses

import numpy as np
import pytest

from survlstm.data.cohort import select_cohort
from survlstm.data.known_times import known_times
from survlstm.data.landmark import LandmarkSettings, landmark_targets, landmark_time
from survlstm.data.observed_visits import group_observed
from survlstm.data.outcomes.clinical import DeathOutcome, FirstCodeOutcome
from survlstm.data.outcomes.synthetic import RandomOutcome
from survlstm.data.visits import group_visits
from survlstm.inference.subject_record import records_of_events
from survlstm.utils.errors import OutcomeError
from tests.records import SETTINGS, events_of

HIT = "X/hit"
VISITS = ["2001-01-01T08:00:00", "2001-02-01T08:00:00", "2001-03-01T08:00:00"]
FIRST_CODE, DEATH = FirstCodeOutcome([HIT]), DeathOutcome()
# The end of observation, the day of death, and then for each outcome: its step, event and end.
LAST = VISITS[-1]
TABLE = {
    "nothing is stated": (None, None, (1, False, LAST), (1, False, LAST)),
    "observed after the last visit": (
        "2001-06-30",
        None,
        (1, False, "2001-06-30T23:59:59"),
        (1, False, "2001-06-30T23:59:59"),
    ),
    "observed until the day of the last visit": (
        "2001-03-01",
        None,
        (1, False, "2001-03-01T23:59:59"),
        (1, False, "2001-03-01T23:59:59"),
    ),
    "died, no end is stated": (None, "2001-05-05", (1, False, LAST), (2, True, "2001-05-05")),
    "died while observed": ("2001-06-30", "2001-05-05", (1, False, "2001-05-05T23:59:59"), (2, True, "2001-05-05")),
    "died on the last day": ("2001-05-05", "2001-05-05", (1, False, "2001-05-05T23:59:59"), (2, True, "2001-05-05")),
    "died the day after": (
        "2001-05-04",
        "2001-05-05",
        (1, False, "2001-05-04T23:59:59"),
        (1, False, "2001-05-04T23:59:59"),
    ),
}


def observed_events(records, until, *, deaths=None, tolerance=0):
    events = events_of(records, deaths=deaths)
    ends = np.array([until.get(name) or "NaT" for name in events.subjects.subject_id], dtype="datetime64[s]")
    return dataclasses.replace(
        events, subjects=dataclasses.replace(events.subjects, observed_until=ends), day_tolerance=tolerance
    )


def with_event_elsewhere(record, *, until, death):
    """The subject, beside one with both outcomes, without whom there would be nothing to train on."""
    records = {
        "a": [(time, f"v{number}", ["X/1"]) for number, time in enumerate(record)],
        "z": [(time, f"v{number}", ["X/1", *([HIT] if number == 2 else [])]) for number, time in enumerate(VISITS)],
    }
    return observed_events(records, {"a": until}, deaths={"z": "2001-05-05"} | ({"a": death} if death else {}))


def labelled(events, outcome):
    visits = group_observed(events, outcome, SETTINGS).visits
    return visits, outcome.label(visits, is_training=np.ones(2, dtype=bool))


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("outcome", [FIRST_CODE, DEATH], ids=["first code", "death"])
def test_the_worked_table(name, outcome):
    until, death, *expected = TABLE[name]
    _, labels = labelled(with_event_elsewhere(VISITS, until=until, death=death), outcome)
    step, event, end = expected[outcome is DEATH]
    assert (int(labels.step[0]), bool(labels.event[0])) == (step, event)
    assert labels.end_time[0] == np.datetime64(end)


def test_an_event_ends_the_follow_up_before_the_end_of_observation():
    events = observed_events(
        {"a": [(time, None, ["X/1", HIT] if time == LAST else ["X/1"]) for time in VISITS]}, {"a": "2001-12-31"}
    )
    visits = group_observed(events, FIRST_CODE, SETTINGS).visits
    labels = FIRST_CODE.label(visits, is_training=np.ones(1, dtype=bool))
    assert (labels.step.tolist(), labels.event.tolist(), labels.end_time.astype(str).tolist()) == ([1], [True], [LAST])


def test_a_death_after_the_end_of_observation_is_counted_and_no_event():
    events = with_event_elsewhere(VISITS, until="2001-05-04", death="2001-05-05")
    _, labels = labelled(events, DEATH)
    assert labels.warnings == (
        "deaths after the end of the subject's observation, which are no events: 1. These subjects are censored at "
        "that end",
    )
    assert labelled(with_event_elsewhere(VISITS, until=None, death="2001-05-05"), DEATH)[1].warnings == ()
    events = observed_events(
        {"a": [(time, None, ["X/1"]) for time in VISITS]}, {"a": "2001-05-04"}, deaths={"a": "2001-05-05"}
    )
    visits = group_observed(events, DEATH, SETTINGS).visits
    with pytest.raises(OutcomeError, match=r"found 0 in 1 \(and after the end of observation in the whole cohort 1\)"):
        DEATH.label(visits, is_training=np.ones(1, dtype=bool))


@pytest.mark.parametrize("outcome", [FIRST_CODE, DEATH, RandomOutcome(0.5, 0.1, 0)], ids=["code", "death", "random"])
@pytest.mark.parametrize(
    ("tolerance", "observed"),
    [
        # Of the last day everything is observed, of the day after nothing; with a tolerance, times of the day after
        # may be of the last day.
        (0, [True, True, True, False, False, False]),
        (1, [True, True, True, False, True, False]),
    ],
)
def test_entries_after_the_end_of_observation_are_no_inputs(outcome, tolerance, observed):
    times = [
        "2001-06-29",
        "2001-06-30",
        "2001-06-30T23:59:59",
        "2001-07-01",
        "2001-07-01T00:00:01",
        "2001-07-02T08:00:00",
    ]
    events = observed_events({"a": [(time, None, [HIT]) for time in times]}, {"a": "2001-06-30"}, tolerance=tolerance)
    found = outcome.observed(events, known_times(events))
    # A first code ends the inputs as well: only qualifying entries are looked at here.
    assert found.tolist() == observed


@pytest.mark.parametrize(
    ("until", "step", "event"),
    [
        (None, None, None),
        ("2001-04-09", None, None),
        ("2001-04-20", 0, False),
        ("2001-04-30", 1, False),
        ("2001-12-31", 2, False),
    ],
)
def test_on_the_landmark_clock_a_subject_is_at_risk_until_the_end_of_observation(until, step, event):
    # The landmark, 90 days after the first visit, is 1 April at eight o'clock; intervals of ten days follow.
    settings = LandmarkSettings(day=90.0, visit=None, intervals=3, edges="equidistant", horizon_days=30.0)
    events = with_event_elsewhere(VISITS, until=until, death=None)
    events.subjects.death[1] = np.datetime64("2001-04-06")
    visits, _ = group_visits(events, grouping="hybrid", window_hours=24.0)
    labels = DEATH.label(visits, is_training=np.ones(2, dtype=bool))
    targets = landmark_targets(
        visits, labels, landmark_time(visits, settings), np.zeros(2, np.int8), settings, min_visits=3, edge_days=None
    )
    found = dict(
        zip(targets.subject.tolist(), zip(targets.step.tolist(), targets.event.tolist(), strict=True), strict=True)
    )
    assert found == {1: (0, True)} | ({} if step is None else {0: (step, event)})
    # Prediction needs the landmark to be reached, as the labels do.
    landmark = dataclasses.replace(SETTINGS, landmark=settings)
    records = records_of_events(events, DEATH, landmark, as_of=None, reads_age=False)
    assert (records.reason[0] == "") == (until is not None)


def test_the_dead_are_not_scored_whenever_their_observation_ended():
    events = with_event_elsewhere(VISITS, until="2001-05-04", death="2001-05-05")
    records = records_of_events(events, DEATH, SETTINGS, as_of=None, reads_age=False)
    assert records.is_ended.tolist() == [True, True]
    assert records.seen.tolist() == [3, 3]


@pytest.mark.parametrize("outcome", [FIRST_CODE, DEATH], ids=["first code", "death"])
@pytest.mark.parametrize(("until", "takes_part"), [(None, False), ("2001-01-01", True), ("2001-06-30", True)])
def test_one_visit_is_enough_on_the_landmark_clock_if_observation_goes_on(outcome, until, takes_part):
    events = with_event_elsewhere(VISITS[:1], until=until, death=None)
    visits = group_observed(events, outcome, SETTINGS).visits
    follow_up = outcome.follow_up(visits)
    for on_visits in (True, False):
        cohort = select_cohort(visits, follow_up, min_visits=1, on_visits=on_visits)
        left_out = {rule.reason: rule.subjects for rule in cohort.exclusions}["no step at risk: no follow-up"]
        assert left_out == (0 if takes_part and not on_visits else 1)
