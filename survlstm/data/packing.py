"""Lengths of a batch's rows → slots: where each visit stands for an LSTM that is to compute little padding."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from survlstm.data.ragged import flat_positions

# What one more slice costs, in visits computed: an LSTM's fixed work per call (docs/benchmarks.md).
SLICE_COST = 100


class PackedLayout(NamedTuple):
    """Slices of time, each (rows, length), and the slot of every visit, row after row.

    A slice holds the rows that reach into it and nothing of those that have ended, so a batch of unequal rows is cut
    where the shorter ones end. Within a slice slots run position by position, the longest row first: a slice is a
    [position, row] block, and its rows are the first rows of the slice before it.
    """

    slices: tuple[tuple[int, int], ...]
    slot: Int64[np.ndarray, " visit"]

    @property
    def total(self) -> int:
        """All slots, those of padding included."""
        return sum(rows * length for rows, length in self.slices)


def pack_rows(lengths: Int64[np.ndarray, " row"]) -> PackedLayout:
    """The slices that cost least: slots, and ``SLICE_COST`` for each slice. Every length must be at least 1."""
    slices = _slices(lengths)
    rows, durations = (np.array(values, dtype=np.int64) for values in zip(*slices, strict=True))
    starts = np.cumsum(durations) - durations
    bases = np.cumsum(rows * durations) - rows * durations
    rank = np.empty(len(lengths), dtype=np.int64)
    rank[np.argsort(-lengths, kind="stable")] = np.arange(len(lengths))
    position = flat_positions(np.zeros_like(lengths), lengths)
    place = np.searchsorted(starts, position, side="right") - 1
    slot = bases[place] + (position - starts[place]) * rows[place] + np.repeat(rank, lengths)
    return PackedLayout(tuple(slices), slot)


def _slices(lengths: np.ndarray) -> list[tuple[int, int]]:
    """Shortest path over the distinct lengths: a slice from one to another holds the rows longer than the first."""
    ends, members = np.unique(lengths, return_counts=True)
    starts = np.concatenate([[0], ends[:-1]])
    active = len(lengths) - np.concatenate([[0], np.cumsum(members)[:-1]])
    cost = np.zeros(len(ends) + 1)
    begin = np.zeros(len(ends), dtype=np.int64)
    for end in range(len(ends)):
        costs = cost[: end + 1] + active[: end + 1] * (ends[end] - starts[: end + 1])
        begin[end] = np.argmin(costs)
        cost[end + 1] = costs[begin[end]] + SLICE_COST
    slices, end = [], len(ends) - 1
    while end >= 0:
        slices.append((int(active[begin[end]]), int(ends[end] - starts[begin[end]])))
        end = int(begin[end]) - 1
    return slices[::-1]
