"""Survival at one horizon and follow-up → calibration slope and intercept."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Real

from survlstm.survival.follow_up import check_follow_up, check_probability
from survlstm.survival.ipcw import outcome_at
from survlstm.survival.kaplan_meier import KaplanMeier


class CalibrationLine(NamedTuple):
    """Of a perfect model: slope 1, intercept 0, in_the_large 0.

    slope < 1: predictions too extreme (overfitted); in_the_large > 0: risk predicted too low on average.
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
) -> CalibrationLine:
    """logit P(event by t) = intercept + slope · logit(1 - S(t)), fitted with the weights of ``outcome_at``.

    ``survival`` is S(t) per subject; ``in_the_large`` is the intercept with the slope held at 1. ValueError for S of
    exactly 0 or 1 (no logit), predictions that are all equal, one kind of outcome only, predictions that separate the
    outcomes perfectly (no finite slope), and the errors of ``outcome_at``. Cox 1958, Biometrika 45:562; Van Calster et
    al. 2019, BMC Medicine 17:230.
    """
    check_follow_up(duration, event)
    check_probability(survival, subjects=len(duration))
    certain = (survival == 0) | (survival == 1)
    if certain.any():
        raise ValueError(
            f"survival must lie between 0 and 1, both excluded; {int(certain.sum())} of {len(survival)} do not"
        )
    happened, weight = outcome_at(horizon, duration=duration, event=event, censoring=censoring)
    seen = weight > 0
    if happened[seen].all() or not happened.any():
        raise ValueError(f"both outcomes must occur by {horizon:g}; found {int(happened.sum())} events only")
    logit = np.log1p(-survival[seen]) - np.log(survival[seen])
    if np.ptp(logit) == 0:
        raise ValueError(f"a slope needs predictions that differ; all {len(logit)} are equal")
    if _separated(logit, happened[seen]):
        raise ValueError("the predictions separate the outcomes perfectly: no finite slope exists")
    ones = np.ones_like(logit)
    line = _logistic(np.column_stack([ones, logit]), 0 * logit, happened[seen], weight[seen])
    large = _logistic(ones[:, None], logit, happened[seen], weight[seen])
    return CalibrationLine(float(line[1]), float(line[0]), float(large[0]))


def _separated(logit: np.ndarray, happened: np.ndarray) -> bool:
    with_event, without = logit[happened], logit[~happened]
    return bool(with_event.min() >= without.max() or with_event.max() <= without.min())


def _logistic(design: np.ndarray, offset: np.ndarray, happened: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted maximum likelihood by Newton steps, halved until the likelihood does not fall."""
    coefficients = np.zeros(design.shape[1])
    sign = np.where(happened, -1.0, 1.0)

    def loss(at: np.ndarray) -> float:
        return float(weight @ np.logaddexp(0, sign * (offset + design @ at)))

    for _ in range(100):
        risk = 0.5 * (1 + np.tanh((offset + design @ coefficients) / 2))
        gradient = design.T @ (weight * (happened - risk))
        curvature = (design * (weight * risk * (1 - risk))[:, None]).T @ design
        step = np.linalg.solve(curvature, gradient)
        while loss(coefficients + step) > loss(coefficients) and np.abs(step).max() > 1e-12:
            step /= 2
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-10:
            return coefficients
    raise ValueError("the calibration line did not settle in 100 steps: the outcomes are nearly separated")
