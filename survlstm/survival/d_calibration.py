"""Survival at each subject's own end of follow-up → D-calibration: are these probabilities uniform?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import chdtrc

from survlstm.survival.follow_up import check_follow_up, check_probability


class DCalibration(NamedTuple):
    """Subjects per bin, from the highest survival to the lowest, with the chi-square test that all are equal."""

    subjects: Float[np.ndarray, " bin"]
    statistic: float
    p_value: float


def d_calibration(
    survival: Float[np.ndarray, " subject"],
    *,
    event: Bool[np.ndarray, " subject"],
    bins: int = 10,
    survival_before: Float[np.ndarray, " subject"] | None = None,
) -> DCalibration:
    """Under a true model S(T) is uniform; a small p-value says that the survival curves are off somewhere.

    ``survival`` is S_i(T_i). Bins are equally wide, a value on an edge belongs to the bin above it. A censored subject
    is spread: its event will come at a survival below S(T), so that each bin below gets 1/(bins·S(T)), its own what
    remains (S(T) = 0: all in the lowest). The test has ``bins`` - 1 degrees of freedom.

    In discrete time S(T) is not uniform, however true the model: it falls in jumps. With ``survival_before``, S(T-), an
    event is spread evenly over the jump, S(T) to S(T-), and the expected counts are equal again; spread counts vary
    less than whole ones, which makes the test conservative. ValueError for fewer than two bins, no subject, values
    outside 0..1, S(T-) < S(T) and lengths that differ. Haider et al. 2020, JMLR 21(85), the convention of SurvivalEVAL;
    the spread jump: Czado et al. 2009, Biometrics 65:1254.
    """
    if bins < 2:
        raise ValueError(f"at least two bins are needed; found {bins}")
    check_probability(survival, subjects=len(event))
    check_follow_up(np.zeros(len(event)), event)
    if survival_before is not None:
        check_probability(survival_before, subjects=len(event))
        below = survival_before < survival
        if below.any():
            raise ValueError(
                f"survival_before must not lie below survival; it does for {int(below.sum())} of {len(event)} subjects"
            )
    # Quotients of integers: np.linspace would put some edges one rounding above the decimal that lies on them.
    lower = np.arange(bins)[::-1] / bins
    jumps = event & (survival_before > survival) if survival_before is not None else np.zeros_like(event)
    whole = event & ~jumps
    bin_from_below = np.minimum(np.searchsorted(lower[::-1], survival[whole], "right"), bins) - 1
    subjects = np.bincount(bin_from_below, minlength=bins)[::-1] + _spread(survival[~event], lower)
    if survival_before is not None:
        subjects = subjects + _spread_jump(survival[jumps], survival_before[jumps], lower)
    expected = len(survival) / bins
    statistic = float(((subjects - expected) ** 2 / expected).sum())
    return DCalibration(subjects, statistic, float(chdtrc(bins - 1, statistic)))


def _spread(survival: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The share of each bin in [0, S(T)], summed over the censored subjects."""
    lowest = np.zeros(len(lower))
    lowest[-1] = (survival == 0).sum()
    positive = survival[survival > 0]
    width = 1 / len(lower)
    return lowest + np.array([(np.clip(positive - edge, 0, width) / positive).sum() for edge in lower])


def _spread_jump(low: np.ndarray, high: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The share of each bin in (S(T), S(T-)], summed over the events."""
    upper = lower + 1 / len(lower)
    return np.array(
        [
            (np.maximum(np.minimum(high, top) - np.maximum(low, edge), 0) / (high - low)).sum()
            for edge, top in zip(lower, upper, strict=True)
        ]
    )
