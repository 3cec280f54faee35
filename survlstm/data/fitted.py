"""What preparation fits on the training subjects → one value that prepares another cohort the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from survlstm.data.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Fitted:
    """Everything that is fitted; given to ``prepare``, nothing of another cohort is.

    ``feature_mean`` and ``feature_spread`` belong to the columns of ``survlstm.data.features.FEATURES``, before they
    are standardised. ``edge_days`` are those of ``Tensors``: none on the visit clock.
    """

    vocabulary: Vocabulary
    feature_mean: Float64[np.ndarray, " feature"]
    feature_spread: Float64[np.ndarray, " feature"]
    edge_days: Float64[np.ndarray, " edge"]

    @property
    def intervals(self) -> int | None:
        """How many steps the landmark clock has; None on the visit clock."""
        return len(self.edge_days) - 1 if len(self.edge_days) else None

    def as_plain(self) -> dict[str, list[Any]]:
        """Lists of strings and numbers, for JSON and checkpoints; no digit is lost."""
        return {
            "vocabulary": list(self.vocabulary.entries),
            "feature_mean": self.feature_mean.tolist(),
            "feature_spread": self.feature_spread.tolist(),
            "edge_days": self.edge_days.tolist(),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, list[Any]]) -> Fitted:
        """The value that ``as_plain`` wrote; KeyError where a part is missing."""
        return cls(
            Vocabulary(tuple(plain["vocabulary"])),
            *(np.array(plain[name], dtype=np.float64) for name in ("feature_mean", "feature_spread", "edge_days")),
        )
