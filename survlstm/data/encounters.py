"""Separation of encounters that an export assigns to several subjects."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int32


def split_shared_encounters(
    subject: Int32[np.ndarray, " event"], encounter: Int32[np.ndarray, " event"]
) -> tuple[Int32[np.ndarray, " event"], int]:
    """Renumber the encounters so that each belongs to one subject.

    Args:
        subject: Subject of each event.
        encounter: Encounter of each event as the source names it, -1 if it names none.

    Returns:
        The encounter of each event (``encounter`` itself if no encounter is shared; otherwise new numbers, still -1 for
        none), and the number of encounters that more than one subject named.
    """
    named = np.flatnonzero(encounter >= 0)
    owner = np.full(int(encounter.max(initial=-1)) + 1, -1, dtype=np.int32)
    owner[encounter[named]] = subject[named]
    shared = len(np.unique(encounter[named][owner[encounter[named]] != subject[named]]))
    if not shared:
        return encounter, 0
    own = encounter.copy()
    # One integer for each pair of subject and encounter; equal pairs get equal new numbers.
    pair = (subject[named].astype(np.int64) << 32) + encounter[named]
    own[named] = np.unique(pair, return_inverse=True)[1]
    return own, shared
