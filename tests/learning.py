"""Build small prepared cohorts of random records, and an optimizer step and a trainer for them."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from types import SimpleNamespace

import torch
from torch import nn

from survlstm.data.batches import Batches, feature_columns
from survlstm.data.features import FEATURES as ALL_FEATURES
from survlstm.data.outcomes.clinical import FirstCodeOutcome
from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.prepared_data import PreparedData
from survlstm.data.split import Split
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.training.budget import BudgetMeter
from survlstm.training.checkpoint import Checkpointer
from survlstm.training.early_stopping import EarlyStopping
from survlstm.training.history import History
from survlstm.training.initial_hazard import initial_hazard
from survlstm.training.schedule import Schedule
from survlstm.training.seeding import seed_everything
from survlstm.training.train_step import TrainStep
from survlstm.training.trainer import Trainer
from tests.days import prepared_days
from tests.records import LANDMARK_SETTINGS, SETTINGS, RecordsSource, events_of, random_records

CPU = torch.device("cpu")
# Those that conf/model names.
FEATURES = tuple(range(5))
SAID_BY_CUDA = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 44.42 GiB of which 1.19 GiB is free."
)


@functools.cache
def prepared_on(clock: str) -> PreparedData:
    """Prepare a cohort once a session; 90 subjects train on the visit clock, 50 on the landmark clock.

    On the days clock they train at every visit from the third.
    """
    if clock == "visit":
        source = RecordsSource(events_of(random_records(120, seed=0)))
        return prepare_uncached(
            source, SyntheticOutcome(0.7, 1.7, 0.4, 0.4, 0.2, 1 / 60, seed=0, planted_codes=[]), SETTINGS
        )
    if clock == "days":
        return prepared_days("every_visit", subjects=90)
    source = RecordsSource(events_of(random_records(200, seed=0)))
    # At a day, not at a visit: else all rows are equally long.
    landmark = replace(LANDMARK_SETTINGS.landmark, day=200.0, visit=None, edges="equidistant")
    return prepare_uncached(source, FirstCodeOutcome(["X/7"]), replace(LANDMARK_SETTINGS, landmark=landmark))


def batches_of(prepared: PreparedData, part: Split = Split.TRAIN, *, batch_size=32, max_visits=None) -> Batches:
    columns = feature_columns([ALL_FEATURES[column] for column in FEATURES], prepared.tensors)
    return Batches(prepared.tensors, prepared.tensors.members(part), batch_size, columns, max_visits)


def model_for(prepared: PreparedData, *, dropout=0.3, seed=0) -> DiscreteTimeSurvivalLSTM:
    seed_everything(seed, deterministic=True)
    model = DiscreteTimeSurvivalLSTM(
        vocabulary_size=len(prepared.vocabulary),
        embedding_dim=8,
        hidden_dim=16,
        num_layers=2,
        dropout=dropout,
        visit_features=len(FEATURES) + prepared.preprocessing.added_columns,
        intervals=prepared.preprocessing.intervals,
        mean_hazard=initial_hazard(prepared.tensors),
        prediction_features=prepared.preprocessing.sizes.prediction_features,
    ).train()
    model.embedding.set_fused(prepared.preprocessing.fused_codes)
    return model


def train_step_of(model, *, lr=0.01, fused=False, grad_clip=1.0, **settings) -> TrainStep:
    return TrainStep(model, torch.optim.AdamW(model.parameters(), lr=lr, fused=fused), CPU, grad_clip, **settings)


class Tight(nn.Module):
    """A model that raises torch's CUDA out-of-memory error for batches of more than some rows."""

    def __init__(self, model, *, rows):
        super().__init__()
        self.model = model
        self.rows = rows

    def forward(self, inputs):
        if inputs.rows > self.rows:
            raise torch.OutOfMemoryError(SAID_BY_CUDA)
        return self.model(inputs)


def gradients_of(train_step: TrainStep, batches: Batches, chosen, *, salt=7):
    """Return gradients (flattened), mean loss and gradient norm of one effective batch; needs lr=0 and no clipping."""
    step = next(train_step.steps(batches, [chosen], salt=salt))
    flat = torch.cat([parameter.grad.flatten() for parameter in train_step.model.parameters()])
    return flat, float(step.loss), float(step.norm)


def trainer_of(
    train_step: TrainStep,
    checkpointer,
    *,
    scheduler=None,
    patience=None,
    start_margin=0.0,
    budget=None,
    seed=0,
    minutes_between_saves=5.0,
) -> Trainer:
    """A trainer, with the checkpointer's folder made; without early stopping, scheduler and budget by default."""
    checkpointer.open()
    return Trainer(
        train_step=train_step,
        scheduler=Schedule(scheduler(train_step.optimizer) if scheduler else None),
        early_stopping=EarlyStopping(patience, 0.0, start_margin),
        checkpointer=checkpointer,
        budget=budget or BudgetMeter(),
        seed=seed,
        minutes_between_saves=minutes_between_saves,
    )


def fit(prepared: PreparedData, folder, train_step: TrainStep, *, epochs=3, batch_size=16, max_visits=None) -> History:
    """Train a given step in a folder of its own."""
    folder.mkdir(exist_ok=True)
    trainer = trainer_of(train_step, Checkpointer(folder, 10, {}))
    sizes = {"batch_size": batch_size, "max_visits": max_visits}
    train, val = (batches_of(prepared, part, **sizes) for part in (Split.TRAIN, Split.VAL))
    return trainer.fit(train, val, epochs=epochs)


def prepared_records() -> PreparedData:
    """Three hundred subjects with a synthetic outcome, on the visit clock."""
    outcome = SyntheticOutcome(0.7, 1.7, 0.4, 0.4, 0.2, 1 / 60, seed=0, planted_codes=[])
    return prepare_uncached(RecordsSource(events_of(random_records(300, seed=0))), outcome, SETTINGS)


def plateau(optimizer):
    return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)


def trainer_for(
    prepared: PreparedData,
    folder,
    *,
    max_visits=None,
    batch_size=32,
    lr=0.01,
    seed=0,
    weights_seed=None,
    dropout=0.2,
    wrapped=None,
    checkpointer=Checkpointer,
    minutes_between_saves=math.inf,
    **settings,
):
    """A trainer, its model and its two splits, built as ``survlstm.runs.train`` builds them."""
    model = model_for(prepared, dropout=dropout, seed=seed if weights_seed is None else weights_seed)
    model = wrapped(model) if wrapped else model
    saves = checkpointer(folder, 2, {"vocabulary": list(prepared.vocabulary.entries)})
    settings |= {"seed": seed, "minutes_between_saves": minutes_between_saves}
    trainer = trainer_of(
        TrainStep(model, torch.optim.AdamW(model.parameters(), lr=lr), CPU, grad_clip=1.0), saves, **settings
    )
    sizes = {"batch_size": batch_size, "max_visits": max_visits}
    train, val = (batches_of(prepared, part, **sizes) for part in (Split.TRAIN, Split.VAL))
    return SimpleNamespace(trainer=trainer, model=model, train=train, val=val)


def fit_new(prepared: PreparedData, folder, *, epochs=4, state=None, **settings):
    """Train a new model; returns the model and its history."""
    new = trainer_for(prepared, folder, **settings)
    history = new.trainer.fit(new.train, new.val, epochs=epochs, state=state)
    return new.model, history


def figures(history: History):
    """Return the figures of every epoch that must not change."""
    return [(each.train_loss, each.val_loss, each.grad_norm) for each in history.epochs]
