"""Covariates of the baselines at the prediction times of the days clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64

from survlstm.data.known_times import YEAR_SECONDS
from survlstm.data.ragged import flat_positions
from survlstm.data.tensors import Tensors
from survlstm.evaluation.baselines.code_counts import CountRows, count_codes, cumulative_counts, entries_of

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Rows = Int64[np.ndarray, " row"]


def rows_with_last_visit(tensors: Tensors, rows: Rows) -> CountRows:
    """Return the numbers of each prediction time, and the codes of its last visit.

    Args:
        tensors: Data of all subjects, on the days clock.
        rows: Indices of the rows.

    Returns:
        One row per prediction time.
    """
    last = tensors.last_visit[rows]
    return CountRows(_numbers(tensors, rows), count_codes(tensors, last, last).log1p())


def rows_with_record(tensors: Tensors, rows: Rows) -> CountRows:
    """Return the numbers of each prediction time, and the codes of the whole record up to its last visit.

    Args:
        tensors: Data of all subjects, on the days clock.
        rows: Indices of the rows.

    Returns:
        One row per prediction time.
    """
    return CountRows(_numbers(tensors, rows), _counts_so_far(tensors, rows).log1p())


def _numbers(tensors: Tensors, rows: Rows) -> Float64[np.ndarray, "row number"]:
    """Return the features of the last visit and of the prediction time, counts so far, and the years since the start.

    The years are the time of the landmark, which a model of stacked landmarks has among its covariates.
    """
    last, subject = tensors.last_visit[rows], tensors.row_subject[rows]
    start = tensors.visit_time[tensors.visit_offsets[subject]]
    years = (tensors.row_time[rows] - start) / np.timedelta64(1, "s") / YEAR_SECONDS
    return np.column_stack(
        [
            tensors.features[last],
            tensors.prediction_features[rows],
            cumulative_counts(tensors)[last],
            years,
            years**2,
        ]
    )


def _counts_so_far(tensors: Tensors, rows: Rows) -> csr_array:
    """Count each vocabulary entry in the record up to each row; [row, entry].

    The cost is that of the result: an entry of a record is looked up for those rows only that come after it.
    """
    from scipy.sparse import coo_array

    entries = entries_of(tensors)
    visit = np.repeat(np.arange(len(tensors.visit_time)), np.diff(tensors.code_offsets))
    owner = np.repeat(np.arange(len(tensors.subject_id)), tensors.visits_per_subject)[visit]
    # Occurrences ordered by subject, code and visit; a pair of subject and code is a block of them.
    order = np.lexsort([visit, tensors.code, owner])
    pair = owner[order] * entries + tensors.code[order]
    pairs, first = np.unique(pair, return_index=True)
    by_time = np.lexsort([tensors.last_visit[rows], tensors.row_subject[rows]])
    last = tensors.last_visit[rows][by_time]
    of_pair = pairs // entries
    ends = np.searchsorted(tensors.row_subject[rows][by_time], of_pair, side="right")
    # Indices of visits rise from subject to subject, so that one axis holds the rows of all.
    begins = np.minimum(np.searchsorted(last, visit[order][first]), ends)
    begins = np.maximum(begins, np.searchsorted(tensors.row_subject[rows][by_time], of_pair))
    number = ends - begins
    row = flat_positions(begins, number)
    which = np.repeat(np.arange(len(pairs)), number)
    # The occurrences of the pair up to the last visit of the row.
    width = len(tensors.visit_time) + 1
    axis = np.repeat(np.arange(len(pairs)), np.diff(np.append(first, len(order)))) * width + visit[order]
    count = np.searchsorted(axis, which * width + last[row], side="right") - first[which]
    return coo_array((count.astype(np.float64), (by_time[row], pairs[which] % entries)), (len(rows), entries)).tocsr()
