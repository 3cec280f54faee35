"""Durations and event flags → Kaplan-Meier curves, of the event and of the censoring, with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real
from scipy.special import ndtri

from survlstm.survival.follow_up import check_follow_up


@dataclass(frozen=True)
class KaplanMeier:
    """A right-continuous step function: ``survival[k]`` holds from ``times[k]`` until just before ``times[k + 1]``.

    ``times`` are all distinct observed durations, those with censorings only included, in the caller's unit; before the
    first the curve is 1. ``at_risk`` counts the subjects just before each time, ``events`` those who fall at it.
    """

    times: Float[np.ndarray, " step"]
    survival: Float[np.ndarray, " step"]
    at_risk: Int[np.ndarray, " step"]
    events: Int[np.ndarray, " step"]

    def at(self, time: Real[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """S(t), the drop at t included. ValueError behind the last time, unless the curve has reached 0 there."""
        return self._read(time, side="right")

    def before(self, time: Real[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """S(t-), the left limit: the drop at t not yet included. ValueError as in ``at``."""
        return self._read(time, side="left")

    def _read(self, time: np.ndarray, *, side: Literal["left", "right"]) -> np.ndarray:
        if np.isnan(time).any():
            raise ValueError(f"a curve is read at times; {int(np.isnan(time).sum())} of {time.size} are NaN")
        behind = time > self.times[-1]
        if behind.any() and self.survival[-1] > 0:
            raise ValueError(
                f"the curve is known until {self.times[-1]:g}, the longest duration it was estimated from; "
                f"{int(behind.sum())} of {time.size} times lie behind (max {time.max():g})"
            )
        return read_steps(self.survival, times=self.times, time=time, first=1.0, side=side)


class Band(NamedTuple):
    """A pointwise confidence interval at every step of a curve; NaN where the curve is 0 or 1."""

    low: Float[np.ndarray, " step"]
    high: Float[np.ndarray, " step"]


def kaplan_meier(duration: Real[np.ndarray, " subject"], event: Bool[np.ndarray, " subject"]) -> KaplanMeier:
    """S(t), the probability that the event comes after t; a subject censored at t is still at risk at t.

    ValueError for no subject, lengths that differ, and durations that are negative, NaN or infinite. Kaplan & Meier
    1958, JASA 53:457.
    """
    times, at_risk, events, _ = _counts(duration, event)
    return _product_limit(times, at_risk, events)


def censoring_curve(duration: Real[np.ndarray, " subject"], event: Bool[np.ndarray, " subject"]) -> KaplanMeier:
    """G(t), the probability that censoring comes after t; events at t come before the censorings at t.

    So a subject with the event at t is not at risk of the censoring at t: only then do the weights 1/G(T-) of events
    and 1/G(t) of survivors sum to the number of subjects. Not the same as ``kaplan_meier(duration, ~event)``, which
    counts the events at t as at risk. Errors as there.
    """
    times, at_risk, events, censored = _counts(duration, event)
    return _product_limit(times, at_risk - events, censored)


def greenwood_variance(curve: KaplanMeier) -> Float[np.ndarray, " step"]:
    """The variance of S(t) at every step: S² Σ d / (n (n - d)); NaN where the curve is 0. Greenwood 1926."""
    return curve.survival**2 * _relative_variance(curve)


def confidence_band(curve: KaplanMeier, *, confidence: float = 0.95) -> Band:
    """The log-log interval S^exp(±z s / log S), which stays within 0..1; pointwise, not simultaneous.

    ``confidence`` must lie between 0 and 1 (ValueError). Kalbfleisch & Prentice 2002, section 1.4.1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, both excluded; found {confidence}")
    inside = (curve.survival > 0) & (curve.survival < 1)
    log_survival = np.log(curve.survival, out=np.full(len(curve.times), np.nan), where=inside)
    half_width = ndtri((1 + confidence) / 2) * np.sqrt(_relative_variance(curve)) / -log_survival
    return Band(np.exp(log_survival * np.exp(half_width)), np.exp(log_survival * np.exp(-half_width)))


def read_steps(
    values: np.ndarray, *, times: np.ndarray, time: np.ndarray, first: float, side: Literal["left", "right"]
) -> np.ndarray:
    """The value of a step function at each ``time``; ``first`` before the first step, axis 0 of ``values`` is steps."""
    index = np.searchsorted(times, time, side=side)
    return np.concatenate([np.full_like(values[:1], first), values])[index]


def _counts(duration: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distinct durations with the subjects at risk, events and censorings at each."""
    check_follow_up(duration, event)
    times, position = np.unique(duration, return_inverse=True)
    leaving = np.bincount(position)
    events = np.bincount(position[event], minlength=len(times))
    at_risk = len(duration) - np.cumsum(leaving) + leaving
    return times.astype(float), at_risk, events, leaving - events


def _product_limit(times: np.ndarray, at_risk: np.ndarray, events: np.ndarray) -> KaplanMeier:
    # Where nobody is at risk of censoring, nobody is censored: 0 of 0 leaves the curve where it is.
    staying = np.divide(at_risk - events, at_risk, out=np.ones(len(times)), where=at_risk > 0)
    return KaplanMeier(times, np.cumprod(staying), at_risk, events)


def _relative_variance(curve: KaplanMeier) -> np.ndarray:
    """Greenwood's sum, the variance of log S; NaN from where the curve is 0."""
    remaining = curve.at_risk * (curve.at_risk - curve.events)
    terms = np.divide(curve.events, remaining, out=np.zeros(len(curve.times)), where=remaining > 0)
    return np.where(curve.survival > 0, np.cumsum(terms), np.nan)
