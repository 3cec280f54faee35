"""Case weights and groups of subjects: their checks, and the pairs within groups, which concordances leave out.

A case weight says how much a subject counts: one of weight 2 counts as two equal subjects. A group holds the entries
that belong to one person, such as its predictions at several times. They are not compared with each other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# Pairs times columns that are in memory at the same time: 32 MB of numbers.
MOST_ENTRIES = 4_000_000


def check_weight(weight: np.ndarray | None, *, subjects: int) -> None:
    """Check that every subject has a case weight above 0.

    Args:
        weight: shape (subject,); None = 1 each.
        subjects: expected number of weights.

    Raises:
        ValueError: the number differs, or a weight is NaN, infinite, 0 or negative.
    """
    if weight is None:
        return
    if len(weight) != subjects:
        raise ValueError(f"weight must have one entry per subject; found {len(weight)} for {subjects} subjects")
    wrong = ~(np.isfinite(weight) & (weight > 0))
    if wrong.any():
        raise ValueError(
            f"weight must be finite and > 0; {int(wrong.sum())} of {subjects} are not. Leave out subjects of weight 0"
        )


def check_group(group: np.ndarray | None, *, subjects: int) -> None:
    """Check that every subject has a group.

    Args:
        group: shape (subject,), integer; None = every subject is its own group.
        subjects: expected number of groups.

    Raises:
        ValueError: the number differs, or the groups are no integers.
    """
    if group is None:
        return
    if len(group) != subjects:
        raise ValueError(f"group must have one entry per subject; found {len(group)} for {subjects} subjects")
    if not np.issubdtype(group.dtype, np.integer):
        raise ValueError(f"group must be an integer per subject; found {group.dtype}")


def pairs_within(
    group: np.ndarray, exit_time: np.ndarray, anchor: np.ndarray, *, columns: int = 1
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """List the pairs of each anchor with the members of its group that exit later, in parts that fit into memory.

    Time is the sum of the sizes of the anchors' groups, which is small beside the number of all pairs where groups are.

    Args:
        group: group of each subject, integer; shape (subject,).
        exit_time: time or rank at which each subject leaves; shape (subject,).
        anchor: indices of the subjects whose pairs are listed; shape (anchor,).
        columns: numbers that the caller computes of each pair; a part has fewer pairs if there are more of them.

    Yields:
        Place in ``anchor`` of the first subject of each pair, rising, and index of the second; shape (pair,) each.

    Example:
        >>> group, exit_time = np.array([7, 5, 7]), np.array([1, 2, 3])
        >>> [(place.tolist(), other.tolist()) for place, other in pairs_within(group, exit_time, np.array([0, 1]))]
        [([0], [2])]
    """
    number = np.unique(group, return_inverse=True)[1]
    members = np.argsort(number, kind="stable")
    size_of_group = np.bincount(number)
    size = size_of_group[number[anchor]]
    first_member = (np.cumsum(size_of_group) - size_of_group)[number[anchor]]
    part = np.cumsum(size) * columns // MOST_ENTRIES
    for places in np.split(np.arange(len(anchor)), np.flatnonzero(np.diff(part)) + 1):
        sizes = size[places]
        within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        place, other = np.repeat(places, sizes), members[np.repeat(first_member[places], sizes) + within]
        exits_later = exit_time[other] > exit_time[anchor[place]]
        yield place[exits_later], other[exits_later]
