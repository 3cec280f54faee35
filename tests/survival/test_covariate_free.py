"""covariate_free_hazard against scikit-survival's Nelson-Aalen steps, and its pooling of sparse steps."""

import numpy as np
import pytest
from sksurv.nonparametric import nelson_aalen_estimator

from survlstm.survival.covariate_free import covariate_free_hazard


def test_without_pooling_it_is_the_increment_of_nelson_aalen():
    generator = np.random.default_rng(0)
    step, event = generator.integers(0, 6, 500), generator.random(500) < 0.6
    times, cumulative = nelson_aalen_estimator(event, step + 1)
    found = covariate_free_hazard(step, event, steps=6, events_per_interval=1)
    assert times.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(found, np.diff(cumulative, prepend=0), rtol=1e-12)


def test_sparse_steps_share_a_hazard_and_none_is_zero():
    step = np.array([0] * 12 + [1, 2, 3, 4, 4, 9])
    event = np.array([True] * 10 + [False] * 2 + [True, False, False, True, False, False])
    found = covariate_free_hazard(step, event, steps=12)
    # 12 events in all: the second interval would hold two only, so everything is one interval.
    at_risk = [18, 6, 5, 4, 3, 1, 1, 1, 1, 1]
    np.testing.assert_allclose(found, np.full(12, 12 / sum(at_risk)))


def test_no_event_is_refused():
    with pytest.raises(ValueError, match="at least one event"):
        covariate_free_hazard(np.array([1, 2]), np.array([False, False]), steps=3)
