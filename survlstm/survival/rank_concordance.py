"""Harrell's and Uno's concordance (C-index) of fixed risk scores, with all pairs counted in n log n time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real
from scipy.sparse import csr_array

from survlstm.survival.case_weights import check_group, check_weight, pairs_within
from survlstm.survival.follow_up import check_follow_up, check_has_event, check_score
from survlstm.survival.kaplan_meier import KaplanMeier

# Scores, in several columns, that are counted in one pass: fewer passes cost less per call, and arrays of this size
# stay in the cache of a core. With 32 columns of 6,000 scores, one pass over all takes twice as long.
SCORES_TOGETHER = 16_384


class RankConcordance(NamedTuple):
    """Concordance of a score with the pairs it is made of.

    A pair consists of a subject with the event, the anchor, and a subject that is known to outlive it.

    Attributes:
        c: (concordant + tied / 2) / comparable, 0 to 1.
        comparable: number of comparable pairs; in Uno's C each counts 1/G(t)², t being the time of its anchor.
        concordant: number, weighted likewise, of the pairs in which the anchor has the higher score.
        tied: number, weighted likewise, of the pairs with equal scores.
    """

    c: float
    comparable: float
    concordant: float
    tied: float


class PairCounts(NamedTuple):
    """Numbers of pairs of each event (anchor) with the subjects known to outlive it, for several scores.

    With case weights they are the sums of the weights of these subjects. The weight of the anchor is not in them.

    Attributes:
        anchor: index of the subject with the event, in the order of the input; shape (anchor,).
        comparable: number of subjects known to outlive the anchor; shape (anchor,).
        lower: number of those with a lower score than the anchor; shape (anchor, column).
        equal: number of those with exactly the anchor's score; shape (anchor, column).
    """

    anchor: Int[np.ndarray, " anchor"]
    comparable: Real[np.ndarray, " anchor"]
    lower: Real[np.ndarray, "anchor column"]
    equal: Real[np.ndarray, "anchor column"]


def c_harrell(
    score: Real[np.ndarray, " subject"],
    *,
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
) -> RankConcordance:
    """Compute Harrell's concordance of a fixed risk score; higher is better.

    A pair of subjects is comparable if one has the event at a time up to which the other is known to be without it. It
    is concordant if the subject with the event has the higher score. 0.5 is what chance gives; 1 means that every
    comparable pair is in the right order.

    Ties: an event at t comes before a censoring at t, so the pair is comparable; two events at the same time are not
    compared; equal scores count 1/2. These are the conventions of R's ``survival::concordance``, lifelines and
    scikit-survival. Scores must be exactly equal to be tied, whereas scikit-survival takes scores within 1e-8 as tied.

    Source: Harrell et al. 1996, Statistics in Medicine 15:361.

    Args:
        score: risk score, higher = earlier event, finite; shape (subject,).
        duration: time to the event or to the end of follow-up, finite and >= 0; shape (subject,).
        event: True = event, False = censored at ``duration``; shape (subject,), boolean.

    Returns:
        The concordance and its numbers of pairs.

    Raises:
        ValueError: no subject has the event, no pair is comparable, a score is NaN or infinite, the follow-up is
            invalid, or the numbers of subjects differ.

    Example:
        >>> duration, event = np.array([1, 2, 2, 2, 3]), np.array([True, True, True, False, False])
        >>> c_harrell(np.array([5, 4, 1, 3, 2]), duration=duration, event=event)
        RankConcordance(c=0.75, comparable=8, concordant=6, tied=0)
    """
    pairs = _pairs_of_one(score, duration=duration, event=event)
    return _weighted(pairs, np.ones(len(pairs.anchor), dtype=np.int64))


def c_uno(
    score: Real[np.ndarray, " subject"],
    *,
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    censoring: KaplanMeier,
    tau: int | float | None = None,
) -> RankConcordance:
    """Compute Uno's concordance of a fixed risk score; higher is better.

    Its weights make the limit for many subjects independent of when subjects are censored; that of Harrell's C depends
    on it.

    The pairs are those of ``c_harrell``, restricted to events at t < ``tau``, and each has the weight 1/G(t)². The
    other subject of a pair may be followed beyond ``tau``. G is read at t itself, as in scikit-survival. Ties are
    handled as in ``c_harrell``.

    Source: Uno et al. 2011, Statistics in Medicine 30:1105.

    Args:
        score: risk score, higher = earlier event, finite; shape (subject,).
        duration: time to the event or to the end of follow-up, finite and >= 0; shape (subject,).
        event: True = event, False = censored at ``duration``; shape (subject,), boolean.
        censoring: G, the ``censoring_curve`` of the training subjects, in the unit of ``duration``. It must be known
            and above 0 at every event before ``tau``.
        tau: time limit of the events, excluded, in the unit of ``duration``; None = all events.

    Returns:
        The concordance and its weighted numbers of pairs.

    Raises:
        ValueError: there is no event before ``tau``, G is 0 or unknown at one of them, or ``c_harrell`` refuses the
            arguments.

    Example:
        >>> follow_up = {"duration": np.array([1, 2, 2, 2, 3]), "event": np.array([True, True, True, False, False])}
        >>> c_uno(np.array([5, 4, 1, 3, 2]), **follow_up, censoring=censoring_curve(**follow_up))
        RankConcordance(c=0.6, comparable=20.0, concordant=12.0, tied=0.0)
    """
    pairs = _pairs_of_one(score, duration=duration, event=event)
    anchor_time = duration[pairs.anchor]
    kept = np.ones(len(anchor_time), dtype=bool) if tau is None else anchor_time < tau
    if not kept.any():
        raise ValueError(f"at least one event before tau = {tau} is needed; the first is at {anchor_time.min()}")
    anchor_survival = censoring.at(anchor_time[kept])
    if (anchor_survival == 0).any():
        raise ValueError(
            f"the censoring curve G must be > 0 at every event that is compared; it is 0 at "
            f"{int((anchor_survival == 0).sum())} of {len(anchor_survival)}. "
            f"Set tau to {anchor_time[kept][anchor_survival == 0].min():g} or less"
        )
    return _weighted(PairCounts(*(values[kept] for values in pairs)), anchor_survival**-2.0)


def _weighted(pairs: PairCounts, weight: np.ndarray) -> RankConcordance:
    comparable, concordant, tied = (
        (weight * count).sum().item() for count in (pairs.comparable, pairs.lower[:, 0], pairs.equal[:, 0])
    )
    if comparable == 0:
        raise ValueError(
            f"at least one comparable pair is needed; no subject is known to outlive any of {len(weight)} events"
        )
    return RankConcordance((concordant + 0.5 * tied) / comparable, comparable, concordant, tied)


def count_pairs(
    score: Real[np.ndarray, "subject column"],
    *,
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    weight: Float[np.ndarray, " subject"] | None = None,
    group: Int[np.ndarray, " subject"] | None = None,
) -> PairCounts:
    """Count the comparable pairs of every event, for several scores of the same subjects at once.

    The sum of w (lower + equal / 2) over the anchors, divided by the sum of w comparable, is Harrell's C with w = 1 and
    Uno's C with w = 1/G(t)², times the case weight of the anchor if there are case weights. Time is n log n in the
    number of scores, and the square of the size of each group. Ties are handled as in ``c_harrell``.

    Args:
        score: risk scores, higher = earlier event, finite; shape (subject, column), one column per score.
        duration: time to the event or to the end of follow-up, finite and >= 0; shape (subject,).
        event: True = event, False = censored at ``duration``; shape (subject,), boolean.
        weight: case weight of each subject, > 0; shape (subject,). None = 1 each.
        group: an integer per subject; subjects of one group are not compared; shape (subject,). None = all are.

    Returns:
        Numbers of pairs per event and column; exactly 0 where there is no pair.

    Raises:
        ValueError: no subject has the event, a score is NaN or infinite, the follow-up is invalid, a weight is not
            finite and > 0, or the numbers of subjects differ.

    Example:
        >>> duration, event = np.array([1, 2, 3]), np.array([True, False, False])
        >>> count_pairs(np.array([[2, 1], [1, 1], [1, 2]]), duration=duration, event=event).lower.tolist()
        [[2, 0]]
    """
    _check(score, duration, event)
    check_weight(weight, subjects=len(score))
    check_group(group, subjects=len(score))
    # With k the rank of a time, an event at it has exit rank 2k and a censoring 2k + 1. "Outlives" is then the one
    # comparison exit rank > exit rank of the anchor, and is false between events at the same time.
    exit_rank = 2 * np.unique(duration, return_inverse=True)[1] + ~event
    anchor = np.flatnonzero(event)
    by_exit = np.argsort(exit_rank)
    first_later = np.searchsorted(exit_rank[by_exit], exit_rank[anchor], "right")
    pairs = len(score) - first_later
    # Summed from the last exit on, so that the weight of no subject is exactly 0.
    later = pairs if weight is None else np.append(np.cumsum(weight[by_exit][::-1])[::-1], 0.0)[first_later]
    together = max(1, SCORES_TOGETHER // len(score))
    parts = [
        _lower_and_equal(score[:, first : first + together], exit_rank, anchor, weight)
        for first in range(0, score.shape[1], together)
    ]
    lower, equal = (np.concatenate(counts, axis=1) for counts in zip(*parts, strict=True))
    if group is None:
        return PairCounts(anchor, later, lower, equal)
    within, *left_out = _within_groups(score, exit_rank, anchor, weight, group)
    # A difference of sums of weights is not exactly 0 where no pair remains.
    remain = pairs > within
    later, lower, equal = (
        np.where(remain.reshape(-1, *[1] * (total.ndim - 1)), total - less, 0)
        for total, less in zip((later, lower, equal), left_out, strict=True)
    )
    return PairCounts(anchor, later, lower, equal)


def _lower_and_equal(
    score: np.ndarray, exit_rank: np.ndarray, anchor: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Count the subjects with a later exit and a lower or an equal score, for each anchor and column."""
    subjects, columns = score.shape
    # The columns are counted in one pass: they are concatenated, and each has higher score ranks and later exits than
    # the ones before it, so that no pair across columns is counted as lower and later.
    offset = np.arange(columns)[:, None] * subjects
    score_rank = (np.stack([np.unique(column, return_inverse=True)[1] for column in score.T]) + offset).ravel()
    exit_rank = (exit_rank + 2 * offset).ravel()
    anchors = (anchor + offset).ravel()
    weight = None if weight is None else np.tile(weight, columns)
    # One integer that sorts by score and, within a score, by exit. It is below 2 n², n being the number of scores in
    # all columns, which is far below 2^63.
    width = 2 * len(score_rank)
    combined = score_rank * width + exit_rank
    order = np.argsort(combined)
    ordered = combined[order]
    end_of_score = np.searchsorted(ordered, (score_rank[anchors] + 1) * width)
    first_later = np.searchsorted(ordered, combined[anchors], "right")
    if weight is None:
        equal = end_of_score - first_later
    else:
        until = np.append(0.0, np.cumsum(weight[order]))
        equal = until[end_of_score] - until[first_later]
    lower = _count_lower_and_later(score_rank, exit_rank, weight)[anchors]
    lower, equal = (count.reshape(columns, len(anchor)).T for count in (lower, equal))
    return lower, equal


def _within_groups(
    score: np.ndarray, exit_rank: np.ndarray, anchor: np.ndarray, weight: np.ndarray | None, group: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Count pairs as ``count_pairs`` does, but only those within a group; the number of pairs comes first."""
    number = np.zeros(len(anchor), dtype=np.int64)
    later, lower, equal = (np.zeros((len(anchor), columns), dtype=np.int64) for columns in (1, *[score.shape[1]] * 2))
    for place, other in pairs_within(group, exit_rank, anchor, columns=score.shape[1]):
        counted = np.ones(len(place), dtype=np.int64) if weight is None else weight[other]
        # The product with this matrix adds up the pairs of each anchor.
        start = np.searchsorted(place, np.arange(len(anchor) + 1))
        add_up = csr_array((counted, np.arange(len(place)), start), shape=(len(anchor), len(place)))
        own_score = score[anchor[place]]
        number = number + np.diff(start)
        later = later + add_up @ np.ones((len(place), 1), dtype=np.int64)
        lower = lower + add_up @ (score[other] < own_score).astype(np.int64)
        equal = equal + add_up @ (score[other] == own_score).astype(np.int64)
    return number, later[:, 0], lower, equal


def _pairs_of_one(score: np.ndarray, *, duration: np.ndarray, event: np.ndarray) -> PairCounts:
    _check(score, duration, event)
    return count_pairs(score[:, None], duration=duration, event=event)


def _check(score: np.ndarray, duration: np.ndarray, event: np.ndarray) -> None:
    check_follow_up(duration, event)
    check_score(score, subjects=len(duration))
    check_has_event(event)


def _count_lower_and_later(score_rank: np.ndarray, exit_rank: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Count, for each subject, the others with both a lower score and a later exit, or add up their weights.

    The count is one of inversions, made by a radix sort from the highest bit down (the levels of a wavelet tree), in
    n log n time and memory of a few n, without a Python loop over subjects.
    """
    subjects = len(score_rank)
    # ``position`` is the rank by exit and, within an exit, by score. ``row`` holds the positions in order of score and,
    # within a score, of position. A pair with equal scores or equal exits is therefore never in inverse order.
    by_exit = np.lexsort((score_rank, exit_rank))
    position = np.empty(subjects, dtype=np.int64)
    position[by_exit] = np.arange(subjects)
    by_score = np.lexsort((position, score_rank))
    row = position[by_score]
    own_weight = None if weight is None else weight[by_score]
    lower = np.zeros(subjects, dtype=np.int64 if weight is None else np.float64)
    index = np.arange(subjects)
    # Each round splits every block of positions into an earlier and a later half and keeps the order within each. An
    # entry of the earlier half counts the entries of the later half that come before it in the block: these have a
    # lower score and a later exit. Every pair of positions is separated in exactly one round. The counts and weights
    # move along with their entries, which costs less than to look them up in every round.
    for bit in reversed(range(max(subjects - 1, 1).bit_length())):
        half = 1 << bit
        in_later_half = (row >> bit) & 1
        block_start = index & ~(2 * half - 1)
        # Number of later-half entries before this one in its block: those of all blocks, less those of earlier blocks.
        # Earlier blocks are full, so that half of their entries are in later halves.
        ahead = np.cumsum(in_later_half) - in_later_half - (block_start >> 1)
        target = np.where(in_later_half, block_start + half + ahead, index - ahead)
        if own_weight is None:
            lower = lower + ahead * (1 - in_later_half)
        else:
            later_weight = own_weight * in_later_half
            before = np.cumsum(later_weight) - later_weight
            lower = lower + (before - before[block_start]) * (1 - in_later_half)
            own_weight = _moved(own_weight, target)
        row, lower = _moved(row, target), _moved(lower, target)
    # Every entry is now at its position.
    return lower[position]


def _moved(values: np.ndarray, target: np.ndarray) -> np.ndarray:
    moved = np.empty_like(values)
    moved[target] = values
    return moved
