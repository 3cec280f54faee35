"""Index arithmetic for ragged arrays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int, Int64


def flat_positions(starts: Int[np.ndarray, " row"], sizes: Int[np.ndarray, " row"]) -> Int64[np.ndarray, " flat"]:
    """Concatenate the ranges ``start, start+1, …, start+size-1`` of all rows.

    The result selects some rows of a ragged array from its flat values without a Python loop.

    Args:
        starts: First position of each row.
        sizes: Length of each row; 0 for an empty row.

    Returns:
        Positions, row after row; their number is the sum of ``sizes``.

    Example:
        >>> flat_positions(np.array([7, 2]), np.array([2, 3])).tolist()
        [7, 8, 2, 3, 4]
    """
    ends = np.cumsum(sizes)
    return np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - sizes), sizes)


def repeats_previous(*columns: np.ndarray) -> Bool[np.ndarray, " row"]:
    """Mark the rows that equal the row before them in every column; of sorted rows, these are the repeated ones.

    Args:
        *columns: At least one column, each of the same length.

    Returns:
        False for the first row.

    Example:
        >>> repeats_previous(np.array([1, 1, 1]), np.array([5, 5, 6])).tolist()
        [False, True, False]
    """
    repeats = np.zeros(len(columns[0]), dtype=bool)
    if len(repeats) > 1:
        repeats[1:] = np.logical_and.reduce([column[1:] == column[:-1] for column in columns])
    return repeats
