"""aalen_johansen: a worked table, agreement with scikit-survival, the case of one cause, and errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sksurv.nonparametric import cumulative_incidence_competing_risks

from survlstm.survival.aalen_johansen import aalen_johansen
from survlstm.survival.kaplan_meier import kaplan_meier
from tests.survival.reference import random_follow_up

DURATION = np.array([1, 2, 2, 3, 4])
CAUSE = np.array([1, 2, 1, 0, 2])


def test_worked_table():
    found = aalen_johansen(DURATION, CAUSE, causes=2)
    assert found.times.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(found.survival, [4 / 5, 2 / 5, 2 / 5, 0], atol=1e-15)
    np.testing.assert_allclose(found.incidence, [[1 / 5, 0], [2 / 5, 1 / 5], [2 / 5, 1 / 5], [2 / 5, 3 / 5]])
    read = found.at(np.array([0.0, 1.5, 2.0, 9.0]))
    np.testing.assert_allclose(read, [[0, 0], [1 / 5, 0], [2 / 5, 1 / 5], [2 / 5, 3 / 5]])


@pytest.mark.parametrize(("subjects", "causes"), [(6, 2), (80, 2), (400, 3)])
def test_agrees_with_scikit_survival(subjects, causes):
    generator = np.random.default_rng(subjects)
    duration, cause = generator.integers(1, 15, subjects), generator.integers(0, causes + 1, subjects)
    cause[:causes] = np.arange(1, causes + 1)
    times, theirs = cumulative_incidence_competing_risks(cause, duration)
    found = aalen_johansen(duration, cause, causes=causes)
    np.testing.assert_array_equal(found.times, times)
    # The first row of scikit-survival's result is all causes together.
    np.testing.assert_allclose(found.incidence.T, theirs[1:], atol=1e-13)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 4))
def test_causes_and_survival_sum_to_one(seed, subjects, causes):
    generator = np.random.default_rng(seed)
    duration, cause = generator.integers(0, 9, subjects), generator.integers(0, causes + 1, subjects)
    found = aalen_johansen(duration, cause, causes=causes)
    np.testing.assert_allclose(found.incidence.sum(axis=1) + found.survival, 1, atol=1e-12)
    assert (np.diff(found.incidence, axis=0) >= 0).all()


def test_one_cause_is_kaplan_meier():
    sample = random_follow_up(np.random.default_rng(0), subjects=50)
    found = aalen_johansen(sample.duration, sample.event.astype(int), causes=1)
    np.testing.assert_allclose(found.incidence[:, 0], 1 - kaplan_meier(sample.duration, sample.event).survival)


def test_impossible_input_is_refused():
    with pytest.raises(ValueError, match=r"1..1; 2 of 5 subjects have another \(min 0, max 2\)"):
        aalen_johansen(DURATION, CAUSE, causes=1)
    with pytest.raises(ValueError, match="1 of 5 subjects have less"):
        aalen_johansen(DURATION - 2, CAUSE, causes=2)
    censored_last = aalen_johansen(DURATION, np.array([1, 2, 1, 0, 0]), causes=2)
    with pytest.raises(ValueError, match=r"known until 4, .* 2 of 3 times are NaN or later"):
        censored_last.at(np.array([1.0, np.nan, 5.0]))
