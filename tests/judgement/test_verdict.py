"""judge: figures, intervals, baselines and the sentence."""

import numpy as np
import pytest

from survlstm.judgement.bands import read_c_index
from survlstm.judgement.bootstrap import bootstrap_interval
from survlstm.judgement.verdict import Contender, covariate_free, judge, mean_nll

SETTINGS = {"resamples": 200, "confidence": 0.95, "min_events": 30, "seed": 0}


@pytest.fixture(scope="module")
def cohort():
    generator = np.random.default_rng(0)
    true = np.repeat(generator.uniform(0.02, 0.4, 300)[:, None], 12, axis=1)
    drawn = generator.random(true.shape) < true
    event = drawn.any(axis=1)
    step = np.where(event, drawn.argmax(axis=1), 11)
    return true, step, event


def test_the_model_the_oracle_and_the_baseline(cohort):
    true, step, event = cohort
    baseline = covariate_free(step, event, subjects=300, steps=12)
    verdict = judge([Contender("model", true), baseline], step=step, event=event, **SETTINGS)
    model, free = verdict.figures
    assert model.interval.low < model.c_td < model.interval.high
    assert free.c_td == 0.5
    assert free.interval == (0.5, 0.5)
    assert model.nll < free.nll
    assert "does not beat" not in verdict.sentence
    assert (verdict.subjects, verdict.events) == (300, int(event.sum()))


def test_a_model_of_noise_is_said_to_be_one(cohort):
    _, step, event = cohort
    noise = np.random.default_rng(0).uniform(0.01, 0.4, size=(300, 12))
    baseline = covariate_free(step, event, subjects=300, steps=12)
    sentence = judge([Contender("model", noise), baseline], step=step, event=event, **SETTINGS).sentence
    assert "The interval holds 0.5" in sentence
    assert "does not beat the covariate-free hazard" in sentence


def test_no_interval_under_thirty_events(cohort):
    true, step, event = cohort
    few = slice(0, 30)
    verdict = judge([Contender("model", true[few])], step=step[few], event=event[few], **SETTINGS)
    assert verdict.figures[0].interval is None
    assert verdict.notes == (f"no interval: {verdict.events} events among 30 test subjects, 30 are needed",)


def test_an_interval_that_cannot_be_had_is_noted():
    # Every event in one step but one: most resamples have no comparable pair.
    step, event = np.zeros(40, dtype=int), np.ones(40, dtype=bool)
    step[0] = 1
    verdict = judge([Contender("model", np.full((40, 2), 0.5))], step=step, event=event, **SETTINGS)
    assert verdict.figures[0].interval is None
    assert verdict.notes[0].startswith("no interval for model: the statistic is undefined in ")


def test_nll_is_the_likelihood_of_the_worked_table():
    hazard = np.array([[0.1, 0.2, 0.3, 0.4], [0.2] * 4, [0.5, 0.1, 0.1, 0.1]])
    found = mean_nll(hazard, np.array([2, 1, 0]), np.array([True, False, True]))
    assert found == pytest.approx(np.mean([1.532477, 0.446287, 0.693147]), abs=5e-7)


def test_the_bootstrap_interval_of_a_mean_is_that_of_theory():
    sample = np.random.default_rng(0).normal(size=500)
    found = bootstrap_interval(
        lambda rows: float(sample[rows].mean()), subjects=500, resamples=4000, confidence=0.95, seed=1
    )
    error = sample.std() / np.sqrt(500)
    np.testing.assert_allclose(found, sample.mean() + np.array([-1.96, 1.96]) * error, atol=0.15 * error)


def test_an_undefined_resample_is_refused():
    with pytest.raises(ValueError, match="undefined in 10 of 10 resamples"):
        bootstrap_interval(lambda rows: float("nan"), subjects=3, resamples=10, confidence=0.9, seed=0)


@pytest.mark.parametrize(
    ("c_index", "reading"),
    [
        (0.29, "worse than random"),
        (0.50, "random"),
        (0.549, "random"),
        (0.55, "weak"),
        (0.60, "moderate"),
        (0.70, "good"),
        (0.80, "excellent"),
        (float("nan"), "undefined"),
    ],
)
def test_the_guides_bands(c_index, reading):
    assert read_c_index(c_index).startswith(reading)
