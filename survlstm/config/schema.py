"""Composed config → one validated, typed, frozen value; values live in conf/, types and ranges here."""

from __future__ import annotations

import datetime
import difflib
import re
import zoneinfo
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from survlstm.config.section import (
    LARGEST_INT,
    OpenShare,
    PositiveInt,
    Section,
    Seed,
    Share,
    SwapPoint,
    Text,
    Weight,
    format_override_value,
)
from survlstm.config.training import (
    AdamWConfig,
    CosineConfig,
    LSTMConfig,
    MLflowConfig,
    NoLoggerConfig,
    NoSchedulerConfig,
    PlateauConfig,
    TensorBoardConfig,
    TrainerConfig,
)
from survlstm.utils.errors import ConfigError

# The longest record that a simulated cohort may have.
MAX_DAYS = 150 * 366
EventTableName = Literal[
    "encounters",
    "conditions",
    "medications",
    "procedures",
    "observations",
    "immunizations",
    "allergies",
    "careplans",
    "devices",
]
BaselineName = Literal["record_length", "logistic_hazard", "cox", "pycox_logistic_hazard", "deephit"]


class SimulatedConfig(Section):
    """The cohort that the simulator makes where no path is given."""

    patients: PositiveInt
    history_years: Annotated[float, Field(ge=1, le=150)] | None
    seed: Seed
    end_date: str

    @field_validator("end_date")
    @classmethod
    def _end_date_exists(cls, end_date: str) -> str:
        try:
            year = datetime.date.fromisoformat(end_date).year
        except ValueError:
            year = 0
        # De-identified records lie as late as 2205.
        if not 1950 <= year < 2250:
            raise ValueError(f"must be a day between 1950-01-01 and 2249-12-31, written YYYY-MM-DD; found {end_date!r}")
        return end_date


class SourceConfig(SwapPoint):
    """How a Synthea CSV export is read."""

    target: Literal["survlstm.data.sources.synthea.SyntheaSource"] = Field(alias="_target_")
    tables: Annotated[list[EventTableName], Field(min_length=1)]
    max_unusable_share: Share
    timezone: Text | None = None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, timezone: str | None) -> str | None:
        if timezone is not None and timezone not in (known := zoneinfo.available_timezones()):
            nearest = difflib.get_close_matches(timezone, sorted(known), n=1, cutoff=0.0)
            raise ValueError(
                f"must be the IANA name of a time zone, as in Australia/Melbourne; found {timezone!r}, the nearest is "
                f"{nearest[0]}"
            )
        return timezone


class VisitsConfig(Section):
    """What counts as one visit."""

    grouping: Literal["encounter", "same_day", "time_window", "hybrid"]
    window_hours: Annotated[float, Field(ge=1, le=24 * 366)]


class DataConfig(Section):
    """Where the records come from and which subjects and visits take part."""

    path: Text | None
    simulated: SimulatedConfig | None
    source: SourceConfig
    visits: VisitsConfig
    min_visits: PositiveInt
    max_visits: Annotated[int, Field(ge=2, le=LARGEST_INT)] | None
    max_codes_per_visit: PositiveInt | None

    @model_validator(mode="after")
    def _one_origin(self, info: ValidationInfo) -> DataConfig:
        if self.path is None and self.simulated is None:
            raise ValueError("must name an export: set data.path=DIR, or choose data=cohort_1000 for a simulated one")
        is_finished = bool(info.context and info.context.get("finished"))
        if self.path is not None and not is_finished and not Path(self.path).expanduser().is_dir():
            raise ValueError(f"data.path must be a folder with Synthea CSV tables; found {self.path!r}, not a folder")
        return self


class VisitClockConfig(Section):
    """A step a visit."""

    kind: Literal["visit"]


class LandmarkClockConfig(Section):
    """A landmark in each record, and intervals of days after it."""

    kind: Literal["landmark"]
    day: Annotated[float, Field(ge=0, le=MAX_DAYS)] | None
    visit: Annotated[int, Field(ge=0, le=LARGEST_INT)] | None
    intervals: Annotated[int, Field(ge=2, le=1000)]
    edges: Literal["equidistant", "quantile"]
    horizon_days: Annotated[float, Field(gt=0, le=MAX_DAYS)]

    @model_validator(mode="after")
    def _one_landmark(self) -> LandmarkClockConfig:
        if (self.day is None) == (self.visit is None):
            raise ValueError(
                "one of clock.day and clock.visit must say where the landmark is, and the other be null; found "
                f"clock.day={format_override_value(self.day)} and clock.visit={format_override_value(self.visit)}"
            )
        return self


def _system_and_code(codes: list[Any]) -> list[str]:
    """Checked here and not by type: a number in a list must be shown as it was found."""
    for code in codes:
        if not (isinstance(code, str) and re.fullmatch(r"[^/\s]+/\S+", code)):
            raise ValueError(f"each must read SYSTEM/CODE, as in SNOMED/44054006; found {code!r}")
    return codes


class SyntheticOutcomeConfig(SwapPoint):
    """Events drawn from a hazard that follows the history."""

    target: Literal["survlstm.data.outcomes.synthetic.SyntheticOutcome"] = Field(alias="_target_")
    event_rate: OpenShare
    effect: Weight
    comorbidity_weight: Weight
    frequency_weight: Weight
    repetition_weight: Weight
    censoring_chance: Annotated[float, Field(ge=0, lt=1)]
    seed: Seed
    planted_codes: list[Any]

    @field_validator("planted_codes")
    @classmethod
    def _each_planted_once(cls, codes: list[Any]) -> list[str]:
        if len(set(map(str, codes))) < len(codes):
            raise ValueError(f"must name each code once; found {codes}")
        return _system_and_code(codes)

    @model_validator(mode="after")
    def _some_weight(self) -> SyntheticOutcomeConfig:
        if not self.planted_codes and self.comorbidity_weight + self.frequency_weight + self.repetition_weight == 0:
            raise ValueError("at least one of comorbidity_weight, frequency_weight, repetition_weight must be above 0")
        return self


class RandomOutcomeConfig(SwapPoint):
    """Events drawn from a hazard that ignores the history."""

    target: Literal["survlstm.data.outcomes.synthetic.RandomOutcome"] = Field(alias="_target_")
    event_rate: OpenShare
    censoring_chance: Annotated[float, Field(ge=0, lt=1)]
    seed: Seed


class DeathOutcomeConfig(SwapPoint):
    """Death."""

    target: Literal["survlstm.data.outcomes.clinical.DeathOutcome"] = Field(alias="_target_")


class FirstCodeOutcomeConfig(SwapPoint):
    """The first occurrence of one of the codes."""

    target: Literal["survlstm.data.outcomes.clinical.FirstCodeOutcome"] = Field(alias="_target_")
    codes: Annotated[list[Any], Field(min_length=1)]

    @field_validator("codes")
    @classmethod
    def _codes_of_systems(cls, codes: list[Any]) -> list[str]:
        return _system_and_code(codes)


class LandmarksConfig(Section):
    """From where a model of the visit clock is judged as well, and how many steps ahead (on both clocks)."""

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
    """Intervals, landmarks and baselines of the summary."""

    resamples: Annotated[int, Field(ge=100, le=LARGEST_INT)]
    confidence: OpenShare
    min_events: PositiveInt
    landmarks: LandmarksConfig
    baselines: list[BaselineName]

    @field_validator("baselines")
    @classmethod
    def _each_baseline_once(cls, baselines: list[str]) -> list[str]:
        if len(set(baselines)) != len(baselines):
            raise ValueError(f"must name each baseline once; found {baselines}")
        return baselines


class SplitConfig(Section):
    """Shares of the subjects, and the seed that the split hangs on; with ``fold`` that one of ``folds`` is the test."""

    train: OpenShare
    val: OpenShare
    test: OpenShare
    seed: Seed
    folds: Annotated[int, Field(ge=2, le=1000)]
    fold: Annotated[int, Field(ge=0, le=LARGEST_INT)] | None

    @model_validator(mode="after")
    def _whole(self) -> SplitConfig:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-9:
            change = "Raise" if total < 1 else "Lower"
            raise ValueError(
                f"train, val and test must add up to 1; found {total:g}. {change} split.train={self.train:g}, "
                f"split.val={self.val:g} or split.test={self.test:g}, by {abs(total - 1):g} in all"
            )
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"split.fold must be below split.folds={self.folds}, counted from 0; found {self.fold}")
        return self


class VocabularyConfig(Section):
    """Which codes get an entry of their own."""

    min_frequency: PositiveInt


def _by_kind(section: Any) -> str:
    return f"clock.{section.get('kind') if isinstance(section, dict) else getattr(section, 'kind', None)}"


def _by_target(section: Any) -> Any:
    return section.get("_target_") if isinstance(section, dict) else getattr(section, "target", None)


class RunConfig(Section):
    """One run."""

    data: DataConfig
    outcome: Annotated[
        Annotated[SyntheticOutcomeConfig, Tag("survlstm.data.outcomes.synthetic.SyntheticOutcome")]
        | Annotated[RandomOutcomeConfig, Tag("survlstm.data.outcomes.synthetic.RandomOutcome")]
        | Annotated[DeathOutcomeConfig, Tag("survlstm.data.outcomes.clinical.DeathOutcome")]
        | Annotated[FirstCodeOutcomeConfig, Tag("survlstm.data.outcomes.clinical.FirstCodeOutcome")],
        Discriminator(_by_target),
    ]
    clock: Annotated[
        Annotated[VisitClockConfig, Tag("clock.visit")] | Annotated[LandmarkClockConfig, Tag("clock.landmark")],
        Discriminator(_by_kind),
    ]
    model: LSTMConfig
    optimizer: AdamWConfig
    scheduler: Annotated[
        Annotated[PlateauConfig, Tag("torch.optim.lr_scheduler.ReduceLROnPlateau")]
        | Annotated[CosineConfig, Tag("torch.optim.lr_scheduler.CosineAnnealingLR")]
        | Annotated[NoSchedulerConfig, Tag("none")],
        Discriminator(lambda section: _by_target(section) or "none"),
    ]
    trainer: TrainerConfig
    evaluation: EvaluationConfig
    logger: Annotated[
        Annotated[TensorBoardConfig, Tag("survlstm.training.loggers.tensorboard_logger.TensorBoardLogger")]
        | Annotated[MLflowConfig, Tag("survlstm.training.loggers.mlflow_logger.MLflowLogger")]
        | Annotated[NoLoggerConfig, Tag("none")],
        Discriminator(lambda section: _by_target(section) or "none"),
    ]
    split: SplitConfig
    vocabulary: VocabularyConfig
    seed: Seed
    cache_dir: Text
    output_dir: Text
    resume: Text | None
    verbose: bool


def conf_dir() -> Path:
    """The config groups: inside the package in a wheel, at the top of a checkout otherwise."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise ConfigError(f"the folder conf must stand in {package} or beside it; found neither. Install survlstm again")
