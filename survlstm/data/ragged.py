"""Index arithmetic for ragged arrays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Int64


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
