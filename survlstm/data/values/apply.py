"""Apply fitted measures to visits: fused codes, and columns of the last value of each measure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, Int64

from survlstm.data.known_times import YEAR_SECONDS
from survlstm.data.values.measures import FittedValues, bin_numbers, padded_edges
from survlstm.data.visits import Visits

# Columns of each measure: the last value, its change since the value before, and how recent it is.
COLUMNS_PER_MEASURE = 3
# All columns are multiplied by this factor, which is about the spread of the mean of a visit's embeddings. With columns
# of spread 1, the LSTM had a lower validation likelihood in four of five comparisons (docs/values.md). The baselines
# scale their covariates themselves.
COLUMN_SCALE = 0.3


class FusedCodes(NamedTuple):
    """Fused codes of the entries with a value in a bin, visit after visit.

    Attributes:
        names: Distinct fused codes as texts, [name].
        code: Index into ``names``.
        per_visit: Number of fused codes of each visit.
    """

    names: np.ndarray
    code: Int32[np.ndarray, " added"]
    per_visit: Int64[np.ndarray, " visit"]


def fused_codes(visits: Visits, fitted: FittedValues, measure: Int32[np.ndarray, " entry"]) -> FusedCodes:
    """Return the fused code of each entry whose measure has bins, in the order of the entries.

    Args:
        visits: Visits of any subjects.
        fitted: The measures.
        measure: ``fitted.find(visits)``.
    """
    names = [measure.bin_codes for measure in fitted.measures]
    first = np.cumsum([0, *(len(bins) for bins in names)])
    entry = np.flatnonzero(has_bins(fitted, measure))
    number = bin_numbers(padded_edges(fitted.measures), measure[entry], visits.value[entry])
    return FusedCodes(
        np.array([name for bins in names for name in bins], dtype=np.str_),
        (first[measure[entry]] + number).astype(np.int32),
        np.bincount(visits.entry_visit[entry], minlength=len(visits.visit_time)),
    )


def has_bins(fitted: FittedValues, measure: Int32[np.ndarray, " entry"]) -> Bool[np.ndarray, " entry"]:
    """Mark the entries whose measure has bins.

    Args:
        fitted: The measures.
        measure: ``fitted.find(visits)``.
    """
    # The last element stands for -1, no measure.
    return np.array([bool(each.edges) for each in fitted.measures] + [False])[measure]


def value_columns(
    visits: Visits, fitted: FittedValues, measure: Int32[np.ndarray, " entry"]
) -> Float32[np.ndarray, "visit column"]:
    """Compute the columns of the measures that have some, three for each measure in turn.

    At a visit, the last value of a measure is that of its last entry with a number in the record up to and including
    this visit. The columns are, each times ``COLUMN_SCALE``:

    - the normal score of the last value;
    - its change: the normal score of the last value minus that of the value before it, 0 without one;
    - its recency, ``1 / (1 + years)`` since the visit with the last value: 1 at that visit, later closer to 0.

    Before the first value all three are 0.

    Args:
        visits: Visits of any subjects.
        fitted: The measures.
        measure: ``fitted.find(visits)``.
    """
    chosen = fitted.column_measures
    columns = np.zeros((len(visits.visit_time), COLUMNS_PER_MEASURE * len(chosen)), dtype=np.float32)
    owner = visits.visit_subject
    first_visit = visits.visit_offsets[:-1][owner]
    seconds = visits.visit_time.astype("datetime64[s]").astype(np.int64)
    entry = np.flatnonzero(np.isin(measure, chosen))
    # The entries of each measure in turn, each in the order of the record.
    entry = entry[np.argsort(measure[entry], kind="stable")]
    visit_of = visits.entry_visit[entry]
    bounds = np.searchsorted(measure[entry], [*chosen, len(fitted.measures)])
    for place, number in enumerate(chosen):
        here = slice(bounds[place], bounds[place + 1])
        score = fitted.measures[number].score(visits.value[entry[here]])
        last = _last_values(score, visit_of[here], owner)
        seen = np.full(len(owner), -1, dtype=np.int64)
        seen[last.visit] = np.arange(len(last.visit))
        seen = np.maximum.accumulate(seen)
        known = (seen >= 0) & (last.visit[seen] >= first_visit) if len(last.visit) else np.zeros(len(owner), dtype=bool)
        seen = seen[known]
        years = (seconds[known] - seconds[last.visit[seen]]) / YEAR_SECONDS
        start = COLUMNS_PER_MEASURE * place
        columns[known, start] = last.score[seen]
        columns[known, start + 1] = last.change[seen]
        columns[known, start + 2] = 1 / (1 + years)
    return columns * np.float32(COLUMN_SCALE)


class _LastValues(NamedTuple):
    """Last value of one measure in each visit that has one.

    Attributes:
        visit: The visits, rising.
        score: Normal score of the last value in the visit.
        change: Score minus that of the value before it in the record, 0 without one.
    """

    visit: Int64[np.ndarray, " visit"]
    score: Float32[np.ndarray, " visit"]
    change: Float32[np.ndarray, " visit"]


def _last_values(
    score: Float32[np.ndarray, " entry"], visit: Int[np.ndarray, " entry"], owner: Int64[np.ndarray, " all"]
) -> _LastValues:
    change = np.diff(score, prepend=np.float32(0))
    is_first = np.diff(owner[visit], prepend=-1) != 0
    change[is_first] = 0
    is_last = np.append(visit[1:] != visit[:-1], True) if len(visit) else np.empty(0, dtype=bool)
    return _LastValues(visit[is_last], score[is_last], change[is_last])
