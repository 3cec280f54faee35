"""Time-dependent concordance (C-index) of predicted survival per step, also under many weightings of the subjects."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from survlstm.survival.case_weights import check_group, check_weight, pairs_within


class Concordance(NamedTuple):
    """Time-dependent C-index with the numbers of pairs it is made of.

    With case weights, a pair counts with the product of the weights of its two subjects.

    Attributes:
        c_td: (concordant + tied / 2) / comparable, 0 to 1; NaN if no pair is comparable.
        comparable: number of comparable pairs.
        concordant: number of comparable pairs in which the event has the lower survival.
        tied: number of comparable pairs with equal survival.
    """

    c_td: float
    comparable: float
    concordant: float
    tied: float


def concordance_td(
    survival: Float[np.ndarray, "subject step"],
    *,
    step: Int[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    weight: Float[np.ndarray, " subject"] | None = None,
    group: Int[np.ndarray, " subject"] | None = None,
) -> Concordance:
    """Compute Antolini's time-dependent concordance (C-index); higher is better.

    An event i in step t is compared with every subject j that is known to survive step t: ``step`` of j is later, or it
    is t and j is censored. The pair is concordant if S_i(t) < S_j(t). 0.5 is what chance gives; 1 means that at every
    event the subject with the event has the lowest survival.

    Ties: equal survival (exactly equal) counts 1/2; two events in the same step are not compared; a subject censored in
    step t has survived step t and is compared with an event in step t.

    Without equal survival the result is that of pycox's ``concordance_td("antolini")``, which counts such a pair 0.

    Source: Antolini et al. 2005, Statistics in Medicine 24:3927.

    Args:
        survival: predicted probability of no event in steps 0 … j, in column j; shape (subject, step). A subject's
            entries after its own ``step`` are never read and may be NaN. Values are not checked.
        step: index of the last step at risk (``survlstm.survival.steps``); shape (subject,), integer. A subject
            censored before the end of step 0 has -1 and is in no pair.
        event: True if the event happened in ``step``, False if censored; shape (subject,), boolean.
        weight: case weight of each subject, > 0; shape (subject,). None = 1 each.
        group: an integer per subject; subjects of one group are not compared; shape (subject,). None = all are.

    Returns:
        The C-index and its pairs, which are whole numbers without ``weight``; the C-index is NaN if no pair is
        comparable.

    Raises:
        ValueError: a weight is not finite and > 0, or the numbers of subjects differ.

    Example:
        >>> step, event = np.array([0, 0, 1]), np.array([True, False, False])
        >>> concordance_td(np.array([[0.6, 0.5], [0.6, 0.4], [0.9, 0.8]]), step=step, event=event)
        Concordance(c_td=0.75, comparable=2, concordant=1, tied=1)
    """
    check_weight(weight, subjects=len(step))
    weights = np.ones((1, len(step))) if weight is None else weight[None]
    counts = weighted_pairs(survival, step=step, event=event, weight=weights, group=group)
    comparable, concordant, tied = (int(count[0]) if weight is None else float(count[0]) for count in counts)
    c_td = (concordant + 0.5 * tied) / comparable if comparable else float("nan")
    return Concordance(c_td, comparable, concordant, tied)


class WeightedPairs(NamedTuple):
    """Weighted numbers of the pairs of ``concordance_td``, one entry per row of weights.

    A pair counts with the product of the weights of its two subjects.

    Attributes:
        comparable: weight of the comparable pairs; shape (resample,).
        concordant: weight of the pairs in which the event has the lower survival; shape (resample,).
        tied: weight of the pairs with equal survival; shape (resample,).
    """

    comparable: Float[np.ndarray, " resample"]
    concordant: Float[np.ndarray, " resample"]
    tied: Float[np.ndarray, " resample"]

    @property
    def c_td(self) -> Float[np.ndarray, " resample"]:
        """Time-dependent C-index under each weighting, of shape (resample,); NaN if no pair is comparable."""
        with np.errstate(invalid="ignore"):
            return (self.concordant + 0.5 * self.tied) / self.comparable


def weighted_pairs(
    survival: Float[np.ndarray, "subject step"],
    *,
    step: Int[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    weight: Float[np.ndarray, "resample subject"],
    group: Int[np.ndarray, " subject"] | None = None,
) -> WeightedPairs:
    """Count the pairs of ``concordance_td`` under several weightings of the subjects at once.

    With the weight of a subject set to how often a bootstrap resample holds it, each row gives the C-index of one
    resample. The subjects are sorted once per step, in n log n; each weighting then costs one cumulative sum, whereas
    a loop over resamples would sort each of them again.

    Args:
        survival: predicted probability of no event in steps 0 … j, in column j; shape (subject, step).
        step: index of the last step at risk; shape (subject,), integer.
        event: True if the event happened in ``step``, False if censored; shape (subject,), boolean.
        weight: weight >= 0 of every subject, such as its count in a resample; shape (resample, subject).
        group: an integer per subject; subjects of one group are not compared; shape (subject,). None = all are.

    Returns:
        Sums of weights per row of ``weight``; ties and comparability as in ``concordance_td``. They are exactly 0 where
        no pair has a weight.

    Example:
        >>> step, event, weight = np.array([0, 0]), np.array([True, False]), np.array([[1.0, 1.0], [2.0, 0.0]])
        >>> weighted_pairs(np.array([[0.6], [0.9]]), step=step, event=event, weight=weight).c_td.tolist()
        [1.0, nan]
    """
    comparable, concordant, tied = np.zeros((3, len(weight)))
    for event_step in np.unique(step[event]):
        is_case = event & (step == event_step)
        controls = np.flatnonzero((step >= event_step) & ~is_case)
        controls = controls[np.argsort(survival[controls, event_step])]
        control_survival, case_survival = survival[controls, event_step], survival[is_case, event_step]
        # Controls [first_tied, first_higher) have the survival of the case; those from first_higher on are concordant.
        first_tied = np.searchsorted(control_survival, case_survival, "left")
        first_higher = np.searchsorted(control_survival, case_survival, "right")
        # Column k holds the weight of the k controls with the lowest survival.
        lowest = np.zeros((len(weight), len(controls) + 1))
        np.cumsum(weight[:, controls], axis=1, out=lowest[:, 1:])
        case_weight = weight[:, is_case]
        comparable += case_weight.sum(axis=1) * lowest[:, -1]
        concordant += (case_weight * (lowest[:, -1:] - lowest[:, first_higher])).sum(axis=1)
        tied += (case_weight * (lowest[:, first_higher] - lowest[:, first_tied])).sum(axis=1)
    pairs = WeightedPairs(comparable, concordant, tied)
    if group is None:
        return pairs
    check_group(group, subjects=len(step))
    within = _within_groups(survival, step=step, event=event, weight=weight, group=group)
    remaining = np.stack(pairs) - within
    # A difference of sums of weights is not exactly 0 where no pair remains, unless all weights are 0 or 1. Where the
    # difference is nearly 0, the pairs are counted with such weights.
    nearly_none = np.flatnonzero((pairs.comparable > 0) & (remaining[0] < 1e-6 * pairs.comparable))
    present = (weight[nearly_none] > 0).astype(np.float64)
    if (present != weight[nearly_none]).any():
        counted = weighted_pairs(survival, step=step, event=event, weight=present, group=group).comparable
        remaining[:, nearly_none[counted == 0]] = 0.0
    return WeightedPairs(*remaining)


def _within_groups(
    survival: np.ndarray, *, step: np.ndarray, event: np.ndarray, weight: np.ndarray, group: np.ndarray
) -> Float[np.ndarray, "sum resample"]:
    """Count pairs as ``weighted_pairs`` does, but only those within a group."""
    within = np.zeros((3, len(weight)))
    anchor = np.flatnonzero(event)
    # A subject censored in a step exits after those with the event in it.
    for place, other in pairs_within(group, 2 * step + ~event, anchor, columns=len(weight)):
        case = anchor[place]
        own, others = survival[case, step[case]], survival[other, step[case]]
        columns = np.stack([np.ones(len(case)), own < others, own == others], axis=1)
        within += ((weight[:, case] * weight[:, other]) @ columns).T
    return within
