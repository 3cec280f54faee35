"""Times at which visits are split, so that no visit spans a prediction time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int64


class SplitTimes(NamedTuple):
    """Times at which visits are split, any number per subject.

    Attributes:
        subject: Index of the subject of each time.
        time: ``datetime64[s]`` [time], without NaT.
    """

    subject: Int64[np.ndarray, " time"]
    time: np.ndarray

    @classmethod
    def one_each(cls, time: np.ndarray) -> SplitTimes:
        """Take one time per subject.

        Args:
            time: ``datetime64[s]`` [subject], NaT for none.
        """
        subject = np.flatnonzero(~np.isnat(time))
        return cls(subject, time[subject])


def split_groups(group: np.ndarray, split_at: SplitTimes, subject: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Divide each group of entries at the times of its subject.

    Args:
        group: Number of the group of each entry.
        split_at: The times.
        subject: Subject of each entry.
        seconds: Time of each entry in seconds since 1970. An entry at a time of ``split_at`` belongs to the part
            before it.

    Returns:
        Numbers of the new groups, consecutive from 0.
    """
    before = count_earlier(split_at.subject, split_at.time, subject, seconds.astype("datetime64[s]"), strictly=True)
    # The numbers of groups are sizes of arrays later, so that they must be consecutive.
    pieces: np.ndarray = np.unique(group * (int(before.max(initial=0)) + 1) + before, return_inverse=True)[1]
    return pieces


def split_in_turns(group: np.ndarray, subject: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Divide groups of entries that overlap in time where one goes on after an entry of another.

    Two encounters with entries at 1, 3 and at 2 give the visits 1, 2 and 3. Without this, the end of a visit would
    depend on whether it goes on later, and so would the visits that are split there.

    Args:
        group: Number of the group of each entry.
        subject: Subject of each entry.
        seconds: Time of each entry in seconds since 1970.

    Returns:
        Numbers of the new groups, consecutive from 0. Those of the entries up to a moment do not depend on later ones.
    """
    if not len(group):
        return group
    order = np.lexsort([group, seconds, subject])
    owner, time, of = subject[order], seconds[order], group[order]
    is_new = np.concatenate([[True], (owner[1:] != owner[:-1]) | (time[1:] != time[:-1])])
    moment = np.cumsum(is_new) - 1
    first = np.flatnonzero(is_new)
    last = np.append(first[1:], len(order)) - 1
    # A moment goes on with the turn of the one before it if both have entries of the same group only.
    single = of[first] == of[last]
    goes_on = single[1:] & single[:-1] & (of[first[1:]] == of[first[:-1]]) & (owner[first[1:]] == owner[first[:-1]])
    turn = np.cumsum(np.concatenate([[True], ~goes_on]))
    number = np.empty(len(order), dtype=np.int64)
    number[order] = turn[moment]
    pieces: np.ndarray = np.unique(number * (int(group.max()) + 1) + group, return_inverse=True)[1]
    return pieces


def count_earlier(
    owner: Int[np.ndarray, " time"],
    time: np.ndarray,
    subject: Int[np.ndarray, " asked"],
    at: np.ndarray,
    *,
    strictly: bool = False,
) -> Int64[np.ndarray, " asked"]:
    """Count the times of a subject up to a moment.

    Args:
        owner: Subject of each time, in any order.
        time: ``datetime64[s]`` [time], without NaT.
        subject: Subject to count for.
        at: ``datetime64[s]`` [asked], the moments.
        strictly: Whether a time equal to the moment is left out.

    Returns:
        Number of the subject's own times at or before the moment.
    """
    # All subjects on one axis of ranks, because times of many centuries times many subjects could exceed 64 bits.
    moments = np.unique(np.concatenate([time, at]))
    width = len(moments) + 1
    axis = np.sort(owner.astype(np.int64) * width + np.searchsorted(moments, time))
    start = subject.astype(np.int64) * width
    reached = np.searchsorted(axis, start + np.searchsorted(moments, at), side="left" if strictly else "right")
    return reached - np.searchsorted(axis, start)
