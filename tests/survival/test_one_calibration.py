"""Calibration in groups: a worked table, agreement with SurvivalEVAL, the size of the test, and errors."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from SurvivalEVAL import one_calibration as theirs

from survlstm.survival.kaplan_meier import confidence_band, kaplan_meier
from survlstm.survival.one_calibration import calibration_groups, one_calibration
from tests.survival.reference import survival_of, whas500

DURATION = np.array([1, 2, 2, 4, 1, 2, 3, 5])
EVENT = np.array([True, True, False, True, False, True, False, False])
SURVIVAL = np.array([0.2, 0.4, 0.3, 0.5, 0.6, 0.7, 0.9, 0.8])


def test_worked_table():
    options = {"duration": DURATION, "event": EVENT, "horizon": 3, "groups": 2}
    table = calibration_groups(SURVIVAL, **options)
    # S(3) of the riskier four is 3/4 · 2/3, of the others 1 · 2/3: Greenwood 1/12 + 1/6 and 1/6.
    assert table.subjects.tolist() == [4, 4]
    np.testing.assert_allclose(table.predicted, [0.65, 0.25])
    np.testing.assert_allclose(table.observed, [1 / 2, 1 / 3])
    np.testing.assert_allclose(table.variance, [1 / 4 * (1 / 12 + 1 / 6), 4 / 9 / 6])
    binomial, greenwood = one_calibration(table, variance="binomial"), one_calibration(table)
    expected = 0.15**2 / (0.65 * 0.35 / 4) + (1 / 12) ** 2 / (0.25 * 0.75 / 4)
    assert binomial[:2] == (pytest.approx(expected), 1)
    assert greenwood[:2] == (pytest.approx(0.15**2 * 16 + (1 / 12) ** 2 * 27 / 2), 2)


def test_the_interval_is_that_of_the_groups_own_curve():
    table = calibration_groups(SURVIVAL, duration=DURATION, event=EVENT, horizon=4, groups=1, confidence=0.9)
    band = confidence_band(kaplan_meier(DURATION, EVENT), confidence=0.9)
    assert (table.low.item(), table.high.item()) == (1 - band.high[3], 1 - band.low[3])
    assert table.low < table.observed < table.high


def test_before_the_first_event_the_observed_risk_is_zero_without_interval():
    table = calibration_groups(SURVIVAL, duration=DURATION, event=EVENT, horizon=0.5, groups=1)
    assert (table.observed.item(), table.variance.item()) == (0, 0)
    assert np.isnan([table.low, table.high]).all()


@pytest.mark.parametrize(
    ("groups", "variance"), [(2, "binomial"), (10, "binomial"), (2, "greenwood"), (10, "greenwood")]
)
@pytest.mark.parametrize("horizon", [300, 700])
def test_agrees_with_survivaleval_on_whas500(groups, variance, horizon):
    sample = whas500()
    survival = survival_of(sample.prediction)
    table = calibration_groups(survival, duration=sample.duration, event=sample.event, horizon=horizon, groups=groups)
    _, details = theirs(
        1 - survival,
        sample.duration,
        sample.event,
        horizon,
        num_bins=groups,
        adjust_variance=variance == "greenwood",
        return_details=True,
    )
    found = one_calibration(table, variance=variance)
    np.testing.assert_allclose(table.observed, details["observed_probabilities"], rtol=1e-10)
    np.testing.assert_allclose(table.predicted, details["expected_probabilities"], rtol=1e-10)
    assert table.subjects.tolist() == details["bin_sizes"]
    expected = details["statistics"], details["degrees_of_freedom"], details["p_value"]
    assert found == (pytest.approx(expected[0]), expected[1], pytest.approx(expected[2], rel=1e-8))


def test_a_true_model_is_rejected_at_the_nominal_rate():
    generator = np.random.default_rng(0)
    p_values = {"binomial": [], "greenwood": []}
    for _ in range(200):
        rate = generator.uniform(0.5, 1.5, 1000)
        duration, follow_up = generator.exponential(1 / rate), generator.uniform(0, 1.2, 1000)
        observed = {"duration": np.minimum(duration, follow_up), "event": duration <= follow_up}
        table = calibration_groups(np.exp(-rate), **observed, horizon=1.0, groups=5)
        for variance, found in p_values.items():
            found.append(one_calibration(table, variance=variance).p_value)
    rejected = {variance: np.mean(np.array(found) < 0.05) for variance, found in p_values.items()}
    # Half are censored before the horizon; the binomial variance ignores that and rejects far too often.
    assert rejected["greenwood"] < 0.12
    assert rejected["binomial"] > 0.2


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 6))
def test_order_of_subjects_changes_nothing_even_with_tied_predictions(seed, subjects, groups):
    generator = np.random.default_rng(seed)
    survival, event = generator.integers(1, 8, subjects) / 8, generator.random(subjects) < 0.5
    duration = generator.integers(5, 12, subjects)
    order, options = generator.permutation(subjects), {"horizon": 5, "groups": min(groups, subjects)}
    found = calibration_groups(survival, duration=duration, event=event, **options)
    shuffled = calibration_groups(survival[order], duration=duration[order], event=event[order], **options)
    for ours, other in zip(found, shuffled, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-12)
    assert found.subjects.sum() == subjects
    assert (np.diff(found.predicted) < 0).all()


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        ("a NaN", {"survival": np.full(8, np.nan)}, "survival must be finite; 8 of 8"),
        ("no probability", {"survival": SURVIVAL - 0.5}, r"within 0..1; 3 of 8 values are not \(min -0.3"),
        ("lengths differ", {"survival": SURVIVAL[:3]}, "one row per subject; found 3 for 8 subjects"),
        ("too many groups", {"groups": 9}, "groups must be 1..8, the number of subjects; found 9"),
        (
            "a group that ends censored",
            {"horizon": 3.5},
            "to the horizon 3.5; a group of 2 subjects is followed until 2 only",
        ),
        ("a horizon that is none", {"horizon": np.nan}, "horizon must be finite"),
        ("nobody", {"survival": SURVIVAL[:0], "duration": DURATION[:0], "event": EVENT[:0]}, "at least one subject"),
    ],
)
def test_impossible_input_is_refused(case, change, message):
    arguments = {"survival": SURVIVAL, "duration": DURATION, "event": EVENT, "horizon": 3, "groups": 4}
    # Unwrapped, because in the tests the checker of shapes would raise first.
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(calibration_groups)(**(arguments | change))


def test_a_test_needs_two_groups_and_greenwood_an_event_in_each():
    options = {"duration": DURATION, "event": EVENT, "horizon": 1}
    with pytest.raises(ValueError, match="at least two groups are needed; found 1: are all predictions equal"):
        one_calibration(calibration_groups(np.full(8, 0.5), **options, groups=4))
    with pytest.raises(ValueError, match=r"observed risk between 0 and 1; 1 of 2 groups have none. Use fewer groups"):
        one_calibration(calibration_groups(SURVIVAL, **options, groups=2))


def test_a_group_predicted_to_be_certain_agrees_or_has_an_infinite_statistic():
    options = {"duration": np.array([2, 2, 3, 3]), "event": np.array([True, True, False, True]), "groups": 2}
    certain = np.array([0.0, 0.0, 1.0, 1.0])
    right, wrong = (calibration_groups(survival, **options, horizon=2) for survival in (certain, 1 - certain))
    assert one_calibration(right, variance="binomial") == (0, 1, 1)
    assert one_calibration(wrong, variance="binomial") == (np.inf, 1, 0)
