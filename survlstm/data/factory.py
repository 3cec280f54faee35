"""Build the data pipeline's objects from a validated config."""

from __future__ import annotations

import os
from pathlib import Path

from survlstm.config.instantiate import instantiate
from survlstm.config.schema.data import DataConfig
from survlstm.config.schema.outcome import LandmarkClockConfig, VisitClockConfig
from survlstm.config.schema.run import RunConfig
from survlstm.config.schema.section import SwapPoint
from survlstm.data.batches import Batches, feature_columns
from survlstm.data.landmark import LandmarkSettings
from survlstm.data.outcomes.labels import Outcome
from survlstm.data.prepare import PreparationSettings, PreparedData, Source, prepare
from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.data.sources.simulated import simulated_cohort
from survlstm.data.split import Fold, Split
from survlstm.data.tensors import Tensors
from survlstm.utils.errors import ConfigError


def build_prepared(config: RunConfig, *, fitted: PreprocessingState | None = None) -> PreparedData:
    """The prepared data of a run, from the cache where nothing that shapes it has changed.

    With ``fitted``, what a trained model was prepared with, nothing is fitted: see ``survlstm.data.prepare.make``.
    """
    cache = cache_folder(config.cache_dir)
    return prepare(
        build_source(config.data, cache),
        build_outcome(config.outcome),
        build_settings(config),
        described={"source": config.data.source.settings(), "outcome": config.outcome.settings()},
        cache=cache,
        fitted=fitted,
    )


def cache_folder(cache_dir: str) -> Path:
    """The folder of ``cache_dir``, made where it is missing; ConfigError where it can't be written."""
    folder = Path(cache_dir).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError("permission denied")
    except OSError as error:
        raise ConfigError(
            f"cache_dir must be a folder that can be written; found {folder}: {error}. Set cache_dir=DIR"
        ) from error
    return folder


def build_settings(config: RunConfig) -> PreparationSettings:
    """What shapes the tensors beside the source and the outcome."""
    return PreparationSettings(
        grouping=config.data.visits.grouping,
        window_hours=config.data.visits.window_hours,
        min_visits=config.data.min_visits,
        max_codes_per_visit=config.data.max_codes_per_visit,
        train=config.split.train,
        val=config.split.val,
        split_seed=config.split.seed,
        fold=None if config.split.fold is None else Fold(config.split.fold, config.split.folds),
        min_frequency=config.vocabulary.min_frequency,
        landmark=_landmark_settings(config.clock),
    )


def _landmark_settings(config: VisitClockConfig | LandmarkClockConfig) -> LandmarkSettings | None:
    return None if config.kind == "visit" else LandmarkSettings(**config.model_dump(exclude={"kind"}))


def build_source(config: DataConfig, cache: Path) -> Source:
    """The reader of ``data.path``, or of the simulated cohort that stands in for it."""
    if config.path is not None:
        path = Path(config.path).expanduser()
    else:
        assert config.simulated is not None, "validated: one of path and simulated is set"
        path = simulated_cohort(cache, **config.simulated.model_dump())
    return instantiate(config.source, path=str(path))


def build_outcome(config: SwapPoint) -> Outcome:
    """The outcome that the config names."""
    return instantiate(config)


def build_batches(config: RunConfig, tensors: Tensors, part: Split) -> Batches:
    """The batches of one split."""
    return Batches(
        tensors,
        tensors.members(part),
        config.trainer.batch_size,
        feature_columns(config.model.visit_features),
        config.data.max_visits,
    )
