"""Tensors → what is known of a subject by a visit, as numbers and a bag of codes, on a scale fitted in training."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from survlstm.data.ragged import flat_positions
from survlstm.data.tensors import Tensors

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# One penalty bears on a few numbers and hundreds of codes alike. Weighed 3 rather than 1, the numbers did better on
# the validation subjects of the synthetic outcome, and much the same on those of rare ones.
NUMBER_WEIGHT = 3.0
# A code in fewer training rows would be fitted to those few.
MIN_ROWS = 5


class CountRows(NamedTuple):
    """What is known at each row: numbers, and log(1 + how often) of each vocabulary entry, [row, entry]."""

    numbers: Float64[np.ndarray, "row number"]
    bag: csr_array

    def at(self, row: Int64[np.ndarray, " chosen"]) -> CountRows:
        """The chosen rows."""
        return CountRows(self.numbers[row], self.bag[row])


class CountScale(NamedTuple):
    """Fitted on training rows: mean and spread of the numbers, and the vocabulary entries that get a column."""

    mean: Float64[np.ndarray, " number"]
    spread: Float64[np.ndarray, " number"]
    kept: Int64[np.ndarray, " kept"]

    def design(self, rows: CountRows) -> csr_array:
        """[row, column]: the numbers, of mean 0 and spread ``NUMBER_WEIGHT`` in training, then the kept codes."""
        from scipy.sparse import csr_array, hstack

        numbers = (rows.numbers - self.mean) / self.spread * NUMBER_WEIGHT
        return hstack([csr_array(numbers), rows.bag[:, self.kept]], format="csr")


def fit_scale(training: CountRows) -> CountScale:
    """The scale of training rows; a number that never varies there is 0 everywhere."""
    varies = np.ptp(training.numbers, axis=0) > 0
    return CountScale(
        training.numbers.mean(axis=0),
        np.where(varies, training.numbers.std(axis=0), np.inf),
        np.flatnonzero(training.bag.count_nonzero(axis=0) >= MIN_ROWS),
    )


def rows_at_visits(tensors: Tensors) -> CountRows:
    """A row for each visit: its features, the counts so far, and its own codes."""
    visit = np.arange(len(tensors.features))
    numbers = np.column_stack([tensors.features, cumulative_counts(tensors)])
    return CountRows(numbers, _counts(tensors, visit, visit).log1p())


def rows_at_landmark(
    tensors: Tensors, subject: Int64[np.ndarray, " row"], visit: Int64[np.ndarray, " row"]
) -> CountRows:
    """A row for each subject: the features of that visit, the counts so far, and the codes of all visits so far."""
    first = tensors.visit_offsets[subject]
    counts = _counts(tensors, first, visit)
    so_far = np.column_stack([counts.sum(axis=1), visit - first + 1, counts.count_nonzero(axis=1)])
    return CountRows(np.column_stack([tensors.features[visit], np.log(so_far)]), counts.log1p())


def cumulative_counts(tensors: Tensors) -> Float64[np.ndarray, "visit count"]:
    """Log of the codes, the visits and the distinct codes in a subject's record up to and including each visit."""
    visits = tensors.visits_per_subject
    owner = np.repeat(np.arange(len(visits)), visits)
    codes_before = tensors.code_offsets[tensors.visit_offsets[owner]]
    code_owner = np.repeat(owner, np.diff(tensors.code_offsets))
    _, first_seen = np.unique(code_owner * _entries(tensors) + tensors.code, return_index=True)
    is_new = np.zeros(len(tensors.code) + 1)
    is_new[first_seen + 1] = 1
    new_codes = np.cumsum(is_new)
    codes = tensors.code_offsets[1:] - codes_before
    distinct = new_codes[tensors.code_offsets[1:]] - new_codes[codes_before]
    return np.log(np.column_stack([codes, flat_positions(np.ones_like(visits), visits), distinct]))


def _counts(tensors: Tensors, first: Int64[np.ndarray, " row"], last: Int64[np.ndarray, " row"]) -> csr_array:
    """[row, entry]: how often each vocabulary entry occurs in the visits from ``first`` to ``last``."""
    from scipy.sparse import coo_array

    start = tensors.code_offsets[first]
    codes = tensors.code_offsets[last + 1] - start
    row = np.repeat(np.arange(len(first)), codes)
    ones = np.ones(len(row))
    # On the way to rows, entries of one place are added up.
    return coo_array((ones, (row, tensors.code[flat_positions(start, codes)])), (len(first), _entries(tensors))).tocsr()


def _entries(tensors: Tensors) -> int:
    return int(tensors.code.max()) + 1
