"""Composed configs of the commands beside ``train`` → validated, typed, frozen values, as in survlstm.config.schema."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from survlstm.config.schema import DataConfig, EvaluationConfig, SimulatedConfig
from survlstm.config.section import LARGEST_INT, PositiveInt, Section, Seed, Share, Text
from survlstm.config.training import Device


class EvaluateConfig(Section):
    """``survlstm evaluate``; without ``data`` or ``evaluation`` those of the run hold."""

    run: Text
    data: DataConfig | None = None
    evaluation: EvaluationConfig | None = None
    split: Literal["train", "val", "test"]
    device: Device
    cache_dir: Text
    output_dir: Text
    verbose: bool

    @model_validator(mode="after")
    def _another_cohort_is_test(self) -> EvaluateConfig:
        if self.data is not None and self.split != "test":
            raise ValueError(f"split must be test where data names another cohort; found {self.split}")
        return self


class CompareConfig(Section):
    """``survlstm compare``: of the evaluation, what makes intervals."""

    evaluation: EvaluationConfig
    output: Text | None
    seed: Seed
    verbose: bool


class RerunConfig(Section):
    """``survlstm rerun``: where the run is made again."""

    cache_dir: Text
    output_dir: Text
    verbose: bool


class SimulateConfig(SimulatedConfig):
    """``survlstm simulate``."""

    output: Text
    verbose: bool


class ExportConfig(Section):
    """``survlstm export``; ``format`` onnx adds an ONNX model to the native one."""

    run: Text
    output: Text
    format: Literal["native", "onnx"]
    cache_dir: Text
    verbose: bool


class ScoredSourceConfig(Section):
    """``max_unusable_share`` as in training; null: that of the bundle."""

    max_unusable_share: Share | None


class ScoredDataConfig(Section):
    """The export whose subjects are scored; how it is read and grouped is the bundle's."""

    path: Text
    source: ScoredSourceConfig

    @field_validator("path")
    @classmethod
    def _is_folder(cls, path: str) -> str:
        if not Path(path).expanduser().is_dir():
            raise ValueError(f"must be a folder with Synthea CSV tables; found {path!r}, not a folder")
        return path


class _ScoringConfig(Section):
    """What ``predict`` and ``plot`` share; without ``as_of`` every entry is read."""

    bundle: Text
    data: ScoredDataConfig
    as_of: Text | None
    subjects_at_once: PositiveInt
    cache_dir: Text
    verbose: bool

    @field_validator("as_of")
    @classmethod
    def _is_a_time(cls, as_of: str | None) -> str | None:
        try:
            if as_of is not None:
                datetime.datetime.fromisoformat(as_of)
        except ValueError as error:
            raise ValueError(
                f"must be a day or a time, written YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS; found {as_of!r}"
            ) from error
        return as_of


class PredictConfig(_ScoringConfig):
    """``survlstm predict``; ``horizons`` count the bundle's unit, null: those of its training."""

    output: Text
    per_visit: bool
    horizons: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] | None

    @field_validator("output")
    @classmethod
    def _known_ending(cls, output: str) -> str:
        if not output.endswith((".parquet", ".csv")):
            raise ValueError(f"must end in .parquet or .csv; found {output!r}")
        return output


def _is_id(value: Any) -> Any:
    """Checked here and not by type: what is no id may hold one, so that no message shows it."""
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise ValueError("must be an id, text or a whole number; found something else")
    return value


def _are_ids(values: Any) -> Any:
    if not isinstance(values, list) or not values:
        raise ValueError("must be a list of at least one id, as in subjects=[ID,ID]; found none")
    return values


SubjectId = Annotated[Text | int, BeforeValidator(_is_id)]


class PlotConfig(_ScoringConfig):
    """``survlstm plot survival``; ``subjects`` null: the lowest, the median and the highest risk."""

    model_config = ConfigDict(hide_input_in_errors=True)

    output: Text
    subjects: Annotated[list[SubjectId], BeforeValidator(_are_ids)] | None


class ExplainConfig(Section):
    """``survlstm explain``; ``subject`` null: the one of the highest risk; ``output`` null: the run's own folder."""

    model_config = ConfigDict(hide_input_in_errors=True)

    run: Text
    split: Literal["test", "val", "train"]
    subjects_at_most: PositiveInt
    subject: SubjectId | None
    integration_steps: Annotated[int, Field(ge=2, le=LARGEST_INT)]
    resamples: Annotated[int, Field(ge=100, le=LARGEST_INT)]
    shuffles: PositiveInt
    top: PositiveInt
    seed: Seed
    cache_dir: Text
    output: Text | None
    verbose: bool


class ServeConfig(Section):
    """``survlstm serve``; ``names`` are those under which a proxy passes requests on."""

    bundle: Text
    host: Text
    names: list[Text]
    port: Annotated[int, Field(ge=0, le=65535)]
    max_body_mib: Annotated[float, Field(gt=0, le=1024)]
    max_events: PositiveInt
    verbose: bool
