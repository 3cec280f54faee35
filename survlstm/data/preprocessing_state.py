"""Values that preparation fits on the training subjects, so that another cohort can be prepared in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from survlstm.data.code_groups import FittedGroups
from survlstm.data.features import FEATURES, PREDICTION_FEATURES
from survlstm.data.stored_numbers import check_scale, parse_numbers
from survlstm.data.values.apply import COLUMNS_PER_MEASURE
from survlstm.data.values.measures import FittedValues
from survlstm.data.vocabulary import PAD, UNK, Vocabulary
from survlstm.models.protocol import ModelSizes

# Number of features in the state of an earlier survlstm, which had only the first ones.
FIRST_FEATURES = 5
# Parts of a stored state that may be missing.
OPTIONAL = {"descendants", "values", "prediction_mean", "prediction_spread", "code_groups"}


@dataclass(frozen=True, eq=False)
class PreprocessingState:
    """Everything that preparation fits on the training subjects, except the intercept and ranks of a drawn outcome.

    If ``prepare`` is given a state, it fits none of these values on the cohort at hand.

    Attributes:
        vocabulary: Numbering of the codes.
        feature_mean: Mean of each column of ``survlstm.data.features.FEATURES`` among the training visits.
        feature_spread: Standard deviation of each of these columns.
        edge_days: Edges of the landmark clock and of the days clock in days after the landmark or the prediction time;
            empty on the visit clock.
        descendants: Codes of each rule of the cohort that was resolved through the hierarchy of the source, by the name
            of the rule, as in ``cohort.include 1``.
        values: Bins and normal scores of values; None if values are not used.
        prediction_mean: On the days clock, mean of each column of ``survlstm.data.features.PREDICTION_FEATURES`` among
            the training rows; empty on the other clocks.
        prediction_spread: Standard deviation of each of these columns.
        code_groups: Groups of codes that get columns, with their scale.
    """

    vocabulary: Vocabulary
    feature_mean: Float64[np.ndarray, " feature"]
    feature_spread: Float64[np.ndarray, " feature"]
    edge_days: Float64[np.ndarray, " edge"]
    descendants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    values: FittedValues | None = None
    prediction_mean: Float64[np.ndarray, " prediction_feature"] = field(default_factory=lambda: np.empty(0))
    prediction_spread: Float64[np.ndarray, " prediction_feature"] = field(default_factory=lambda: np.empty(0))
    code_groups: FittedGroups = field(default_factory=FittedGroups)

    @property
    def clock(self) -> Literal["visit", "landmark", "days"]:
        """Clock of the labels, see ``survlstm.survival.steps``."""
        if not len(self.edge_days):
            return "visit"
        return "days" if len(self.prediction_mean) else "landmark"

    @property
    def value_columns(self) -> int:
        """Number of columns of ``Tensors.features`` that hold values, the last ones."""
        return 0 if self.values is None else COLUMNS_PER_MEASURE * len(self.values.column_measures)

    @property
    def first_value_column(self) -> int:
        """First column of ``Tensors.features`` that holds values."""
        return len(FEATURES) + self.code_groups.columns

    @property
    def added_columns(self) -> int:
        """Number of columns of ``Tensors.features`` after those of ``FEATURES``: of code groups, then of values."""
        return self.code_groups.columns + self.value_columns

    @property
    def fused_codes(self) -> tuple[int, ...]:
        """Numbers in the vocabulary of the codes that say in which bin a value lies."""
        if self.values is None:
            return ()
        fused = {code for measure in self.values.measures for code in measure.bin_codes}
        return tuple(number for number, code in enumerate(self.vocabulary.entries) if code in fused)

    @property
    def intervals(self) -> int | None:
        """Number of steps of the landmark clock or the days clock; None on the visit clock."""
        return len(self.edge_days) - 1 if len(self.edge_days) else None

    @property
    def sizes(self) -> ModelSizes:
        """What the data require of a model."""
        return ModelSizes(
            vocabulary_size=len(self.vocabulary),
            fused_codes=self.fused_codes,
            added_columns=self.added_columns,
            intervals=self.intervals,
            prediction_features=len(self.prediction_mean),
        )

    def as_plain(self) -> dict[str, Any]:
        """Convert to lists of texts and numbers for JSON and checkpoints, without loss of precision."""
        plain: dict[str, Any] = {
            "vocabulary": list(self.vocabulary.entries),
            "feature_mean": self.feature_mean.tolist(),
            "feature_spread": self.feature_spread.tolist(),
            "edge_days": self.edge_days.tolist(),
        }
        # Left out if empty, so that a state compares equal to one that an earlier version wrote.
        if self.descendants:
            plain["descendants"] = {rule: list(codes) for rule, codes in self.descendants.items()}
        if self.values is not None:
            plain["values"] = self.values.as_plain()
        if len(self.prediction_mean):
            plain["prediction_mean"] = self.prediction_mean.tolist()
            plain["prediction_spread"] = self.prediction_spread.tolist()
        if self.code_groups.groups:
            plain["code_groups"] = self.code_groups.as_plain()
        return plain

    @classmethod
    def from_plain(cls, plain: Any) -> PreprocessingState:
        """Check and convert what ``as_plain`` wrote.

        Args:
            plain: Value read from a file, of any type.

        Returns:
            The state, with every number as it was written.

        Raises:
            ValueError: If a part is missing, has the wrong type or is out of range.
        """
        names = ("vocabulary", "feature_mean", "feature_spread", "edge_days")
        if not isinstance(plain, dict) or plain.keys() - OPTIONAL != set(names):
            raise ValueError(f"the preprocessing state must have exactly the parts {', '.join(names)}")
        entries = plain["vocabulary"]
        if not (isinstance(entries, list) and all(isinstance(code, str) for code in entries)):
            raise ValueError("the vocabulary must be a list of codes")
        if entries[:2] != [PAD, UNK] or len(set(entries)) != len(entries):
            raise ValueError("the vocabulary must begin with [PAD] and [UNK] and hold each code once")
        mean, spread, edges = (parse_numbers(name, plain[name]) for name in names[1:])
        if len(mean) == len(spread) == FIRST_FEATURES:
            # A spread of 0 makes the columns 0; no model of such a state reads them.
            mean, spread = (np.pad(numbers, (0, len(FEATURES) - FIRST_FEATURES)) for numbers in (mean, spread))
        of_times = [parse_numbers(name, plain.get(name, [])) for name in ("prediction_mean", "prediction_spread")]
        if len(mean) != len(FEATURES) or len(spread) != len(FEATURES):
            raise ValueError(f"each of the {len(FEATURES)} features must have a mean and a spread")
        if {len(of_times[0]), len(of_times[1])} not in ({0}, {len(PREDICTION_FEATURES)}):
            raise ValueError("each feature of a prediction time must have a mean and a spread, or none of them")
        for some_mean, some_spread in ((mean, spread), of_times):
            check_scale(some_mean, some_spread)
        if len(edges) and not (len(edges) > 1 and edges[0] == 0 and bool((np.diff(edges) > 0).all())):
            raise ValueError("edge_days must begin at 0 and rise, or be empty")
        return cls(
            Vocabulary(tuple(entries)),
            mean,
            spread,
            edges,
            _code_lists(plain.get("descendants", {})),
            FittedValues.from_plain(plain["values"]) if "values" in plain else None,
            prediction_mean=of_times[0],
            prediction_spread=of_times[1],
            code_groups=FittedGroups.from_plain(plain.get("code_groups", [])),
        )

    def gives(self, stored: dict[str, Any]) -> bool:
        """Return whether preparation that fits this state again gives a stored one.

        A state of an earlier survlstm has the first features only; the others are then not compared.

        Args:
            stored: Plain values of a state that ``from_plain`` accepts.
        """
        number = len(stored["feature_mean"])
        plain = self.as_plain()
        return plain | {name: plain[name][:number] for name in ("feature_mean", "feature_spread")} == stored


def _code_lists(plain: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(plain, dict) or not all(
        isinstance(name, str) and isinstance(codes, list) and all(isinstance(code, str) for code in codes)
        for name, codes in plain.items()
    ):
        raise ValueError("descendants must hold a list of codes for the name of each rule")
    return {name: tuple(codes) for name, codes in plain.items()}
