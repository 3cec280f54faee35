"""Tests of the ranking of codes: worked importances, bootstrap intervals and rank correlations."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from survlstm.explanation.effects import GRADIENTS, METHODS, OCCLUSION, Effects, compute_effects
from survlstm.explanation.model_inputs import model_input
from survlstm.explanation.ranking import mean_effect, rank_agreement, rank_codes
from tests.explanation.rows import case


def effects_of(by_gradients, by_occlusion=None, *, present=None):
    found = np.array(by_gradients, dtype=float)
    subjects, codes = found.shape
    nothing = np.zeros(subjects)
    return Effects(
        subject=np.arange(subjects),
        code=np.arange(2, 2 + codes),
        present=found != 0 if present is None else np.array(present, dtype=bool),
        integrated_gradients=found,
        occlusion=found if by_occlusion is None else np.array(by_occlusion, dtype=float),
        log_odds=nothing,
        baseline_log_odds=nothing,
        delta=nothing,
    )


WORKED = effects_of([[0.5, -0.2, 0.0], [-0.3, -0.2, 0.0], [0.0, -0.2, 0.6], [0.0, -0.2, 0.0]])


def test_importances_and_effects_worked_by_hand():
    ranking = rank_codes(WORKED, resamples=200, top=1, seed=0)[GRADIENTS]
    np.testing.assert_allclose(ranking.effect, [0.1, -0.2, 0.6])
    np.testing.assert_allclose(ranking.importance, [0.2, 0.2, 0.15])
    # Equally important: the first in the vocabulary comes first.
    np.testing.assert_array_equal(ranking.rank, [1, 2, 3])
    # The same effect in every subject does not depend on the resample.
    np.testing.assert_allclose(ranking.importance_interval[1], [0.2, 0.2])
    np.testing.assert_allclose(ranking.effect_interval[2], [0.6, 0.6])


def test_the_bootstrap_resamples_subjects():
    generator = np.random.default_rng(0)
    found = generator.normal(0.5, 1.0, size=(400, 1)) * (generator.random((400, 1)) < 0.4)
    ranking = rank_codes(effects_of(found), resamples=1000, top=1, seed=1)[OCCLUSION]
    spread = np.abs(found).std() / 20
    low, high = ranking.importance_interval[0]
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.1)
    held = found[found != 0]
    low, high = ranking.effect_interval[0]
    assert high - low == pytest.approx(2 * 1.96 * held.std() / np.sqrt(len(held)), rel=0.15)
    assert low < held.mean() < high


def test_the_share_of_resamples_in_front():
    # Either code is first in half of the resamples, or in fewer because of ties.
    even = effects_of([[1.0, 0.0, 0.1]] * 10 + [[0.0, 1.0, 0.1]] * 10)
    ranking = rank_codes(even, resamples=2000, top=1, seed=0)[GRADIENTS]
    assert ranking.top_share.sum() == pytest.approx(1.0)
    assert ranking.top_share[1] == pytest.approx(0.41, abs=0.05)
    assert ranking.top_share[2] == 0
    both = rank_codes(even, resamples=500, top=2, seed=0)[GRADIENTS]
    assert both.top_share[:2].min() > 0.99


def test_the_order_of_each_method_is_its_own():
    found = effects_of([[0.5, 0.1]], [[0.1, -0.5]])
    rankings = rank_codes(found, resamples=100, top=1, seed=0)
    assert [rankings[method].rank.tolist() for method in METHODS] == [[1, 2], [2, 1]]


def test_rank_agreement_is_spearmans():
    first, second = np.random.default_rng(3).integers(0, 6, size=(2, 30)).astype(float)
    assert rank_agreement(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert rank_agreement(first, -first) == pytest.approx(-1)
    assert np.isnan(rank_agreement(np.ones(4), first[:4]))
    assert np.isnan(rank_agreement(first[:2], second[:2]))


def test_effects_of_a_cohort_are_those_of_its_subjects():
    model, batches = case("visit")
    subjects = batches.members[:4]
    found = compute_effects(model, batches, subjects, integration_steps=8, progress_label="Explaining")
    for row, subject in enumerate(subjects.tolist()):
        has = np.unique(model_input(batches, subject).code.numpy())
        np.testing.assert_array_equal(found.code[found.present[row]], has)
        assert (found.occlusion[row][~found.present[row]] == 0).all()
    # Completeness of every subject, code by code.
    np.testing.assert_allclose(
        found.integrated_gradients.sum(axis=1), found.log_odds - found.baseline_log_odds + found.delta, atol=1e-6
    )
    holders = found.present[:, 0]
    assert mean_effect(found, OCCLUSION)[0] == pytest.approx(found.occlusion[holders, 0].mean())
