"""Small cohorts of random records, prepared, and a train_step and a trainer for them."""

from __future__ import annotations

import functools
from dataclasses import replace

import torch
from torch import nn

from survlstm.data.batches import Batches
from survlstm.data.outcomes.clinical import FirstCodeOutcome
from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import PreparedData, prepare_uncached
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
from tests.records import LANDMARK_SETTINGS, SETTINGS, RecordsSource, events_of, random_records

CPU = torch.device("cpu")
FEATURES = tuple(range(5))
SAID_BY_CUDA = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 44.42 GiB of which 1.19 GiB is free."
)


@functools.cache
def prepared_on(clock: str) -> PreparedData:
    """Once a session: no test changes it. 90 subjects train on the visit clock, 50 on the landmark clock."""
    if clock == "visit":
        source = RecordsSource(events_of(random_records(120, seed=0)))
        return prepare_uncached(
            source, SyntheticOutcome(0.7, 1.7, 0.4, 0.4, 0.2, 1 / 60, seed=0, planted_codes=[]), SETTINGS
        )
    source = RecordsSource(events_of(random_records(200, seed=0)))
    # At a day, not at a visit: else all rows are equally long.
    landmark = replace(LANDMARK_SETTINGS.landmark, day=200.0, visit=None, edges="equidistant")
    return prepare_uncached(source, FirstCodeOutcome(["X/7"]), replace(LANDMARK_SETTINGS, landmark=landmark))


def batches_of(prepared: PreparedData, part: Split = Split.TRAIN, *, batch_size=32, max_visits=None) -> Batches:
    return Batches(prepared.tensors, prepared.tensors.members(part), batch_size, FEATURES, max_visits)


def model_for(prepared: PreparedData, *, dropout=0.3, seed=0) -> DiscreteTimeSurvivalLSTM:
    seed_everything(seed, deterministic=True)
    return DiscreteTimeSurvivalLSTM(
        vocabulary_size=len(prepared.vocabulary),
        embedding_dim=8,
        hidden_dim=16,
        num_layers=2,
        dropout=dropout,
        visit_features=5,
        intervals=prepared.fitted.intervals,
        mean_hazard=initial_hazard(prepared.tensors),
    ).train()


def train_step_of(model, *, lr=0.01, fused=False, grad_clip=1.0, **settings) -> TrainStep:
    return TrainStep(model, torch.optim.AdamW(model.parameters(), lr=lr, fused=fused), CPU, grad_clip, **settings)


class Tight(nn.Module):
    """A model that has no memory for more than so many rows, as torch says it on a CUDA device."""

    def __init__(self, model, *, rows):
        super().__init__()
        self.model = model
        self.rows = rows

    def forward(self, *inputs):
        if len(inputs[5]) > self.rows:
            raise torch.OutOfMemoryError(SAID_BY_CUDA)
        return self.model(*inputs)


def gradients_of(train_step: TrainStep, batches: Batches, chosen, *, salt=7):
    """Those of one effective batch, one after the other, its mean loss and their norm; needs lr=0 and no clipping."""
    step = next(train_step.steps(batches, [chosen], salt=salt))
    flat = torch.cat([parameter.grad.flatten() for parameter in train_step.model.parameters()])
    return flat, float(step.loss), float(step.norm)


def fit(prepared: PreparedData, folder, train_step: TrainStep, *, epochs=3, batch_size=16, max_visits=None) -> History:
    """A trainer without patience, scheduler or budget, in a folder of its own."""
    folder.mkdir(exist_ok=True)
    checkpointer = Checkpointer(folder, 10, {})
    checkpointer.open()
    trainer = Trainer(
        train_step=train_step,
        scheduler=Schedule(None),
        early_stopping=EarlyStopping(None, 0.0),
        checkpointer=checkpointer,
        budget=BudgetMeter(),
        seed=0,
        minutes_between_saves=5.0,
    )
    sizes = {"batch_size": batch_size, "max_visits": max_visits}
    train, val = (batches_of(prepared, part, **sizes) for part in (Split.TRAIN, Split.VAL))
    return trainer.fit(train, val, epochs=epochs)


def figures(history: History):
    """What must not change, epoch by epoch."""
    return [(each.train_loss, each.val_loss, each.grad_norm) for each in history.epochs]
