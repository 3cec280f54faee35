"""Hazards at a landmark and what came after it → how a hazard goes on when nothing more is known of the subject."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from survlstm.data.ragged import flat_positions

# Standard deviation of the prior of both coefficients: without subjects to learn from the hazard is held.
PRIOR = 1.0


class HazardExtrapolation(NamedTuple):
    """logit h_k = l + log(1 + k) (shift + slope (l - centre)), where l is the logit of the landmark's own hazard."""

    shift: float
    slope: float
    centre: float

    def hazard(self, logit: Float[np.ndarray, " subject"], *, steps: int) -> Float[np.ndarray, "subject {steps}"]:
        """Hazards of steps 0..steps-1 after the landmark; that of step 0 is the landmark's own."""
        from scipy.special import expit

        # A certain hazard (0 or 1) stays what it is.
        further = np.where(np.isfinite(logit), self.shift + self.slope * (logit - self.centre), 0.0)
        return expit(logit[:, None] + np.log1p(np.arange(steps)) * further[:, None])


def fit_hazard_extrapolation(
    logit: Float[np.ndarray, " subject"],
    *,
    step: Int64[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    steps: int,
) -> HazardExtrapolation:
    """The likeliest drift over steps 1..steps-1 of subjects whom the model was not fitted to.

    ``step`` is the last at-risk step after the landmark. High hazards fall back and low ones rise as a record goes on:
    held where they stand, they would promise too much to either end. Landmarking in two stages, as in van Houwelingen
    2007, Scandinavian Journal of Statistics 34:70.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    known = np.isfinite(logit)
    logit, step, event = logit[known], step[known], event[known]
    centre = float(logit.mean()) if len(logit) else 0.0
    later = np.minimum(step, steps - 1)
    row = np.repeat(np.arange(len(logit)), later)
    number = flat_positions(np.ones_like(later), later)
    happened = event[row] & (number == step[row])
    weight = np.log1p(number)
    design = np.column_stack([weight, weight * (logit[row] - centre)])

    def loss(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        at = logit[row] + design @ coefficients
        value = (np.logaddexp(0, at) - happened * at).sum() + (coefficients**2).sum() / (2 * PRIOR**2)
        return value, design.T @ (expit(at) - happened) + coefficients / PRIOR**2

    shift, slope = minimize(loss, np.zeros(2), jac=True, method="BFGS").x
    return HazardExtrapolation(float(shift), float(slope), centre)


def log_odds(hazard: Float[np.ndarray, "*row"]) -> Float[np.ndarray, "*row"]:
    """Log-odds; infinite where a hazard is 0 or 1."""
    with np.errstate(divide="ignore"):
        return np.log(hazard) - np.log1p(-hazard)
