"""D-calibration: a test that predicted survival at each subject's own end of follow-up is uniformly distributed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import chdtrc

from survlstm.survival.case_weights import check_weight
from survlstm.survival.follow_up import check_follow_up, check_probability


class DCalibration(NamedTuple):
    """Numbers of subjects per bin of predicted survival, with a chi-square test that they are equal.

    Attributes:
        subjects: number of subjects in each bin, from the highest survival to the lowest; fractional, because censored
            subjects are spread over bins; shape (bin,).
        statistic: chi-square statistic.
        p_value: its p-value with (number of bins - 1) degrees of freedom; small = the predictions are not calibrated.
    """

    subjects: Float[np.ndarray, " bin"]
    statistic: float
    p_value: float


def d_calibration(
    survival: Float[np.ndarray, " subject"],
    *,
    event: Bool[np.ndarray, " subject"],
    bins: int = 10,
    survival_before: Float[np.ndarray, " subject"] | None = None,
    weight: Float[np.ndarray, " subject"] | None = None,
) -> DCalibration:
    """Test whether the survival S(T) predicted at each subject's own duration T is uniform on 0 to 1.

    It is uniform under a true model in continuous time. A small p-value says that the survival curves are wrong
    somewhere. A large one does not say that the model discriminates: the Kaplan-Meier curve given to every subject is
    calibrated, too.

    Bins are equally wide, and a value on an edge belongs to the bin above the edge. An event counts 1 in the bin of
    S(T). A censored subject will have its event at a survival below S(T), so it is spread evenly over 0 to S(T): each
    bin below its own gets 1 / (bins · S(T)) and its own bin the remainder. With S(T) = 0 it counts 1 in the lowest bin.

    In discrete time S(T) is not uniform even under a true model, because the survival falls in jumps. Give
    ``survival_before`` there: an event is then spread evenly over its jump, from S(T) to S(T-), and the expected counts
    are equal again. Spread counts vary less than whole ones, so that the test becomes conservative.

    Source: Haider et al. 2020, Journal of Machine Learning Research 21(85), with the conventions of SurvivalEVAL; the
    spreading over a jump: Czado et al. 2009, Biometrics 65:1254.

    Args:
        survival: predicted S(T) of each subject at its own duration T, 0 to 1; shape (subject,).
        event: True = event, False = censored at T; shape (subject,), boolean.
        bins: number of bins, at least 2.
        survival_before: predicted S(T-), just before T, at least S(T); shape (subject,). None = continuous time. It is
            used for events only.
        weight: case weight of each subject, > 0; shape (subject,). None = 1 each. The test takes the sum of the weights
            for the number of independent subjects.

    Returns:
        Numbers per bin, which sum to the number of subjects or to their weights, and the test.

    Raises:
        ValueError: there are fewer than two bins or no subject, a value is NaN or outside 0 to 1,
            ``survival_before`` is below ``survival``, ``event`` is not boolean, a weight is not finite and > 0, or the
            lengths differ.

    Example:
        >>> event = np.array([True, True, False])
        >>> d_calibration(np.array([0.9, 0.3, 0.5]), event=event, bins=2).subjects.tolist()
        [1.0, 2.0]
    """
    if bins < 2:
        raise ValueError(f"at least two bins are needed; found {bins}")
    check_probability(survival, subjects=len(event))
    check_follow_up(np.zeros(len(event)), event)
    check_weight(weight, subjects=len(event))
    if survival_before is not None:
        check_probability(survival_before, subjects=len(event))
        below = survival_before < survival
        if below.any():
            raise ValueError(
                f"survival_before must not be below survival; it is for {int(below.sum())} of {len(event)} subjects"
            )
    # Edges are quotients of integers, which round to the same number as the decimal that a caller would write, such as
    # 0.6. Those of np.linspace can be one rounding above it, which would move a value on an edge to the bin below.
    lower = np.arange(bins)[::-1] / bins
    jumps = event & (survival_before > survival) if survival_before is not None else np.zeros_like(event)
    whole = event & ~jumps
    bin_from_below = np.minimum(np.searchsorted(lower[::-1], survival[whole], "right"), bins) - 1
    of_whole, of_censored, of_jumps = (None if weight is None else weight[kept] for kept in (whole, ~event, jumps))
    subjects = np.bincount(bin_from_below, of_whole, minlength=bins)[::-1]
    subjects = subjects + _spread(survival[~event], lower, of_censored)
    if survival_before is not None:
        subjects = subjects + _spread_jump(survival[jumps], survival_before[jumps], lower, of_jumps)
    expected = (len(survival) if weight is None else weight.sum()) / bins
    statistic = float(((subjects - expected) ** 2 / expected).sum())
    return DCalibration(subjects, statistic, float(chdtrc(bins - 1, statistic)))


def _spread(survival: np.ndarray, lower: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Return the share of [0, S(T)] that falls into each bin, summed over the censored subjects."""
    lowest = np.zeros(len(lower))
    lowest[-1] = _sum(survival == 0, weight)
    positive, of_positive = survival[survival > 0], None if weight is None else weight[survival > 0]
    width = 1 / len(lower)
    return lowest + np.array([_sum(np.clip(positive - edge, 0, width) / positive, of_positive) for edge in lower])


def _spread_jump(low: np.ndarray, high: np.ndarray, lower: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Return the share of the jump (S(T), S(T-)] that falls into each bin, summed over the events."""
    upper = lower + 1 / len(lower)
    return np.array(
        [
            _sum(np.maximum(np.minimum(high, top) - np.maximum(low, edge), 0) / (high - low), weight)
            for edge, top in zip(lower, upper, strict=True)
        ]
    )


def _sum(share: np.ndarray, weight: np.ndarray | None) -> float:
    return float(share.sum() if weight is None else weight @ share)
