"""The settings that shape the tensors, apart from those of the source and the outcome."""

from __future__ import annotations

from dataclasses import dataclass

from survlstm.data.code_groups import CodeGroup
from survlstm.data.cohort_rules import CohortSettings
from survlstm.data.demographics import DemographicSettings
from survlstm.data.landmark import LandmarkSettings
from survlstm.data.prediction_times import DaysClock
from survlstm.data.split import Fold
from survlstm.data.values.settings import ValueSettings


@dataclass(frozen=True)
class PreparationSettings:
    """Settings that shape the tensors, apart from those of the source and the outcome.

    Attributes:
        grouping: How entries form visits, see ``group_visits``.
        window_hours: Longest visit in hours, see ``group_visits``.
        min_visits: Fewest visits of an eligible subject: observed ones on the visit clock, those on or before the
            landmark on the landmark clock.
        max_codes_per_visit: Number of codes of a visit to keep; None keeps all.
        train: Share of training subjects.
        val: Share of validation subjects.
        split_seed: Seed of the split.
        fold: Fold of a cross-validation; None for one split.
        min_frequency: Fewest entries of a code in the vocabulary.
        landmark: Position of the landmark and its intervals; None on the other clocks.
        split_by_dataset: Whether the split is the one that the source assigns; shares, seed and fold are then not used.
        cohort: Rules, file and sample that select the subjects.
        demographics: Kinds of static codes, and which of them are inputs.
        values: How values become inputs.
        days: Prediction times and intervals of the days clock; None on the other clocks.
        code_groups: Groups of codes that get columns.
    """

    grouping: str
    window_hours: float
    min_visits: int
    max_codes_per_visit: int | None
    train: float
    val: float
    split_seed: int
    fold: Fold | None
    min_frequency: int
    landmark: LandmarkSettings | None
    split_by_dataset: bool
    cohort: CohortSettings
    demographics: DemographicSettings
    values: ValueSettings
    days: DaysClock | None = None
    code_groups: tuple[CodeGroup, ...] = ()

    @property
    def on_visits(self) -> bool:
        """Whether the clock is the visit clock, on which follow-up ends with the last visit."""
        return self.landmark is None and self.days is None

    @property
    def clock_override(self) -> str:
        """The prediction times as an override of the config, for messages; empty on the visit clock."""
        if self.days is not None:
            return self.days.as_override
        return "" if self.landmark is None else self.landmark.as_override
