"""Codes of the training subjects → numbers that the model embeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int32

PAD, UNK = "[PAD]", "[UNK]"


@dataclass(frozen=True)
class Vocabulary:
    """Entries in the order of their numbers: [PAD] = 0, [UNK] = 1, then the known codes, sorted."""

    entries: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.entries)

    def number(self, codes: np.ndarray) -> Int32[np.ndarray, " code"]:
        """The entry of each code string; 1 for a code that training did not know."""
        numbers = {code: number for number, code in enumerate(self.entries)}
        return np.array([numbers.get(str(code), 1) for code in codes], dtype=np.int32)


def fit_vocabulary(code: Int[np.ndarray, " code"], codes: np.ndarray, *, min_frequency: int) -> Vocabulary:
    """The codes that occur ``min_frequency`` times or more in the training visits; ``code`` numbers ``codes``."""
    frequent = np.bincount(code, minlength=len(codes)) >= min_frequency
    return Vocabulary((PAD, UNK, *(str(name) for name in codes[frequent])))
