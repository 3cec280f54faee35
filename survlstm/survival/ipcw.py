"""Follow-up and the censoring curve → who has had the event at a horizon, weighted for those whom censoring hides."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Real

from survlstm.survival.follow_up import check_follow_up, check_increasing
from survlstm.survival.kaplan_meier import KaplanMeier


class WeightedOutcome(NamedTuple):
    """``happened`` at one horizon, with the inverse probability of being seen; weight 0 = censored before it."""

    happened: Bool[np.ndarray, " subject"]
    weight: Float[np.ndarray, " subject"]


def outcome_at(
    horizon: int | float,
    *,
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    censoring: KaplanMeier,
) -> WeightedOutcome:
    """Event at T <= t: weight 1/G(T-); T > t: weight 1/G(t); censored at T <= t: weight 0.

    ``censoring`` is the ``censoring_curve`` G of the training subjects; estimated on the same subjects the weights sum
    to their number. A subject censored exactly at t counts as hidden. ValueError as in ``check_horizons``. Gerds &
    Schumacher 2006, Biometrical Journal 48:1029.
    """
    check_follow_up(duration, event)
    check_horizons(np.array([horizon]), duration=duration, censoring=censoring)
    happened = event & (duration <= horizon)
    weight = np.where(duration > horizon, 1 / censoring.at(np.array([horizon])), 0.0)
    weight[happened] = 1 / censoring.before(duration[happened])
    return WeightedOutcome(happened, weight)


def supported_horizons(
    horizon: Real[np.ndarray, " horizon"], *, duration: Real[np.ndarray, " subject"], censoring: KaplanMeier
) -> Real[np.ndarray, " supported"]:
    """The horizons at which scores can be computed: some subject is followed for longer and G(t) is known and > 0."""
    return horizon[_is_supported(horizon, duration=duration, censoring=censoring)]


def check_horizons(
    horizon: Real[np.ndarray, " horizon"], *, duration: Real[np.ndarray, " subject"], censoring: KaplanMeier
) -> None:
    """ValueError, with the last supported one, unless the horizons are increasing and all supported."""
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
