"""Numbering of the codes that occur in the training subjects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int32

# [PAD] keeps number 0 for padding; [UNK] stands for every code that the training subjects do not have often enough.
PAD, UNK = "[PAD]", "[UNK]"


@dataclass(frozen=True)
class Vocabulary:
    """Codes known to a model, in the order of their numbers.

    Attributes:
        entries: ``[PAD]`` (number 0), ``[UNK]`` (number 1), then the known codes as texts, sorted.
    """

    entries: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"<Vocabulary of {len(self.entries)} codes, [PAD] and [UNK] among them>"

    def number(self, codes: np.ndarray) -> Int32[np.ndarray, " code"]:
        """Look up the number of each code; a code that is not in the vocabulary gets 1, the number of [UNK].

        Args:
            codes: Codes as texts, such as ``SNOMED/44054006``.

        Returns:
            Number of each code, in the order of ``codes``.

        Example:
            >>> vocabulary.number(visits.codes)[visits.code]  # number of every entry
        """
        numbers = {code: number for number, code in enumerate(self.entries)}
        return np.array([numbers.get(str(code), 1) for code in codes], dtype=np.int32)


def fit_vocabulary(code: Int[np.ndarray, " code"], codes: np.ndarray, *, min_frequency: int) -> Vocabulary:
    """Collect the codes that occur often enough in the training visits.

    Args:
        code: Index into ``codes`` of every entry of the training visits.
        codes: Distinct codes as texts, sorted.
        min_frequency: Fewest entries of a code in the vocabulary.

    Returns:
        The vocabulary, with the known codes in the order of ``codes``.
    """
    frequent = np.bincount(code, minlength=len(codes)) >= min_frequency
    return Vocabulary((PAD, UNK, *(str(name) for name in codes[frequent])))
