"""Validated config → the objects of a run; the only place that instantiates."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from survlstm.config import DataConfig, LandmarkClockConfig, RunConfig, VisitClockConfig
from survlstm.data.batches import Batches, feature_columns
from survlstm.data.fitted import Fitted
from survlstm.data.landmark import LandmarkSettings
from survlstm.data.outcomes.labels import Outcome
from survlstm.data.prepare import Prepared, Settings, Source, prepare
from survlstm.data.sources.simulated import simulated_cohort
from survlstm.data.split import Fold, Split
from survlstm.data.tensors import Tensors
from survlstm.errors import ConfigError
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.section import SwapPoint
from survlstm.trackers.guarded import Guarded
from survlstm.trackers.tracker import NoTracker, Tracker
from survlstm.training.checkpoint import Checkpointer
from survlstm.training.learner import Learner
from survlstm.training.meter import Meter
from survlstm.training.saved_state import check_weights
from survlstm.training.schedule import Schedule
from survlstm.training.stopping import EarlyStopping
from survlstm.training.trainer import Trainer, Watcher
from survlstm.training.world import World
from survlstm.training_config import LSTMConfig

# Where a model starts before its weights are loaded.
SOME_HAZARD = 0.5


def build_prepared(config: RunConfig, *, fitted: Fitted | None = None) -> Prepared:
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


def build_settings(config: RunConfig) -> Settings:
    """What shapes the tensors beside the source and the outcome."""
    return Settings(
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
    return _instantiate(config.source, path=str(path))


def build_outcome(config: SwapPoint) -> Outcome:
    """The outcome that the config names."""
    return _instantiate(config)


def build_batches(config: RunConfig, tensors: Tensors, part: Split) -> Batches:
    """The batches of one split."""
    return Batches(
        tensors,
        tensors.members(part),
        config.trainer.batch_size,
        feature_columns(config.model.visit_features),
        config.data.max_visits,
    )


def build_model(
    config: LSTMConfig, *, vocabulary_size: int, intervals: int | None, mean_hazard: Sequence[float]
) -> DiscreteTimeSurvivalLSTM:
    """The model, sized by what the data turned out to be; ``intervals`` is None on the visit clock."""
    return _instantiate(
        config,
        vocabulary_size=vocabulary_size,
        visit_features=len(config.visit_features),
        intervals=intervals,
        mean_hazard=mean_hazard,
    )


def build_trained(config: LSTMConfig, fitted: Fitted, weights: Mapping[str, torch.Tensor]) -> DiscreteTimeSurvivalLSTM:
    """The model of a file, with the file's weights, in evaluation mode and on the host.

    ValueError where the weights are not those of the config's model. Their sizes are compared before any is made: a
    config of a few bytes can ask for more memory than there is.
    """
    sizes = config.settings()
    del sizes["_target_"], sizes["dropout"], sizes["visit_features"]
    sizes |= {"vocabulary_size": len(fitted.vocabulary), "intervals": fitted.intervals}
    shapes = DiscreteTimeSurvivalLSTM.weight_shapes(visit_features=len(config.visit_features), **sizes)
    check_weights(shapes, weights)
    model = build_model(
        config,
        vocabulary_size=len(fitted.vocabulary),
        intervals=fitted.intervals,
        mean_hazard=[SOME_HAZARD] * (fitted.intervals or 1),
    )
    model.load_state_dict(weights)
    return model.eval()


def build_optimizer(config: SwapPoint, model: nn.Module) -> Optimizer:
    """The optimizer over all of the model's parameters."""
    return _instantiate(config, params=list(model.parameters()))


def build_learner(config: RunConfig, model: nn.Module, device: torch.device, world: World) -> Learner:
    """What takes a step of the optimizer."""
    return Learner(
        model,
        build_optimizer(config.optimizer, model),
        device,
        config.trainer.grad_clip,
        precision=getattr(torch, config.trainer.precision),
        micro_batch_size=config.trainer.micro_batch_size,
        on_oom=config.trainer.on_oom,
        world=world,
    )


def build_trainer(
    config: RunConfig, learner: Learner, checkpointer: Checkpointer, meter: Meter, watchers: tuple[Watcher, ...]
) -> Trainer:
    """The training loop."""
    settings = config.trainer
    return Trainer(
        learner=learner,
        scheduler=build_schedule(config.scheduler, learner.optimizer),
        stopping=EarlyStopping(settings.early_stopping.patience, settings.early_stopping.min_delta),
        checkpointer=checkpointer,
        meter=meter,
        seed=config.seed,
        minutes_between_saves=settings.checkpoint.every_minutes,
        watchers=watchers if learner.world.is_main else (),
    )


def build_tracker(config: SwapPoint) -> Tracker:
    """What shows the run elsewhere, kept from stopping it; ConfigError where its package is missing."""
    if config.settings()["_target_"] is None:
        return NoTracker()
    return Guarded(_instantiate(config))


def build_schedule(config: SwapPoint, optimizer: Optimizer) -> Schedule:
    """The learning-rate schedule; ``scheduler=none`` keeps the rate."""
    if config.settings()["_target_"] is None:
        return Schedule(None)
    return Schedule(_instantiate(config, optimizer=optimizer))


def _instantiate(config: SwapPoint, **sizes: Any) -> Any:
    """The object of a validated section, whose schema has named the class; ``sizes`` take the place of settings.

    Not by hydra, which would look up ``${...}`` in the section's texts once more.
    """
    settings = config.settings()
    module, _, name = settings.pop("_target_").rpartition(".")
    return getattr(import_module(module), name)(**(settings | sizes))
