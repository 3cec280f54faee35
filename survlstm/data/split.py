"""Subject ids → train, val or test: by hash, so that adding subjects moves nobody."""

from __future__ import annotations

import hashlib
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int8


class Split(IntEnum):
    """Where a subject belongs."""

    TRAIN = 0
    VAL = 1
    TEST = 2


def subject_key(subject_id: str, *, seed: int, purpose: str) -> int:
    """128 bits that hang on the subject's id, a seed and the purpose only: the same in every cohort and every order."""
    return int.from_bytes(hashlib.blake2b(f"{purpose}\0{seed}\0{subject_id}".encode(), digest_size=16).digest(), "big")


class Fold(NamedTuple):
    """One of ``folds`` test sets that together hold every subject once; ``number`` counts from 0."""

    number: int
    folds: int


def split_subjects(
    subject_id: np.ndarray, *, train: float, val: float, seed: int, fold: Fold | None = None
) -> Int8[np.ndarray, " subject"]:
    """``Split`` of each subject: a uniform number from its hash, cut at the shares; what is left is test.

    With ``fold`` the same number, cut into equal parts, says who is test, and the others are divided between train and
    val in the proportion of their shares, by a second number.
    """
    uniform = _uniform(subject_id, seed, "split")
    if fold is None:
        return np.select([uniform < train, uniform < train + val], [Split.TRAIN, Split.VAL], Split.TEST).astype(np.int8)
    is_test = (uniform * fold.folds).astype(np.int64) == fold.number
    is_val = _uniform(subject_id, seed, "validation of a fold") < val / (train + val)
    return np.select([is_test, is_val], [Split.TEST, Split.VAL], Split.TRAIN).astype(np.int8)


def _uniform(subject_id: np.ndarray, seed: int, purpose: str) -> Float64[np.ndarray, " subject"]:
    return np.array([subject_key(str(name), seed=seed, purpose=purpose) / 2**128 for name in subject_id])
