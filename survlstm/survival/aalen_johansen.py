"""Aalen-Johansen estimate of the cumulative incidence of competing events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Real

from survlstm.survival.follow_up import check_follow_up
from survlstm.survival.kaplan_meier import kaplan_meier, read_steps


@dataclass(frozen=True)
class CumulativeIncidence:
    """Cumulative incidence of competing events: right-continuous step functions of time, one per cause.

    At every time the incidences of all causes and the survival sum to 1. Before ``times[0]`` the incidences are 0.

    Attributes:
        times: distinct observed durations in increasing order, in the unit of the durations; shape (step,).
        incidence: probability that the event of cause c + 1 happens first and at or before each time, in column c;
            shape (step, cause).
        survival: probability of no event of any cause at or before each time; shape (step,).
    """

    times: Float[np.ndarray, " step"]
    incidence: Float[np.ndarray, "step cause"]
    survival: Float[np.ndarray, " step"]

    def at(self, time: Real[np.ndarray, " horizon"]) -> Float[np.ndarray, "horizon cause"]:
        """Read the probability of each cause at or before t.

        Args:
            time: times in the unit of ``times``; shape (horizon,).

        Returns:
            Probabilities of shape (horizon, cause).

        Raises:
            ValueError: a time is NaN, or later than the last time of an estimate whose survival has not reached 0.

        Example:
            >>> estimate = aalen_johansen(np.array([1, 2, 2, 3]), np.array([1, 2, 0, 1]), causes=2)
            >>> estimate.at(np.array([0, 2])).tolist()
            [[0.0, 0.0], [0.25, 0.25]]
        """
        beyond = ~(time <= self.times[-1])
        if beyond.any() and (self.survival[-1] > 0 or np.isnan(time).any()):
            raise ValueError(
                f"the incidence is known until {self.times[-1]:g}, the longest duration it was estimated from; "
                f"{int(beyond.sum())} of {len(time)} times are NaN or later"
            )
        return read_steps(self.incidence, times=self.times, time=time, first=0.0, side="right")


def aalen_johansen(
    duration: Real[np.ndarray, " subject"], cause: Int[np.ndarray, " subject"], *, causes: int
) -> CumulativeIncidence:
    """Estimate the cumulative incidence of each cause c: the probability that c happens first and at or before t.

    With d_c events of the cause among n subjects at risk at each time and S the Kaplan-Meier curve of all events
    together, the incidence is the sum of S(t-) d_c / n over the times up to t. The other causes are competing events,
    not censorings. At equal times events come before censorings: a subject censored at t is at risk at t.

    Source: Aalen & Johansen 1978, Scandinavian Journal of Statistics 5:141.

    Args:
        duration: time to the first event or to the end of follow-up, finite and >= 0; shape (subject,), any unit.
        cause: 0 = censored at ``duration``, 1 … ``causes`` = cause of the event; shape (subject,), integer.
        causes: number of causes.

    Returns:
        The incidence of every cause, with one entry per distinct duration.

    Raises:
        ValueError: a cause is outside 0 … ``causes``, there is no subject, the lengths differ, or a duration is
            negative, NaN or infinite.

    Example:
        >>> estimate = aalen_johansen(np.array([1, 2, 2, 3]), np.array([1, 2, 0, 1]), causes=2)
        >>> estimate.incidence.tolist()
        [[0.25, 0.0], [0.25, 0.25], [0.75, 0.25]]
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
