"""covariate_free_hazard: agreement with scikit-survival's Nelson-Aalen estimate, pooling and exposures."""

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


def test_a_censored_subject_counts_for_its_exposure():
    """In each of ten copies one has the event, two survive, and one is censored halfway through the first step."""
    step, event = np.tile([0, 0, 0, -1], 10), np.tile([True, False, False, False], 10)
    exposure = np.tile([0, 0, 0, 0.5], 10)
    np.testing.assert_allclose(covariate_free_hazard(step, event, steps=1, exposure=exposure), [1 / 3.5])
    np.testing.assert_allclose(covariate_free_hazard(step, event, steps=1), [1 / 3])


def test_the_exposure_is_in_the_step_after_the_last_survived_one():
    # Events per step: 10, 10. At risk: 40, and 10 + 8 survivors; 12 more are observed in a quarter of the second step.
    step, event = np.repeat([0, 1, 1, 0], [10, 10, 8, 12]), np.repeat([True, True, False, False], [10, 10, 8, 12])
    exposure = np.repeat([0, 0.25], [28, 12])
    found = covariate_free_hazard(step, event, steps=2, exposure=exposure)
    np.testing.assert_allclose(found, [10 / 40, 10 / (18 + 12 / 4)])


@pytest.mark.parametrize("at_start", [9, 10, 11, 25, 120])
def test_no_step_has_a_hazard_of_zero_however_many_events_come_at_once(at_start):
    step = np.concatenate([np.zeros(at_start, dtype=int), np.arange(1, 12)])
    event = np.concatenate([np.ones(at_start, dtype=bool), np.zeros(11, dtype=bool)])
    assert (covariate_free_hazard(step, event, steps=15) > 0).all()


def test_no_event_is_refused():
    with pytest.raises(ValueError, match="at least one event"):
        covariate_free_hazard(np.array([1, 2]), np.array([False, False]), steps=3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"exposure": np.array([0.0, 1.5])}, "exposure must be within 0..1; 1 of 2"),
        ({"exposure": np.array([0.5, 0.0])}, "exposure must be 0 for a subject with the event; 1 of 1"),
    ],
)
def test_invalid_exposures_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        covariate_free_hazard(np.array([1, 2]), np.array([True, False]), steps=3, **given)
