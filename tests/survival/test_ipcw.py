"""Censoring weights: a worked table, the sum that they must have, and horizons that are not supported."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survlstm.survival.ipcw import check_horizons, outcome_at, supported_horizons
from survlstm.survival.kaplan_meier import censoring_curve
from tests.survival.reference import random_follow_up

DURATION = np.array([1, 2, 2, 3, 3, 4])
EVENT = np.array([True, True, False, False, True, False])
CENSORING = censoring_curve(DURATION, EVENT)


@pytest.mark.parametrize(
    ("horizon", "weight"),
    [
        (0.0, [1, 1, 1, 1, 1, 1]),
        (1.0, [1, 1, 1, 1, 1, 1]),
        # The event of time 2 keeps G(2-) = 1 although a censoring of time 2 has lowered G(2) to 3/4.
        (2.0, [1, 1, 0, 4 / 3, 4 / 3, 4 / 3]),
        (3.0, [1, 1, 0, 0, 4 / 3, 8 / 3]),
    ],
)
def test_worked_table(horizon, weight):
    found = outcome_at(horizon, duration=DURATION, event=EVENT, censoring=CENSORING)
    np.testing.assert_allclose(found.weight, weight)
    assert found.happened.tolist() == (EVENT & (horizon >= DURATION)).tolist()
    assert found.weight.sum() == pytest.approx(6)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(2, 12), st.floats(0, 1))
def test_weights_sum_to_the_subjects_when_g_is_estimated_on_them(seed, subjects, longest, event_rate):
    generator = np.random.default_rng(seed)
    sample = random_follow_up(generator, subjects=subjects, longest=longest, event_rate=event_rate)
    censoring = censoring_curve(sample.duration, sample.event)
    for horizon in supported_horizons(np.arange(0, longest + 2), duration=sample.duration, censoring=censoring):
        found = outcome_at(float(horizon), duration=sample.duration, event=sample.event, censoring=censoring)
        assert found.weight.sum() == pytest.approx(subjects, rel=1e-12)


@pytest.mark.parametrize(
    ("case", "train_event", "supported"),
    [
        ("ends censored: G falls to 0 at 5", [True, False], [0, 4]),
        ("ends with an event: G stays above 0 at 5 and is unknown behind", [False, True], [0, 4, 5]),
    ],
)
def test_supported_horizons_within_the_training_follow_up(case, train_event, supported):
    censoring = censoring_curve(np.array([3, 5]), np.array(train_event))
    horizon = np.array([-1, 0, 4, 5, 6])
    found = supported_horizons(horizon, duration=np.array([2, 9]), censoring=censoring)
    assert found.tolist() == supported, case


def test_supported_horizons_end_before_the_longest_evaluated_follow_up():
    found = supported_horizons(np.array([1.5, 2.9, 3.0]), duration=np.array([3.0, 1.0]), censoring=CENSORING)
    assert found.tolist() == [1.5, 2.9]


@pytest.mark.parametrize(
    ("horizon", "message"),
    [
        ([1, 5, 7], r"before 4, .* before 4, .* 2 of 3 are not \(min 1, max 7\), the last supported of them is 1$"),
        ([4], "1 of 1 are not .* none of them is supported$"),
        ([-1, 2], r"must be >= 0.* 1 of 2 are not \(min -1, max 2\), the last supported of them is 2$"),
        ([2, 2], r"strictly increasing; found \[2.0, 2.0\]"),
        ([np.nan], "horizon must be finite"),
        ([], "at least one horizon"),
    ],
)
def test_unsupported_horizons_are_refused(horizon, message):
    with pytest.raises(ValueError, match=message):
        check_horizons(np.array(horizon, dtype=float), duration=DURATION, censoring=CENSORING)


def test_the_message_says_until_where_g_is_known():
    ends_with_event = censoring_curve(np.array([3, 5]), np.array([False, True]))
    with pytest.raises(ValueError, match=r"before 9, .* until 5, where the censoring curve ends"):
        outcome_at(6.0, duration=np.array([9]), event=np.array([True]), censoring=ends_with_event)
