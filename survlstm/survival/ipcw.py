"""Inverse probability of censoring weights (IPCW) of the outcome at a horizon, and the horizons at which they exist."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Real

from survlstm.survival.case_weights import check_weight
from survlstm.survival.follow_up import check_follow_up, check_increasing
from survlstm.survival.kaplan_meier import KaplanMeier


class WeightedOutcome(NamedTuple):
    """Outcome of every subject at one horizon, with the weight that accounts for censoring.

    Attributes:
        happened: True if the event is observed at or before the horizon; shape (subject,).
        weight: inverse probability of being uncensored, >= 1, or 0 if the outcome at the horizon is unknown; shape
            (subject,). With case weights it is multiplied by the subject's own, divided by their mean.
    """

    happened: Bool[np.ndarray, " subject"]
    weight: Float[np.ndarray, " subject"]


def outcome_at(
    horizon: int | float,
    *,
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    censoring: KaplanMeier,
    weight: Float[np.ndarray, " subject"] | None = None,
) -> WeightedOutcome:
    """Determine which subjects have had the event by a horizon t, with inverse probability of censoring weights.

    ====================  ============  ========
    duration T            happened      weight
    ====================  ============  ========
    event at T <= t       True          1/G(T-)
    T > t                 False         1/G(t)
    censored at T <= t    False         0
    ====================  ============  ========

    A subject censored exactly at t is unknown at t. If G is estimated on the same subjects, the weights sum to their
    number.

    Source: Gerds & Schumacher 2006, Biometrical Journal 48:1029.

    Args:
        horizon: t, in the unit of ``duration``.
        duration: time to the event or to the end of follow-up, finite and >= 0; shape (subject,).
        event: True = event, False = censored at ``duration``; shape (subject,), boolean.
        censoring: G, the ``censoring_curve`` of the training subjects, in the unit of ``duration``.
        weight: case weight of each subject, > 0; shape (subject,). None = 1 each. The weights are divided by their
            mean, so that the mean over the subjects of a weighted value is its weighted mean.

    Returns:
        Outcome and weight of every subject.

    Raises:
        ValueError: the follow-up is invalid (``check_follow_up``), the horizon is not supported (``check_horizons``),
            or a case weight is not finite and > 0.

    Example:
        >>> follow_up = {"duration": np.array([1, 2, 2, 3]), "event": np.array([True, True, False, False])}
        >>> outcome_at(2, **follow_up, censoring=censoring_curve(**follow_up)).weight.tolist()
        [1.0, 1.0, 0.0, 2.0]
    """
    check_follow_up(duration, event)
    check_horizons(np.array([horizon]), duration=duration, censoring=censoring)
    check_weight(weight, subjects=len(duration))
    happened = event & (duration <= horizon)
    inverse = np.where(duration > horizon, 1 / censoring.at(np.array([horizon])), 0.0)
    inverse[happened] = 1 / censoring.before(duration[happened])
    return WeightedOutcome(happened, inverse if weight is None else inverse * (weight / weight.mean()))


def supported_horizons(
    horizon: Real[np.ndarray, " horizon"], *, duration: Real[np.ndarray, " subject"], censoring: KaplanMeier
) -> Real[np.ndarray, " supported"]:
    """Select the horizons at which weighted metrics can be computed.

    A horizon t is supported if t >= 0, at least one evaluated subject is followed for longer than t, and G(t) is known
    and above 0.

    Args:
        horizon: times in the unit of ``duration``; shape (horizon,), finite, in any order.
        duration: durations of the evaluated subjects; shape (subject,).
        censoring: G, the ``censoring_curve`` of the training subjects.

    Returns:
        The supported horizons in the order given; possibly none.

    Example:
        >>> duration, event = np.array([1, 2, 2, 3]), np.array([True, True, False, False])
        >>> supported_horizons(np.array([1, 2, 3]), duration=duration, censoring=censoring_curve(duration, event))
        array([1, 2])
    """
    return horizon[_is_supported(horizon, duration=duration, censoring=censoring)]


def check_horizons(
    horizon: Real[np.ndarray, " horizon"], *, duration: Real[np.ndarray, " subject"], censoring: KaplanMeier
) -> None:
    """Check that horizons are strictly increasing and that weighted metrics exist at all of them.

    Args:
        horizon: times in the unit of ``duration``; shape (horizon,).
        duration: durations of the evaluated subjects; shape (subject,).
        censoring: G, the ``censoring_curve`` of the training subjects.

    Raises:
        ValueError: the horizons are not strictly increasing or not finite, or one of them is not supported (see
            ``supported_horizons``). The message names the last supported one.
    """
    check_increasing(horizon)
    supported = _is_supported(horizon, duration=duration, censoring=censoring)
    if not supported.all():
        inside = horizon[supported]
        last = f"the last supported of them is {inside[-1]:g}" if len(inside) else "none of them is supported"
        until = "before" if censoring.survival[-1] == 0 else "until"
        raise ValueError(
            f"a horizon must be >= 0, before {duration.max():g}, the longest duration of the evaluated subjects, and "
            f"{until} {censoring.times[-1]:g}, where the censoring curve ends; {int((~supported).sum())} of "
            f"{len(horizon)} are not (min {horizon.min():g}, max {horizon.max():g}), {last}"
        )


def _is_supported(horizon: np.ndarray, *, duration: np.ndarray, censoring: KaplanMeier) -> np.ndarray:
    supported = (horizon >= 0) & (horizon < duration.max()) & (horizon <= censoring.times[-1])
    supported[supported] = censoring.at(horizon[supported]) > 0
    return supported
