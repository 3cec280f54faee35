"""Kaplan-Meier curves of the event and of the censoring, with their variance and confidence intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Real
from scipy.special import ndtri

from survlstm.survival.case_weights import check_weight
from survlstm.survival.follow_up import check_follow_up


@dataclass(frozen=True)
class KaplanMeier:
    """A Kaplan-Meier curve: a right-continuous step function of time.

    ``survival[k]`` is the value from ``times[k]``, included, to ``times[k + 1]``, excluded. Before ``times[0]`` the
    curve is 1. After the last time it is 0 if it has reached 0, and unknown otherwise.

    Attributes:
        times: distinct observed durations in increasing order, those with censorings only included, in the unit of the
            durations; shape (step,).
        survival: value of the curve from each time on, 0 to 1; shape (step,).
        at_risk: number of subjects at risk just before each time; shape (step,). In a curve of the censoring, the
            subjects with the event at the time are not counted. With case weights it is the sum of their weights.
        events: number of subjects with the event at each time, or the sum of their weights; shape (step,). In a curve
            of the censoring, the number of subjects censored at each time.
    """

    times: Float[np.ndarray, " step"]
    survival: Float[np.ndarray, " step"]
    at_risk: Real[np.ndarray, " step"]
    events: Real[np.ndarray, " step"]

    def at(self, time: Real[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Read S(t), which includes the drop at t.

        Args:
            time: any shape, in the unit of ``times``; below ``times[0]`` the value is 1.

        Returns:
            Probabilities of the shape of ``time``.

        Raises:
            ValueError: a time is NaN, or later than the last time of a curve that has not reached 0.

        Example:
            >>> curve = kaplan_meier(np.array([1, 2, 2, 3]), np.array([True, True, False, False]))
            >>> curve.at(np.array([0.5, 2])).tolist()
            [1.0, 0.5]
        """
        return self._read(time, side="right")

    def before(self, time: Real[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Read S(t-), the limit from the left, which does not include the drop at t.

        Args:
            time: any shape, in the unit of ``times``; up to and including ``times[0]`` the value is 1.

        Returns:
            Probabilities of the shape of ``time``.

        Raises:
            ValueError: a time is NaN, or later than the last time of a curve that has not reached 0.

        Example:
            >>> curve = kaplan_meier(np.array([1, 2, 2, 3]), np.array([True, True, False, False]))
            >>> curve.before(np.array([0.5, 2])).tolist()
            [1.0, 0.75]
        """
        return self._read(time, side="left")

    def _read(self, time: np.ndarray, *, side: Literal["left", "right"]) -> np.ndarray:
        if np.isnan(time).any():
            raise ValueError(
                f"times to read a curve at must be numbers; {int(np.isnan(time).sum())} of {time.size} are NaN"
            )
        beyond = time > self.times[-1]
        if beyond.any() and self.survival[-1] > 0:
            raise ValueError(
                f"the curve is known until {self.times[-1]:g}, the longest duration it was estimated from; "
                f"{int(beyond.sum())} of {time.size} times are later (max {time.max():g})"
            )
        return read_steps(self.survival, times=self.times, time=time, first=1.0, side=side)


class Band(NamedTuple):
    """Pointwise confidence interval of a curve at each of its times.

    Attributes:
        low: lower limit, 0 to 1; shape (step,). NaN where the curve is 0 or 1.
        high: upper limit, 0 to 1; shape (step,). NaN where the curve is 0 or 1.
    """

    low: Float[np.ndarray, " step"]
    high: Float[np.ndarray, " step"]


def kaplan_meier(
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    *,
    weight: Float[np.ndarray, " subject"] | None = None,
) -> KaplanMeier:
    """Estimate the survival curve S(t): the probability that the event happens after t.

    At each time with d events among n subjects at risk, the curve is multiplied by 1 - d / n. At equal times events
    come before censorings: a subject censored at t is at risk of an event at t.

    Source: Kaplan & Meier 1958, Journal of the American Statistical Association 53:457.

    Args:
        duration: time to the event or to the end of follow-up, finite and >= 0; shape (subject,), integer or floating,
            any unit.
        event: True = event, False = censored at ``duration``; shape (subject,), boolean.
        weight: case weight of each subject, > 0; shape (subject,). None = 1 each.

    Returns:
        The curve, with one entry per distinct duration.

    Raises:
        ValueError: there is no subject, the lengths differ, ``event`` is not boolean, a duration is negative, NaN or
            infinite, or a weight is not finite and > 0.

    Example:
        >>> curve = kaplan_meier(np.array([1, 2, 2, 3]), np.array([True, True, False, False]))
        >>> curve.times.tolist(), curve.survival.tolist()
        ([1.0, 2.0, 3.0], [0.75, 0.5, 0.5])
    """
    times, later, events, censored = _counts(duration, event, weight)
    return _product_limit(times, later + censored, events)


def censoring_curve(
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    *,
    weight: Float[np.ndarray, " subject"] | None = None,
) -> KaplanMeier:
    """Estimate the censoring curve G(t): the probability that the censoring happens after t.

    At equal times events come before censorings: a subject with the event at t is not at risk of the censoring at t.
    With this convention alone, the weights 1/G(T-) of events and 1/G(t) of subjects followed beyond t sum to the number
    of subjects. The result differs from ``kaplan_meier(duration, ~event)``, which counts the subjects with an event at
    t as at risk of the censoring at t.

    Estimate G on the training subjects and pass it to ``brier``, ``c_uno`` and the other functions that take
    ``censoring`` (``docs/conventions.md``, section The censoring curve G).

    Args:
        duration: time to the event or to the end of follow-up, finite and >= 0; shape (subject,), integer or floating,
            any unit.
        event: True = event, False = censored at ``duration``; shape (subject,), boolean.
        weight: case weight of each subject, > 0; shape (subject,). None = 1 each.

    Returns:
        The curve, with one entry per distinct duration; its ``events`` are the censorings.

    Raises:
        ValueError: there is no subject, the lengths differ, ``event`` is not boolean, a duration is negative, NaN or
            infinite, or a weight is not finite and > 0.

    Example:
        >>> curve = censoring_curve(np.array([1, 2, 2, 3]), np.array([True, True, False, False]))
        >>> curve.times.tolist(), curve.survival.tolist()
        ([1.0, 2.0, 3.0], [1.0, 0.5, 0.0])
    """
    times, later, _, censored = _counts(duration, event, weight)
    return _product_limit(times, later, censored)


def greenwood_variance(curve: KaplanMeier) -> Float[np.ndarray, " step"]:
    """Compute the variance of S(t) at each time of a curve: S² Σ d / (n (n - d)) over the times up to it.

    Source: Greenwood 1926, The Errors of Sampling of the Survivorship Tables, Reports on Public Health and Statistical
    Subjects 33.

    Args:
        curve: the result of ``kaplan_meier``.

    Returns:
        Variances of shape (step,); 0 where the curve is 1, NaN where it is 0.

    Example:
        >>> curve = kaplan_meier(np.array([1, 2, 2, 3]), np.array([True, True, False, False]))
        >>> greenwood_variance(curve).round(4).tolist()
        [0.0469, 0.0625, 0.0625]
    """
    return curve.survival**2 * _relative_variance(curve)


def confidence_band(curve: KaplanMeier, *, confidence: float = 0.95) -> Band:
    """Compute the log-log confidence interval S^exp(±z s / log S) of a curve, which stays between 0 and 1.

    s² is Greenwood's sum, the variance of log S, and z the normal quantile. The interval is pointwise: it covers S(t)
    with the given confidence at each time, not the whole curve at once.

    Source: Kalbfleisch & Prentice 2002, The Statistical Analysis of Failure Time Data, section 1.4.1.

    Args:
        curve: the result of ``kaplan_meier``.
        confidence: coverage, between 0 and 1, both excluded.

    Returns:
        Lower and upper limits of shape (step,); NaN where the curve is 0 or 1.

    Raises:
        ValueError: ``confidence`` is not between 0 and 1.

    Example:
        >>> curve = kaplan_meier(np.array([1, 2, 2, 3]), np.array([True, True, False, False]))
        >>> confidence_band(curve).low.round(4).tolist()
        [0.1279, 0.0578, 0.0578]
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, both excluded; found {confidence}")
    inside = (curve.survival > 0) & (curve.survival < 1)
    log_survival = np.log(curve.survival, out=np.full(len(curve.times), np.nan), where=inside)
    half_width = ndtri((1 + confidence) / 2) * np.sqrt(_relative_variance(curve)) / -log_survival
    return Band(np.exp(log_survival * np.exp(half_width)), np.exp(log_survival * np.exp(-half_width)))


def read_steps(
    values: np.ndarray, *, times: np.ndarray, time: np.ndarray, first: float, side: Literal["left", "right"]
) -> np.ndarray:
    """Read a step function at given times.

    Args:
        values: value from each of ``times`` on; axis 0 is the step, further axes are kept.
        times: times of the steps in increasing order; shape (step,).
        time: times to read, any shape, in the unit of ``times``. The last value continues after the last step.
        first: value before the first step.
        side: ``"right"`` includes a step at the time itself, ``"left"`` reads the limit from the left.

    Returns:
        Array of shape ``time.shape + values.shape[1:]``.

    Example:
        >>> read_steps(np.array([0.8, 0.5]), times=np.array([1, 2]), time=np.array([0, 2]), first=1.0, side="right")
        array([1. , 0.5])
    """
    index = np.searchsorted(times, time, side=side)
    return np.concatenate([np.full_like(values[:1], first), values])[index]


def _counts(
    duration: np.ndarray, event: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct durations with the numbers, or weights, of later durations, of events and of censorings."""
    check_follow_up(duration, event)
    check_weight(weight, subjects=len(duration))
    times, position = np.unique(duration, return_inverse=True)
    events, censored = (
        np.bincount(position[kept], None if weight is None else weight[kept], minlength=len(times))
        for kept in (event, ~event)
    )
    # Summed from the last time on, so that sums of weights that are not integers are exactly 0 after it.
    later = np.append(np.cumsum((events + censored)[:0:-1])[::-1], 0)
    return times.astype(float), later, events, censored


def _product_limit(times: np.ndarray, staying: np.ndarray, events: np.ndarray) -> KaplanMeier:
    at_risk = staying + events
    # Nobody is at risk of censoring at a time where all remaining subjects have the event. Nobody is censored there
    # either, and 0 / 0 leaves the curve unchanged.
    share = np.divide(staying, at_risk, out=np.ones(len(times)), where=at_risk > 0)
    return KaplanMeier(times, np.cumprod(share), at_risk, events)


def _relative_variance(curve: KaplanMeier) -> np.ndarray:
    """Return Greenwood's sum, the variance of log S; NaN where the curve is 0."""
    remaining = curve.at_risk * (curve.at_risk - curve.events)
    terms = np.divide(curve.events, remaining, out=np.zeros(len(curve.times)), where=remaining > 0)
    return np.where(curve.survival > 0, np.cumsum(terms), np.nan)
