"""d_calibration: a published example, the edges of bins, agreement with SurvivalEVAL, and errors."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from SurvivalEVAL import d_calibration as theirs

from survlstm.survival.d_calibration import d_calibration


def test_pinned_example():
    event = np.array([True, True, False, True, False])
    found = d_calibration(np.array([0.95, 0.55, 0.5, 0.05, 0.33]), event=event)
    expected = [1, 0, 0, 0, 1, 0.2, 0.290909, 0.503030, 0.503030, 1.503030]
    np.testing.assert_allclose(found.subjects, expected, atol=5e-7)
    assert found.p_value == pytest.approx(0.853, abs=5e-4)


@pytest.mark.parametrize(
    ("case", "survival", "event", "expected"),
    [
        ("an event at S = 1", 1.0, True, [1, 0, 0, 0, 0]),
        ("an event at S = 0", 0.0, True, [0, 0, 0, 0, 1]),
        ("an event on an edge belongs to the bin above", 0.6, True, [0, 1, 0, 0, 0]),
        ("an event just below the edge", 0.6 - 1e-9, True, [0, 0, 1, 0, 0]),
        ("censored at S = 1 is spread evenly", 1.0, False, [0.2] * 5),
        ("censored on an edge spares the bin above", 0.8, False, [0, 0.25, 0.25, 0.25, 0.25]),
        ("censored within a bin", 0.5, False, [0, 0, 0.2, 0.4, 0.4]),
        ("censored within the lowest bin", 0.1, False, [0, 0, 0, 0, 1]),
        ("censored at S = 0", 0.0, False, [0, 0, 0, 0, 1]),
    ],
)
def test_worked_table_of_one_subject_in_five_bins(case, survival, event, expected):
    found = d_calibration(np.array([survival]), event=np.array([event]), bins=5)
    np.testing.assert_allclose(found.subjects, expected, atol=1e-12, err_msg=case)


@pytest.mark.parametrize("bins", [2, 10, 16])
@pytest.mark.parametrize("subjects", [1, 20, 1000])
def test_agrees_with_survivaleval(subjects, bins):
    generator = np.random.default_rng(subjects)
    # Sixty-fourths have many ties, and lie on an edge only if both implementations represent the edge exactly.
    survival, event = generator.integers(0, 65, subjects) / 64, generator.random(subjects) < 0.3
    found = d_calibration(survival, event=event, bins=bins)
    statistic, p_value, subjects_per_bin = theirs(survival, event, num_bins=bins)
    np.testing.assert_allclose(found.subjects, subjects_per_bin, atol=1e-10)
    assert found[1:] == (pytest.approx(statistic, abs=1e-9), pytest.approx(p_value, abs=1e-10))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(2, 12))
def test_bins_sum_to_the_subjects_in_any_order(seed, subjects, bins):
    generator = np.random.default_rng(seed)
    survival, event = generator.integers(0, 21, subjects) / 20, generator.random(subjects) < 0.5
    found, order = d_calibration(survival, event=event, bins=bins), generator.permutation(subjects)
    assert found.subjects.sum() == pytest.approx(subjects)
    np.testing.assert_allclose(d_calibration(survival[order], event=event[order], bins=bins).subjects, found.subjects)


def test_a_true_model_passes_and_a_shifted_one_fails():
    generator = np.random.default_rng(0)
    duration, follow_up = generator.exponential(size=2000), generator.uniform(0, 3, 2000)
    event, survival = duration <= follow_up, np.exp(-np.minimum(duration, follow_up))
    assert d_calibration(survival, event=event).p_value > 0.05
    assert d_calibration(survival**1.5, event=event).p_value < 1e-6


@pytest.mark.parametrize(
    ("survival", "event", "bins", "message"),
    [
        ([0.5, np.nan], [1, 0], 10, "survival must be finite; 1 of 2"),
        ([0.5, 1.5], [1, 0], 10, r"within 0..1; 1 of 2 values are not \(min 0.5, max 1.5\)"),
        ([0.5], [1, 0], 10, "one row per subject; found 1 for 2 subjects"),
        ([], [], 10, "at least one subject is needed"),
        ([0.5], [1], 1, "at least two bins are needed; found 1"),
    ],
)
def test_impossible_input_is_refused(survival, event, bins, message):
    # Unwrapped, because in the tests the checker of shapes would raise first.
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(d_calibration)(np.array(survival, dtype=float), event=np.array(event, dtype=bool), bins=bins)


def test_in_discrete_time_a_true_model_is_not_rejected_where_whole_events_are():
    generator = np.random.default_rng(3)
    rejected = {"spread": 0, "whole": 0}
    for _ in range(200):
        hazard = generator.uniform(0.1, 0.5, 400)
        step = generator.geometric(hazard)
        event = step <= 4
        step = np.minimum(step, 4)
        survival, before = (1 - hazard) ** step, (1 - hazard) ** (step - 1)
        rejected["spread"] += d_calibration(survival, event=event, survival_before=before).p_value < 0.05
        rejected["whole"] += d_calibration(survival, event=event).p_value < 0.05
    assert rejected["spread"] <= 16
    assert rejected["whole"] >= 190


def test_an_event_is_spread_evenly_over_its_jump():
    found = d_calibration(np.array([0.65, 0.3]), event=np.array([True, True]), survival_before=np.array([0.85, 0.3]))
    assert found.subjects == pytest.approx([0, 0.25, 0.5, 0.25, 0, 0, 1, 0, 0, 0])
    assert found.subjects.sum() == pytest.approx(2)


def test_survival_before_the_jump_must_not_be_below_survival():
    with pytest.raises(ValueError, match="must not be below survival; it is for 1 of 1"):
        d_calibration(np.array([0.5]), event=np.array([True]), survival_before=np.array([0.4]))
