"""Survival at one horizon and follow-up → predicted beside observed risk in groups, and a test that they agree."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real
from scipy.special import chdtrc

from survlstm.survival.follow_up import check_follow_up, check_increasing, check_probability
from survlstm.survival.kaplan_meier import confidence_band, greenwood_variance, kaplan_meier, read_steps


class CalibrationGroups(NamedTuple):
    """Groups from the highest predicted risk to the lowest: mean predicted and Kaplan-Meier risk at the horizon.

    ``low`` and ``high`` are the log-log interval of ``observed``, NaN where that is 0 or 1; ``variance`` is
    Greenwood's.
    """

    subjects: Int[np.ndarray, " group"]
    predicted: Float[np.ndarray, " group"]
    observed: Float[np.ndarray, " group"]
    low: Float[np.ndarray, " group"]
    high: Float[np.ndarray, " group"]
    variance: Float[np.ndarray, " group"]


class OneCalibration(NamedTuple):
    """The test that predicted and observed risk agree in every group; a small p-value says that they do not."""

    statistic: float
    degrees_of_freedom: int
    p_value: float


def calibration_groups(
    survival: Float[np.ndarray, " subject"],
    *,
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    horizon: int | float,
    groups: int = 10,
    confidence: float = 0.95,
) -> CalibrationGroups:
    """Equally large groups by predicted risk 1 - S(t), each with the risk that its own Kaplan-Meier curve shows at t.

    ``survival`` is S(t) per subject. Subjects with equal predictions stay in one group, the riskier; groups left empty
    are dropped. ValueError for values outside 0..1, lengths that differ, more groups than subjects, and a group whose
    follow-up ends censored before t: its risk is unknown.
    """
    check_follow_up(duration, event)
    check_probability(survival, subjects=len(duration))
    check_increasing(np.array([horizon]))
    if not 1 <= groups <= len(survival):
        raise ValueError(f"groups must be 1..{len(survival)}, the number of subjects; found {groups}")
    group = _group_of(survival, groups=groups)
    rows = [
        _row(survival[group == g], duration[group == g], event[group == g], horizon=horizon, confidence=confidence)
        for g in np.unique(group)
    ]
    return CalibrationGroups(*(np.array(column) for column in zip(*rows, strict=True)))


def one_calibration(
    table: CalibrationGroups, *, variance: Literal["greenwood", "binomial"] = "greenwood"
) -> OneCalibration:
    """Σ (observed - predicted)² / variance over the groups, against chi-square.

    'greenwood' takes the variance of each group's Kaplan-Meier risk, with as many degrees of freedom as groups: the
    predictions are fixed, nothing was fitted to these subjects. 'binomial' is D'Agostino and Nam's extension of
    Hosmer-Lemeshow, predicted (1 - predicted) / subjects with groups - 1 degrees of freedom; blind to censoring, it
    rejects half of the true models where half of the subjects are censored before the horizon. ValueError for fewer
    than two groups and, with 'greenwood', for a group whose observed risk is 0 or 1. Demler et al. 2015, Statistics in
    Medicine 34:1659; D'Agostino & Nam 2003, Handbook of Statistics 23:1.
    """
    if len(table.subjects) < 2:
        raise ValueError(f"at least two groups are needed; found {len(table.subjects)}: are all predictions equal?")
    if variance == "greenwood":
        known = table.variance > 0
        if not known.all():
            raise ValueError(
                f"every group needs an observed risk between 0 and 1; {int((~known).sum())} of {len(known)} groups "
                f"have none. Use fewer groups"
            )
        degrees, spread = len(known), table.variance
    else:
        degrees, spread = len(table.subjects) - 1, table.predicted * (1 - table.predicted) / table.subjects
    squared = (table.observed - table.predicted) ** 2
    # A group predicted to be certain either agrees exactly or cannot be explained at all.
    terms = np.divide(squared, spread, out=np.where(squared == 0, 0.0, np.inf), where=spread > 0)
    statistic = float(terms.sum())
    return OneCalibration(statistic, degrees, float(chdtrc(degrees, statistic)))


def _group_of(survival: np.ndarray, *, groups: int) -> np.ndarray:
    """Groups as np.array_split makes them of the sorted subjects, by the first rank of each distinct prediction."""
    sizes = np.full(groups, len(survival) // groups)
    sizes[: len(survival) % groups] += 1
    first_rank = np.searchsorted(np.sort(survival), survival, "left")
    return np.searchsorted(np.cumsum(sizes), first_rank, "right")


def _row(
    survival: np.ndarray, duration: np.ndarray, event: np.ndarray, *, horizon: int | float, confidence: float
) -> tuple[int, float, float, float, float, float]:
    curve = kaplan_meier(duration, event)
    at = np.array([horizon])
    if curve.survival[-1] > 0 and curve.times[-1] < horizon:
        raise ValueError(
            f"every group must be followed to the horizon {horizon:g}; a group of {len(duration)} subjects is followed "
            f"until {curve.times[-1]:g} only. Use fewer groups or an earlier horizon"
        )
    band = confidence_band(curve, confidence=confidence)
    low, high = (read_steps(1 - side, times=curve.times, time=at, first=np.nan, side="right") for side in band[::-1])
    variance = read_steps(greenwood_variance(curve), times=curve.times, time=at, first=0.0, side="right")
    return len(survival), float(1 - survival.mean()), 1 - curve.at(at).item(), low.item(), high.item(), variance.item()
