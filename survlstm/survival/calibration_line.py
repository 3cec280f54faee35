"""Calibration slope and intercept of predicted risk at one horizon, weighted for censoring."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Real

from survlstm.survival.follow_up import check_follow_up, check_probability
from survlstm.survival.ipcw import outcome_at
from survlstm.survival.kaplan_meier import KaplanMeier


class CalibrationLine(NamedTuple):
    """Line that relates the observed outcome to the predicted risk on the logit scale.

    Attributes:
        slope: 1 for a perfect model; below 1, predictions are too extreme, as those of an overfitted model; above 1,
            they are too close to each other.
        intercept: 0 for a perfect model. Interpret it together with ``slope``.
        in_the_large: intercept with the slope fixed at 1, 0 for a perfect model; above 0, the predicted risk is too low
            on average, below 0 too high.
    """

    slope: float
    intercept: float
    in_the_large: float


def calibration_line(
    survival: Float[np.ndarray, " subject"],
    *,
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    horizon: int | float,
    censoring: KaplanMeier,
    weight: Float[np.ndarray, " subject"] | None = None,
) -> CalibrationLine:
    """Fit logit P(event by t) = intercept + slope · logit(1 - S(t)) at a horizon t.

    The fit is a logistic regression of the event by t on the logit of the predicted risk, with the inverse probability
    of censoring weights of ``ipcw.outcome_at``: subjects censored at or before t have weight 0.

    Source: Cox 1958, Biometrika 45:562; Van Calster et al. 2019, BMC Medicine 17:230.

    Args:
        survival: predicted S(t), between 0 and 1, both excluded; shape (subject,).
        duration: time to the event or to the end of follow-up, finite and >= 0; shape (subject,).
        event: True = event, False = censored at ``duration``; shape (subject,), boolean.
        horizon: t, in the unit of ``duration``; below the longest ``duration``, and G known and above 0 there.
        censoring: G, the ``censoring_curve`` of the training subjects, in the unit of ``duration``.
        weight: case weight of each subject, > 0; shape (subject,). None = 1 each.

    Returns:
        Slope and intercept of the fit, and the intercept with the slope fixed at 1.

    Raises:
        ValueError: a prediction is NaN or not between 0 and 1 (0 and 1 have no logit), all predictions are equal, only
            one of the two outcomes occurs, the predictions separate the outcomes perfectly (no finite slope exists), or
            ``ipcw.outcome_at`` refuses the arguments.

    Example:
        >>> follow_up = {"duration": np.array([1, 3, 3, 1, 1, 3]), "event": np.array([1, 0, 0, 1, 1, 0], dtype=bool)}
        >>> follow_up |= {"horizon": 2, "censoring": censoring_curve(**follow_up)}
        >>> round(calibration_line(np.repeat([0.8, 0.2], 3), **follow_up).slope, 4)
        0.5
    """
    check_follow_up(duration, event)
    check_probability(survival, subjects=len(duration))
    certain = (survival == 0) | (survival == 1)
    if certain.any():
        raise ValueError(
            f"survival must be between 0 and 1, both excluded; {int(certain.sum())} of {len(survival)} values are not"
        )
    happened, inverse = outcome_at(horizon, duration=duration, event=event, censoring=censoring, weight=weight)
    known = inverse > 0
    if happened[known].all() or not happened.any():
        raise ValueError(
            f"both outcomes must occur by {horizon:g}; found {int(happened.sum())} events and "
            f"{int((known & ~happened).sum())} subjects followed for longer"
        )
    logit = np.log1p(-survival[known]) - np.log(survival[known])
    if np.ptp(logit) == 0:
        raise ValueError(f"a slope needs predictions that differ; all {len(logit)} are equal")
    if _separated(logit, happened[known]):
        raise ValueError("the predictions separate the outcomes perfectly: no finite slope exists")
    ones = np.ones_like(logit)
    line = _fit_logistic(np.column_stack([ones, logit]), 0 * logit, happened[known], inverse[known])
    in_the_large = _fit_logistic(ones[:, None], logit, happened[known], inverse[known])
    return CalibrationLine(float(line[1]), float(line[0]), float(in_the_large[0]))


def _separated(logit: np.ndarray, happened: np.ndarray) -> bool:
    """Return whether one threshold separates the outcomes: the likelihood then has no maximum."""
    with_event, without_event = logit[happened], logit[~happened]
    return bool(with_event.min() >= without_event.max() or with_event.max() <= without_event.min())


def _fit_logistic(design: np.ndarray, offset: np.ndarray, happened: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Fit a weighted logistic regression by Newton's method; a step is halved until the likelihood does not fall."""
    coefficients = np.zeros(design.shape[1])
    sign = np.where(happened, -1.0, 1.0)

    def loss(candidate: np.ndarray) -> float:
        return float(weight @ np.logaddexp(0, sign * (offset + design @ candidate)))

    for _ in range(100):
        # The sigmoid as a tanh, which cannot overflow.
        risk = 0.5 * (1 + np.tanh((offset + design @ coefficients) / 2))
        gradient = design.T @ (weight * (happened - risk))
        curvature = (design * (weight * risk * (1 - risk))[:, None]).T @ design
        step = np.linalg.solve(curvature, gradient)
        while loss(coefficients + step) > loss(coefficients) and np.abs(step).max() > 1e-12:
            step /= 2
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-10:
            return coefficients
    raise ValueError("the calibration line did not converge in 100 steps: the outcomes are nearly separated")
