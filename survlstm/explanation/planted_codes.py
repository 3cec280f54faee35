"""Ranks that an explanation gives to the codes from which a synthetic outcome was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64


class PlantedCodeRanks(NamedTuple):
    """Ranks of the planted codes under one method; rank 1 is the most important code.

    Attributes:
        k: number of planted codes in the vocabulary.
        precision: share of planted codes among the first k codes, 0 to 1; NaN if k is 0.
        chance: expected precision of a random order; NaN if no code is ranked.
        mean_rank: mean of ``ranks``, at best (k + 1) / 2; NaN if ``ranks`` is empty.
        ranks: rank of each planted code that at least one explained subject has, by its name.
        unseen: planted codes in the vocabulary that no explained subject has.
        unknown: planted codes outside the vocabulary, which the model cannot have learned.
    """

    k: int
    precision: float
    chance: float
    mean_rank: float
    ranks: dict[str, int]
    unseen: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def in_front(self) -> int:
        """Number of planted codes among the first k codes."""
        return sum(rank <= self.k for rank in self.ranks.values())


def rank_planted_codes(
    planted: Sequence[str], entries: Sequence[str], code: Int64[np.ndarray, " code"], rank: Int64[np.ndarray, " code"]
) -> PlantedCodeRanks:
    """Find the planted codes in a ranking.

    Args:
        planted: names of the planted codes.
        entries: names in the vocabulary, in the order of their indices.
        code: indices of the ranked codes in ``entries``; shape (code,).
        rank: rank of each code, from 1; shape (code,).

    Returns:
        Ranks and precision of the planted codes, with those that are not ranked.
    """
    rank_of = {entries[index]: int(code_rank) for index, code_rank in zip(code, rank, strict=True)}
    known = [name for name in planted if name in entries]
    ranks = {name: rank_of[name] for name in known if name in rank_of}
    k = len(known)
    return PlantedCodeRanks(
        k=k,
        precision=sum(code_rank <= k for code_rank in ranks.values()) / k if k else float("nan"),
        chance=len(ranks) / len(code) if len(code) else float("nan"),
        mean_rank=float(np.mean(list(ranks.values()))) if ranks else float("nan"),
        ranks=ranks,
        unseen=tuple(name for name in known if name not in ranks),
        unknown=tuple(name for name in planted if name not in entries),
    )
