"""Number the encounters of a source so that each belongs to one subject."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int32


def split_shared_encounters(
    subject: Int32[np.ndarray, " event"], encounter: Int32[np.ndarray, " event"]
) -> tuple[Int32[np.ndarray, " event"], int]:
    """Give each subject an encounter of its own where several name the same one.

    Args:
        subject: The subject of each event.
        encounter: The encounter of each event as the source names it, -1 where it names none.

    Returns:
        The encounter of each event, and how many encounters were named by more than one subject.
    """
    named = np.flatnonzero(encounter >= 0)
    owner = np.full(int(encounter.max(initial=-1)) + 1, -1, dtype=np.int32)
    owner[encounter[named]] = subject[named]
    shared = len(np.unique(encounter[named][owner[encounter[named]] != subject[named]]))
    if not shared:
        return encounter, 0
    own = encounter.copy()
    pair = (subject[named].astype(np.int64) << 32) + encounter[named]
    own[named] = np.unique(pair, return_inverse=True)[1]
    return own, shared
