# mypy: disable-error-code="import-untyped"
"""Public data sets and random follow-up for the tests of survlstm.survival and for scripts/agreement.py."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sksurv.datasets import load_gbsg2, load_whas500
from sksurv.util import Surv

from survlstm.survival.kaplan_meier import kaplan_meier

# scikit-survival's tests read their WHAS500 scores from a file that its package does not contain. The scores are this
# linear combination of the covariates, which it does contain. The coefficients were solved from 46 of the scores and
# are confirmed for the others by the published counts of pairs.
WHAS500_COEFFICIENTS = {
    "afb": 0.032495111933,
    "age": 0.011509086872,
    "av3": 0.263353411321,
    "bmi": -0.016266485692,
    "chf": 0.147272116224,
    "cvd": -0.083079716861,
    "diasbp": -0.007779131067,
    "gender": -0.089521275495,
    "hr": 0.005718327965,
    "los": -0.013061190088,
    "miord": -0.131019300518,
    "mitype": -0.036162819201,
    "sho": 0.278858293631,
    "sysbp": 0.002440192814,
}


class FollowUp(NamedTuple):
    """Follow-up of evaluated subjects, with one prediction each (or one row of predictions)."""

    duration: np.ndarray
    event: np.ndarray
    prediction: np.ndarray

    @property
    def structured(self) -> Any:
        """Event and duration as the structured array of scikit-survival."""
        return Surv.from_arrays(self.event, self.duration)


def whas500() -> FollowUp:
    """Load the 500 patients of WHAS500 with the score of scikit-survival's own concordance tests."""
    covariates, outcome = load_whas500()
    score = sum(covariates[name].astype(float).to_numpy() * value for name, value in WHAS500_COEFFICIENTS.items())
    return FollowUp(outcome["lenfol"].copy(), outcome["fstat"].copy(), score)


def survival_of(score: np.ndarray) -> np.ndarray:
    """Predict one-year survival from the WHAS500 score by proportional hazards; it is roughly calibrated."""
    return np.exp(-0.22 * np.exp(2.4 * (score - 0.4)))


def gbsg2(horizon: np.ndarray) -> FollowUp:
    """Load the 686 patients of GBSG2 with the predictions of scikit-survival's own Brier tests.

    S(t) is the Kaplan-Meier curve of the patient's Nottingham prognostic group.
    """
    covariates, outcome = load_gbsg2()
    duration, event = outcome["time"].copy(), outcome["cens"].copy()
    grade = covariates["tgrade"].map({"I": 1, "II": 2, "III": 3}).astype(int).to_numpy()
    index = 0.2 * covariates["tsize"].to_numpy() / 10 + 1 + grade
    group = (index >= 3.4).astype(int) + (index > 5.4)
    survival = np.empty((len(duration), len(horizon)))
    for member in range(3):
        chosen = group == member
        survival[chosen] = kaplan_meier(duration[chosen], event[chosen]).at(horizon)
    return FollowUp(duration, event, survival)


def random_follow_up(
    generator: np.random.Generator, *, subjects: int, longest: int = 12, scores: int = 6, event_rate: float = 0.35
) -> FollowUp:
    """Draw durations 1 … ``longest`` and a few distinct scores, so that ties are common; most subjects are censored."""
    duration = generator.integers(1, longest, subjects)
    event = generator.random(subjects) < event_rate
    # One event and one longer follow-up, so that the smallest sample has a comparable pair.
    duration[:2], event[:2] = (1, longest), (True, False)
    return FollowUp(duration, event, generator.integers(0, scores, subjects).astype(float))
