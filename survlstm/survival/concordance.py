"""Time-dependent concordance (C-index) of predicted survival per step, also under many weightings of the subjects."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


class Concordance(NamedTuple):
    """Time-dependent C-index with the numbers of pairs it is made of.

    Attributes:
        c_td: (concordant + tied / 2) / comparable, 0 to 1; NaN if no pair is comparable.
        comparable: number of comparable pairs.
        concordant: number of comparable pairs in which the event has the lower survival.
        tied: number of comparable pairs with equal survival.
    """

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
        step: index of the last step at risk (``survlstm.survival.steps``); shape (subject,), integer.
        event: True if the event happened in ``step``, False if censored; shape (subject,), boolean.

    Returns:
        The C-index and its pairs; the C-index is NaN if no pair is comparable.

    Example:
        >>> step, event = np.array([0, 0, 1]), np.array([True, False, False])
        >>> concordance_td(np.array([[0.6, 0.5], [0.6, 0.4], [0.9, 0.8]]), step=step, event=event)
        Concordance(c_td=0.75, comparable=2, concordant=1, tied=1)
    """
    equal_weights = np.ones((1, len(step)))
    counts = weighted_pairs(survival, step=step, event=event, weight=equal_weights)
    comparable, concordant, tied = (int(count[0]) for count in counts)
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

    Returns:
        Sums of weights per row of ``weight``; ties and comparability as in ``concordance_td``.

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
    return WeightedPairs(comparable, concordant, tied)
