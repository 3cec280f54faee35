"""Brier score and binomial log-likelihood at horizons, weighted for censoring, and their integrals over time."""

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
    """Compute the Brier score at each horizon t: the weighted mean squared error of S(t); lower is better.

    ::

        BS(t) = 1/n Σ [event·1{T <= t} · S(t)² / G(T-) + 1{T > t} · (1 - S(t))² / G(t)]

    A perfect prediction has 0; the constant S(t) = 1/2 has 0.25 if the weights sum to n. A subject censored at or
    before t contributes nothing itself; the weights of the others account for it.

    scikit-survival divides the term of an event by G(T) instead of G(T-); the results differ if a training subject is
    censored at the time of an evaluated event. pycox divides by the sum of the weights instead of n.

    Source: Gerds & Schumacher 2006, Biometrical Journal 48:1029.

    Args:
        survival: predicted S(t), 0 to 1; shape (subject, horizon), one column per horizon.
        duration: time to the event or to the end of follow-up, finite and >= 0; shape (subject,).
        event: True = event, False = censored at ``duration``; shape (subject,), boolean.
        horizon: strictly increasing times in the unit of ``duration``; shape (horizon,). Each must be below the longest
            ``duration``, and G must be known and above 0 there (``ipcw.supported_horizons`` selects such horizons).
        censoring: G, the ``censoring_curve`` of the training subjects, in the unit of ``duration``.

    Returns:
        Scores >= 0 of shape (horizon,).

    Raises:
        ValueError: a horizon is not supported, a prediction is NaN or outside 0 to 1, the follow-up is invalid, or the
            numbers of subjects or horizons differ.

    Example:
        >>> follow_up = {"duration": np.array([1, 2, 3, 4]), "event": np.array([True, True, False, False])}
        >>> follow_up["censoring"] = censoring_curve(**follow_up)
        >>> brier(np.array([[0.2], [0.4], [0.7], [0.9]]), **follow_up, horizon=np.array([2])).round(4).tolist()
        [0.075]
    """
    outcomes = _outcomes(survival, duration=duration, event=event, horizon=horizon, censoring=censoring)
    return np.array([weighted_brier(column, outcome) for column, outcome in outcomes])


def nbll(
    survival: Float[np.ndarray, "subject horizon"],
    *,
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    horizon: Real[np.ndarray, " horizon"],
    censoring: KaplanMeier,
) -> Float[np.ndarray, " horizon"]:
    """Compute the negative binomial log-likelihood of S(t) at each horizon t, in nats; lower is better.

    ::

        NBLL(t) = -1/n Σ [event·1{T <= t} · log(1 - S(t)) / G(T-) + 1{T > t} · log S(t) / G(t)]

    The constant S(t) = 1/2 has log 2 = 0.693 if the weights sum to n. The value is infinite if the model was certain
    and wrong for a subject: S is not clamped, whereas pycox clamps it to 1e-7 … 1 - 1e-7. The weights are those of
    ``brier``.

    Source: Graf et al. 1999, Statistics in Medicine 18:2529.

    Args:
        survival: predicted S(t), 0 to 1; shape (subject, horizon), one column per horizon.
        duration: time to the event or to the end of follow-up, finite and >= 0; shape (subject,).
        event: True = event, False = censored at ``duration``; shape (subject,), boolean.
        horizon: strictly increasing times in the unit of ``duration``; shape (horizon,). Each must be below the longest
            ``duration``, and G must be known and above 0 there (``ipcw.supported_horizons`` selects such horizons).
        censoring: G, the ``censoring_curve`` of the training subjects, in the unit of ``duration``.

    Returns:
        Values >= 0 of shape (horizon,), possibly infinite.

    Raises:
        ValueError: a horizon is not supported, a prediction is NaN or outside 0 to 1, the follow-up is invalid, or the
            numbers of subjects or horizons differ.

    Example:
        >>> follow_up = {"duration": np.array([1, 2, 3, 4]), "event": np.array([True, True, False, False])}
        >>> follow_up["censoring"] = censoring_curve(**follow_up)
        >>> nbll(np.array([[0.2], [0.4], [0.7], [0.9]]), **follow_up, horizon=np.array([2])).round(4).tolist()
        [0.299]
    """
    outcomes = _outcomes(survival, duration=duration, event=event, horizon=horizon, censoring=censoring)
    return np.array([weighted_nbll(column, outcome) for column, outcome in outcomes])


def integrated_brier(
    survival: Float[np.ndarray, "subject horizon"],
    *,
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    horizon: Real[np.ndarray, " horizon"],
    censoring: KaplanMeier,
) -> float:
    """Compute the integrated Brier score (IBS): the mean of ``brier`` from the first to the last horizon.

    The integral uses the trapezoid rule and is divided by the range of the horizons, so that horizons need not be
    equally spaced. Lower is better; the constant prediction 1/2 has about 0.25.

    Source: Graf et al. 1999, Statistics in Medicine 18:2529; ``brier`` for the score.

    Args:
        survival: predicted S(t), 0 to 1; shape (subject, horizon), one column per horizon.
        duration: time to the event or to the end of follow-up, finite and >= 0; shape (subject,).
        event: True = event, False = censored at ``duration``; shape (subject,), boolean.
        horizon: strictly increasing times in the unit of ``duration``; shape (horizon,), at least two. Each must be
            below the longest ``duration``, and G must be known and above 0 there (``ipcw.supported_horizons`` selects
            such horizons).
        censoring: G, the ``censoring_curve`` of the training subjects, in the unit of ``duration``.

    Returns:
        The mean score, >= 0.

    Raises:
        ValueError: there are fewer than two horizons, or ``brier`` refuses the arguments.

    Example:
        >>> follow_up = {"duration": np.array([1, 2, 3, 4]), "event": np.array([True, True, False, False])}
        >>> follow_up["censoring"] = censoring_curve(**follow_up)
        >>> predicted = np.array([[0.5, 0.2], [0.6, 0.4], [0.8, 0.7], [0.9, 0.9]])
        >>> round(integrated_brier(predicted, **follow_up, horizon=np.array([1, 2])), 4)
        0.095
    """
    scores = brier(survival, duration=duration, event=event, horizon=horizon, censoring=censoring)
    return time_average(horizon, scores)


def integrated_nbll(
    survival: Float[np.ndarray, "subject horizon"],
    *,
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    horizon: Real[np.ndarray, " horizon"],
    censoring: KaplanMeier,
) -> float:
    """Compute the integrated binomial log-likelihood (INBLL): the mean of ``nbll`` from the first to the last horizon.

    The integral uses the trapezoid rule and is divided by the range of the horizons. Lower is better; the constant
    prediction 1/2 has about log 2 = 0.693. One infinite value makes the mean infinite.

    Source: Graf et al. 1999, Statistics in Medicine 18:2529.

    Args:
        survival: predicted S(t), 0 to 1; shape (subject, horizon), one column per horizon.
        duration: time to the event or to the end of follow-up, finite and >= 0; shape (subject,).
        event: True = event, False = censored at ``duration``; shape (subject,), boolean.
        horizon: strictly increasing times in the unit of ``duration``; shape (horizon,), at least two. Each must be
            below the longest ``duration``, and G must be known and above 0 there (``ipcw.supported_horizons`` selects
            such horizons).
        censoring: G, the ``censoring_curve`` of the training subjects, in the unit of ``duration``.

    Returns:
        The mean value in nats, >= 0, possibly infinite.

    Raises:
        ValueError: there are fewer than two horizons, or ``nbll`` refuses the arguments.

    Example:
        >>> follow_up = {"duration": np.array([1, 2, 3, 4]), "event": np.array([True, True, False, False])}
        >>> follow_up["censoring"] = censoring_curve(**follow_up)
        >>> predicted = np.array([[0.5, 0.2], [0.6, 0.4], [0.8, 0.7], [0.9, 0.9]])
        >>> round(integrated_nbll(predicted, **follow_up, horizon=np.array([1, 2])), 4)
        0.3411
    """
    scores = nbll(survival, duration=duration, event=event, horizon=horizon, censoring=censoring)
    return time_average(horizon, scores)


def weighted_brier(
    survival: Float[np.ndarray, "*model subject"], outcome: WeightedOutcome
) -> Float[np.ndarray, "*model"] | np.floating:
    """Compute the Brier score at one horizon from weights that are already known.

    Use it to evaluate several models, or resamples of one, at the same horizon: the weights are computed once. The
    arguments are not checked.

    Args:
        survival: predicted S(t), 0 to 1; shape (subject,) for one model or (model, subject) for several.
        outcome: outcomes and weights of the same subjects at the horizon t (``ipcw.outcome_at``).

    Returns:
        The score of each model: a scalar for one model, shape (model,) for several. See ``brier``.

    Example:
        >>> outcome = WeightedOutcome(happened=np.array([True, False]), weight=np.array([1.0, 1.0]))
        >>> weighted_brier(np.array([[0.2, 0.9], [0.5, 0.5]]), outcome).round(4).tolist()
        [0.025, 0.25]
    """
    return (outcome.weight * (survival - ~outcome.happened) ** 2).mean(axis=-1)


def weighted_nbll(
    survival: Float[np.ndarray, "*model subject"], outcome: WeightedOutcome
) -> Float[np.ndarray, "*model"] | np.floating:
    """Compute the negative binomial log-likelihood at one horizon from weights that are already known.

    Use it to evaluate several models, or resamples of one, at the same horizon: the weights are computed once. The
    arguments are not checked.

    Args:
        survival: predicted S(t), 0 to 1; shape (subject,) for one model or (model, subject) for several.
        outcome: outcomes and weights of the same subjects at the horizon t (``ipcw.outcome_at``).

    Returns:
        The value of each model in nats: a scalar for one model, shape (model,) for several. See ``nbll``.

    Example:
        >>> outcome = WeightedOutcome(happened=np.array([True, False]), weight=np.array([1.0, 1.0]))
        >>> weighted_nbll(np.array([[0.2, 0.9], [0.5, 0.5]]), outcome).round(4).tolist()
        [0.1643, 0.6931]
    """
    # Subjects of weight 0 are left out of the sum, because 0 · log 0 would be NaN.
    known = outcome.weight > 0
    probability = np.where(outcome.happened, 1 - survival, survival)[..., known]
    with np.errstate(divide="ignore"):
        return -(outcome.weight[known] * np.log(probability)).sum(axis=-1) / survival.shape[-1]


def time_average(horizon: Real[np.ndarray, " horizon"], values: Float[np.ndarray, " horizon"]) -> float:
    """Compute the mean of a function of time over the range of the horizons, by the trapezoid rule.

    Args:
        horizon: strictly increasing times, at least two; shape (horizon,).
        values: value at each horizon; shape (horizon,).

    Returns:
        The integral from the first to the last horizon, divided by their distance.

    Raises:
        ValueError: there are fewer than two horizons, or they are not strictly increasing or not finite.

    Example:
        >>> round(time_average(np.array([0, 1, 3]), np.array([0.0, 1.0, 1.0])), 4)
        0.8333
    """
    check_increasing(horizon)
    if len(horizon) < 2:
        raise ValueError(f"an integral needs at least two horizons; found {len(horizon)}")
    return float(np.trapezoid(values, horizon) / (horizon[-1] - horizon[0]))


def _outcomes(
    survival: np.ndarray, *, duration: np.ndarray, event: np.ndarray, horizon: np.ndarray, censoring: KaplanMeier
) -> Iterator[tuple[np.ndarray, WeightedOutcome]]:
    """Yield the predictions and weighted outcomes of one horizon at a time; memory does not grow with the horizons."""
    check_follow_up(duration, event)
    check_horizons(horizon, duration=duration, censoring=censoring)
    check_probability(survival, subjects=len(duration))
    check_one_column_per_horizon(survival.shape[1], horizons=len(horizon))
    for column, at in zip(survival.T, horizon, strict=True):
        yield column, outcome_at(float(at), duration=duration, event=event, censoring=censoring)
