"""covariate_free_hazard: agreement with scikit-survival's Nelson-Aalen estimate, and the pooling of sparse steps."""

import numpy as np
import pytest
from sksurv.nonparametric import nelson_aalen_estimator

from survlstm.survival.covariate_free import covariate_free_hazard


def test_where_every_step_has_ten_events_it_is_the_increment_of_nelson_aalen():
    generator = np.random.default_rng(0)
    step, event = generator.integers(0, 6, 500), generator.random(500) < 0.6
    times, cumulative = nelson_aalen_estimator(event, step + 1)
    assert np.bincount(step[event]).min() >= 10
    assert times.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(covariate_free_hazard(step, event, steps=6), np.diff(cumulative, prepend=0), rtol=1e-12)


def test_sparse_steps_share_a_hazard():
    # Events per step: 4, 7, 0, 10, 3, 0; at risk: 40, 34, 25, 24, 12, 7.
    step = np.repeat([0, 1, 2, 3, 4, 5], [6, 9, 1, 12, 5, 7])
    event = np.concatenate(
        [np.arange(size) < held for size, held in ((6, 4), (9, 7), (1, 0), (12, 10), (5, 3), (7, 0))]
    )
    first, second = 11 / (40 + 34), 13 / (25 + 24 + 12 + 7)
    np.testing.assert_allclose(covariate_free_hazard(step, event, steps=6), [first, first, *[second] * 4])


@pytest.mark.parametrize("at_start", [9, 10, 11, 25, 120])
def test_no_step_has_a_hazard_of_zero_however_many_events_come_at_once(at_start):
    step = np.concatenate([np.zeros(at_start, dtype=int), np.arange(1, 12)])
    event = np.concatenate([np.ones(at_start, dtype=bool), np.zeros(11, dtype=bool)])
    assert (covariate_free_hazard(step, event, steps=15) > 0).all()


def test_no_event_is_refused():
    with pytest.raises(ValueError, match="at least one event"):
        covariate_free_hazard(np.array([1, 2]), np.array([False, False]), steps=3)
