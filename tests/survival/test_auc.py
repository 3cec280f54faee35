"""cumulative_dynamic_auc: a worked table, agreement with scikit-survival with ties and censoring, and errors."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sksurv.metrics import cumulative_dynamic_auc as theirs

from survlstm.survival.auc import cumulative_dynamic_auc
from survlstm.survival.kaplan_meier import censoring_curve
from tests.survival.reference import random_follow_up, whas500

DURATION = np.array([1, 2, 2, 3, 4])
EVENT = np.array([True, False, True, True, False])
SCORE = np.array([2.0, 9.0, 3.0, 2.0, 1.0])


def test_worked_table():
    found = cumulative_dynamic_auc(
        SCORE,
        duration=DURATION,
        event=EVENT,
        horizon=np.array([1.0, 2.0, 3.0]),
        censoring=censoring_curve(DURATION, EVENT),
    )
    # Horizon 1: the 2 against 9, 3, 2, 1. Horizon 2: the 2 weighs 1 and scores 1 1/2 of (2, 1), the 3 of time 2 weighs
    # 1 / (2/3) and scores 2. Horizon 3: all three cases outrank the 1.
    np.testing.assert_allclose(found.auc, [1.5 / 4, (1.5 + 1.5 * 2) / (2 * 2.5), 1])
    assert (found.cases.tolist(), found.controls.tolist()) == ([1, 2, 3], [4, 2, 1])
    # The Kaplan-Meier curve of these subjects decreases by 1/5, 1/5 and 3/10.
    assert found.mean_auc == pytest.approx((0.2 * 0.375 + 0.2 * 0.9 + 0.3 * 1) / 0.7)


@pytest.mark.parametrize("per_horizon", [False, True])
@pytest.mark.parametrize("subjects", [8, 60, 500])
def test_agrees_with_scikit_survival(subjects, per_horizon):
    generator = np.random.default_rng(subjects)
    train, test = random_follow_up(generator, subjects=300), random_follow_up(generator, subjects=subjects)
    horizon = np.array([2, 5, 9])
    score = generator.integers(0, 6, (subjects, 3)).astype(float) if per_horizon else test.prediction
    auc, mean = theirs(train.structured, test.structured, score, horizon)
    censoring = censoring_curve(train.duration, train.event)
    found = cumulative_dynamic_auc(
        score, duration=test.duration, event=test.event, horizon=horizon, censoring=censoring
    )
    np.testing.assert_allclose(found.auc, auc, atol=1e-13)
    assert found.mean_auc == pytest.approx(mean, abs=1e-13)


def test_agrees_with_scikit_survival_on_whas500():
    sample = whas500()
    horizon = np.percentile(sample.duration, np.linspace(5, 81, 15))
    auc, mean = theirs(sample.structured, sample.structured, sample.prediction, horizon)
    found = cumulative_dynamic_auc(
        sample.prediction,
        duration=sample.duration,
        event=sample.event,
        horizon=horizon,
        censoring=censoring_curve(sample.duration, sample.event),
    )
    np.testing.assert_allclose(found.auc, auc, atol=1e-13)
    assert found.mean_auc == pytest.approx(mean, abs=1e-13)


def test_without_censoring_it_is_the_ordinary_auc():
    generator = np.random.default_rng(0)
    duration, event, score = generator.integers(1, 20, 150), np.ones(150, dtype=bool), generator.integers(0, 9, 150)
    censoring = censoring_curve(duration, event)
    found = cumulative_dynamic_auc(score, duration=duration, event=event, horizon=np.array([7]), censoring=censoring)
    assert found.auc[0] == pytest.approx(roc_auc_score(duration <= 7, score))
    assert found.mean_auc == pytest.approx(found.auc[0])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_order_scale_and_sign(seed, subjects):
    generator = np.random.default_rng(seed)
    sample = random_follow_up(generator, subjects=subjects)
    order, horizon = generator.permutation(subjects), np.array([1, 4])
    options = {"horizon": horizon, "censoring": censoring_curve(np.array([12]), np.array([True]))}
    labels = {"duration": sample.duration, "event": sample.event}
    shuffled = {name: values[order] for name, values in labels.items()}
    found = cumulative_dynamic_auc(sample.prediction, **labels, **options).auc
    np.testing.assert_allclose(
        cumulative_dynamic_auc(np.exp(sample.prediction[order]), **shuffled, **options).auc, found
    )
    np.testing.assert_allclose(cumulative_dynamic_auc(-sample.prediction, **labels, **options).auc, 1 - found)


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        ("a NaN score", {"score": np.array([np.nan] * 5)}, "score must be finite; 5 of 5"),
        ("too few scores", {"score": SCORE[:3]}, "one row per subject; found 3 for 5"),
        ("too few columns", {"score": np.ones((5, 1))}, "one column per horizon; found 1 for 2 horizons"),
        ("no case", {"horizon": np.array([0.5, 2])}, r"an event at or before it; 1 of 2 have none \(until 0.5\)"),
        ("no control", {"horizon": np.array([2, 4])}, "before 4, .* the last supported of them is 2"),
        ("backwards", {"horizon": np.array([2, 1])}, r"strictly increasing; found \[2, 1\]"),
        ("no horizon", {"horizon": np.array([])}, "at least one horizon is needed"),
        ("nobody has the event", {"event": np.zeros(5, dtype=bool)}, "an event at or before it; 2 of 2 have none"),
        ("negative time", {"duration": DURATION - 3}, "duration must be >= 0; 3 of 5"),
    ],
)
def test_impossible_input_is_refused(case, change, message):
    arguments = {
        "score": SCORE,
        "duration": DURATION,
        "event": EVENT,
        "horizon": np.array([1, 2]),
        "censoring": censoring_curve(DURATION, EVENT),
    }
    # Unwrapped, because in the tests the checker of shapes would raise first.
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(cumulative_dynamic_auc)(**(arguments | change))
