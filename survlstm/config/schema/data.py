"""Schemas of the cohort: the source of the records, visits, split and vocabulary."""

from __future__ import annotations

import datetime
import difflib
import re
import zoneinfo
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, Tag, ValidationInfo, field_validator, model_validator

from survlstm.config.schema.foreign import FOREIGN, ForeignSourceConfig, by_target
from survlstm.config.schema.outcome import are_codes
from survlstm.config.schema.section import (
    LARGEST_INT,
    Feature,
    OpenShare,
    PositiveInt,
    Section,
    Seed,
    Share,
    SwapPoint,
    Text,
)
from survlstm.utils.data_location import is_database_url, refuse_password

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


class SimulatedConfig(Section):
    """The cohort that is simulated if ``data.path`` is null.

    Attributes:
        patients: The number of simulated patients.
        history_years: The years of history before ``end_date``; None keeps everything since birth.
        seed: The seed of the simulator.
        end_date: The last day of the records, as YYYY-MM-DD.
    """

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
        # Some de-identified exports have dates up to 2205.
        if not 1950 <= year < 2250:
            raise ValueError(f"must be a day between 1950-01-01 and 2249-12-31, written YYYY-MM-DD; found {end_date!r}")
        return end_date


class SourceConfig(SwapPoint):
    """How a Synthea CSV export is read.

    Attributes:
        target: The class that reads the export.
        tables: The tables whose codes are read.
        max_unusable_share: The share of a table's rows that may be unusable before the export is refused.
        timezone: The IANA name of the time zone in which the export writes days; its times, in UTC, are converted to
            that zone. None leaves the times in UTC.
    """

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


class MedsConfig(SwapPoint):
    """How a MEDS dataset is read.

    Attributes:
        target: The class that reads the dataset.
        encounter_column: The column with the encounter of a row; auto takes the first of encounter_id, visit_id,
            hadm_id and visit_occurrence_id that is there, None reads none.
        max_unusable_share: The share of the rows that may be unusable before the dataset is refused.
    """

    target: Literal["survlstm.data.sources.meds.source.MedsSource"] = Field(alias="_target_")
    encounter_column: Text | None = "auto"
    max_unusable_share: Share

    @property
    def timezone(self) -> None:
        """No zone: the times of a MEDS dataset are read as they are."""


OmopTableName = Literal[
    "visit_occurrence",
    "visit_detail",
    "condition_occurrence",
    "drug_exposure",
    "procedure_occurrence",
    "measurement",
    "observation",
    "device_exposure",
]


class OmopConfig(SwapPoint):
    """How records in the OMOP common data model (CDM 5.3 or 5.4) are read.

    Attributes:
        target: The class that reads the records.
        tables: The tables whose codes are read; those that the records lack are ignored.
        cdm_schema: The schema of a database that holds the tables; None means the one that the database searches.
        vocabulary_schema: The schema of the vocabulary tables; None means ``cdm_schema``.
        observation_periods: The part of a record that is used: that within the person's ``last`` observation period, or
            within ``all`` of them.
        max_unusable_share: The share of a table's rows that may be unusable before the records are refused.
        timeout_seconds: The seconds that a query of a PostgreSQL server may take; None means any number.
    """

    target: Literal["survlstm.data.sources.omop.source.OmopSource"] = Field(alias="_target_")
    tables: Annotated[list[OmopTableName], Field(min_length=1)]
    cdm_schema: Text | None = None
    vocabulary_schema: Text | None = None
    observation_periods: Literal["last", "all"] = "last"
    max_unusable_share: Share
    timeout_seconds: Annotated[float, Field(gt=0, le=10**6)] | None = 3600.0

    @property
    def timezone(self) -> None:
        """No zone: the times of the records are read as they are."""


class VisitsConfig(Section):
    """How events are grouped into visits.

    Attributes:
        grouping: The rule that assigns an event to a visit, see ``survlstm.data.visits.group_visits``.
        window_hours: The longest visit of ``time_window``; longer encounters of ``encounter`` and ``hybrid`` are split.
    """

    grouping: Literal["encounter", "same_day", "time_window", "hybrid"]
    window_hours: Annotated[float, Field(ge=1, le=24 * 366)]


class DemographicsConfig(Section):
    """Which static codes say the sex, the race and the ethnicity: those that begin with one of the prefixes.

    The rest of a code after its longest prefix is the name of the group.

    Attributes:
        sex: Prefixes of the codes of the sex.
        race: Prefixes of the codes of the race.
        ethnicity: Prefixes of the codes of the ethnicity.
    """

    sex: list[Text] = Field(default=["SEX/", "GENDER//", "Gender/"])
    race: list[Text] = Field(default=["RACE/", "RACE//", "Race/"])
    ethnicity: list[Text] = Field(default=["ETHNICITY/", "ETHNICITY//", "Ethnicity/"])

    @model_validator(mode="after")
    def _distinct(self) -> DemographicsConfig:
        kinds = [(prefix, kind) for kind, prefixes in self for prefix in prefixes]
        twice = sorted({prefix for prefix, kind in kinds for other, of in kinds if prefix == other and kind != of})
        if twice:
            raise ValueError(f"each prefix must belong to one of sex, race and ethnicity; found {twice} in several")
        return self


class ValueLimitsConfig(Section):
    """Limits of what is fitted on values.

    Attributes:
        most_bins: The greatest number of bins of a code in one unit.
        min_values_per_bin: The smallest number of training values in a bin; with fewer values a code is used alone.
        most_columns: The greatest number of codes with feature columns, those that most training subjects have.
    """

    most_bins: Annotated[int, Field(ge=2, le=100)] = 5
    min_values_per_bin: Annotated[int, Field(ge=2, le=LARGEST_INT)] = 20
    most_columns: Annotated[int, Field(ge=1, le=1000)] = 20


class DataConfig(Section):
    """The source of the records, and the subjects and visits that are used.

    Attributes:
        path: A folder with Synthea CSV tables or a MEDS dataset, or what another source reads, such as
            postgresql://user@host/database; None means the simulated cohort.
        simulated: The cohort that is simulated if ``path`` is None.
        source: How the records are read.
        visits: How events are grouped into visits.
        min_visits: Subjects with fewer visits are excluded.
        max_visits: The number of visits that a hazard may depend on, its own included; None means all up to its own.
        max_codes_per_visit: The number of codes of a visit that are used; None means all.
        static: The kinds of static codes that are inputs of every visit; ``other`` means those of no other kind.
        demographics: Which static codes say the sex, the race and the ethnicity.
        values: How numerical values are used: ``none``; as ``bins``, which join the code; ``continuous``, as feature
            columns of the last value of each code; or ``both``.
        value_limits: Limits of bins and columns.
        code_groups: Codes as SYSTEM/CODE by the name of their group; an empty mapping or null means no group. Each
            group gives two feature columns: whether one of its codes has occurred so far, and the time since the last
            one. Codes are compared literally.
    """

    path: Text | None
    simulated: SimulatedConfig | None
    source: Annotated[
        Annotated[SourceConfig, Tag("survlstm.data.sources.synthea.SyntheaSource")]
        | Annotated[MedsConfig, Tag("survlstm.data.sources.meds.source.MedsSource")]
        | Annotated[OmopConfig, Tag("survlstm.data.sources.omop.source.OmopSource")]
        | Annotated[ForeignSourceConfig, Tag(FOREIGN)],
        by_target(SourceConfig, MedsConfig, OmopConfig),
    ]
    visits: VisitsConfig
    min_visits: PositiveInt
    max_visits: Annotated[int, Field(ge=2, le=LARGEST_INT)] | None
    max_codes_per_visit: PositiveInt | None
    static: list[Literal["sex", "race", "ethnicity", "other"]] = Field(default=[])
    demographics: DemographicsConfig = DemographicsConfig()
    values: Literal["none", "bins", "continuous", "both"] = "none"
    value_limits: ValueLimitsConfig = ValueLimitsConfig()
    code_groups: dict[str, list[Any]] = Field(default={})

    @field_validator("static")
    @classmethod
    def _each_kind_once(cls, static: list[str]) -> list[str]:
        if len(set(static)) != len(static):
            raise ValueError(f"must name each kind once; found {static}")
        return static

    @field_validator("code_groups", mode="before")
    @classmethod
    def _no_groups(cls, groups: Any) -> Any:
        return {} if groups is None else groups

    @field_validator("code_groups")
    @classmethod
    def _named_groups(cls, groups: dict[str, list[Any]]) -> dict[str, list[str]]:
        for name, codes in groups.items():
            if not re.fullmatch("[a-z][a-z0-9_]*", name):
                raise ValueError(
                    "the name of a group must begin with a lower-case letter and contain only lower-case letters, "
                    f"digits and underscores; found {name!r}"
                )
            if name in get_args(Feature):
                raise ValueError(f"the name of a group must not be that of a visit feature; found {name}")
            if not codes or len(set(map(str, codes))) < len(codes):
                raise ValueError(f"{name} must name one code or more, each once; found {codes}")
        return {name: are_codes(codes) for name, codes in groups.items()}

    @model_validator(mode="after")
    def _one_origin(self, info: ValidationInfo) -> DataConfig:
        if self.path is None and self.simulated is None:
            raise ValueError("must name an export: set data.path=DIR, or choose data=cohort_1000 for a simulated one")
        is_finished = bool(info.context and info.context.get("finished"))
        if self.path is None or is_finished:
            return self
        refuse_password(self.path)
        path = Path(self.path).expanduser()
        if isinstance(self.source, SourceConfig | MedsConfig):
            if not path.is_dir():
                held = "Synthea CSV tables" if isinstance(self.source, SourceConfig) else "a MEDS dataset"
                raise ValueError(f"data.path must be a folder with {held}; found {self.path!r}, not a folder")
        elif isinstance(self.source, OmopConfig) and is_database_url(self.path):
            return self
        elif not path.exists():
            other = ", or postgresql://user@host/database" if isinstance(self.source, OmopConfig) else ""
            raise ValueError(f"data.path must be a file or a folder{other}; found {self.path!r}, which does not exist")
        return self


class SplitConfig(Section):
    """The split of the subjects into train, validation and test.

    Attributes:
        by: The rule: a hash of the subject's id, or the split that the dataset itself assigns. With the latter the
            other keys of this section are not used.
        train: The share of the subjects in the training split.
        val: The share of the subjects in the validation split.
        test: The share of the subjects in the test split.
        seed: The seed of the split.
        folds: The number of folds of a cross-validation.
        fold: The fold that is the test split, counted from 0; None splits by the shares.
    """

    by: Literal["hash", "dataset"] = "hash"
    train: OpenShare
    val: OpenShare
    test: OpenShare
    seed: Seed
    folds: Annotated[int, Field(ge=2, le=1000)]
    fold: Annotated[int, Field(ge=0, le=LARGEST_INT)] | None

    @model_validator(mode="before")
    @classmethod
    def _is_a_rule(cls, section: Any) -> Any:
        if isinstance(section, str):
            raise ValueError(f"must be hash or dataset; found {section!r}")
        return section

    @model_validator(mode="after")
    def _whole(self) -> SplitConfig:
        if self.by == "dataset" and self.fold is not None:
            raise ValueError(
                f"split.fold must be null with split=dataset, because a dataset assigns one split; found {self.fold}. "
                "Set split=hash for a cross-validation"
            )
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
    """The codes that get an embedding of their own.

    Attributes:
        min_frequency: The smallest number of occurrences in the visits of the training subjects; rarer codes share the
            entry of unknown codes.
    """

    min_frequency: PositiveInt
