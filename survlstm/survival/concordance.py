"""Survival per step and labels → time-dependent concordance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


class Concordance(NamedTuple):
    """``c_td`` with the pairs behind it; ``c_td`` is NaN where no pair is comparable."""

    c_td: float
    comparable: int
    concordant: int
    tied: int


def concordance_td(
    survival: Float[np.ndarray, "subject step"],
    *,
    step: Int[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
) -> Concordance:
    """Antolini's time-dependent concordance, 0.5 = random, 1 = every event ranked ahead.

    For each event i at step t, against every j with t_j > t, or t_j = t and j censored: concordant if S_i(t) < S_j(t);
    equal S counts 1/2; two events in the same step are not compared. S_j is read at t only, so entries of ``survival``
    behind a subject's own step never matter. Antolini et al. 2005, Statistics in Medicine 24:3927; differs from pycox's
    'antolini' only in prediction ties, which that counts 0.
    """
    everyone = np.ones((1, len(step)))
    counts = weighted_pairs(survival, step=step, event=event, weight=everyone)
    comparable, concordant, tied = (int(count[0]) for count in counts)
    c_td = (concordant + 0.5 * tied) / comparable if comparable else float("nan")
    return Concordance(c_td, comparable, concordant, tied)


class WeightedPairs(NamedTuple):
    """Sums over the pairs of ``concordance_td`` of the product of both weights, one entry per row of weights."""

    comparable: Float[np.ndarray, " resample"]
    concordant: Float[np.ndarray, " resample"]
    tied: Float[np.ndarray, " resample"]

    @property
    def c_td(self) -> Float[np.ndarray, " resample"]:
        """NaN where no pair is comparable."""
        with np.errstate(invalid="ignore"):
            return (self.concordant + 0.5 * self.tied) / self.comparable


def weighted_pairs(
    survival: Float[np.ndarray, "subject step"],
    *,
    step: Int[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    weight: Float[np.ndarray, "resample subject"],
) -> WeightedPairs:
    """The pairs of ``concordance_td`` under several weightings of the subjects at once, such as bootstrap counts.

    The order at each step is found once for all of them: n log n, and then a running sum per weighting, where resample
    after resample would sort again.
    """
    comparable, concordant, tied = np.zeros((3, len(weight)))
    for at in np.unique(step[event]):
        is_case = event & (step == at)
        controls = np.flatnonzero((step >= at) & ~is_case)
        controls = controls[np.argsort(survival[controls, at])]
        ordered, cases = survival[controls, at], survival[is_case, at]
        first, behind = np.searchsorted(ordered, cases, "left"), np.searchsorted(ordered, cases, "right")
        until = np.zeros((len(weight), len(controls) + 1))
        np.cumsum(weight[:, controls], axis=1, out=until[:, 1:])
        of_case = weight[:, is_case]
        comparable += of_case.sum(axis=1) * until[:, -1]
        concordant += (of_case * (until[:, -1:] - until[:, behind])).sum(axis=1)
        tied += (of_case * (until[:, behind] - until[:, first])).sum(axis=1)
    return WeightedPairs(comparable, concordant, tied)
