"""Layout of a batch's visits that lets an LSTM compute little padding."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from survlstm.utils.ragged import flat_positions

# Cost of one more slice, in visits computed: the fixed work of an LSTM per call (docs/benchmarks.md).
SLICE_COST = 100


class PackedLayout(NamedTuple):
    """Positions of the visits of a batch in a flat array of slots.

    The rows of a batch have different lengths. The batch is cut along time into slices, at positions where shorter rows
    end. A slice contains the rows that reach into it and nothing of the rows that have ended, so that only a row that
    ends inside a slice is padded. Within a slice, slots run position by position, the longest row first. Thus a slice
    is a [position, row] block, and its rows are the first rows of the slice before it.

    Attributes:
        slices: (number of rows, number of positions) of each slice, in order of time.
        slot: Slot of every visit, row after row.
    """

    slices: tuple[tuple[int, int], ...]
    slot: Int64[np.ndarray, " visit"]

    @property
    def total(self) -> int:
        """Number of slots, padding included."""
        return sum(rows * length for rows, length in self.slices)


def pack_rows(lengths: Int64[np.ndarray, " row"]) -> PackedLayout:
    """Find the layout of least cost: the number of slots, plus ``SLICE_COST`` for each slice.

    Args:
        lengths: Number of visits of each row, at least 1.

    Returns:
        The layout, with a slot for each visit of each row in the order of ``lengths``.
    """
    slices = _slices(lengths)
    rows, durations = (np.array(values, dtype=np.int64) for values in zip(*slices, strict=True))
    # The first position of each slice in its rows, and its first slot.
    starts = np.cumsum(durations) - durations
    bases = np.cumsum(rows * durations) - rows * durations
    rank = np.empty(len(lengths), dtype=np.int64)
    rank[np.argsort(-lengths, kind="stable")] = np.arange(len(lengths))
    position = flat_positions(np.zeros_like(lengths), lengths)
    slice_of = np.searchsorted(starts, position, side="right") - 1
    slot = bases[slice_of] + (position - starts[slice_of]) * rows[slice_of] + np.repeat(rank, lengths)
    return PackedLayout(tuple(slices), slot)


def _slices(lengths: np.ndarray) -> list[tuple[int, int]]:
    """Choose the cuts by dynamic programming over the distinct lengths.

    A slice from one distinct length to a later one contains the rows that are longer than the first. Cuts elsewhere
    can't be cheaper. The cost is quadratic in the number of distinct lengths.
    """
    ends, members = np.unique(lengths, return_counts=True)
    starts = np.concatenate([[0], ends[:-1]])
    active = len(lengths) - np.concatenate([[0], np.cumsum(members)[:-1]])
    cost = np.zeros(len(ends) + 1)
    begin = np.zeros(len(ends), dtype=np.int64)
    # cost[e] is the least cost of all positions before starts[e]; begin[e] is the index in starts of the last slice in
    # the best layout of the positions before ends[e].
    for end in range(len(ends)):
        costs = cost[: end + 1] + active[: end + 1] * (ends[end] - starts[: end + 1])
        begin[end] = np.argmin(costs)
        cost[end + 1] = costs[begin[end]] + SLICE_COST
    slices, end = [], len(ends) - 1
    while end >= 0:
        slices.append((int(active[begin[end]]), int(ends[end] - starts[begin[end]])))
        end = int(begin[end]) - 1
    return slices[::-1]
