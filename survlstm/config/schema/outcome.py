"""Schemas of the outcome and of the clock by which its time is counted."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from survlstm.config.schema.section import (
    LARGEST_INT,
    OpenShare,
    Section,
    Seed,
    SwapPoint,
    Weight,
    format_override_value,
)
from survlstm.utils.time_rules import TimeSpec, parse_times

# The longest simulated record, history_years=150, in days.
MAX_DAYS = 150 * 366


def _are_times(times: list[str]) -> list[str]:
    """Raise ValueError unless every text names prediction times, each once, and return the texts."""
    for text in times:
        parse_times(text)
    if len(set(times)) < len(times):
        raise ValueError(f"must name each kind of prediction times once; found {times}")
    return times


# Rules of prediction times as texts; a single one may stand for a list of one.
TimeRules = Annotated[
    list[str],
    BeforeValidator(lambda times: [times] if isinstance(times, str) else times),
    AfterValidator(_are_times),
]


class VisitClockConfig(Section):
    """One step per visit.

    Attributes:
        kind: The clock, ``visit``.
    """

    kind: Literal["visit"]


class LandmarkClockConfig(Section):
    """One landmark per record, and intervals of days after it.

    Attributes:
        kind: The clock, ``landmark``.
        day: Days from the first visit to the landmark; None if another key places it.
        visit: The number of the visit that is the landmark, counted from 0; None if another key places it.
        first_code: Codes as SYSTEM/CODE; the first visit with one of them is the landmark. None if another key places
            it.
        intervals: The number of intervals after the landmark.
        edges: Intervals of equal length, or with equally many training events.
        horizon_days: The end of the last interval, in days after the landmark.
    """

    kind: Literal["landmark"]
    day: Annotated[float, Field(ge=0, le=MAX_DAYS)] | None
    visit: Annotated[int, Field(ge=0, le=LARGEST_INT)] | None
    first_code: Annotated[list[Any], Field(min_length=1)] | None = None
    intervals: Annotated[int, Field(ge=2, le=1000)]
    edges: Literal["equidistant", "quantile"]
    horizon_days: Annotated[float, Field(gt=0, le=MAX_DAYS)]

    @field_validator("first_code")
    @classmethod
    def _codes_of_systems(cls, codes: list[Any] | None) -> list[str] | None:
        return None if codes is None else are_codes(codes)

    @property
    def placed_by(self) -> list[str]:
        """The overrides that place the landmark, of the keys of this section; none if a file of the cohort does."""
        numbers = [
            f"clock.{name}={format_override_value(value)}"
            for name, value in (("day", self.day), ("visit", self.visit))
            if value is not None
        ]
        return numbers + ([] if self.first_code is None else [f"clock.first_code=[{','.join(self.first_code)}]"])

    @model_validator(mode="after")
    def _one_landmark(self) -> LandmarkClockConfig:
        if len(self.placed_by) > 1:
            raise ValueError(
                "one of clock.day, clock.visit and clock.first_code must place the landmark, and the others must be "
                f"null; found {' and '.join(self.placed_by)}"
            )
        return self


class DaysClockConfig(Section):
    """Any number of prediction times per record, and intervals of days after each.

    Attributes:
        kind: The clock, ``days``.
        times: Rules that give each subject its prediction times, as texts; one or a list.
        intervals: The number of intervals after a prediction time.
        edges: Intervals of equal length, or with equally many training events.
        horizon_days: The end of the last interval, in days after the prediction time.
        edges_days: The end of each interval in days after the prediction time, rising; None to place them by the three
            keys above, which are otherwise not used.
    """

    kind: Literal["days"]
    times: Annotated[TimeRules, Field(min_length=1)]
    intervals: Annotated[int, Field(ge=2, le=1000)]
    edges: Literal["equidistant", "quantile"]
    horizon_days: Annotated[float, Field(gt=0, le=MAX_DAYS)]
    edges_days: Annotated[list[Annotated[float, Field(gt=0, le=MAX_DAYS)]], Field(min_length=2)] | None = None

    @field_validator("edges_days")
    @classmethod
    def _rising(cls, edges: list[float] | None) -> list[float] | None:
        if edges is not None and sorted(set(edges)) != edges:
            raise ValueError(f"must rise; found {edges}")
        return edges

    @property
    def specs(self) -> tuple[TimeSpec, ...]:
        """The rules of ``times``."""
        return tuple(parse_times(text) for text in self.times)


def are_codes(codes: list[Any]) -> list[str]:
    """Raise ValueError unless every value is a code with its coding system, and return the codes.

    Args:
        codes: Values of a config. They are not checked by type: the message shows a number as it was found.
    """
    for code in codes:
        # Codes of MEDS datasets can be any text, as in "Height (Inches)"; a bare number lacks its coding system.
        if not isinstance(code, str) or code != code.strip() or not code or re.fullmatch(r"[\d.]+|[^/\s]+/|/.*", code):
            raise ValueError(f"each must read SYSTEM/CODE, as in SNOMED/44054006; found {code!r}")
    return codes


class SyntheticOutcomeConfig(SwapPoint):
    """Events drawn from a hazard that depends on the history.

    Attributes:
        target: The class that draws the events.
        event_rate: The share of subjects with an event.
        effect: The strength of the history's effect on the hazard; 0 is none.
        comorbidity_weight: The weight of the codes per visit so far.
        frequency_weight: The weight of the visits per year so far.
        repetition_weight: The weight of the share of repeated codes so far.
        censoring_chance: The probability of censoring in a step.
        seed: The seed of the draws.
        planted_codes: Codes as SYSTEM/CODE whose number in the history is the risk, instead of the three weighted
            factors; an empty list uses the factors.
        planted_values: Codes as SYSTEM/CODE whose last value so far is the risk, instead of the three weighted factors;
            an empty list uses the factors. ``planted_codes`` must then be empty.
        mechanism: counts for the factors above or what is planted; sequence for the three parts below, which depend on
            the order and the times of the history.
        order_weight: The weight of the order of the pairs.
        fading_weight: The weight of the fading count.
        rise_weight: The weight of the rise of the visit rate.
        window_days: The largest number of days between the two codes of a pair.
        half_life_days: The days in which the weight of an occurrence in the fading count halves.
        sequence_pairs: Pairs of codes as SYSTEM/CODE, of which the first before the second raises the risk and the
            reverse order lowers it; an empty list chooses frequent codes of the training subjects.
        fading_codes: Codes as SYSTEM/CODE of the fading count; an empty list chooses them too.
    """

    target: Literal["survlstm.data.outcomes.synthetic.SyntheticOutcome"] = Field(alias="_target_")
    event_rate: OpenShare
    effect: Weight
    comorbidity_weight: Weight
    frequency_weight: Weight
    repetition_weight: Weight
    censoring_chance: Annotated[float, Field(ge=0, lt=1)]
    seed: Seed
    planted_codes: list[Any]
    planted_values: list[Any] = Field(default_factory=list)
    mechanism: Literal["counts", "sequence"] = "counts"
    order_weight: Weight = 0.9
    fading_weight: Weight = 0.05
    rise_weight: Weight = 0.05
    window_days: Annotated[float, Field(gt=0, le=MAX_DAYS)] = 730.0
    half_life_days: Annotated[float, Field(gt=0, le=MAX_DAYS)] = 180.0
    sequence_pairs: list[Annotated[list[Any], Field(min_length=2, max_length=2)]] = Field(default_factory=list)
    fading_codes: list[Any] = Field(default_factory=list)

    @field_validator("planted_codes", "planted_values", "fading_codes")
    @classmethod
    def _each_planted_once(cls, codes: list[Any]) -> list[str]:
        if len(set(map(str, codes))) < len(codes):
            raise ValueError(f"must name each code once; found {codes}")
        return are_codes(codes)

    @field_validator("sequence_pairs")
    @classmethod
    def _each_pair_in_one_order(cls, pairs: list[list[Any]]) -> list[list[str]]:
        codes = [are_codes(pair) for pair in pairs]
        if any(first == second for first, second in codes):
            raise ValueError(f"a pair must hold two different codes; found {codes}")
        if len({frozenset(pair) for pair in codes}) < len(codes):
            raise ValueError(
                f"must name each pair once, and not also in the reverse order, which would cancel it; found {codes}"
            )
        return codes

    @model_validator(mode="after")
    def _one_risk(self) -> SyntheticOutcomeConfig:
        named = {"sequence_pairs": self.sequence_pairs, "fading_codes": self.fading_codes}
        planted = {"planted_codes": self.planted_codes, "planted_values": self.planted_values}
        unused = [
            f"outcome.{key}" for key, codes in (planted if self.mechanism == "sequence" else named).items() if codes
        ]
        if unused:
            other = "counts" if self.mechanism == "sequence" else "sequence"
            raise ValueError(
                f"{unused[0]} needs outcome.mechanism={other}; found outcome.mechanism={self.mechanism}. Set "
                f"outcome.mechanism={other}, or {unused[0]}=[]"
            )
        if self.mechanism == "sequence":
            if self.order_weight + self.fading_weight + self.rise_weight == 0:
                raise ValueError("at least one of order_weight, fading_weight, rise_weight must be above 0")
            return self
        if self.planted_codes and self.planted_values:
            raise ValueError(
                "one of outcome.planted_codes and outcome.planted_values must be empty; found "
                f"{len(self.planted_codes)} and {len(self.planted_values)} codes. Set one of them to []"
            )
        is_planted = bool(self.planted_codes or self.planted_values)
        if not is_planted and self.comorbidity_weight + self.frequency_weight + self.repetition_weight == 0:
            raise ValueError("at least one of comorbidity_weight, frequency_weight, repetition_weight must be above 0")
        return self


class RandomOutcomeConfig(SwapPoint):
    """Events drawn from a hazard that does not depend on the history: the control.

    Attributes:
        target: The class that draws the events.
        event_rate: The share of subjects with an event.
        censoring_chance: The probability of censoring in a step.
        seed: The seed of the draws.
    """

    target: Literal["survlstm.data.outcomes.synthetic.RandomOutcome"] = Field(alias="_target_")
    event_rate: OpenShare
    censoring_chance: Annotated[float, Field(ge=0, lt=1)]
    seed: Seed


class DeathOutcomeConfig(SwapPoint):
    """Death.

    Attributes:
        target: The class that reads the deaths.
    """

    target: Literal["survlstm.data.outcomes.clinical.DeathOutcome"] = Field(alias="_target_")


class FirstCodeOutcomeConfig(SwapPoint):
    """The first occurrence of one of the codes.

    Attributes:
        target: The class that finds the codes.
        codes: The codes, as SYSTEM/CODE.
    """

    target: Literal["survlstm.data.outcomes.clinical.FirstCodeOutcome"] = Field(alias="_target_")
    codes: Annotated[list[Any], Field(min_length=1)]

    @field_validator("codes")
    @classmethod
    def _codes_of_systems(cls, codes: list[Any]) -> list[str]:
        return are_codes(codes)
