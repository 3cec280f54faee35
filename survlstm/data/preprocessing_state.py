"""What preparation fits on the training subjects → one value that prepares another cohort the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from survlstm.data.features import FEATURES
from survlstm.data.vocabulary import PAD, UNK, Vocabulary

# Features are years, and logarithms of days and counts; within these a standardised one fits into single precision.
LARGEST, SMALLEST = 1e4, 1e-30


@dataclass(frozen=True, eq=False)
class PreprocessingState:
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
    def from_plain(cls, plain: Any) -> PreprocessingState:
        """The value that ``as_plain`` wrote; ValueError where a part is missing or not what preparation fits."""
        names = ("vocabulary", "feature_mean", "feature_spread", "edge_days")
        if not isinstance(plain, dict) or plain.keys() != set(names):
            raise ValueError(f"what was fitted must have the parts {', '.join(names)}")
        entries = plain["vocabulary"]
        if not (isinstance(entries, list) and all(isinstance(code, str) for code in entries)):
            raise ValueError("the vocabulary must be a list of codes")
        if entries[:2] != [PAD, UNK] or len(set(entries)) != len(entries):
            raise ValueError("the vocabulary must begin with [PAD] and [UNK] and hold each code once")
        mean, spread, edges = (_numbers(name, plain[name]) for name in names[1:])
        if len(mean) != len(FEATURES) or len(spread) != len(FEATURES):
            raise ValueError(f"each of the {len(FEATURES)} features must have a mean and a spread")
        if bool((np.abs(mean) > LARGEST).any() or ((spread != 0) & ((spread < SMALLEST) | (spread > LARGEST))).any()):
            raise ValueError(
                f"the features' means must be at most {LARGEST:g}, and their spreads 0 or {SMALLEST:g} to {LARGEST:g}"
            )
        if len(edges) and not (len(edges) > 1 and edges[0] == 0 and bool((np.diff(edges) > 0).all())):
            raise ValueError("edge_days must begin at 0 and rise, or be none")
        return cls(Vocabulary(tuple(entries)), mean, spread, edges)


def _numbers(name: str, values: Any) -> Float64[np.ndarray, " value"]:
    if not (isinstance(values, list) and all(type(value) in {int, float} for value in values)):
        raise ValueError(f"{name} must be a list of numbers")
    try:
        found = np.array(values, dtype=np.float64)
    except OverflowError as error:
        raise ValueError(f"{name} must hold numbers of double precision") from error
    if not np.isfinite(found).all():
        raise ValueError(f"{name} must hold finite numbers")
    return found
