"""Starts and sizes → flat positions: the one trick behind every ragged selection."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Int64


def flat_positions(starts: Int[np.ndarray, " row"], sizes: Int[np.ndarray, " row"]) -> Int64[np.ndarray, " flat"]:
    """start, start+1, …, start+size-1 of every row, one after the other."""
    ends = np.cumsum(sizes)
    return np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - sizes), sizes)
