"""judge_steps and the bootstrap: figures, intervals and paired differences at every step."""

import numpy as np
import pytest

from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.comparators import Comparator
from survlstm.evaluation.step_metrics import count_comparable_pairs, evaluate_steps, nll_by_subject
from survlstm.survival.covariate_free import covariate_free_hazard

BOOTSTRAP = Bootstrap(resamples=200, confidence=0.95, min_events=30, seed=0)


@pytest.fixture(scope="module")
def cohort():
    generator = np.random.default_rng(0)
    true = np.repeat(generator.uniform(0.02, 0.4, 300)[:, None], 12, axis=1)
    drawn = generator.random(true.shape) < true
    event = drawn.any(axis=1)
    return true, np.where(event, drawn.argmax(axis=1), 11), event


def free_of(step, event):
    hazard = np.broadcast_to(covariate_free_hazard(step, event, steps=12), (len(step), 12))
    return Comparator("free", "baseline", hazard, True)


def test_the_model_beside_a_baseline(cohort):
    true, step, event = cohort
    (model, free), notes = evaluate_steps(
        [Comparator("model", "model", true, False), free_of(step, event)], step=step, event=event, bootstrap=BOOTSTRAP
    )
    assert not notes
    assert model.c_td.interval.low < model.c_td.value < model.c_td.interval.high
    assert (free.c_td.value, free.c_td.interval) == (0.5, (0.5, 0.5))
    assert model.c_td_difference is None
    # The baseline is 0.5 in every resample, so that the difference is the model's own interval, moved.
    assert free.c_td_difference.value == pytest.approx(model.c_td.value - 0.5)
    assert free.c_td_difference.interval == pytest.approx(tuple(end - 0.5 for end in model.c_td.interval))
    assert free.c_td_difference.p == pytest.approx(2 / 201)
    assert free.nll_difference.interval.high < 0


def test_no_interval_under_thirty_events(cohort):
    true, step, event = cohort
    few = slice(0, 30)
    (model,), notes = evaluate_steps(
        [Comparator("model", "model", true[few], False)], step=step[few], event=event[few], bootstrap=BOOTSTRAP
    )
    assert model.c_td.interval is None
    assert model.nll.interval is None
    assert notes == [f"no interval: {event[few].sum()} events among 30 subjects, 30 are needed"]


def test_an_interval_that_cannot_be_had_is_noted():
    # Every event in one step but one: most resamples have no comparable pair.
    step, event = np.zeros(40, dtype=int), np.ones(40, dtype=bool)
    step[0] = 1
    hazard = np.full((40, 2), 0.5)
    (model,), notes = evaluate_steps(
        [Comparator("model", "model", hazard, False)], step=step, event=event, bootstrap=BOOTSTRAP
    )
    assert model.c_td.interval is None
    assert notes[0].startswith("no interval: the C-index is undefined in ")


def test_resamples_are_the_same_whatever_is_asked(cohort):
    true, step, event = cohort
    one = Comparator("model", "model", true, False)
    (alone,), _ = evaluate_steps([one], step=step, event=event, bootstrap=BOOTSTRAP)
    (beside, _), _ = evaluate_steps([one, free_of(step, event)], step=step, event=event, bootstrap=BOOTSTRAP)
    assert alone.c_td == beside.c_td
    other = Bootstrap(200, 0.95, 30, seed=1)
    (again,), _ = evaluate_steps([one], step=step, event=event, bootstrap=other)
    assert alone.c_td.interval != again.c_td.interval


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """The mean of a normal sample: a percentile interval of 80 % covers about 80 %."""
    generator = np.random.default_rng(4)
    bootstrap = Bootstrap(300, 0.8, 1, seed=0)
    covered = 0
    for _ in range(200):
        sample = generator.normal(size=40)
        values = bootstrap.values(lambda r, s=sample: np.array(s[r.evaluated].mean()), subjects=40, what="a test")
        low, high = bootstrap.interval(values)
        covered += low <= 0 <= high
    # Three standard errors of a share of 0.8 among 200.
    assert abs(covered / 200 - 0.8) < 3 * np.sqrt(0.8 * 0.2 / 200)


def test_an_event_of_hazard_zero_is_infinitely_surprising():
    step, event = np.array([1, 0]), np.array([True, False])
    hazard = np.array([[0.5, 0.0], [0.25, np.nan]])
    assert nll_by_subject(hazard, step, event) == pytest.approx([np.inf, -np.log(0.75)])


def test_what_lies_behind_the_last_step_does_not_matter():
    step, event = np.array([0, 2]), np.array([True, True])
    hazard = np.array([[0.1, 0.9, 1.0], [0.2, 0.2, 0.2]])
    known = np.array([[0.1, np.nan, np.nan], [0.2, 0.2, 0.2]])
    assert np.array_equal(nll_by_subject(hazard, step, event), nll_by_subject(known, step, event))


def test_comparable_pairs_are_counted():
    assert count_comparable_pairs(np.array([0, 0, 1, 2]), np.array([True, True, False, False])) == 4


def test_nll_is_the_likelihood_of_the_worked_table():
    hazard = np.array([[0.1, 0.2, 0.3, 0.4], [0.2] * 4, [0.5, 0.1, 0.1, 0.1]])
    found = nll_by_subject(hazard, np.array([2, 1, 0]), np.array([True, False, True]))
    assert found == pytest.approx([1.532477, 0.446287, 0.693147], abs=5e-7)


def test_the_bootstrap_interval_of_a_mean_is_that_of_theory():
    sample = np.random.default_rng(0).normal(size=500)
    bootstrap = Bootstrap(4000, 0.95, 1, seed=1)
    values = bootstrap.values(lambda rows: np.array(sample[rows.evaluated].mean()), subjects=500, what="a mean")
    error = sample.std() / np.sqrt(500)
    np.testing.assert_allclose(
        bootstrap.interval(values), sample.mean() + np.array([-1.96, 1.96]) * error, atol=0.15 * error
    )


def test_an_undefined_resample_gives_no_interval():
    assert Bootstrap(10, 0.9, 1, seed=0).interval(np.array([0.1, np.nan, 0.2])) is None
