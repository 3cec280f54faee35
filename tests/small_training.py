"""A trainer on records small enough for a second, and what its tests ask of it."""

import math
from types import SimpleNamespace

import torch

from survlstm.data.batches import Batches, feature_columns
from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.split import Split
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.training.budget import BudgetMeter
from survlstm.training.checkpoint import Checkpointer
from survlstm.training.early_stopping import EarlyStopping
from survlstm.training.initial_hazard import initial_hazard
from survlstm.training.schedule import Schedule
from survlstm.training.seeding import seed_everything
from survlstm.training.train_step import TrainStep
from survlstm.training.trainer import Trainer
from tests.records import SETTINGS, RecordsSource, events_of, random_records

CPU = torch.device("cpu")


def prepared_records():
    outcome = SyntheticOutcome(0.7, 1.7, 0.4, 0.4, 0.2, 1 / 60, seed=0, planted_codes=[])
    return prepare_uncached(RecordsSource(events_of(random_records(300, seed=0))), outcome, SETTINGS)


def plateau(optimizer):
    return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)


def made(
    prepared,
    folder,
    *,
    max_visits=None,
    batch_size=32,
    lr=0.01,
    patience=None,
    scheduler=None,
    seed=0,
    weights_seed=None,
    dropout=0.2,
    budget=None,
    wrapped=None,
    checkpointer=Checkpointer,
    minutes_between_saves=math.inf,
):
    """A trainer and its two splits, as ``survlstm.runs.train`` puts them together."""
    seed_everything(seed if weights_seed is None else weights_seed, deterministic=True)
    model = DiscreteTimeSurvivalLSTM(
        vocabulary_size=len(prepared.vocabulary),
        embedding_dim=8,
        hidden_dim=16,
        num_layers=2,
        dropout=dropout,
        visit_features=5,
        intervals=prepared.fitted.intervals,
        mean_hazard=initial_hazard(prepared.tensors),
    )
    model = wrapped(model) if wrapped else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    columns = feature_columns(["log_days_since_last", "log_days_since_first", "age", "log_codes", "log_visit_number"])
    parts = [
        Batches(prepared.tensors, prepared.tensors.members(part), batch_size, columns, max_visits)
        for part in (Split.TRAIN, Split.VAL)
    ]
    saves = checkpointer(folder, 2, {"vocabulary": list(prepared.vocabulary.entries)})
    saves.open()
    trainer = Trainer(
        train_step=TrainStep(model, optimizer, CPU, grad_clip=1.0),
        scheduler=Schedule(scheduler(optimizer) if scheduler else None),
        early_stopping=EarlyStopping(patience, 0.0),
        checkpointer=saves,
        budget=budget or BudgetMeter(),
        seed=seed,
        minutes_between_saves=minutes_between_saves,
    )
    return SimpleNamespace(trainer=trainer, model=model, train=parts[0], val=parts[1])


def fit(prepared, folder, *, epochs=4, state=None, **settings):
    all_of_it = made(prepared, folder, **settings)
    history = all_of_it.trainer.fit(all_of_it.train, all_of_it.val, epochs=epochs, state=state)
    return all_of_it.model, history
