"""Calibration at one horizon: predicted and observed risk in groups of subjects, and a test that they agree."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Real
from scipy.special import chdtrc

from survlstm.survival.case_weights import check_weight
from survlstm.survival.follow_up import check_follow_up, check_increasing, check_probability
from survlstm.survival.kaplan_meier import confidence_band, greenwood_variance, kaplan_meier, read_steps


class CalibrationGroups(NamedTuple):
    """Predicted and observed risk at a horizon in groups of subjects, from the highest predicted risk to the lowest.

    Risk is the probability of the event at or before the horizon.

    Attributes:
        subjects: number of subjects, or the sum of their case weights; shape (group,).
        predicted: mean predicted risk, 0 to 1; shape (group,).
        observed: 1 minus the Kaplan-Meier survival of the group at the horizon, 0 to 1; shape (group,).
        low: lower limit of the log-log confidence interval of ``observed``; shape (group,). NaN where ``observed`` is 0
            or 1.
        high: upper limit of that interval; shape (group,).
        variance: Greenwood's variance of ``observed``; shape (group,). 0 where ``observed`` is 0, NaN where it is 1.
    """

    subjects: Real[np.ndarray, " group"]
    predicted: Float[np.ndarray, " group"]
    observed: Float[np.ndarray, " group"]
    low: Float[np.ndarray, " group"]
    high: Float[np.ndarray, " group"]
    variance: Float[np.ndarray, " group"]


class OneCalibration(NamedTuple):
    """Chi-square test that predicted and observed risk agree in every group.

    Attributes:
        statistic: chi-square statistic, possibly infinite.
        degrees_of_freedom: number of groups, or one less with the binomial variance.
        p_value: small = predicted and observed risk differ in at least one group.
    """

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
    weight: Float[np.ndarray, " subject"] | None = None,
) -> CalibrationGroups:
    """Group subjects by predicted risk 1 - S(t) and estimate the observed risk of each group at the horizon t.

    Groups are as equal in size as possible. Subjects with equal predictions stay in one group, the one of higher risk;
    groups that are empty because of such ties are dropped. The observed risk is 1 minus the group's own Kaplan-Meier
    curve at t, so that censored subjects count for as long as they are followed; events come before censorings at ties.

    Args:
        survival: predicted S(t), 0 to 1; shape (subject,).
        duration: time to the event or to the end of follow-up, finite and >= 0; shape (subject,).
        event: True = event, False = censored at ``duration``; shape (subject,), boolean.
        horizon: t, in the unit of ``duration``.
        groups: number of groups, from 1 to the number of subjects.
        confidence: coverage of the interval of the observed risk, between 0 and 1, both excluded.
        weight: case weight of each subject, > 0; shape (subject,). None = 1 each. Groups are then as equal in weight as
            possible, and the variance of the observed risk is that of as many subjects as the weights sum to.

    Returns:
        One entry per group that is not empty.

    Raises:
        ValueError: a prediction is NaN or outside 0 to 1, the follow-up is invalid, lengths differ, a weight is not
            finite and > 0, there are more groups than subjects, or the follow-up of a group ends before t with a
            censoring, so that its risk is unknown.

    Example:
        >>> follow_up = {"duration": np.array([1, 3, 2, 3]), "event": np.array([True, False, True, False])}
        >>> table = calibration_groups(np.array([0.2, 0.4, 0.8, 0.9]), **follow_up, horizon=2, groups=2)
        >>> table.predicted.round(2).tolist(), table.observed.tolist()
        ([0.7, 0.15], [0.5, 0.5])
    """
    check_follow_up(duration, event)
    check_probability(survival, subjects=len(duration))
    check_increasing(np.array([horizon]))
    if not 1 <= groups <= len(survival):
        raise ValueError(f"groups must be 1..{len(survival)}, the number of subjects; found {groups}")
    check_weight(weight, subjects=len(duration))
    group = _group_of(survival, groups=groups, weight=weight)
    rows = [
        _row(
            survival[members],
            duration[members],
            event[members],
            None if weight is None else weight[members],
            horizon=horizon,
            confidence=confidence,
        )
        for members in (group == number for number in np.unique(group))
    ]
    return CalibrationGroups(*(np.array(column) for column in zip(*rows, strict=True)))


def one_calibration(
    table: CalibrationGroups, *, variance: Literal["greenwood", "binomial"] = "greenwood"
) -> OneCalibration:
    """Test whether predicted and observed risk agree: the sum of (observed - predicted)² / variance, chi-square.

    ``"greenwood"`` uses the variance of each group's Kaplan-Meier risk. It has as many degrees of freedom as groups,
    because the predictions are fixed: nothing was fitted to these subjects. ``"binomial"`` is D'Agostino and Nam's
    extension of the Hosmer-Lemeshow test. Its variance is predicted (1 - predicted) / subjects, with one degree of
    freedom less than groups. It ignores the censoring: with half of the subjects censored before the horizon it rejects
    half of the true models.

    Source: Demler et al. 2015, Statistics in Medicine 34:1659 (Greenwood); D'Agostino & Nam 2003, Handbook of
    Statistics 23:1 (binomial).

    Args:
        table: groups of subjects that the model was not fitted to (``calibration_groups``).
        variance: ``"greenwood"`` or ``"binomial"``.

    Returns:
        Statistic, degrees of freedom and p-value.

    Raises:
        ValueError: there are fewer than two groups, or with ``"greenwood"`` a group has an observed risk of 0 or 1.

    Example:
        >>> follow_up = {"duration": np.array([1, 3, 2, 3]), "event": np.array([True, False, True, False])}
        >>> table = calibration_groups(np.array([0.2, 0.4, 0.8, 0.9]), **follow_up, horizon=2, groups=2)
        >>> round(one_calibration(table).statistic, 4), round(one_calibration(table).p_value, 4)
        (1.3, 0.522)
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
    # A predicted risk of exactly 0 or 1 has no binomial variance: it equals the observed risk or refutes the model.
    terms = np.divide(squared, spread, out=np.where(squared == 0, 0.0, np.inf), where=spread > 0)
    statistic = float(terms.sum())
    return OneCalibration(statistic, degrees, float(chdtrc(degrees, statistic)))


def _group_of(survival: np.ndarray, *, groups: int, weight: np.ndarray | None) -> np.ndarray:
    """Return the group of each subject: those of ``np.array_split`` on the sorted predictions.

    The first rank of a prediction decides, so that equal predictions share a group. With weights, the rank of a
    prediction is the weight of the lower ones.
    """
    total = len(survival) if weight is None else round(float(weight.sum()))
    sizes = np.full(groups, total // groups)
    sizes[: total % groups] += 1
    order = np.argsort(survival)
    first_rank = np.searchsorted(survival[order], survival, "left")
    if weight is None:
        return np.searchsorted(np.cumsum(sizes), first_rank, "right")
    # Rounded, because sums of weights such as 1/3 miss the whole numbers at which groups begin by a little.
    lower = np.append(0.0, np.cumsum(weight[order])).round(9)[first_rank]
    return np.minimum(np.searchsorted(np.cumsum(sizes), lower, "right"), groups - 1)


def _row(
    survival: np.ndarray,
    duration: np.ndarray,
    event: np.ndarray,
    weight: np.ndarray | None,
    *,
    horizon: int | float,
    confidence: float,
) -> tuple[int | float, float, float, float, float, float]:
    curve = kaplan_meier(duration, event, weight=weight)
    at = np.array([horizon])
    if curve.survival[-1] > 0 and curve.times[-1] < horizon:
        raise ValueError(
            f"every group must be followed to the horizon {horizon:g}; a group of {len(duration)} subjects is followed "
            f"until {curve.times[-1]:g} only. Use fewer groups or an earlier horizon"
        )
    band = confidence_band(curve, confidence=confidence)
    low, high = (read_steps(1 - side, times=curve.times, time=at, first=np.nan, side="right") for side in band[::-1])
    variance = read_steps(greenwood_variance(curve), times=curve.times, time=at, first=0.0, side="right")
    subjects = len(survival) if weight is None else float(weight.sum())
    predicted = float(1 - np.average(survival, weights=weight))
    return subjects, predicted, 1 - curve.at(at).item(), low.item(), high.item(), variance.item()
