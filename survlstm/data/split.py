"""Assignment of subjects to train, val and test by a hash of their id, so that adding subjects moves nobody."""

from __future__ import annotations

import hashlib
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int8


class Split(IntEnum):
    """Part of the data that a subject belongs to; the numbers are those stored in files."""

    TRAIN = 0
    VAL = 1
    TEST = 2


def subject_key(subject_id: str, *, seed: int, purpose: str) -> int:
    """Hash a subject id, a seed and a purpose to a number, the same in every cohort and every order of subjects.

    Args:
        subject_id: Identifier of the subject.
        seed: Seed of the user.
        purpose: What the number is for; different purposes give independent numbers.

    Returns:
        An integer of 128 bits (BLAKE2b).
    """
    return int.from_bytes(hashlib.blake2b(f"{purpose}\0{seed}\0{subject_id}".encode(), digest_size=16).digest(), "big")


class Fold(NamedTuple):
    """One fold of a cross-validation; the test sets of all folds together hold every subject once.

    Attributes:
        number: Index of this fold, from 0.
        folds: Number of folds.
    """

    number: int
    folds: int


def split_subjects(
    subject_id: np.ndarray, *, train: float, val: float, seed: int, fold: Fold | None = None
) -> Int8[np.ndarray, " subject"]:
    """Assign each subject to train, val or test.

    A hash of the id gives a uniform number between 0 and 1. Without ``fold``, it is compared with the shares. With
    ``fold``, the same number, cut into ``fold.folds`` equal parts, decides about the test set, and a second hash
    divides the other subjects between train and val in proportion to their shares.

    Args:
        subject_id: Identifiers, [subject].
        train: Share of training subjects, between 0 and 1.
        val: Share of validation subjects; the test set has the remaining share ``1 - train - val``.
        seed: Seed of the hash; another seed gives another split.
        fold: Fold of a cross-validation, or None for one split.

    Returns:
        The ``Split`` of each subject.

    Example:
        >>> split = split_subjects(visits.subjects.subject_id, train=0.7, val=0.15, seed=0)
    """
    uniform = _uniform(subject_id, seed, "split")
    if fold is None:
        return np.select([uniform < train, uniform < train + val], [Split.TRAIN, Split.VAL], Split.TEST).astype(np.int8)
    is_test = (uniform * fold.folds).astype(np.int64) == fold.number
    is_val = _uniform(subject_id, seed, "validation of a fold") < val / (train + val)
    return np.select([is_test, is_val], [Split.TEST, Split.VAL], Split.TRAIN).astype(np.int8)


def _uniform(subject_id: np.ndarray, seed: int, purpose: str) -> Float64[np.ndarray, " subject"]:
    return np.array([subject_key(str(name), seed=seed, purpose=purpose) / 2**128 for name in subject_id])
