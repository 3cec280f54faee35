"""calibration_line: a worked case, agreement with scikit-learn's weighted regression, and errors."""

import inspect

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from survlstm.survival.calibration_line import calibration_line
from survlstm.survival.ipcw import outcome_at
from survlstm.survival.kaplan_meier import censoring_curve
from tests.survival.reference import survival_of, whas500


def simulated(seed, *, subjects=4000):
    """Draw exponential times with a known true S(1), about half of them censored."""
    generator = np.random.default_rng(seed)
    rate = np.exp(generator.normal(-0.5, 0.8, subjects))
    duration, follow_up = generator.exponential(1 / rate), generator.uniform(0, 3, subjects)
    observed, event = np.minimum(duration, follow_up), duration <= follow_up
    return np.exp(-rate), {"duration": observed, "event": event, "censoring": censoring_curve(observed, event)}


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def test_two_predictions_by_hand():
    """With two distinct predictions the line passes through the logits of the two observed shares."""
    survival = np.repeat([0.8, 0.4], [10, 10])
    event = np.concatenate([np.arange(10) < 1, np.arange(10) < 5])
    duration = np.where(event, 1.0, 9.0)
    censoring = censoring_curve(np.array([9.0]), np.array([True]))
    found = calibration_line(survival, duration=duration, event=event, horizon=2.0, censoring=censoring)
    slope = (0 - np.log(1 / 9)) / (np.log(0.6 / 0.4) - np.log(0.2 / 0.8))
    assert found.slope == pytest.approx(slope)
    assert found.intercept == pytest.approx(0 - slope * np.log(0.6 / 0.4))


def test_a_true_model_has_slope_one_and_intercept_zero():
    survival, observed = simulated(0)
    found = calibration_line(survival, **observed, horizon=1.0)
    np.testing.assert_allclose(found, [1, 0, 0], atol=0.12)


def test_too_extreme_and_too_low_predictions_show():
    survival, observed = simulated(1)
    logit = np.log((1 - survival) / survival)
    found = calibration_line(1 - sigmoid(2 * logit), **observed, horizon=1.0)
    honest = calibration_line(survival, **observed, horizon=1.0)
    assert found.slope == pytest.approx(honest.slope / 2)
    lowered = calibration_line(1 - sigmoid(logit - 0.7), **observed, horizon=1.0)
    assert lowered.in_the_large == pytest.approx(honest.in_the_large + 0.7)
    assert lowered.slope == pytest.approx(honest.slope)


@pytest.mark.parametrize("horizon", [100, 700, 1500])
def test_agrees_with_scikit_learn_on_whas500(horizon):
    sample = whas500()
    survival = survival_of(sample.prediction)
    labels = {"duration": sample.duration, "event": sample.event}
    censoring = censoring_curve(**labels)
    found = calibration_line(survival, **labels, horizon=horizon, censoring=censoring)
    outcome = outcome_at(horizon, **labels, censoring=censoring)
    logit = np.log((1 - survival) / survival)[:, None]
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit, outcome.happened, outcome.weight)
    assert found[:2] == (
        pytest.approx(fitted.coef_.item(), abs=1e-5),
        pytest.approx(fitted.intercept_.item(), abs=1e-5),
    )
    # The score equation of the intercept: weighted predicted risk equals weighted observed.
    risk = sigmoid(logit[:, 0] + found.in_the_large)
    assert outcome.weight @ risk == pytest.approx(outcome.weight @ outcome.happened)


SURVIVAL = np.array([0.9, 0.3, 0.6, 0.5, 0.8])
DURATION = np.array([1, 2, 5, 6, 7])
EVENT = np.array([True, True, True, False, False])


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        ("certain", {"survival": np.array([0, 1, 0.6, 0.5, 0.8])}, "both excluded; 2 of 5 values are not"),
        ("a NaN", {"survival": np.full(5, np.nan)}, "survival must be finite"),
        ("all equal", {"survival": np.full(5, 0.5)}, "predictions that differ; all 5 are equal"),
        ("separated", {"survival": np.array([0.1, 0.2, 0.6, 0.7, 0.8])}, "separate the outcomes perfectly"),
        (
            "no event yet",
            {"horizon": 0.5},
            "both outcomes must occur by 0.5; found 0 events and 5 subjects followed for longer",
        ),
        ("nobody left", {"horizon": 7.0}, "before 7, .* none of them is supported"),
        ("lengths differ", {"survival": SURVIVAL[:2]}, "one row per subject; found 2 for 5 subjects"),
        ("nobody", {"survival": SURVIVAL[:0], "duration": DURATION[:0], "event": EVENT[:0]}, "at least one subject"),
    ],
)
def test_impossible_input_is_refused(case, change, message):
    censoring = censoring_curve(DURATION, EVENT)
    arguments = {"survival": SURVIVAL, "duration": DURATION, "event": EVENT, "horizon": 3.0, "censoring": censoring}
    # Unwrapped, because in the tests the checker of shapes would raise first.
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(calibration_line)(**(arguments | change))
