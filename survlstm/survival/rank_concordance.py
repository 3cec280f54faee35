"""Scores and follow-up → Harrell's and Uno's concordance, every pair counted in n log n."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Real

from survlstm.survival.follow_up import check_follow_up, check_has_event, check_score
from survlstm.survival.kaplan_meier import KaplanMeier


class RankConcordance(NamedTuple):
    """``c`` = (concordant + tied / 2) / comparable; counts of pairs, for Uno each weighted by 1/G(t)² of its anchor."""

    c: float
    comparable: float
    concordant: float
    tied: float


class PairCounts(NamedTuple):
    """For each event, the anchor of its pairs: the subjects known to outlive it, and for each column of scores how many
    of those have a lower score than it, and how many an equal one."""

    anchor: Int[np.ndarray, " anchor"]
    comparable: Int[np.ndarray, " anchor"]
    lower: Int[np.ndarray, "anchor column"]
    equal: Int[np.ndarray, "anchor column"]


def c_harrell(
    score: Real[np.ndarray, " subject"],
    *,
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
) -> RankConcordance:
    """Harrell's C of a fixed score (higher = earlier event): 0.5 = random, 1 = every event ranked ahead.

    A pair is comparable if one has the event before the other leaves; the event comes before a censoring of the same
    time, two events of the same time are not compared, equal scores (exactly equal) count 1/2. The convention of R
    survival::concordance, lifelines and scikit-survival (which takes scores within 1e-8 as equal). ValueError for no
    event, no comparable pair, scores or durations that are not finite, and lengths that differ. Harrell et al. 1996,
    Statistics in Medicine 15:361.
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
    """Uno's C of a fixed score (higher = earlier event): Harrell's pairs, each weighted by 1/G(t)² of its anchor.

    Anchors are the events with t < ``tau`` (all without it); the other of a pair may lie behind ``tau``. ``censoring``
    is G, the ``censoring_curve`` of the training subjects, read at t itself as in scikit-survival. Ties as in
    ``c_harrell``. ValueError as there, for no event before ``tau``, and for an anchor where G is 0 or unknown. Uno et
    al. 2011, Statistics in Medicine 30:1105.
    """
    pairs = _pairs_of_one(score, duration=duration, event=event)
    anchor_time = duration[pairs.anchor]
    kept = np.ones(len(anchor_time), dtype=bool) if tau is None else anchor_time < tau
    if not kept.any():
        raise ValueError(f"at least one event before tau = {tau} is needed; the first is at {anchor_time.min()}")
    anchor_survival = censoring.at(anchor_time[kept])
    if (anchor_survival == 0).any():
        raise ValueError(
            f"the censoring survival G must be > 0 at every event that anchors pairs; it is 0 at "
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
) -> PairCounts:
    """The pairs of every event, for several scores of the same subjects at once; ties and errors as in ``c_harrell``.

    Σ weight (lower + equal / 2) / Σ weight comparable over anchors is Harrell's C with weights of 1, Uno's with 1/G².
    """
    _check(score, duration, event)
    subjects, columns = score.shape
    # Events 2k, censorings of the same time 2k + 1: "outlives" is then one comparison, and false between tied events.
    exit_rank = 2 * np.unique(duration, return_inverse=True)[1] + ~event
    anchor = np.flatnonzero(event)
    later = subjects - np.searchsorted(np.sort(exit_rank), exit_rank[anchor], "right")
    # The columns behind each other, later ones with higher scores and later exits: across columns nobody is counted.
    behind = np.arange(columns)[:, None] * subjects
    score_rank = (np.stack([np.unique(column, return_inverse=True)[1] for column in score.T]) + behind).ravel()
    exit_rank = (exit_rank + 2 * behind).ravel()
    anchors = (anchor + behind).ravel()
    # One number that orders by score and, within a score, by exit; n² stays far below 2^63.
    width = 2 * len(score_rank)
    combined = score_rank * width + exit_rank
    ordered = np.sort(combined)
    end_of_score = np.searchsorted(ordered, (score_rank[anchors] + 1) * width)
    equal = end_of_score - np.searchsorted(ordered, combined[anchors], "right")
    lower = _count_lower_and_later(score_rank, exit_rank)[anchors]
    return PairCounts(anchor, later, *(count.reshape(columns, len(anchor)).T for count in (lower, equal)))


def _pairs_of_one(score: np.ndarray, *, duration: np.ndarray, event: np.ndarray) -> PairCounts:
    _check(score, duration, event)
    return count_pairs(score[:, None], duration=duration, event=event)


def _check(score: np.ndarray, duration: np.ndarray, event: np.ndarray) -> None:
    check_follow_up(duration, event)
    check_score(score, subjects=len(duration))
    check_has_event(event)


def _count_lower_and_later(score_rank: np.ndarray, exit_rank: np.ndarray) -> np.ndarray:
    """For each subject, how many others have both a lower score and a later exit, in n log n and a few n of memory."""
    subjects = len(score_rank)
    # Within one exit scores rise and within one score exits rise, so that ties are never met as lower and later.
    by_exit = np.lexsort((score_rank, exit_rank))
    place = np.empty(subjects, dtype=np.int64)
    place[by_exit] = np.arange(subjects)
    row = place[np.lexsort((place, score_rank))]
    lower = np.zeros(subjects, dtype=np.int64)
    index = np.arange(subjects)
    # ``row`` holds exit places in order of score. Each round splits every block of places in two, order kept: whoever
    # stands in the earlier half counts those of the later half ahead of it. Every pair is split exactly once.
    for bit in reversed(range(max(subjects - 1, 1).bit_length())):
        half = 1 << bit
        in_later_half = (row & half) > 0
        block_start = index & ~(2 * half - 1)
        # All blocks before this one are full, so that half of their places were later halves.
        ahead = np.cumsum(in_later_half) - in_later_half - (block_start >> 1)
        earlier = ~in_later_half
        lower[row[earlier]] += ahead[earlier]
        target = np.where(in_later_half, block_start + half + ahead, index - ahead)
        split = np.empty_like(row)
        split[target] = row
        row = split
    return lower[place]
