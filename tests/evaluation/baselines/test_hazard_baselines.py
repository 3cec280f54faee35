"""Baselines with a hazard at every step."""

import dataclasses

import numpy as np
import pytest

from survlstm.data.split import Split
from survlstm.evaluation.baselines.hazards import (
    HAZARD_BASELINES,
    boosted_hazard,
    covariate_free,
    logistic_hazard,
    record_length,
)
from survlstm.survival.concordance import concordance_td
from survlstm.survival.covariate_free import covariate_free_hazard
from tests.evaluation.baselines.coded_cohorts import cohort, with_other_test_subjects
from tests.tensors import tensors_from

OF_HISTORY = pytest.mark.parametrize("baseline", [logistic_hazard, boosted_hazard])
BOTH_CLOCKS = pytest.mark.parametrize("clock", ["visit", "landmark"])


@pytest.fixture(scope="module")
def on_visit():
    return cohort()


@pytest.fixture(scope="module")
def on_landmark():
    return cohort(clock="landmark")


def c_td(made, tensors, subjects):
    survival = np.cumprod(1 - np.nan_to_num(made.hazard), axis=1)
    return concordance_td(survival, step=tensors.step[subjects], event=tensors.event[subjects]).c_td


def test_the_covariate_free_hazard_is_the_life_table_of_the_training_subjects(on_visit):
    tensors, _ = on_visit
    training, test = tensors.members(Split.TRAIN), tensors.members(Split.TEST)
    made = covariate_free(tensors, test, tensors.steps + 10)
    expected = covariate_free_hazard(tensors.step[training], tensors.event[training], steps=tensors.steps + 10)
    np.testing.assert_array_equal(made.hazard, np.tile(expected, (len(test), 1)))
    assert made.known_ahead
    np.testing.assert_array_equal(covariate_free(tensors, test, 3).hazard, made.hazard[:, :3])


def test_on_the_visit_clock_record_length_ranks_nobody(on_visit):
    tensors, hazard = on_visit
    test = tensors.members(Split.TEST)
    made = record_length(tensors, test, tensors.steps + 10)
    assert made.known_ahead
    assert made.hazard.shape == (len(test), tensors.steps + 10)
    assert ((made.hazard > 0) & (made.hazard < 1)).all()
    assert c_td(made, tensors, test) == 0.5
    assert hazard.min() < made.hazard[0, 0] < hazard.max()


def test_on_the_landmark_clock_record_length_ranks_by_the_number_of_visits(on_landmark):
    tensors, _ = on_landmark
    visits = np.where(tensors.event, 1 + tensors.step % 2, 5 + tensors.step % 2)
    telling = tensors_from(
        [[[2]] * number for number in visits],
        **{name: getattr(tensors, name) for name in ("step", "event", "split", "edge_days", "duration_days")},
    )
    test = tensors.members(Split.TEST)
    made = record_length(telling, test, tensors.steps)
    assert made.known_ahead
    assert made.hazard.shape == (len(test), 10)
    assert c_td(made, telling, test) > 0.8
    few, many = visits[test] == 1, visits[test] == 6
    assert made.hazard[few].min(axis=0)[0] > made.hazard[many].max(axis=0)[0]


@BOTH_CLOCKS
@OF_HISTORY
def test_the_code_that_tells_is_found(baseline, clock, request):
    tensors, hazard = request.getfixturevalue(f"on_{clock}")
    test = tensors.members(Split.TEST)
    made = baseline(tensors, test, tensors.steps)
    assert c_td(made, tensors, test) > 0.65
    is_high = hazard[test] == hazard.max()
    assert np.nanmean(made.hazard[is_high]) == pytest.approx(hazard.max(), abs=0.05)
    assert np.nanmean(made.hazard[~is_high]) == pytest.approx(hazard.min(), abs=0.02)


@OF_HISTORY
def test_the_hazard_is_unknown_after_the_last_step_at_risk_on_the_visit_clock_alone(baseline, on_visit, on_landmark):
    tensors, _ = on_visit
    test = tensors.members(Split.TEST)
    made = baseline(tensors, test, tensors.steps + 3)
    assert not made.known_ahead
    np.testing.assert_array_equal(np.isnan(made.hazard), np.arange(tensors.steps + 3) > tensors.step[test][:, None])
    np.testing.assert_array_equal(baseline(tensors, test, 2).hazard, made.hazard[:, :2])
    tensors, _ = on_landmark
    made = baseline(tensors, tensors.members(Split.TEST), tensors.steps)
    assert made.known_ahead
    assert np.isfinite(made.hazard).all()


@BOTH_CLOCKS
@pytest.mark.parametrize("name", HAZARD_BASELINES)
def test_other_test_subjects_change_no_prediction(name, clock, request):
    tensors, _ = request.getfixturevalue(f"on_{clock}")
    test = tensors.members(Split.TEST)
    other = with_other_test_subjects(tensors, test[::2])
    first, second = (HAZARD_BASELINES[name](data, test[1::2], tensors.steps).hazard for data in (tensors, other))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", HAZARD_BASELINES)
def test_rows_come_in_the_order_asked(name, on_visit):
    tensors, _ = on_visit
    test = tensors.members(Split.TEST)
    forwards, backwards = (HAZARD_BASELINES[name](tensors, order, 5).hazard for order in (test, test[::-1]))
    np.testing.assert_array_equal(forwards, backwards[::-1])


def test_eight_events_are_enough_to_go_on(on_visit):
    tensors, _ = on_visit
    event = np.zeros_like(tensors.event)
    for part, events in ((Split.TRAIN, 8), (Split.VAL, 0), (Split.TEST, 2)):
        event[tensors.members(part)[:events]] = True
    rare = dataclasses.replace(tensors, event=event)
    test = rare.members(Split.TEST)
    for name in HAZARD_BASELINES:
        hazard = HAZARD_BASELINES[name](rare, test, rare.steps).hazard
        assert np.nanmax(hazard) < 0.2
        assert np.nanmin(hazard) > 0


@pytest.mark.parametrize("name", HAZARD_BASELINES)
def test_without_an_event_there_is_nothing_to_fit(name, on_visit):
    tensors, _ = on_visit
    none = dataclasses.replace(tensors, event=np.zeros_like(tensors.event))
    with pytest.raises(ValueError, match="needs training steps with and without the event; found 0 events in"):
        HAZARD_BASELINES[name](none, tensors.members(Split.TEST), tensors.steps)


@OF_HISTORY
def test_the_global_random_state_is_left_alone(baseline, on_visit):
    tensors, _ = on_visit
    before = np.random.get_state()[1].copy()
    first, second = (baseline(tensors, tensors.members(Split.TEST), 5).hazard for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
