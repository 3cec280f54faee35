"""Subject ids → train, val or test: by hash, so that adding subjects moves nobody."""

from __future__ import annotations

import hashlib
from enum import IntEnum

import numpy as np
from jaxtyping import Int8


class Split(IntEnum):
    """Where a subject belongs."""

    TRAIN = 0
    VAL = 1
    TEST = 2


def subject_key(subject_id: str, *, seed: int, purpose: str) -> int:
    """128 bits that hang on the subject's id, a seed and the purpose only: the same in every cohort and every order."""
    return int.from_bytes(hashlib.blake2b(f"{purpose}\0{seed}\0{subject_id}".encode(), digest_size=16).digest(), "big")


def split_subjects(subject_id: np.ndarray, *, train: float, val: float, seed: int) -> Int8[np.ndarray, " subject"]:
    """``Split`` of each subject: a uniform number from its hash, cut at the shares; what is left is test."""
    uniform = np.array([subject_key(str(name), seed=seed, purpose="split") / 2**128 for name in subject_id])
    return np.select([uniform < train, uniform < train + val], [Split.TRAIN, Split.VAL], Split.TEST).astype(np.int8)
