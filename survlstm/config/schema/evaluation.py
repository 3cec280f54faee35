"""Schema of the evaluation: bootstrap intervals, landmarks and baselines."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from survlstm.config.schema.foreign import FOREIGN, ForeignBaselineConfig
from survlstm.config.schema.outcome import TimeRules
from survlstm.config.schema.section import LARGEST_INT, OpenShare, PositiveInt, Section, Weight

BaselineName = Literal["record_length", "logistic_hazard", "boosted_hazard", "cox", "pycox_logistic_hazard", "deephit"]


class LandmarksConfig(Section):
    """The landmarks of a model of the visit clock, and the horizons of a model of either clock.

    Attributes:
        visits: Visit numbers, counted from 0.
        days: Days since the first visit.
        horizons: Steps after the landmark.
    """

    visits: list[Annotated[int, Field(ge=0, le=LARGEST_INT)]]
    days: list[Weight]
    horizons: Annotated[list[PositiveInt], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_once(self) -> LandmarksConfig:
        for name in ("visits", "days", "horizons"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"evaluation.landmarks.{name} must name each value once; found {values}")
        return self


class EvaluationConfig(Section):
    """Intervals, landmarks and baselines of the evaluation.

    Attributes:
        resamples: The number of bootstrap resamples.
        confidence: The confidence level of the intervals.
        min_events: No interval is given for a figure with fewer events.
        landmarks: Where and how far ahead the model is evaluated.
        baselines: The baselines that the model is compared with, beside the covariate-free hazard; a name, or a section
            with the ``_target_`` of another class.
        times: On the days clock, rules of further prediction times that are evaluated and not trained on, written as in
            clock.times; one or a list.
        groups: The demographics by whose groups the model is evaluated; an empty list means none.
        age_groups: The ages in years, rising, at which the groups by age are divided.
    """

    resamples: Annotated[int, Field(ge=100, le=LARGEST_INT)]
    confidence: OpenShare
    min_events: PositiveInt
    landmarks: LandmarksConfig
    baselines: list[
        Annotated[
            Annotated[BaselineName, Tag("shipped.baseline")] | Annotated[ForeignBaselineConfig, Tag(FOREIGN)],
            Discriminator(lambda one: FOREIGN if isinstance(one, dict | ForeignBaselineConfig) else "shipped.baseline"),
        ]
    ]
    times: TimeRules = Field(default=[])
    groups: list[Literal["sex", "race", "ethnicity", "age"]] = Field(default=["sex", "race", "ethnicity", "age"])
    age_groups: Annotated[list[Annotated[int, Field(gt=0, le=150)]], Field(min_length=1)] = Field(
        default=[18, 40, 65, 80]
    )

    @field_validator("groups")
    @classmethod
    def _each_kind_once(cls, groups: list[str]) -> list[str]:
        if len(set(groups)) != len(groups):
            raise ValueError(f"must name each kind once; found {groups}")
        return groups

    @field_validator("age_groups")
    @classmethod
    def _rising(cls, ages: list[int]) -> list[int]:
        if sorted(set(ages)) != ages:
            raise ValueError(f"must rise; found {ages}")
        return ages

    @field_validator("baselines")
    @classmethod
    def _each_baseline_once(cls, baselines: list[str | ForeignBaselineConfig]) -> list[str | ForeignBaselineConfig]:
        if any(one in baselines[:number] for number, one in enumerate(baselines)):
            raise ValueError(f"must name each baseline once; found {baselines}")
        return baselines
