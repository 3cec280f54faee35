"""judge_landmark worked by hand, and against figures_of."""

import dataclasses
import re

import numpy as np
import pytest

from survlstm.data.split import Split
from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.calibration import calibrate, d_calibration_until
from survlstm.evaluation.comparators import LandmarkComparator
from survlstm.evaluation.landmark_evaluation import evaluate_landmark
from survlstm.evaluation.landmark_metrics import LandmarkSample, landmark_metrics
from survlstm.evaluation.landmarks import AtRisk, Landmark, make_landmarks
from survlstm.report.console_summary import landmark_table, to_json
from survlstm.survival.kaplan_meier import censoring_curve
from tests.evaluation.cohorts import drawn_cohort

# By horizon 1 there are 12 events and 42 subjects behind it, by horizon 3 there are 30 and 18.
STEP = np.repeat([0, 0, 2, 3, 5], [12, 6, 18, 12, 6])
EVENT = np.repeat([True, False, True, False, False], [12, 6, 18, 12, 6])
BOOTSTRAP = Bootstrap(resamples=200, confidence=0.95, min_events=20, seed=0)


def at_risk(step, event):
    number = np.arange(len(step))
    return AtRisk(number, number, step, event, step + np.where(event, 1.0, 1.5), number, np.ones(len(step)))


def landmark_of(part, *, horizons, censoring=None, unit="steps"):
    """The same subjects in every split, unless those whose censoring weighs the figures are named."""
    return Landmark(
        "visit 2",
        unit,
        train=part,
        val=part,
        reference=part,
        test=part,
        censoring=part if censoring is None else censoring,
        grid=np.arange(1.0, max(horizons) + 1),
        horizons=np.array(horizons, dtype=float),
    )


def comparator(name, hazard, *, steps):
    """A hazard for each subject, the same at every step."""
    role = "model" if name == "model" else "baseline"
    return LandmarkComparator(name, role, (1 - hazard)[:, None] ** np.arange(1, steps + 1))


@pytest.fixture(scope="module")
def worked():
    """The model ranks as the events come; the other knows nobody."""
    landmark = landmark_of(at_risk(STEP, EVENT), horizons=[1, 3, 10])
    by_event = np.repeat([0.6, 0.05, 0.3, 0.05, 0.05], [12, 6, 18, 12, 6])
    comparators = [comparator("model", by_event, steps=10), comparator("free", np.full(54, 0.2), steps=10)]
    return evaluate_landmark(landmark, comparators, BOOTSTRAP)


def test_who_is_counted_at_each_horizon(worked):
    assert (worked.name, worked.unit) == ("visit 2", "steps")
    assert (worked.at_risk, worked.events) == (54, 30)
    assert (worked.follow_up, worked.longest) == (3.0, 6.0)
    assert worked.horizons == (1.0, 3.0)
    assert worked.events_by == (12, 30)
    assert worked.at_risk_after == (42, 18)
    # The longest follow-up ends at 6.5.
    assert worked.unsupported == (10.0,)
    assert [row.name for row in worked.rows] == ["model", "free"]
    assert [row.role for row in worked.rows] == ["model", "baseline"]
    assert [[cell.horizon for cell in row.cells] for row in worked.rows] == [[1.0, 3.0]] * 2


def test_figures_worked_by_hand(worked):
    model, free = worked.rows
    for cell in model.cells:
        assert (cell.c_harrell.value, cell.c_uno.value, cell.auc.value) == pytest.approx((1.0, 1.0, 1.0))
    for cell in free.cells:
        assert (cell.c_harrell.value, cell.c_uno.value, cell.auc.value) == pytest.approx((0.5, 0.5, 0.5))
    # Nobody is censored before 1, S is 0.8. By 3 G has fallen to 36/42, so that weights sum to 54 again; S is 0.512.
    assert free.cells[0].brier.value == pytest.approx((12 * 0.8**2 + 42 * 0.2**2) / 54)
    assert free.cells[1].brier.value == pytest.approx((12 * 0.512**2 + 7 / 6 * 18 * (0.512**2 + 0.488**2)) / 54)
    assert free.cells[0].nbll.value == pytest.approx(-(12 * np.log(0.2) + 42 * np.log(0.8)) / 54)


def test_an_interval_is_given_only_where_enough_events_have_come(worked):
    for row in worked.rows:
        early, late = row.cells
        for name in ("c_harrell", "c_uno", "auc", "brier", "nbll"):
            assert getattr(early, name).interval is None
            low, high = getattr(late, name).interval
            assert low <= getattr(late, name).value <= high
    assert worked.notes[0] == "no interval by step 1: fewer than 20 events until then"
    few = dataclasses.replace(BOOTSTRAP, min_events=31)
    without = evaluate_landmark(
        landmark_of(at_risk(STEP, EVENT), horizons=[1, 3]), [comparator("model", np.full(54, 0.2), steps=3)] * 2, few
    )
    assert without.notes == ("no interval by step 1, 3: fewer than 31 events until then",)
    assert all(cell.brier.interval is None for row in without.rows for cell in row.cells)
    assert without.rows[1].ibs.interval is without.rows[1].ibs_difference is without.rows[1].c_difference is None


def test_a_difference_is_the_model_minus_the_row_at_the_last_horizon(worked):
    model, free = worked.rows
    assert model.c_difference is model.ibs_difference is None
    assert free.c_difference == (0.5, (0.5, 0.5), pytest.approx(2 / 201))


@pytest.fixture(scope="module")
def drawn():
    tensors, hazard = drawn_cohort(1200, seed=3)
    (landmark,) = make_landmarks(tensors, Split.TEST, visits=[1], days=[], horizons=[2, 5])
    known = hazard[landmark.test.subject]
    noisy = np.clip(known * np.random.default_rng(0).uniform(0.2, 1.8, len(known)), 0.01, 0.9)
    comparators = [comparator("model", known, steps=5), comparator("noisy", noisy, steps=5)]
    return landmark, comparators, evaluate_landmark(landmark, comparators, BOOTSTRAP)


def test_rows_hold_the_figures_of_the_whole_sample(drawn):
    landmark, comparators, result = drawn
    censoring = censoring_curve(landmark.train.duration, landmark.train.event)
    sample = LandmarkSample(
        np.stack([one.survival for one in comparators]), landmark.test.duration, landmark.test.event
    )
    figures = landmark_metrics(sample, censoring=censoring, grid=landmark.grid, shown=landmark.horizons)
    for place, row in enumerate(result.rows):
        for name in ("c_harrell", "c_uno", "auc", "brier", "nbll"):
            assert [getattr(cell, name).value for cell in row.cells] == getattr(figures, name)[place].tolist()
        assert (row.ibs.value, row.inbll.value) == (figures.ibs[place], figures.inbll[place])
        assert [cell.d_calibration for cell in row.cells] == [
            d_calibration_until(comparators[place].survival, landmark.test, steps=steps) for steps in (2, 5)
        ]
    for found, horizon in zip(result.calibration, (2, 5), strict=True):
        expected = calibrate(sample.survival[0, :, horizon - 1], landmark.test, float(horizon), censoring, 0.95)
        assert (found.horizon, found.predicted, found.slope) == (horizon, expected.predicted, expected.slope)


@pytest.mark.parametrize("another_cohort", [False, True])
def test_intervals_are_those_of_subjects_resampled_with_their_censoring_curve(drawn, another_cohort):
    landmark, comparators, _ = drawn
    test, train = landmark.test, landmark.train
    if another_cohort:
        landmark = dataclasses.replace(landmark, censoring=test)

    def brier(resample):
        rows, others = resample.evaluated, resample.training
        weighing, own = (test, rows) if another_cohort else (train, others)
        again = LandmarkSample(comparators[0].survival[None, rows], test.duration[rows], test.event[rows])
        censoring = censoring_curve(weighing.duration[own], weighing.event[own])
        return landmark_metrics(again, censoring=censoring, grid=landmark.grid, shown=landmark.horizons).brier[0]

    training = len(landmark.censoring.subject)
    values = BOOTSTRAP.values(brier, subjects=len(test.subject), training=training, what="a test")
    found = evaluate_landmark(landmark, comparators[:1], BOOTSTRAP).rows[0]
    for place, cell in enumerate(found.cells):
        assert cell.brier.interval == pytest.approx(BOOTSTRAP.interval(values[:, place]))


def test_the_better_model_has_the_lower_brier_score_and_the_higher_c(drawn):
    _, _, result = drawn
    model, noisy = result.rows
    assert noisy.ibs_difference.value == pytest.approx(model.ibs.value - noisy.ibs.value)
    assert noisy.ibs_difference.interval.high < 0
    assert noisy.c_difference.value == pytest.approx(model.cells[-1].c_harrell.value - noisy.cells[-1].c_harrell.value)
    assert noisy.c_difference.interval.low > 0
    assert not result.notes


def test_the_same_curves_differ_by_nothing(drawn):
    landmark, (model, _), _ = drawn
    same = evaluate_landmark(landmark, [model, dataclasses.replace(model, name="same")], BOOTSTRAP).rows[1]
    assert same.ibs_difference == same.c_difference == (0.0, (0.0, 0.0), 1.0)


def test_an_undefined_resample_gives_no_interval_and_a_note():
    # One subject outlives the horizons: a resample without it has no pair, and no follow-up behind them.
    step, event = np.zeros(40, dtype=int), np.ones(40, dtype=bool)
    step[0], event[0] = 3, False
    hazard = np.where(event, 0.5, 0.1)
    result = evaluate_landmark(
        landmark_of(at_risk(step, event), horizons=[1, 2]), [comparator("model", hazard, steps=2)], BOOTSTRAP
    )
    for cell in result.rows[0].cells:
        assert (cell.c_harrell.value, cell.c_harrell.interval) == (1.0, None)
    assert result.rows[0].ibs.interval is None
    (note,) = result.notes
    said = re.fullmatch(r"metrics without an interval are undefined in up to (\d+) of 200 resamples", note)
    # A subject is in no resample of its own size with a chance of (39/40)^40 = 0.36.
    assert int(said[1]) == pytest.approx(0.36 * 200, abs=25)


def test_a_landmark_with_nobody_at_risk_says_so():
    nobody, somebody = at_risk(STEP[:0], EVENT[:0]), at_risk(STEP, EVENT)
    for test, censoring in ((nobody, somebody), (somebody, nobody)):
        landmark = landmark_of(test, horizons=[1, 3], censoring=censoring)
        result = evaluate_landmark(landmark, [comparator("model", np.full(len(test.step), 0.2), steps=3)], BOOTSTRAP)
        assert result.notes == ("no subject is at risk at this landmark",)
        assert result.rows == result.calibration == result.horizons == result.events_by == ()
        assert result.unsupported == (1.0, 3.0)
        assert (result.at_risk, result.events) == (len(test.step), int(test.event.sum()))


def test_a_landmark_without_follow_up_says_so():
    step, event = np.zeros(5, dtype=int), np.array([True, True, False, False, False])
    result = evaluate_landmark(
        landmark_of(at_risk(step, event), horizons=[2, 3]), [comparator("model", np.full(5, 0.2), steps=3)], BOOTSTRAP
    )
    assert result.notes == ("no horizon lies within the follow-up",)
    assert (result.at_risk, result.events, result.unsupported) == (5, 2, (2.0, 3.0))


def test_follow_up_in_days_is_that_of_the_durations():
    part = at_risk(STEP, EVENT)._replace(duration=np.linspace(10, 116, 54))
    landmark = landmark_of(part, horizons=[1], unit="days")
    result = evaluate_landmark(landmark, [comparator("model", np.full(54, 0.2), steps=1)], BOOTSTRAP)
    assert (result.follow_up, result.longest) == (63.0, 116.0)


def test_a_horizon_without_an_event_has_no_figures_but_a_reason():
    """Nobody has the event in the first two steps: whoever predicts little has a Brier score near 0 there."""
    step, event = np.repeat([2, 3], [25, 25]), np.repeat([True, False], [25, 25])
    comparators = [comparator("model", np.full(50, 0.01), steps=3), comparator("free", np.full(50, 0.2), steps=3)]
    found = evaluate_landmark(landmark_of(at_risk(step, event), horizons=[1, 2, 3]), comparators, BOOTSTRAP)
    assert found.events_by == (0, 0, 25)
    assert found.notes == ("no metrics by step 1, 2: no event until then",)
    for row in found.rows:
        for cell in row.cells[:2]:
            figures = (cell.c_harrell, cell.c_uno, cell.auc, cell.brier, cell.nbll, cell.d_calibration)
            assert figures == (None,) * 6
            assert cell.why_not == "no event until then"
        assert row.cells[2].brier.interval is not None
        assert row.cells[2].why_not is None
        assert row.ibs is not None
    written = to_json(found)["rows"][0]["cells"][0]
    assert (written["brier"], written["why_not"]) == (None, "no event until then")

    never = evaluate_landmark(
        landmark_of(at_risk(step, np.zeros(50, dtype=bool)), horizons=[1, 3]), comparators, BOOTSTRAP
    )
    assert never.notes == ("no metrics by step 1, 3: no event until then",)
    assert [(row.ibs, row.inbll, row.cells[-1].brier) for row in never.rows] == [(None, None, None)] * 2
    assert landmark_table(never).iloc[0].tolist() == ["model", "-", "-", "-", "-", "-"]
