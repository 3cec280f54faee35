"""Baselines of the days clock: the hazards that drew the events, counts of the record so far, and what they may see."""

import dataclasses

import numpy as np
import pytest

from survlstm.data.code_counts import rows_at_landmark
from survlstm.data.row_covariates import rows_with_record
from survlstm.data.split import Split
from survlstm.evaluation.baselines.at_times import ROW_BASELINES, fit_at_times
from survlstm.evaluation.baselines.hazards import COVARIATE_FREE
from survlstm.evaluation.baselines.landmark import BaselineUnavailable
from survlstm.evaluation.step_metrics import nll_by_subject
from tests.evaluation.telling_days import HIGH, LOW, telling_days, true_hazard

every_baseline = pytest.mark.parametrize("name", list(ROW_BASELINES))


@pytest.fixture(scope="module")
def drawn():
    tensors, rate = telling_days()
    rows = tensors.rows_of(tensors.members(Split.TEST))
    return tensors, rate[tensors.row_subject[rows]], rows


@pytest.mark.parametrize("name", ["cox", "logistic_hazard", "boosted_hazard"])
def test_most_of_what_the_true_hazards_gain_is_found(name):
    tensors, rate = telling_days(2000, noise_codes=1)
    rows = tensors.rows_of(tensors.members(Split.TEST))
    step, event, exposure = (values[rows] for values in (tensors.step, tensors.event, tensors.exposure))
    true = np.stack([true_hazard(one) for one in rate[tensors.row_subject[rows]]])
    free, found = (fit_at_times(one, tensors, rows).hazard for one in (COVARIATE_FREE, name))
    worst, own, best = (nll_by_subject(hazard, step, event, exposure).mean() for hazard in (free, found, true))
    assert worst - own > 0.8 * (worst - best)


def test_every_row_has_the_same_weight():
    """With equal weights the estimated hazards are the true ones; weights that depend on later survival bias them."""
    tensors, rate = telling_days(8000)
    for true in (HIGH, LOW):
        some = dataclasses.replace(tensors, split=np.where(rate == true, Split.TRAIN, Split.TEST).astype(np.int8))
        found = fit_at_times(COVARIATE_FREE, some, np.zeros(1, dtype=np.int64)).hazard[0]
        np.testing.assert_allclose(found, true_hazard(true), rtol=0.12)


def test_the_covariate_free_hazard_is_events_over_time_at_risk(drawn):
    tensors, _, rows = drawn
    training = tensors.rows_of(tensors.members(Split.TRAIN))
    hazard = fit_at_times(COVARIATE_FREE, tensors, rows).hazard
    step, event, exposure = (values[training] for values in (tensors.step, tensors.event, tensors.exposure))
    expected = [
        (event & (step == k)).sum() / ((step >= k).sum() + exposure[step + 1 == k].sum()) for k in range(tensors.steps)
    ]
    np.testing.assert_allclose(hazard, np.broadcast_to(expected, hazard.shape))


@every_baseline
def test_hazards_do_not_depend_on_the_other_predicted_rows(drawn, name):
    tensors, _, rows = drawn
    every, some = (fit_at_times(name, tensors, chosen).hazard for chosen in (rows, rows[5:9]))
    np.testing.assert_allclose(every[5:9], some)


@every_baseline
def test_later_visits_and_labels_of_a_test_subject_change_no_hazard_of_a_row(drawn, name):
    tensors, _, rows = drawn
    subject = tensors.row_subject[rows][np.argmax(tensors.row_visits[rows])]
    own = tensors.rows_of(np.array([subject]))
    before = fit_at_times(name, tensors, own[:3]).hazard
    later = slice(tensors.last_visit[own[2]] + 1, tensors.visit_offsets[subject + 1])
    code, features = tensors.code.copy(), tensors.features.copy()
    code[tensors.code_offsets[later.start] : tensors.code_offsets[later.stop]] = 7
    features[later] += 9
    event, step = tensors.event.copy(), tensors.step.copy()
    event[own], step[own] = False, 0
    other = dataclasses.replace(tensors, code=code, features=features, event=event, step=step)
    np.testing.assert_allclose(fit_at_times(name, other, own[:3]).hazard, before)


def test_counts_of_the_record_are_those_of_every_visit_so_far(drawn):
    tensors, _, rows = drawn
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:300])
    found = rows_with_record(tensors, rows).code_counts.toarray()
    expected = rows_at_landmark(tensors, tensors.row_subject[rows], tensors.last_visit[rows]).code_counts.toarray()
    np.testing.assert_allclose(found, expected)


def test_covariates_hold_the_years_since_the_first_visit(drawn):
    tensors, _, rows = drawn
    numbers = rows_with_record(tensors, rows[:50]).numbers
    start = tensors.visit_time[tensors.visit_offsets[tensors.row_subject[rows[:50]]]]
    years = (tensors.row_time[rows[:50]] - start) / np.timedelta64(86400, "s") / 365.25
    np.testing.assert_allclose(numbers[:, -2:], np.column_stack([years, years**2]))


def test_a_baseline_of_one_landmark_is_not_fitted(drawn):
    tensors, _, rows = drawn
    with pytest.raises(BaselineUnavailable, match="fitted at a single landmark"):
        fit_at_times("deephit", tensors, rows)


def test_without_training_events_the_reason_is_given(drawn):
    tensors, _, rows = drawn
    eventless = dataclasses.replace(tensors, event=np.zeros_like(tensors.event))
    with pytest.raises(BaselineUnavailable, match="event"):
        fit_at_times("cox", eventless, rows)
