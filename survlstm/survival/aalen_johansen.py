"""Durations and causes → cumulative incidence per cause, with the other causes as competing events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Real

from survlstm.survival.follow_up import check_follow_up
from survlstm.survival.kaplan_meier import kaplan_meier, read_steps


@dataclass(frozen=True)
class CumulativeIncidence:
    """Right-continuous step functions, one per cause; column c is cause c + 1, and all columns with S sum to 1."""

    times: Float[np.ndarray, " step"]
    incidence: Float[np.ndarray, "step cause"]
    survival: Float[np.ndarray, " step"]

    def at(self, time: Real[np.ndarray, " horizon"]) -> Float[np.ndarray, "horizon cause"]:
        """The probability of each cause until t, t included; ValueError for NaN and for times behind the follow-up."""
        behind = ~(time <= self.times[-1])
        if behind.any() and (self.survival[-1] > 0 or np.isnan(time).any()):
            raise ValueError(
                f"the incidence is known until {self.times[-1]:g}, the longest duration it was estimated from; "
                f"{int(behind.sum())} of {len(time)} times are NaN or lie behind"
            )
        return read_steps(self.incidence, times=self.times, time=time, first=0.0, side="right")


def aalen_johansen(
    duration: Real[np.ndarray, " subject"], cause: Int[np.ndarray, " subject"], *, causes: int
) -> CumulativeIncidence:
    """Σ S(t-) d_c / n for each cause c: the probability that it comes first and no later than t.

    ``cause`` is 0 for censored and 1..``causes`` for an event; a subject censored at t is still at risk at t.
    ValueError for a cause outside that range and for the follow-up errors of ``kaplan_meier``. Aalen & Johansen 1978,
    Scandinavian Journal of Statistics 5:141.
    """
    check_follow_up(duration, cause > 0)
    outside = (cause < 0) | (cause > causes)
    if outside.any():
        raise ValueError(
            f"cause must be 0 (censored) or 1..{causes}; {int(outside.sum())} of {len(cause)} subjects have another "
            f"(min {cause.min()}, max {cause.max()})"
        )
    curve = kaplan_meier(duration, cause > 0)
    step = np.searchsorted(curve.times, duration)
    events = np.bincount(step * (causes + 1) + cause, minlength=len(curve.times) * (causes + 1))
    hazard = events.reshape(-1, causes + 1)[:, 1:] / curve.at_risk[:, None]
    return CumulativeIncidence(
        curve.times, np.cumsum(curve.before(curve.times)[:, None] * hazard, axis=0), curve.survival
    )
