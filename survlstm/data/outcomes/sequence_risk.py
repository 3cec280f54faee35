"""Parts of the risk of a synthetic outcome that depend on the order and the times of the history, not on counts alone.

See ``docs/conventions.md``, section "Synthetic outcomes".
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from survlstm.data.features import DAY_SECONDS
from survlstm.data.known_times import YEAR_SECONDS
from survlstm.data.visits import Visits
from survlstm.utils.errors import OutcomeError

# Codes that the rule chooses for the ordered pairs, and for the fading count.
CHOSEN = 3
# The last occurrence of a code in more visits is mostly in the visit before, so that counts show the order.
LARGEST_VISIT_SHARE = 0.3
# Two codes with a larger overlap of their visits (Jaccard index) count as one: they have no order.
LARGEST_OVERLAP = 0.5
RECENT_YEARS = 0.5


class SequenceCodes(NamedTuple):
    """Codes that the risk depends on.

    Attributes:
        pairs: Ordered pairs; the first code before the second raises the risk.
        fading: Codes whose occurrences are counted with a weight that decreases with time.
    """

    pairs: tuple[tuple[str, str], ...]
    fading: tuple[str, ...]

    def by_key(self) -> dict[str, list[str]]:
        """Return texts of the codes by the key of ``outcome`` that names them."""
        return {
            "sequence_pairs": [f"{first} before {second}" for first, second in self.pairs],
            "fading_codes": list(self.fading),
        }


def choose_sequence_codes(
    visits: Visits,
    *,
    pairs: Sequence[Sequence[str]],
    fading: Sequence[str],
    is_training: Bool[np.ndarray, " subject"],
) -> SequenceCodes:
    """Choose the codes that are not named, from the visits of the training subjects.

    A code can be chosen if at most ``LARGEST_VISIT_SHARE`` of the visits have it, with the same total weight for each
    subject. The codes are taken in the order of the share of subjects that have them, then of the share of visits, then
    of their texts. A code whose visits overlap with those of a code taken before by ``LARGEST_OVERLAP`` or more is left
    out. The first ``CHOSEN`` codes a, b and c form the pairs (a, b) and (b, c). The next ``CHOSEN`` are the codes of
    the fading count, or those of the pairs if none are left.

    Args:
        visits: Visits of the cohort.
        pairs: Named pairs; empty to choose them.
        fading: Named codes of the fading count; empty to choose them.
        is_training: Subjects whose visits decide.

    Raises:
        OutcomeError: If pairs must be chosen and fewer than two codes can be.
    """
    named = {code for pair in pairs for code in pair} | set(fading)
    found = [] if pairs and fading else _frequent_codes(visits, is_training, without=named)
    if not pairs:
        if len(found) < 2:
            raise OutcomeError(
                "outcome.mechanism=sequence needs two codes that training subjects have, each in at most "
                f"{LARGEST_VISIT_SHARE:.0%} of the visits and not in the same visits; found {len(found)} such codes. "
                "Name pairs of codes in outcome.sequence_pairs"
            )
        chain, found = found[:CHOSEN], found[CHOSEN:]
        pairs = list(itertools.pairwise(chain))
    of_pairs = dict.fromkeys(str(code) for pair in pairs for code in pair)
    return SequenceCodes(
        tuple((str(first), str(second)) for first, second in pairs),
        tuple(fading) or tuple(found[:CHOSEN]) or tuple(of_pairs),
    )


def order_state(
    visits: Visits, pairs: Sequence[tuple[str, str]], *, window_days: float
) -> Float64[np.ndarray, " visit"]:
    """Compute at each visit how many pairs occurred last in their order, less those in the reverse order.

    The last occurrences are those in the visits *before* this one. A pair adds 1 if the last occurrence of its first
    code comes before that of its second one, -1 if it comes after it, and 0 if one of them is missing, both are in the
    same visit, or more than ``window_days`` lie between them.

    Counts can't tell the order. Of the records (a), (b), (x) and (b), (a), (x) with visits at the same times, the third
    visit has the same codes, the same counts so far and the same visit features. The state of the pair (a, b) is 1 in
    the first record and -1 in the second. If the state included this visit, its codes alone would often show the state.

    Args:
        visits: Visits of the cohort.
        pairs: Pairs of codes.
        window_days: Largest number of days between the two occurrences.

    Returns:
        Sum over the pairs.
    """
    seconds = visits.visit_time.astype("datetime64[s]").astype(np.int64)
    state = np.zeros(len(seconds))
    last = {code: _last_before(visits, _has(visits, [code])) for code in {code for pair in pairs for code in pair}}
    for first, second in pairs:
        both = (last[first] >= 0) & (last[second] >= 0)
        days = np.abs(seconds[last[second]] - seconds[last[first]]) / DAY_SECONDS
        state += np.where(both & (days <= window_days), np.sign(last[second] - last[first]), 0)
    return state


def fading_count(visits: Visits, codes: Sequence[str], *, half_life_days: float) -> Float64[np.ndarray, " visit"]:
    """Count the visits so far with each code, with a weight that halves every ``half_life_days``.

    Args:
        visits: Visits of the cohort.
        codes: Codes that are counted; a visit with two of them counts twice.
        half_life_days: Days in which the weight of an occurrence halves.

    Returns:
        ``Σ_k n_k · 0.5^((t_j - t_k) / half_life_days)`` over the visits k up to j, where n_k is the number of codes in
        visit k.
    """
    seconds = visits.visit_time.astype("datetime64[s]").astype(np.int64)
    number = np.stack([_has(visits, [code]) for code in codes]).sum(axis=0).astype(np.float64)
    kept = 0.5 ** (np.diff(seconds, prepend=seconds[:1]) / DAY_SECONDS / half_life_days).clip(min=0)
    count = number.copy()
    for step in range(1, int(visits.visits_per_subject.max(initial=0))):
        here = visits.visit_offsets[:-1][visits.visits_per_subject > step] + step
        count[here] += count[here - 1] * kept[here]
    return count


def rate_rise(visits: Visits) -> Float64[np.ndarray, " visit"]:
    """Compare the rate of visits in the last half-year with the rate before it.

    Args:
        visits: Visits of the cohort.

    Returns:
        Logarithm of the ratio of the visits per year in the half-year up to and including this visit to the visits per
        year before; above 0 if visits became more frequent. Half a year is added to the time before, which could
        otherwise be 0. 0 as long as no visit is older than half a year.
    """
    owner = visits.visit_subject
    first = visits.visit_offsets[:-1][owner]
    seconds = visits.visit_time.astype("datetime64[s]").astype(np.int64)
    years = (seconds - seconds[first]) / YEAR_SECONDS
    # On this axis the records lie one after another, more than half a year apart.
    axis = owner * (years.max(initial=0.0) + 2 * RECENT_YEARS) + years
    begin = np.maximum(np.searchsorted(axis, axis - RECENT_YEARS, side="right"), first)
    recent, before = np.arange(len(owner)) - begin + 1, begin - first
    rate_before = before / np.maximum(years, RECENT_YEARS)
    return np.where(before > 0, np.log(recent / RECENT_YEARS) - np.log(np.where(before > 0, rate_before, 1.0)), 0.0)


def _has(visits: Visits, codes: Sequence[str]) -> Bool[np.ndarray, " visit"]:
    """Mark the visits with one of the codes."""
    found = np.zeros(len(visits.visit_time), dtype=bool)
    found[visits.entry_visit[np.isin(visits.codes, codes)[visits.code]]] = True
    return found


def _last_before(visits: Visits, here: Bool[np.ndarray, " visit"]) -> Int64[np.ndarray, " visit"]:
    """Return the last visit of the same subject before each visit for which ``here`` is true; -1 without one."""
    last = np.maximum.accumulate(np.where(here, np.arange(len(here)), -1))
    before = np.concatenate([[-1], last[:-1]])[: len(here)]
    return np.where(before >= visits.visit_offsets[:-1][visits.visit_subject], before, -1)


def _frequent_codes(visits: Visits, is_training: Bool[np.ndarray, " subject"], *, without: set[str]) -> list[str]:
    """Return up to twice ``CHOSEN`` codes by the rule of ``choose_sequence_codes``."""
    owner, codes, rows = visits.visit_subject, len(visits.codes), len(visits.visit_time)
    # ``np.unique`` takes several times as long on millions of entries.
    pair = np.sort(visits.code.astype(np.int64) * rows + visits.entry_visit)
    pair = pair[np.diff(pair, prepend=-1) > 0]
    pair = pair[is_training[owner[pair % rows]]]
    code, visit = pair // rows, pair % rows
    share = np.bincount(code, 1.0 / visits.visits_per_subject[owner[visit]], minlength=codes) / is_training.sum()
    # Sorted by code and then by visit, the visits of a subject with a code are next to each other.
    is_first = (np.diff(owner[visit], prepend=-1) != 0) | (np.diff(code, prepend=-1) != 0)
    subjects = np.bincount(code[is_first], minlength=codes)
    taken: list[tuple[str, np.ndarray]] = []
    for each in np.lexsort([np.arange(codes), -share, -subjects]):
        name = str(visits.codes[each])
        if len(taken) == 2 * CHOSEN or not subjects[each]:
            break
        if share[each] > LARGEST_VISIT_SHARE or name in without:
            continue
        its = visit[slice(*np.searchsorted(code, [each, each + 1]))]
        if all(_overlap(its, others) < LARGEST_OVERLAP for _, others in taken):
            taken.append((name, its))
    return [name for name, _ in taken]


def _overlap(some: np.ndarray, others: np.ndarray) -> float:
    both = len(np.intersect1d(some, others, assume_unique=True))
    return both / (len(some) + len(others) - both)
