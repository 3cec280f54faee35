"""Parts of the risk of a synthetic outcome, each computed from the history up to a visit.

See ``docs/conventions.md``, section "Synthetic outcomes".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, Int64

from survlstm.data.features import distinct_code_counts
from survlstm.data.known_times import YEAR_SECONDS
from survlstm.data.visits import Visits
from survlstm.utils.errors import OutcomeError


def history_factors(visits: Visits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the three factors of the risk from the history up to each visit.

    Args:
        visits: Visits of the cohort.

    Returns:
        Codes per visit, visits per year, and share of repeated codes, each [visit]. A year is added to the time in the
        frequency; otherwise it would be infinite at the first visit.
    """
    owner = visits.visit_subject
    first_visit = visits.visit_offsets[:-1][owner]
    number = np.arange(len(owner)) - first_visit + 1
    codes_before = visits.code_offsets[:-1][first_visit]
    codes = visits.code_offsets[1:] - codes_before
    seconds = visits.visit_time.astype("datetime64[s]").astype(np.int64)
    years = (seconds - seconds[first_visit]) / YEAR_SECONDS
    distinct = distinct_code_counts(visits, np.ones(len(visits.code), dtype=bool))
    return codes / number, number / (1 + years), 1 - distinct / codes


def normal_scores(factor: Float[np.ndarray, " row"], weight: Float[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
    """Transform a factor to normal scores: the normal quantile of its mid-rank among the weighted rows.

    Half a subject added at either end keeps the scores finite.

    Args:
        factor: Value of each row, a visit or an entry; no NaN.
        weight: Weight of each row, 0 for a row that no rank is fitted on. The weights of a subject add up to 1.
    """
    from scipy.special import ndtri

    _, rank = np.unique(factor, return_inverse=True)
    tied = np.bincount(rank, weight)
    below = np.cumsum(tied) - tied
    return ndtri((below + 0.5 * tied + 0.5) / (tied.sum() + 1))[rank]


class _Numbers(NamedTuple):
    """The entries of one code that have a number, in the order of the visits."""

    entry: Int64[np.ndarray, " number"]
    subject: Int64[np.ndarray, " number"]
    unit: Int32[np.ndarray, " number"]
    value: Float32[np.ndarray, " number"]

    def per_unit(self) -> Iterator[Int64[np.ndarray, " of_unit"]]:
        """Return the indices of the entries of each unit."""
        for unit in np.unique(self.unit):
            yield np.flatnonzero(self.unit == unit)


def last_value_risk(
    visits: Visits, codes: Sequence[str], *, is_training: Bool[np.ndarray, " subject"]
) -> Float[np.ndarray, " visit"]:
    """Compute the mean score of the last values of some codes at each visit.

    The value of a code at a visit is that of its last entry with a number in this visit and those before it. Each
    number is transformed to a normal score by its rank among the numbers of training subjects with the same code and
    unit, with the same total weight for each subject. A code has the score 0 before its first number, and for a number
    in a unit that no training subject has.

    Args:
        visits: Visits of the cohort.
        codes: Codes that occur in ``visits.codes``.
        is_training: Subjects whose numbers give the ranks.

    Returns:
        Mean of the scores over the codes; higher = higher values.

    Raises:
        OutcomeError: If the training subjects have no number of one of the codes, or have the same number everywhere.
    """
    return np.mean([_last_scores(visits, code, is_training) for code in codes], axis=0)


def unranked_entries(visits: Visits, codes: Sequence[str], *, is_training: Bool[np.ndarray, " subject"]) -> int:
    """Count the entries with a number in a unit that no training subject has for that code.

    Args:
        visits: Visits of the cohort.
        codes: Codes that occur in ``visits.codes``.
        is_training: Subjects whose numbers give the ranks.
    """
    of_units = [
        (numbers, rows) for numbers in (_numbers(visits, code) for code in codes) for rows in numbers.per_unit()
    ]
    return sum(len(rows) for numbers, rows in of_units if not is_training[numbers.subject[rows]].any())


def _numbers(visits: Visits, code: str) -> _Numbers:
    entry = np.flatnonzero((visits.codes == code)[visits.code] & ~np.isnan(visits.value))
    subject = visits.visit_subject[visits.entry_visit[entry]]
    return _Numbers(entry, subject, visits.unit[entry], visits.value[entry])


def _last_scores(visits: Visits, code: str, is_training: Bool[np.ndarray, " subject"]) -> Float[np.ndarray, " visit"]:
    """Return the score of the last number of one code at each visit, 0 before the first one."""
    numbers = _numbers(visits, code)
    _refuse_equal_numbers(visits, code, numbers, is_training)
    score = np.zeros(len(numbers.entry))
    for rows in numbers.per_unit():
        subject = numbers.subject[rows]
        weight = np.where(is_training[subject], 1.0 / np.bincount(subject)[subject], 0.0)
        score[rows] = normal_scores(numbers.value[rows], weight)
    # The last number before the end of each visit; it can belong to a subject before.
    last = np.searchsorted(numbers.entry, visits.code_offsets[1:]) - 1
    is_measured = (last >= 0) & (numbers.subject[last] == visits.visit_subject)
    return np.where(is_measured, score[last], 0.0)


def _refuse_equal_numbers(
    visits: Visits, code: str, numbers: _Numbers, is_training: Bool[np.ndarray, " subject"]
) -> None:
    needs = f"outcome.planted_values needs numbers of {code} that differ between entries of training subjects"
    of_training = is_training[numbers.subject]
    if not of_training.any():
        entry_subject = visits.visit_subject[visits.entry_visit]
        entries = int(((visits.codes == code)[visits.code] & is_training[entry_subject]).sum())
        raise OutcomeError(
            f"{needs}; found {entries} entries of them, none with a number. Name a code that has numbers, such as a "
            "laboratory result"
        )
    of_units = [values for rows in numbers.per_unit() if len(values := numbers.value[rows[of_training[rows]]])]
    if not any(values.min() < values.max() for values in of_units):
        raise OutcomeError(
            f"{needs} in the same unit; found {of_training.sum()} entries of them with a number, in {len(of_units)} "
            "units, and in each unit the same number everywhere. Name a code whose numbers differ"
        )
