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
