"""Rankings and the codes that drew the outcome → how many of them an explanation finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64


class PlantedCodeRanks(NamedTuple):
    """How one method ranks the planted codes.

    ``precision`` is the share of planted codes among the first k, k being how many of them the vocabulary knows;
    ``chance`` is what any order would give on average. ``mean_rank`` is that of the planted codes that some explained
    subject has, whose ranks are ``ranks``, by code; k even ones in front have (k + 1) / 2. ``unseen`` no explained
    subject has, and ``unknown`` the vocabulary has not: the model can't have learned them.
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
        """How many planted codes are among the first k."""
        return sum(rank <= self.k for rank in self.ranks.values())


def rank_planted_codes(
    planted: Sequence[str], entries: Sequence[str], code: Int64[np.ndarray, " code"], rank: Int64[np.ndarray, " code"]
) -> PlantedCodeRanks:
    """``code`` are the numbers of the ranked codes in the vocabulary's ``entries``, ``rank`` their ranks from 1 on."""
    rank_of = {entries[number]: int(place) for number, place in zip(code, rank, strict=True)}
    known = [name for name in planted if name in entries]
    ranks = {name: rank_of[name] for name in known if name in rank_of}
    k = len(known)
    return PlantedCodeRanks(
        k=k,
        precision=sum(place <= k for place in ranks.values()) / k if k else float("nan"),
        chance=len(ranks) / len(code) if len(code) else float("nan"),
        mean_rank=float(np.mean(list(ranks.values()))) if ranks else float("nan"),
        ranks=ranks,
        unseen=tuple(name for name in known if name not in ranks),
        unknown=tuple(name for name in planted if name not in entries),
    )
