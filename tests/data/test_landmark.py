"""Landmark clock: subjects at risk, the table of labels, the edges, and the visits that may be seen."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from survlstm.data.landmark import LandmarkSettings, fit_edges, interval_labels, landmark_time
from survlstm.data.outcomes.clinical import DeathOutcome, FirstCodeOutcome
from survlstm.data.outcomes.synthetic import RandomOutcome, SyntheticOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.split import Split
from survlstm.data.visits import group_visits
from survlstm.utils.errors import CohortError, OutcomeError
from tests.prepared import unscaled_state
from tests.records import LANDMARK_SETTINGS, SETTINGS, RecordsSource, events_of, random_records

HIT = FirstCodeOutcome(["X/hit"])
SYNTHETIC = SyntheticOutcome(0.7, 1.7, 0.4, 0.4, 0.2, 1 / 60, seed=0, planted_codes=[])
DAY_30 = LandmarkSettings(day=30.0, visit=None, intervals=2, edges="equidistant", horizon_days=60.0)


def at(days, *, hour=8):
    return str(np.datetime64("2020-01-01") + np.timedelta64(days * 24 + hour, "h"))


def record(*days, hit=None):
    """A record with a visit on each of these days, and one with the outcome on day ``hit``."""
    visits = [(at(day), f"e{day}", ["X/a"]) for day in days]
    return visits if hit is None else [*visits, (at(hit), f"e{hit}", ["X/hit"])]


def made(records, *, landmark=DAY_30, outcome=HIT, deaths=None, min_visits=1, edges=(0.0, 30.0, 60.0), **settings):
    """Prepare records with given edges instead of fitted ones, so that no split has to have subjects."""
    preprocessing = unscaled_state(("[PAD]", "[UNK]", "X/a"), edges=edges)
    source = RecordsSource(events_of(records, deaths=deaths))
    return prepare_uncached(
        source,
        outcome,
        replace(SETTINGS, landmark=landmark, min_visits=min_visits, **settings),
        preprocessing=preprocessing,
    )


def labels_of(prepared):
    tensors = prepared.tensors
    rows = zip(tensors.subject_id, tensors.step, tensors.event, tensors.duration_days, strict=True)
    return {str(name): (int(step), bool(event), float(days)) for name, step, event, days in rows}


def excluded(prepared):
    return {rule.reason: (rule.subjects, rule.events) for rule in prepared.flow.subjects_excluded if rule.subjects}


@pytest.mark.parametrize(
    ("duration", "event", "expected"),
    [
        (5, True, (0, True)),
        (10, True, (0, True)),
        (10.001, True, (1, True)),
        (30, True, (1, True)),
        (60, True, (2, True)),
        (60.001, True, (2, False)),
        (500, True, (2, False)),
        (500, False, (2, False)),
        (60, False, (2, False)),
        (59.999, False, (1, False)),
        (30, False, (1, False)),
        (29.999, False, (0, False)),
        (10, False, (0, False)),
        (9.999, False, (-1, False)),
    ],
)
def test_interval_table(duration, event, expected):
    step, happened = interval_labels(np.array([float(duration)]), np.array([event]), np.array([0.0, 10.0, 30.0, 60.0]))
    assert (int(step[0]), bool(happened[0])) == expected


@given(
    st.lists(st.floats(0.001, 1000), min_size=2, max_size=8, unique=True),
    st.floats(0.001, 2000),
    st.booleans(),
)
def test_intervals_hold_what_their_definition_says(ends, duration, event):
    edges = np.array([0.0, *sorted(ends)])
    (step,), (happened,) = interval_labels(np.array([duration]), np.array([event]), edges)
    assert happened == (event and duration <= edges[-1])
    if happened:
        assert edges[step] < duration <= edges[step + 1]
    else:
        assert step == -1 or edges[step + 1] <= duration
        assert step == len(edges) - 2 or duration < edges[step + 2]


def test_label_table_of_the_landmark_clock():
    prepared = made(
        {
            "event in interval 0": record(0, 10, hit=50),
            "event at the edge": record(0, 10, hit=60),
            "event in interval 1": record(0, 10, hit=61),
            "event at the horizon": record(0, 10, hit=90),
            "event behind the horizon": record(0, 10, hit=91),
            "event at the landmark": record(0, 10, hit=30),
            "event before the landmark": record(0, 10, hit=20),
            "censored between the edges": record(0, 10, 80),
            "censored at an edge": record(0, 10, 60),
            "censored at the horizon": record(0, 10, 90),
            "censored behind the horizon": record(0, 10, 400),
            "censored before the first edge": record(0, 10, 59),
            "left before the landmark": record(0, 10, 20),
            "one visit by the landmark": record(0, 31, hit=50),
            "at the first visit": record(5, hit=0)[::-1],
        },
        min_visits=2,
    )
    assert labels_of(prepared) == {
        "event in interval 0": (0, True, 20),
        "event at the edge": (0, True, 30),
        "event in interval 1": (1, True, 31),
        "event at the horizon": (1, True, 60),
        "event behind the horizon": (1, False, 61),
        "censored between the edges": (0, False, 50),
        "censored at an edge": (0, False, 30),
        "censored at the horizon": (1, False, 60),
        "censored behind the horizon": (1, False, 370),
    }
    assert excluded(prepared) == {
        "outcome at the first visit (prevalent)": (1, 1),
        "event or end of follow-up at or before the landmark": (3, 2),
        "fewer than 2 visits on or before the landmark": (1, 1),
        "censored before the first edge: no interval fully observed": (1, 0),
    }


def test_the_dead_have_their_event_on_the_day_they_died_and_the_living_end_at_their_last_visit():
    records = {name: record(0, 10, 20, 70) for name in ("alive", "dead at 55")} | {"dead at 25": record(0, 10, 20)}
    deaths = {"dead at 55": at(55, hour=0)[:10], "dead at 25": at(25, hour=0)[:10]}
    prepared = made(records, outcome=DeathOutcome(), deaths=deaths)
    # The landmark is at eight in the morning, death at midnight.
    assert labels_of(prepared) == {"alive": (0, False, 40), "dead at 55": (0, True, pytest.approx(25 - 8 / 24))}
    assert excluded(prepared)["event or end of follow-up at or before the landmark"] == (1, 1)


def test_the_history_is_every_visit_dated_on_or_before_the_landmark():
    later = [(at(30, hour=9), "later", ["X/a"])]
    prepared = made({"a": record(0, 10, 30, 31, hit=90), "b": [*record(0, 29, 90), *later]})
    assert prepared.tensors.visits_per_subject.tolist() == [3, 2]
    assert prepared.tensors.visit_time.max() == np.datetime64(at(30))


@pytest.mark.parametrize("grouping", ["hybrid", "encounter", "same_day", "time_window"])
def test_no_visit_reaches_across_the_landmark(grouping):
    """An entry an hour after the landmark must not move the visit of that morning behind the landmark."""
    across = [*record(0, 10, 30, hit=90), (at(30, hour=9), "e30", ["X/b"])]
    tensors = made({"a": across}, grouping=grouping).tensors
    assert tensors.visits_per_subject.tolist() == [3]
    assert len(tensors.code) == 3


def test_the_event_is_no_input_though_its_day_began_before_the_landmark():
    """A code dated to the day is the outcome at the end of its visit; entries it can coincide with are not inputs."""
    timed = [(at(0), "e0", ["X/a"]), (at(30, hour=7), "e30", ["X/a"]), (at(30, hour=15), "e30", ["X/a"])]
    for grouping in ("hybrid", "encounter", "same_day", "time_window"):
        records = {"a": [*timed, (at(30, hour=0)[:10], "e30", ["X/hit"])]}
        tensors = made(records, grouping=grouping, edges=(0.0, 1.0)).tensors
        assert labels_of(made(records, grouping=grouping, edges=(0.0, 1.0)))["a"][:2] == (0, True)
        assert tensors.code.tolist() == [2]


def test_landmark_by_visit_number():
    by_visit = replace(DAY_30, day=None, visit=1)
    prepared = made(
        {"a": record(0, 10, 60), "b": record(0, 45, hit=60), "two visits": record(0, 10), "c": record(0, hit=10)},
        landmark=by_visit,
    )
    assert labels_of(prepared) == {"a": (0, False, 50), "b": (0, True, 15)}
    assert excluded(prepared)["event or end of follow-up at or before the landmark"] == (2, 1)
    assert prepared.tensors.visits_per_subject.tolist() == [2, 2]


def test_a_subject_without_the_landmarks_visit_has_no_landmark():
    visits, _ = group_visits(events_of({"a": record(0, 10), "b": record(0)}), grouping="hybrid", window_hours=24.0)
    found = landmark_time(visits, replace(DAY_30, day=None, visit=1))
    assert found[0] == np.datetime64(at(10))
    assert np.isnat(found[1])


def test_visits_at_the_time_of_the_landmark_belong_to_the_history_and_an_event_there_is_not_at_risk():
    twin = (at(10), "twin", ["X/b"])
    records = {"a": [*record(0, 10, 60), twin], "b": [*record(0, 60), twin, (at(10), "e", ["X/hit"])]}
    prepared = made(records, landmark=replace(DAY_30, day=None, visit=1))
    assert list(labels_of(prepared)) == ["a"]
    assert prepared.tensors.visits_per_subject.tolist() == [3]


def test_min_visits_counts_visits_up_to_the_landmark_only():
    records = {"a": record(0, 70), "b": record(0, 10, 40, 50, hit=70)}
    assert list(labels_of(made(records, min_visits=2))) == ["b"]
    with pytest.raises(CohortError, match=r"fewer than 3 visits on or before the landmark: 2.*now clock.day=30"):
        made(records, min_visits=3)


def test_nobody_at_risk_and_nobody_observed():
    with pytest.raises(
        CohortError, match=r"event or end of follow-up at or before the landmark: 1, with the event 1.*clock.visit=7"
    ):
        made({"a": record(0, 10, hit=20)}, landmark=replace(DAY_30, day=None, visit=7))
    with pytest.raises(CohortError, match=r"censored before the first edge.*Raise clock.intervals"):
        made({"a": record(0, 10, 31), "b": record(0, hit=20)})


DURATIONS = np.array([1.0, 2.0, 3.0, 4.0, 50.0, 400.0])


def test_edges():
    event = np.array([True, True, True, True, False, True])
    equidistant = replace(DAY_30, intervals=4, horizon_days=100.0)
    assert fit_edges(DURATIONS, event, equidistant).tolist() == [0, 25, 50, 75, 100]
    quantile = replace(equidistant, edges="quantile")
    # Of the events within the horizon, at 1, 2, 3 and 4 days; an edge is the first event at or after the quantile.
    assert fit_edges(DURATIONS, event, quantile).tolist() == [0, 2, 3, 4, 100]
    # An edge is then moved to the end of its day.
    assert fit_edges(DURATIONS - 0.5, event, quantile).tolist() == [0, 2, 3, 4, 100]


def test_edges_that_fall_together_are_refused():
    few = replace(DAY_30, intervals=10, edges="quantile")
    with pytest.raises(
        OutcomeError, match=r"clock.intervals=10; found 2 events on 1 day .*set clock.edges=equidistant"
    ):
        fit_edges(np.array([5.0, 5.0]), np.array([True, True]), few)
    # Twelve different times on three days: edges are the ends of whole days.
    times, event = np.linspace(4.1, 7.0, 12), np.ones(12, dtype=bool)
    said = r"found 12 events on 3 days up to clock.horizon_days=60 and 0 events after it\. .* set clock.intervals=4,"
    with pytest.raises(OutcomeError, match=said):
        fit_edges(times, event, few)
    assert fit_edges(times, event, replace(few, intervals=4)).tolist() == [0, 5, 6, 7, 60]
    with pytest.raises(OutcomeError, match=r"clock\.intervals=5"):
        fit_edges(times, event, replace(few, intervals=5))


@pytest.mark.parametrize("edges", ["equidistant", "quantile"])
def test_no_training_event_within_the_horizon(edges):
    settings = replace(DAY_30, edges=edges)
    sentence = (
        r"clock.day=30\) and clock.horizon_days=60 .*found 0 among 6 at risk \(1 after.*Set another landmark, or raise"
    )
    with pytest.raises(OutcomeError, match=sentence):
        fit_edges(DURATIONS, DURATIONS == 400, settings)


def on_landmark(outcome=SYNTHETIC, *, settings=LANDMARK_SETTINGS, deaths=None, records=None, **options):
    records = records or random_records(150, seed=3)
    return prepare_uncached(RecordsSource(events_of(records, deaths=deaths)), outcome, settings, **options)


def test_quantile_edges_are_those_of_the_training_subjects_at_risk():
    tensors = on_landmark().tensors
    training = tensors.members(Split.TRAIN)
    durations = tensors.duration_days[training][tensors.event[training]]
    ranked = np.sort(durations)[np.ceil((len(durations) - 1) * np.array([0.2, 0.4, 0.6, 0.8])).astype(int)]
    assert tensors.edge_days[1:-1].tolist() == np.ceil(ranked).tolist()
    assert (tensors.edge_days[0], tensors.edge_days[-1]) == (0, 365)
    assert (tensors.clock, tensors.steps) == ("landmark", 5)
    shares = np.bincount(tensors.step[training][tensors.event[training]], minlength=5) / len(durations)
    # Equal shares up to two events, because an edge is the time of an event, moved to the end of its day.
    np.testing.assert_allclose(shares, 0.2, atol=2 / len(durations))


def test_a_split_with_nobody_at_risk_is_refused():
    few = {name: record(0, 10, 40, hit=70) for name in ("p1", "p2", "p3", "p4")}
    few |= {f"q{number}": record(0, 5) for number in range(40)}
    with pytest.raises(CohortError, match=r"each of train, val and test needs a subject; found .*another landmark"):
        on_landmark(HIT, settings=replace(SETTINGS, landmark=DAY_30, min_visits=1), records=few)


@pytest.mark.parametrize("settings", [SETTINGS, LANDMARK_SETTINGS], ids=["visit", "landmark"])
@pytest.mark.parametrize("outcome", [SYNTHETIC, FirstCodeOutcome(["X/7"]), DeathOutcome()])
def test_nothing_seen_is_dated_after_the_end_and_the_flow_accounts_for_everything(outcome, settings):
    records = random_records(150, seed=3)
    for number, name in enumerate(records):
        records[name].append(("2015-06-01T10:00:00", None, ["X/1", "X/1"]))
        if number % 7 == 0:
            records[name] = records[name][:2]
    deaths = {name: str(np.datetime64(records[name][-1][0][:10]) + 40) for name in list(records)[::3]}
    if settings.landmark is not None:
        far = replace(settings.landmark, edges="equidistant", horizon_days=3650.0)
        settings = replace(settings, landmark=far)
    prepared = on_landmark(outcome, settings=settings, deaths=deaths, records=records)
    tensors, flow = prepared.tensors, prepared.flow
    first, last = tensors.visit_time[tensors.visit_offsets[:-1]], tensors.visit_time[tensors.visit_offsets[1:] - 1]
    # The landmark is set by the number of a visit, so it is the last visit seen.
    zero = last if tensors.clock == "landmark" else first
    last_day = (last - zero).astype(np.int64) / 86400
    assert (tensors.duration_days >= last_day).all()
    assert tensors.clock == "visit" or (tensors.duration_days > 0).all()
    assert np.isnan(tensors.oracle_hazard).all() == (tensors.clock == "landmark" or outcome != SYNTHETIC)
    assert flow.entries_read == flow.entries_used + sum(flow.entries_left_out.values())
    assert flow.visits_made == flow.visits_used + sum(flow.visits_left_out.values())
    assert flow.subjects_read == flow.subjects_used + sum(rule.subjects for rule in flow.subjects_excluded)
    assert min([*flow.entries_left_out.values(), *flow.visits_left_out.values()]) >= 0


def test_a_drawn_control_is_told_to_be_none_on_the_landmark_clock():
    random = RandomOutcome(0.7, 1 / 60, seed=0)
    assert any("Set clock=visit for a control" in warning for warning in on_landmark(random).flow.warnings)
    assert not any("control" in warning for warning in on_landmark().flow.warnings)
    assert "oracle_c_td" not in on_landmark().flow.outcome_facts
