"""fit_drift: how a hazard goes on after a landmark, learnt from subjects whom the model has not seen."""

import numpy as np
import pytest
from scipy.special import expit

from survlstm.evaluation.hazard_extrapolation import HazardExtrapolation, fit_hazard_extrapolation


def drawn(shift, slope, *, subjects, seed=0, steps=10):
    generator = np.random.default_rng(seed)
    logit = generator.normal(-2.0, 1.0, subjects)
    hazard = HazardExtrapolation(shift, slope, float(logit.mean())).hazard(logit, steps=steps)
    happens = generator.random(hazard.shape) < hazard
    event = happens.any(axis=1)
    return logit, np.where(event, happens.argmax(axis=1), steps - 1), event


def test_the_drift_that_drew_the_events_is_found():
    logit, step, event = drawn(-0.2, -0.4, subjects=20_000)
    found = fit_hazard_extrapolation(logit, step=step, event=event, steps=10)
    assert found.shift == pytest.approx(-0.2, abs=0.05)
    assert found.slope == pytest.approx(-0.4, abs=0.05)


def test_hazards_that_do_not_drift_are_held():
    logit, step, event = drawn(0.0, 0.0, subjects=20_000)
    found = fit_hazard_extrapolation(logit, step=step, event=event, steps=10)
    assert found.hazard(logit[:5], steps=10) == pytest.approx(
        np.repeat(expit(logit[:5])[:, None], 10, axis=1), abs=0.02
    )


@pytest.mark.parametrize("subjects", [0, 1])
def test_without_subjects_to_learn_from_the_hazard_is_held(subjects):
    logit = np.full(subjects, -1.0)
    nothing = np.zeros(subjects, dtype=np.int64)
    found = fit_hazard_extrapolation(logit, step=nothing, event=np.zeros(subjects, dtype=bool), steps=10)
    assert found.hazard(np.array([0.0, -2.0]), steps=4) == pytest.approx(np.repeat(expit([[0.0], [-2.0]]), 4, axis=1))


def test_the_first_step_is_the_model_itself_and_certainty_stays():
    drift = HazardExtrapolation(shift=0.7, slope=-0.9, centre=-1.0)
    logit = np.array([-3.0, 0.5, np.inf, -np.inf])
    hazard = drift.hazard(logit, steps=3)
    assert hazard[:, 0] == pytest.approx(expit(logit))
    assert hazard[2:].tolist() == [[1, 1, 1], [0, 0, 0]]


def test_the_first_step_teaches_nothing():
    """Only later steps tell how a hazard drifts; the first belongs to the model."""
    logit = np.full(50, -1.0)
    step = np.zeros(50, dtype=np.int64)
    found = fit_hazard_extrapolation(logit, step=step, event=np.ones(50, dtype=bool), steps=10)
    assert (found.shift, found.slope) == (0.0, 0.0)
