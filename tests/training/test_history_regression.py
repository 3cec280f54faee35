"""The regression of the hazard on the history: agreement with scikit-learn, its choices, and what it may see."""

import dataclasses

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from survlstm.data.split import Split
from survlstm.training.regression import history_regression, pooled_logistic
from survlstm.training.regression.history_regression import (
    HistoryRows,
    fit_history_regression,
    fit_history_regressions,
    rows_at_risk,
    rows_of_labels,
    rows_of_visits,
    shared_history_regression,
)
from survlstm.training.regression.pooled_logistic import PersonPeriods
from tests.evaluation.baselines.coded_cohorts import cohort, with_other_test_subjects
from tests.evaluation.telling_days import telling_days
from tests.tensors import tensors_from

STRENGTH = 0.1
# A covariate of this size has next to no penalty.
ALMOST_FREE = 1e3


def on_clock(clock):
    if clock == "days":
        tensors, _ = telling_days(500)
        generator = np.random.default_rng(0)
        return dataclasses.replace(tensors, features=generator.normal(size=(len(tensors.features), 5)).astype("f4"))
    return cohort(500, clock=clock)[0]


def counts_by_hand(tensors, visit):
    """Counts of each code in a visit, and in the record up to it."""
    first = tensors.visit_offsets[np.searchsorted(tensors.visit_offsets, visit, side="right") - 1]
    entries = int(tensors.code.max()) + 1
    return [
        np.stack(
            [
                np.bincount(tensors.code[tensors.code_offsets[a] : tensors.code_offsets[b + 1]], minlength=entries)
                for a, b in zip(start, visit, strict=True)
            ]
        )
        for start in (visit, first)
    ]


def stacked_by_hand(tensors, part):
    """The periods of a split, one at a time: row of the history, interval, event and weight."""
    visit, prediction, interval, event, weight = [], [], [], [], []
    for row in tensors.rows_of(tensors.members(part)):
        last, exposure = tensors.step[row], tensors.exposure[row]
        for step in range(last + 1 + (exposure > 0)):
            number = step if tensors.clock == "visit" else tensors.row_visits[row] - 1
            visit.append(tensors.visit_offsets[tensors.row_subject[row]] + number)
            prediction.append(tensors.prediction_features[row])
            interval.append(0 if tensors.clock == "visit" else step)
            event.append(bool(tensors.event[row] and step == last))
            weight.append(exposure if step > last else 1.0)
    return np.array(visit), np.array(prediction), np.array(interval), np.array(event), np.array(weight)


@pytest.mark.parametrize("clock", ["visit", "landmark", "days"])
def test_it_is_the_ridge_regression_of_scikit_learn_on_the_stacked_periods(clock, monkeypatch):
    tensors = on_clock(clock)
    monkeypatch.setattr(history_regression, "MIN_ROWS", 1)
    monkeypatch.setattr(history_regression, "NUMBER_WEIGHT", 1.0)
    monkeypatch.setattr(pooled_logistic, "STRENGTHS", (STRENGTH,))
    ours = fit_history_regressions(tensors)["both"]
    visit, prediction, interval, event, weight = stacked_by_hand(tensors, Split.TRAIN)
    rows = rows_at_risk(tensors, Split.TRAIN, 10**9).rows
    numbers = np.column_stack([tensors.features[rows.visit], rows.prediction_features]).astype(float)
    scale = numbers.mean(axis=0), np.where(np.ptp(numbers, axis=0) > 0, numbers.std(axis=0), np.inf)
    own = (np.column_stack([tensors.features[visit], prediction]) - scale[0]) / scale[1]
    design = [np.eye(interval.max() + 1)[interval] * ALMOST_FREE, own, *np.log1p(counts_by_hand(tensors, visit))]
    theirs = LogisticRegression(C=STRENGTH, tol=1e-10, max_iter=100_000, fit_intercept=False, solver="newton-cg")
    theirs.fit(np.column_stack(design), event, sample_weight=weight)
    expected = theirs.predict_proba(np.column_stack(design))[:, 1]
    found = ours.hazard(tensors, HistoryRows(visit, prediction.astype(np.float32)))[np.arange(len(visit)), interval]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.ptp(expected) > 0.1
    visit, prediction, interval, event, weight = stacked_by_hand(tensors, Split.VAL)
    hazard = ours.hazard(tensors, HistoryRows(visit, prediction.astype(np.float32)))[np.arange(len(visit)), interval]
    assert ours.val_loss == pytest.approx(np.average(-np.log(np.where(event, hazard, 1 - hazard)), weights=weight))


def drawn_from(records, score, *, seed=0):
    """Tensors of the visit clock: of each record, and the hazards ``expit(score)`` of its visits."""
    generator = np.random.default_rng(seed)
    step, event = [], []
    for logits in score:
        happens = np.flatnonzero(generator.random(len(logits)) < expit(logits))
        step.append(happens[0] if len(happens) else len(logits) - 1)
        event.append(bool(len(happens)))
    split = generator.choice([Split.TRAIN, Split.VAL], len(records), p=[0.6, 0.4])
    return tensors_from(records, step=step, event=event, split=split)


def best_of(fits, choices):
    return min((fits[codes] for codes in choices), key=lambda one: one.val_loss)


@pytest.fixture(scope="module")
def records():
    generator = np.random.default_rng(0)
    return [[[2 + code for code in generator.permutation(6)[:2]] for _ in range(6)] for _ in range(1500)]


def test_the_codes_of_the_visit_are_chosen_where_they_alone_matter(records):
    score = [[2.0 * (2 in visit) - 3.5 for visit in record] for record in records]
    fitted = best_of(fit_history_regressions(drawn_from(records, score), []), ["none", "record", "visit"])
    assert fitted.codes == "visit"
    # Every visit has two of the six codes, so that only differences of their coefficients are determined.
    weight = (fitted.visit_codes[2:] - fitted.visit_codes[3:].mean()) * np.log(2)
    np.testing.assert_allclose(weight, [2.0, 0, 0, 0, 0, 0], atol=0.4)
    assert not fitted.record_codes.any()


def test_the_codes_of_the_record_are_chosen_where_their_number_matters(records):
    score = [
        [2.0 * np.log1p(sum(2 in one for one in record[: last + 1])) - 4.0 for last in range(6)] for record in records
    ]
    fitted = best_of(fit_history_regressions(drawn_from(records, score), []), ["none", "record", "visit"])
    assert fitted.codes == "record"
    assert fitted.record_codes[2] == pytest.approx(2.0, abs=0.5)
    assert np.abs(fitted.record_codes[3:]).max() < 0.7
    assert not fitted.visit_codes.any()


def test_codes_of_noise_get_next_to_no_weight():
    generator = np.random.default_rng(1)
    records = [[list(generator.integers(2, 200, 3)) for _ in range(4)] for _ in range(400)]
    tensors = drawn_from(records, [[-1.5] * 4 for _ in records])
    hazard = fit_history_regression(tensors).hazard(tensors, rows_of_visits(np.arange(len(tensors.features))))
    assert hazard.std() < 0.03
    assert hazard.mean() == pytest.approx(expit(-1.5), abs=0.03)


@pytest.mark.parametrize("clock", ["visit", "landmark"])
def test_test_subjects_change_nothing(clock):
    tensors = on_clock(clock)
    other = with_other_test_subjects(tensors, tensors.members(Split.TEST))
    expected, found = fit_history_regression(tensors), fit_history_regression(other)
    for field in dataclasses.fields(expected):
        before, after = getattr(expected, field.name), getattr(found, field.name)
        if field.name.endswith("_codes"):
            # The changed subjects have one more code.
            assert not after[len(before) :].any()
            after = after[: len(before)]
        np.testing.assert_array_equal(before, after)


def test_a_sample_of_the_rows_is_unbiased(monkeypatch):
    tensors, _ = telling_days(2500)
    rows = rows_of_labels(tensors, tensors.rows_of(tensors.members(Split.TEST)))
    every = fit_history_regressions(tensors, [])["none"]
    found = []
    for seed in range(4):
        generator = np.random.default_rng(seed)
        monkeypatch.setattr(history_regression, "MOST_FITTED", 2000)
        monkeypatch.setattr(np.random, "default_rng", lambda _, generator=generator: generator)
        found.append(fit_history_regressions(tensors, [])["none"].hazard(tensors, rows))
    assert len(rows_at_risk(tensors, Split.TRAIN, 2000).rows.visit) == 2000
    assert len(tensors.rows_of(tensors.members(Split.TRAIN))) > 8000
    np.testing.assert_allclose(np.mean(found, axis=0), every.hazard(tensors, rows), rtol=0.08)


def test_the_periods_of_a_sample_belong_to_its_rows():
    tensors, _ = cohort(300)
    every, some = (rows_at_risk(tensors, Split.TRAIN, most) for most in (10**9, 200))
    event = dict(zip(every.rows.visit.tolist(), every.periods.event.tolist(), strict=True))
    assert (len(some.rows.visit), len(some.periods.event)) == (200, 200)
    assert some.periods.event.tolist() == [event[visit] for visit in some.rows.visit.tolist()]
    members = tensors.members(Split.TRAIN)
    assert sum(event.values()) == tensors.event[members].sum()
    assert len(event) == (tensors.step[members] + 1).sum()


def test_rows_are_predicted_in_parts_and_none_at_all(monkeypatch):
    tensors = on_clock("days")
    fitted, rows = fit_history_regression(tensors), rows_of_labels(tensors, np.arange(300))
    expected = fitted.hazard(tensors, rows)
    monkeypatch.setattr(history_regression, "CHUNK", 70)
    np.testing.assert_allclose(fitted.hazard(tensors, rows), expected, rtol=1e-12)
    assert fitted.hazard(tensors, rows.at(slice(0, 0))).shape == (0, tensors.steps)


def test_without_events_there_is_nothing_to_fit():
    tensors = on_clock("visit")
    none = dataclasses.replace(tensors, event=np.zeros_like(tensors.event))
    with pytest.raises(ValueError, match="with and without the event; found 0 events in"):
        fit_history_regression(none)


def test_gradient_and_hessian_are_the_derivatives():
    generator = np.random.default_rng(0)
    from scipy.sparse import csr_array

    row = np.sort(generator.integers(0, 40, 120))
    periods = PersonPeriods(row, generator.integers(0, 3, 120), generator.random(120) < 0.3, generator.random(120))
    rows = pooled_logistic.LabelledRows(csr_array(generator.normal(size=(40, 4))), periods)
    likelihood, penalties = pooled_logistic._Likelihood(rows, 3), np.array([0, 0, 0, 0.1, 0.1, 0.1, 0.1])
    at, along = generator.normal(0, 0.5, (2, 7))
    behind, here, ahead = (likelihood._expand(at + shift * along, penalties) for shift in (-1e-5, 0, 1e-5))
    assert here.gradient @ along == pytest.approx((ahead.value - behind.value) / 2e-5, rel=1e-6)
    np.testing.assert_allclose(here.times_hessian(along), (ahead.gradient - behind.gradient) / 2e-5, rtol=1e-5)
    np.testing.assert_allclose(here.diagonal, [here.times_hessian(one)[k] for k, one in enumerate(np.eye(7))])


def test_the_shared_regression_is_fitted_once_for_the_same_tensors_and_columns(monkeypatch):
    tensors, other = (cohort(60)[0] for _ in range(2))
    regression, fitted = fit_history_regression(tensors), []

    def fit(given, columns):
        fitted.append((given, columns))
        return dataclasses.replace(regression)

    monkeypatch.setattr(history_regression, "fit_history_regression", fit)
    every = tuple(range(tensors.features.shape[1]))
    first = shared_history_regression(tensors)
    assert shared_history_regression(tensors, every) is first
    assert shared_history_regression(tensors, [0]) is not first
    assert shared_history_regression(tensors) is not first
    shared_history_regression(other)
    assert [columns for _, columns in fitted] == [every, (0,), every, every]
    assert [given is tensors for given, _ in fitted] == [True, True, True, False]
