"""Extrapolation of the hazard at a landmark to later steps, for a model that predicts one step ahead."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from survlstm.utils.ragged import flat_positions

# Standard deviation of the normal prior of both coefficients. Without subjects to fit, the hazard stays constant.
PRIOR = 1.0


class HazardExtrapolation(NamedTuple):
    """A fitted extrapolation, logit h_k = l + log(1 + k) (shift + slope (l - centre)).

    Here l is the logit of the hazard at the landmark and k counts the steps after it.

    Attributes:
        shift: Change of the logit of an average subject.
        slope: Change of the logit by its distance from ``centre``.
        centre: Mean of l over the subjects of the fit.
    """

    shift: float
    slope: float
    centre: float

    def hazard(self, logit: Float[np.ndarray, " subject"], *, steps: int) -> Float[np.ndarray, "subject {steps}"]:
        """Extrapolate hazards.

        Args:
            logit: Logit of the hazard at the landmark.
            steps: Number of steps.

        Returns:
            Hazards of the steps 0 to ``steps`` - 1 after the landmark; step 0 has the hazard at the landmark.
        """
        from scipy.special import expit

        # A hazard of 0 or 1 stays as it is.
        change = np.where(np.isfinite(logit), self.shift + self.slope * (logit - self.centre), 0.0)
        return expit(logit[:, None] + np.log1p(np.arange(steps)) * change[:, None])


def fit_hazard_extrapolation(
    logit: Float[np.ndarray, " subject"],
    *,
    step: Int64[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    steps: int,
) -> HazardExtrapolation:
    """Fit the extrapolation by penalised maximum likelihood to subjects on whom the model was not fitted.

    High hazards fall and low hazards rise in the course of a record, so that constant hazards would give predictions
    that are too extreme at both ends. The fit is a second stage on top of the model (two-stage landmarking, van
    Houwelingen 2007, Scandinavian Journal of Statistics 34:70).

    Args:
        logit: Logit of the hazard at the landmark.
        step: Last step at risk, counted from the landmark.
        event: Whether the event happens in that step.
        steps: Number of steps of the extrapolation; the steps 1 to ``steps`` - 1 are fitted.

    Returns:
        The fitted extrapolation.
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
    """Compute the log-odds of hazards.

    Args:
        hazard: Probabilities from 0 to 1, of any shape.

    Returns:
        The natural logarithm of h / (1 - h), in the shape of ``hazard``; infinite where a hazard is 0 or 1.
    """
    with np.errstate(divide="ignore"):
        return np.log(hazard) - np.log1p(-hazard)
