"""Covariates of the baselines: visit features and counts of codes, scaled on training rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from survlstm.data.tensors import Tensors
from survlstm.utils.ragged import flat_positions

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# One ridge penalty applies to a few numbers and to hundreds of codes. With a spread of 3 instead of 1, the numbers gave
# a higher likelihood on the validation subjects of the synthetic outcome, and about the same on those of rare outcomes.
NUMBER_WEIGHT = 3.0
# The coefficient of a code that occurs in fewer training rows would fit those few rows.
MIN_ROWS = 5


class CountRows(NamedTuple):
    """Covariates of each row, before scaling.

    Attributes:
        numbers: Visit features, or other numbers of a row.
        code_counts: [row, entry] log(1 + count) of each vocabulary entry.
    """

    numbers: Float64[np.ndarray, "row number"]
    code_counts: csr_array

    def at(self, row: Int64[np.ndarray, " chosen"]) -> CountRows:
        """Select rows.

        Args:
            row: Indices of the rows; shape (chosen,).

        Returns:
            The covariates of these rows, in the order of ``row``.
        """
        return CountRows(self.numbers[row], self.code_counts[row])


class CountScale(NamedTuple):
    """Scale that is fitted on training rows.

    Attributes:
        mean: Mean of each number.
        spread: Standard deviation of each number; infinite for a number that does not vary.
        kept: Vocabulary entries that get a column.
    """

    mean: Float64[np.ndarray, " number"]
    spread: Float64[np.ndarray, " number"]
    kept: Int64[np.ndarray, " kept"]

    def design(self, rows: CountRows) -> csr_array:
        """Return the design matrix of rows.

        Args:
            rows: Covariates before scaling.

        Returns:
            [row, column] the numbers, with mean 0 and standard deviation ``NUMBER_WEIGHT`` on training rows, then the
            counts of the kept codes.
        """
        from scipy.sparse import csr_array, hstack

        numbers = (rows.numbers - self.mean) / self.spread * NUMBER_WEIGHT
        return hstack([csr_array(numbers), rows.code_counts[:, self.kept]], format="csr")


def fit_scale(training: CountRows) -> CountScale:
    """Fit the scale of training rows.

    Args:
        training: Covariates of the training rows.

    Returns:
        The scale; a number that does not vary in training becomes 0 everywhere.
    """
    varies = np.ptp(training.numbers, axis=0) > 0
    return CountScale(
        training.numbers.mean(axis=0),
        np.where(varies, training.numbers.std(axis=0), np.inf),
        np.flatnonzero(training.code_counts.count_nonzero(axis=0) >= MIN_ROWS),
    )


def rows_at_visits(tensors: Tensors) -> CountRows:
    """Return a row for each visit: its features and its codes.

    Args:
        tensors: Data of all subjects.

    Returns:
        One row for each visit of ``tensors``, in its order.
    """
    visit = np.arange(len(tensors.features))
    return CountRows(tensors.features.astype(np.float64), count_codes(tensors, visit, visit).log1p())


def rows_at_landmark(
    tensors: Tensors, subject: Int64[np.ndarray, " row"], visit: Int64[np.ndarray, " row"]
) -> CountRows:
    """Return a row for each subject: features of a visit, and the codes of the record up to that visit.

    Args:
        tensors: Data of all subjects.
        subject: Indices of subjects in ``tensors``.
        visit: Index in ``tensors`` of the last known visit of each subject.

    Returns:
        One row for each subject.
    """
    first = tensors.visit_offsets[subject]
    return CountRows(tensors.features[visit].astype(np.float64), count_codes(tensors, first, visit).log1p())


def count_codes(tensors: Tensors, first: Int64[np.ndarray, " row"], last: Int64[np.ndarray, " row"]) -> csr_array:
    """Count each vocabulary entry in some visits of each row.

    Args:
        tensors: Data of all subjects.
        first: Index of the first visit of each row.
        last: Index of its last visit.

    Returns:
        [row, entry] counts.
    """
    from scipy.sparse import coo_array

    start = tensors.code_offsets[first]
    codes = tensors.code_offsets[last + 1] - start
    row = np.repeat(np.arange(len(first)), codes)
    ones = np.ones(len(row))
    # The conversion from coordinates to rows adds up duplicate entries, which gives the counts.
    return coo_array(
        (ones, (row, tensors.code[flat_positions(start, codes)])), (len(first), entries_of(tensors))
    ).tocsr()


def count_codes_so_far(tensors: Tensors, visit: Int64[np.ndarray, " row"]) -> csr_array:
    """Count each vocabulary entry in the record of a subject up to and including a visit.

    The cost is that of the result: an entry of a record is looked up for those rows only that come after it.

    Args:
        tensors: Data of all subjects.
        visit: Index of a visit for each row, in any order; a visit may repeat.

    Returns:
        [row, entry] counts.
    """
    from scipy.sparse import coo_array

    entries = entries_of(tensors)
    visit_of_code = np.repeat(np.arange(len(tensors.visit_time)), np.diff(tensors.code_offsets))
    owner = np.repeat(np.arange(len(tensors.subject_id)), tensors.visits_per_subject)
    # Occurrences ordered by subject, code and visit; a pair of subject and code is a block of them.
    order = np.lexsort([visit_of_code, tensors.code, owner[visit_of_code]])
    pair = owner[visit_of_code][order] * entries + tensors.code[order]
    pairs, first = np.unique(pair, return_index=True)
    by_time = np.argsort(visit, kind="stable")
    last = visit[by_time]
    # Indices of visits rise from subject to subject, so that one axis holds the rows of all.
    ends = np.searchsorted(last, tensors.visit_offsets[pairs // entries + 1])
    begins = np.searchsorted(last, visit_of_code[order][first])
    number = ends - begins
    row = flat_positions(begins, number)
    which = np.repeat(np.arange(len(pairs)), number)
    # The occurrences of the pair up to the visit of the row.
    width = len(tensors.visit_time) + 1
    axis = np.repeat(np.arange(len(pairs)), np.diff(np.append(first, len(order)))) * width + visit_of_code[order]
    count = np.searchsorted(axis, which * width + last[row], side="right") - first[which]
    return coo_array((count.astype(np.float64), (by_time[row], pairs[which] % entries)), (len(visit), entries)).tocsr()


def entries_of(tensors: Tensors) -> int:
    """Return the number of columns of counts: the vocabulary entries up to the last one that occurs."""
    return int(tensors.code.max()) + 1
