"""Survival at horizons and follow-up → Brier score and binomial log-likelihood, weighted for censoring."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Real

from survlstm.survival.follow_up import (
    check_follow_up,
    check_increasing,
    check_one_column_per_horizon,
    check_probability,
)
from survlstm.survival.ipcw import WeightedOutcome, check_horizons, outcome_at
from survlstm.survival.kaplan_meier import KaplanMeier


def brier(
    survival: Float[np.ndarray, "subject horizon"],
    *,
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    horizon: Real[np.ndarray, " horizon"],
    censoring: KaplanMeier,
) -> Float[np.ndarray, " horizon"]:
    """BS(t) = 1/n Σ [event·1{T <= t} S(t)²/G(T-) + 1{T > t} (1 - S(t))²/G(t)], lower = better, 0.25 = always 1/2.

    ``survival`` is S(t) per subject and horizon; ``censoring`` is the ``censoring_curve`` G of the training subjects.
    scikit-survival reads G at T where this reads G(T-), which differs where a training subject is censored at T; pycox
    divides by the sum of the weights, not by n. ValueError for horizons behind the follow-up (see
    ``supported_horizons``), values outside 0..1 and shapes that differ. Gerds & Schumacher 2006, Biometrical Journal
    48:1029.
    """
    outcomes = _outcomes(survival, duration=duration, event=event, horizon=horizon, censoring=censoring)
    return np.array([brier_of(column, outcome) for column, outcome in outcomes])


def nbll(
    survival: Float[np.ndarray, "subject horizon"],
    *,
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    horizon: Real[np.ndarray, " horizon"],
    censoring: KaplanMeier,
) -> Float[np.ndarray, " horizon"]:
    """NBLL(t) = -1/n Σ [event·1{T <= t} log(1 - S(t))/G(T-) + 1{T > t} log S(t)/G(t)] in nats, lower = better.

    Infinite where a model was certain and wrong: S is not clamped (pycox clamps it to 1e-7..1 - 1e-7). Everything else
    as in ``brier``. Graf et al. 1999, Statistics in Medicine 18:2529.
    """
    outcomes = _outcomes(survival, duration=duration, event=event, horizon=horizon, censoring=censoring)
    return np.array([nbll_of(column, outcome) for column, outcome in outcomes])


def integrated_brier(
    survival: Float[np.ndarray, "subject horizon"],
    *,
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    horizon: Real[np.ndarray, " horizon"],
    censoring: KaplanMeier,
) -> float:
    """The mean of ``brier`` from the first to the last horizon (trapezoid); errors as there and in ``mean_over``."""
    scores = brier(survival, duration=duration, event=event, horizon=horizon, censoring=censoring)
    return mean_over(horizon, scores)


def integrated_nbll(
    survival: Float[np.ndarray, "subject horizon"],
    *,
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    horizon: Real[np.ndarray, " horizon"],
    censoring: KaplanMeier,
) -> float:
    """The mean of ``nbll`` from the first to the last horizon (trapezoid); errors as there and in ``mean_over``."""
    scores = nbll(survival, duration=duration, event=event, horizon=horizon, censoring=censoring)
    return mean_over(horizon, scores)


def brier_of(
    survival: Float[np.ndarray, "*model subject"], outcome: WeightedOutcome
) -> Float[np.ndarray, "*model"] | np.floating:
    """The Brier score at the horizon of ``outcome``, of one model or of several on the same subjects."""
    return (outcome.weight * (survival - ~outcome.happened) ** 2).mean(axis=-1)


def nbll_of(
    survival: Float[np.ndarray, "*model subject"], outcome: WeightedOutcome
) -> Float[np.ndarray, "*model"] | np.floating:
    """The binomial log-likelihood at the horizon of ``outcome``, of one model or of several on the same subjects."""
    seen = outcome.weight > 0
    of_outcome = np.where(outcome.happened, 1 - survival, survival)[..., seen]
    with np.errstate(divide="ignore"):
        return -(outcome.weight[seen] * np.log(of_outcome)).sum(axis=-1) / survival.shape[-1]


def mean_over(horizon: Real[np.ndarray, " horizon"], values: Float[np.ndarray, " horizon"]) -> float:
    """The integral by the trapezoid rule over its range; ValueError for fewer than two increasing horizons."""
    check_increasing(horizon)
    if len(horizon) < 2:
        raise ValueError(f"an integral needs at least two horizons; found {len(horizon)}")
    return float(np.trapezoid(values, horizon) / (horizon[-1] - horizon[0]))


def _outcomes(
    survival: np.ndarray, *, duration: np.ndarray, event: np.ndarray, horizon: np.ndarray, censoring: KaplanMeier
) -> Iterator[tuple[np.ndarray, WeightedOutcome]]:
    """The predictions and weighted outcomes of one horizon after the other, so that memory does not grow with them."""
    check_follow_up(duration, event)
    check_horizons(horizon, duration=duration, censoring=censoring)
    check_probability(survival, subjects=len(duration))
    check_one_column_per_horizon(survival.shape[1], horizons=len(horizon))
    for column, at in zip(survival.T, horizon, strict=True):
        yield column, outcome_at(float(at), duration=duration, event=event, censoring=censoring)
