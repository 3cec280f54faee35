"""Gradient-boosted hazards: what no linear model finds, their choices, and bounds on the work."""

import dataclasses

import numpy as np
import pytest
from scipy.sparse import csr_array

from survlstm.data.split import Split
from survlstm.evaluation.baselines import boosting
from survlstm.evaluation.baselines.boosting import fit_boosted_hazard
from survlstm.evaluation.baselines.hazards import boosted_hazard, logistic_hazard
from survlstm.evaluation.step_metrics import nll_by_subject
from survlstm.training.regression.history_regression import rows_at_risk
from survlstm.training.regression.pooled_logistic import PersonPeriods
from tests.evaluation.baselines.coded_cohorts import cohort
from tests.evaluation.telling_days import telling_days
from tests.tensors import tensors_from


@pytest.fixture(scope="module")
def interacting():
    """The hazard is high with exactly one of the codes 2 and 3 in the visit, and low with both or none."""
    generator = np.random.default_rng(0)
    records, step, event, hazards = [], [], [], []
    for _ in range(1500):
        has = generator.random((6, 2)) < 0.5
        hazard = np.where(has[:, 0] ^ has[:, 1], 0.4, 0.02)
        happens = np.flatnonzero(generator.random(6) < hazard)
        records.append([[4, *(np.array([2, 3])[visit])] for visit in has])
        step.append(happens[0] if len(happens) else 5)
        event.append(bool(len(happens)))
        hazards.append(hazard)
    split = generator.choice([Split.TRAIN, Split.VAL, Split.TEST], 1500, p=[0.6, 0.2, 0.2])
    return tensors_from(records, step=step, event=event, split=split), np.array(hazards)


def test_an_interaction_is_found_that_no_linear_model_has(interacting):
    tensors, true = interacting
    test = tensors.members(Split.TEST)
    step, event = tensors.step[test], tensors.event[test]
    linear, trees = (fit(tensors, test, tensors.steps).hazard for fit in (logistic_hazard, boosted_hazard))
    worst, own, best = (nll_by_subject(hazard, step, event).mean() for hazard in (linear, trees, true[test]))
    assert worst > best + 0.2
    assert worst - own > 0.85 * (worst - best)


def test_trees_with_an_interaction_are_chosen_only_where_there_is_one(interacting):
    chosen = fit_boosted_hazard(interacting[0])
    leaves = chosen.classifier.max_leaf_nodes
    assert leaves == max(boosting.LEAVES)
    tensors, _ = cohort(400, noise_codes=3)
    assert fit_boosted_hazard(tensors).classifier.max_leaf_nodes == min(boosting.LEAVES)


def test_the_validation_loss_is_that_of_the_chosen_trees_and_no_other_number_has_a_lower_one(interacting):
    tensors, _ = interacting
    fitted = fit_boosted_hazard(tensors)
    val = rows_at_risk(tensors, Split.VAL, 10**9)
    event = val.periods.event

    def loss(trees):
        hazard = dataclasses.replace(fitted, trees=trees).hazard(tensors, val.rows)[:, 0]
        return -np.log(np.where(event, hazard, 1 - hazard)).mean()

    assert fitted.val_loss == pytest.approx(loss(fitted.trees))
    assert fitted.val_loss <= min(loss(trees) for trees in (1, 5, 20, boosting.MOST_TREES))


def test_without_covariates_the_hazards_are_about_those_of_the_life_table():
    tensors, _ = telling_days(1500)
    every_code = np.full_like(tensors.code, 2)
    blind = dataclasses.replace(
        tensors, code=every_code, prediction_features=np.zeros_like(tensors.prediction_features)
    )
    rows = tensors.rows_of(tensors.members(Split.TRAIN))
    step, event, exposure = (values[rows] for values in (tensors.step, tensors.event, tensors.exposure))
    expected = [
        (event & (step == k)).sum() / ((step >= k).sum() + exposure[step + 1 == k].sum()) for k in range(tensors.steps)
    ]
    found = boosted_hazard(blind, rows, tensors.steps).hazard.mean(axis=0)
    np.testing.assert_allclose(found, expected, rtol=0.12)
    assert np.ptp(expected) > 0.05


def test_no_hazard_is_0_or_1_however_clear_the_data_are():
    records = [[[2 + number % 2]] for number in range(200)]
    split = np.tile([Split.TRAIN, Split.TRAIN, Split.VAL, Split.TEST], 50)
    event = np.arange(200) % 2 == 0
    tensors = tensors_from(records, step=np.zeros(200, dtype=int), event=event, split=split)
    hazard = boosted_hazard(tensors, np.arange(200), 1).hazard
    assert 0 < hazard.min() < 0.05
    assert 0.95 < hazard.max() < 1


def test_the_codes_counted_are_those_with_the_largest_score_statistic(monkeypatch):
    """The statistic of the interval and one code, from the log-likelihood of a regression on both."""
    generator = np.random.default_rng(0)
    counts = generator.poisson(0.7, (60, 5))
    counts[:, 3] = 2
    counts[:56, 4] = 0
    row, interval = np.repeat(np.arange(60), 2), np.tile([0, 1], 60)
    event, weight = generator.random(120) < 0.2 + 0.3 * interval, np.where(generator.random(120) < 0.3, 0.5, 1.0)
    weight[event] = 1.0
    scores = []
    for code in range(3):
        x, score, information = np.log1p(counts[row, code]), 0.0, 0.0
        for k in (0, 1):
            mine = interval == k
            hazard = event[mine].sum() / weight[mine].sum()
            score += (x[mine] * (event[mine] - weight[mine] * hazard)).sum()
            centre = np.average(x[mine], weights=weight[mine])
            information += hazard * (1 - hazard) * (weight[mine] * (x[mine] - centre) ** 2).sum()
        scores.append(score**2 / information)
    periods = PersonPeriods(row, interval, event, weight)
    order = np.argsort(scores)[::-1]
    for most in (1, 2, 3):
        monkeypatch.setattr(boosting, "MOST_CODES", most)
        found = boosting._most_telling(csr_array(counts.astype(float)), periods, 2)
        # The constant code and the one of four rows are never among them.
        assert found.tolist() == sorted(order[:most].tolist())
    monkeypatch.setattr(boosting, "MOST_CODES", 9)
    assert boosting._most_telling(csr_array(counts.astype(float)), periods, 2).tolist() == [0, 1, 2]


def test_the_work_is_bounded(interacting, monkeypatch):
    fitted, sizes = boosting._boost, []

    def watched(train, train_periods, val, val_periods, *, leaves):
        sizes.append((len(train), len(val)))
        return fitted(train, train_periods, val, val_periods, leaves=leaves)

    monkeypatch.setattr(boosting, "_boost", watched)
    monkeypatch.setattr(boosting, "MOST_PERIODS", 300)
    monkeypatch.setattr(boosting, "MOST_TREES", 4)
    monkeypatch.setattr(boosting, "MOST_CODES", 1)
    found = fit_boosted_hazard(interacting[0])
    assert sizes == [(300, 300)] * len(boosting.LEAVES)
    assert found.trees <= found.classifier.n_iter_ == 4
    assert (len(found.codes.visit), len(found.codes.record)) == (1, 1)
    sizes.clear()
    fit_boosted_hazard(telling_days(600)[0])
    assert all(number <= 300 for size in sizes for number in size)


def test_rows_are_predicted_in_parts_and_none_at_all(monkeypatch):
    tensors, _ = telling_days(600)
    monkeypatch.setattr(boosting, "MOST_TREES", 5)
    rows = np.arange(200)
    expected = boosted_hazard(tensors, rows, tensors.steps).hazard
    monkeypatch.setattr(boosting, "CHUNK", 30)
    np.testing.assert_array_equal(boosted_hazard(tensors, rows, tensors.steps).hazard, expected)
    assert boosted_hazard(tensors, rows[:0], tensors.steps).hazard.shape == (0, tensors.steps)


def test_a_period_counts_by_its_weight_in_the_fit_and_in_the_choice():
    """Without covariates the hazard is the weighted share of events: 100 of 100 + 300/4."""
    row, event = np.arange(400), np.arange(400) < 100
    periods = PersonPeriods(row, np.zeros_like(row), event, np.where(event, 1.0, 0.25))
    blank = np.zeros((400, 1), dtype=np.float32)
    classifier, losses = boosting._boost(blank, periods, blank, periods, leaves=2)
    share = 100 / 175
    np.testing.assert_allclose(classifier.predict_proba(blank[:1])[0, 1], share, rtol=1e-6)
    assert losses[0] == pytest.approx(-(share * np.log(share) + (1 - share) * np.log(1 - share)))


def test_without_validation_subjects_the_number_of_trees_cannot_be_chosen(interacting):
    tensors, _ = interacting
    split = np.where(tensors.split == Split.VAL, Split.TEST, tensors.split).astype(np.int8)
    with pytest.raises(ValueError, match="need validation subjects at risk to choose their number; found none"):
        fit_boosted_hazard(dataclasses.replace(tensors, split=split))
