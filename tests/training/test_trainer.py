"""Trainer on records small enough to fit in a second: learning, history, checkpoints, repeatability, NaN, going on."""

import itertools
import json
import logging
import math
import os
import random
import shutil
import signal
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from survlstm.data.batches import Batches, feature_columns
from survlstm.data.outcomes.clinical import FirstCodeOutcome
from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import make
from survlstm.data.split import Split
from survlstm.errors import Interrupted, NotFiniteError, OutcomeError, TrainingError
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.training.checkpoint import Checkpointer, load_checkpoint
from survlstm.training.learner import Learner
from survlstm.training.meter import Meter
from survlstm.training.prediction import predict
from survlstm.training.schedule import Schedule
from survlstm.training.seeding import seed_everything
from survlstm.training.starting_hazard import starting_hazard
from survlstm.training.stopping import EarlyStopping
from survlstm.training.trainer import Trainer
from tests.lives import done_by
from tests.records import LANDMARK_SETTINGS, SETTINGS, RecordsSource, events_of, random_records
from tests.states import trained, written_out

CPU = torch.device("cpu")


def prepared_records():
    outcome = SyntheticOutcome(0.7, 1.7, 0.4, 0.4, 0.2, 1 / 60, seed=0)
    return make(RecordsSource(events_of(random_records(300, seed=0))), outcome, SETTINGS)


@pytest.fixture(scope="module")
def prepared():
    return prepared_records()


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
    meter=None,
    wrapped=None,
    checkpointer=Checkpointer,
    minutes_between_saves=math.inf,
):
    """A trainer and its two splits, as ``survlstm.run`` puts them together."""
    seed_everything(seed if weights_seed is None else weights_seed, deterministic=True)
    model = DiscreteTimeSurvivalLSTM(
        vocabulary_size=len(prepared.vocabulary),
        embedding_dim=8,
        hidden_dim=16,
        num_layers=2,
        dropout=dropout,
        visit_features=5,
        intervals=prepared.fitted.intervals,
        mean_hazard=starting_hazard(prepared.tensors),
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
        learner=Learner(model, optimizer, CPU, grad_clip=1.0),
        scheduler=Schedule(scheduler(optimizer) if scheduler else None),
        stopping=EarlyStopping(patience, 0.0),
        checkpointer=saves,
        meter=meter or Meter(),
        seed=seed,
        minutes_between_saves=minutes_between_saves,
    )
    return SimpleNamespace(trainer=trainer, model=model, train=parts[0], val=parts[1])


def fit(prepared, folder, *, epochs=4, state=None, **settings):
    all_of_it = made(prepared, folder, **settings)
    history = all_of_it.trainer.fit(all_of_it.train, all_of_it.val, epochs=epochs, state=state)
    return all_of_it.model, history


def test_it_learns(prepared, tmp_path):
    _, history = fit(prepared, tmp_path, epochs=10)
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss - 0.2
    assert max(epoch.val_c_td for epoch in history.epochs) > 0.6


def test_history_json_holds_every_epoch(prepared, tmp_path):
    _, history = fit(prepared, tmp_path, epochs=3)
    written = json.loads((tmp_path / "history.json").read_text())
    assert [epoch["epoch"] for epoch in written["epochs"]] == [1, 2, 3]
    assert set(written["epochs"][0]) == {
        "epoch",
        "train_loss",
        "val_loss",
        "val_c_td",
        "lr",
        "grad_norm",
        "seconds",
        "subjects_per_second",
    }
    assert written["best_epoch"] == 1 + int(np.argmin([epoch.val_loss for epoch in history.epochs]))
    assert written["parameters_per_subject"] == pytest.approx(
        written["parameters"] / len(prepared.tensors.members(Split.TRAIN))
    )
    assert written["stopped"] == "all 3 epochs done"


def test_checkpoints_load_without_running_code_and_the_best_weights_come_back(prepared, tmp_path):
    model, history = fit(prepared, tmp_path, epochs=5, lr=0.05)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "best.pt",
        "epoch_0002.pt",
        "epoch_0004.pt",
        "last.pt",
        "previous.pt",
    ]
    assert load_checkpoint(tmp_path / "checkpoints" / "previous.pt")["epoch"] == 4
    best = torch.load(tmp_path / "checkpoints" / "best.pt", weights_only=True)
    assert best["epoch"] == history.best_epoch
    assert best["about"]["vocabulary"][:2] == ["[PAD]", "[UNK]"]
    for name, weights in model.state_dict().items():
        assert torch.equal(weights, best["model"][name])


def test_one_seed_gives_one_history_and_another_seed_another(prepared, tmp_path):
    def numbers(folder, seed):
        _, history = fit(prepared, tmp_path / folder, seed=seed)
        return [(e.train_loss, e.val_loss, e.val_c_td, e.grad_norm) for e in history.epochs]

    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir(), (tmp_path / "c").mkdir()
    first = numbers("a", 0)
    assert first == numbers("b", 0)
    assert first != numbers("c", 1)


def test_early_stopping_ends_the_run_and_says_so(prepared, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="survlstm"):
        _, history = fit(prepared, tmp_path, epochs=40, lr=0.1, patience=2)
    assert len(history.epochs) < 40
    assert history.stopped == f"early stopping after {len(history.epochs)} epochs"
    assert f"Training ended: {history.stopped}" in caplog.text


def test_the_plateau_scheduler_lowers_the_rate_that_history_records(prepared, tmp_path):
    _, history = fit(prepared, tmp_path, epochs=12, lr=0.1, scheduler=plateau)
    rates = [epoch.lr for epoch in history.epochs]
    assert rates[0] == 0.1
    assert rates[-1] < 0.1


NUMBER = r"(\d\.?[-+.e\d]*)"


def test_nan_stops_the_run_with_its_step_and_what_to_try(prepared, tmp_path):
    with pytest.raises(
        NotFiniteError,
        match=r"the training loss must be finite; found loss (nan|inf) and gradient norm (nan|inf) in epoch 1, step 2, "
        rf"over \d+ subjects \(gradient norms before it: {NUMBER}\)\. Try optimizer.lr=1e\+29 or trainer.grad_clip=0.5",
    ):
        fit(prepared, tmp_path, lr=1e30, epochs=5)


class Spoilt(torch.nn.Module):
    """Its logits are nothing in one of its training steps."""

    def __init__(self, model, at):
        super().__init__()
        self.model, self.at, self.calls = model, at, 0

    def forward(self, *inputs):
        self.calls += self.training
        return self.model(*inputs) * (math.nan if self.calls == self.at else 1.0)


def test_nan_in_a_later_epoch_tells_the_norms_before_it_and_leaves_the_epoch_before_it(prepared, tmp_path):
    with pytest.raises(
        NotFiniteError,
        match=rf"in epoch 3, step 2, .*before it: {NUMBER}\)\. .*; epoch 2 is kept in .*checkpoints$",
    ):
        fit(prepared, tmp_path, epochs=5, wrapped=lambda model: Spoilt(model, at=16))
    last = load_checkpoint(tmp_path / "checkpoints" / "last.pt")
    assert last["epoch"] == 2
    assert all(torch.isfinite(weights).all() for weights in last["model"].values())


def test_of_the_gradient_norms_the_last_five_are_told(prepared, tmp_path):
    with pytest.raises(NotFiniteError, match=rf"epoch 1, step 7, .*before it: {NUMBER}(, {NUMBER}){{4}}\)"):
        fit(prepared, tmp_path, wrapped=lambda model: Spoilt(model, at=7))


def test_predictions_do_not_hang_on_the_batch_size(prepared, tmp_path):
    model, _ = fit(prepared, tmp_path, epochs=1)
    members, columns = prepared.tensors.members(Split.VAL), tuple(range(5))
    small = predict(model, Batches(prepared.tensors, members, 3, columns), CPU)
    large = predict(model, Batches(prepared.tensors, members, 1000, columns), CPU)
    np.testing.assert_allclose(small.hazard, large.hazard, atol=1e-6)
    np.testing.assert_allclose(small.nll, large.nll, rtol=1e-4)
    assert np.isnan(small.hazard).any()


def test_the_epochs_loss_is_the_mean_over_subjects(prepared, tmp_path):
    model, history = fit(prepared, tmp_path, epochs=2)
    found = predict(model, Batches(prepared.tensors, prepared.tensors.members(Split.VAL), 7, tuple(range(5))), CPU)
    assert history.epochs[history.best_epoch - 1].val_loss == pytest.approx(found.nll.mean(), rel=1e-5)


def test_with_windows_too_the_loss_is_the_mean_over_subjects_whatever_the_batch_size(prepared, tmp_path):
    """With a learning rate of 0 and no dropout the first epoch's loss is the untrained model's, however batched."""
    losses = []
    for batch_size in (7, 1000):
        folder = tmp_path / str(batch_size)
        folder.mkdir()
        _, history = fit(prepared, folder, max_visits=4, batch_size=batch_size, epochs=1, lr=0.0, dropout=0.0)
        losses.append(history.epochs[0].train_loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0] > 1.5


@pytest.fixture(scope="module")
def landmark_prepared():
    """Who comes often has the outcome soon: on the landmark clock the history tells."""
    outcome = FirstCodeOutcome(["X/7"])
    return make(RecordsSource(events_of(random_records(500, seed=0))), outcome, LANDMARK_SETTINGS)


def test_it_learns_on_the_landmark_clock(landmark_prepared, tmp_path):
    _, history = fit(landmark_prepared, tmp_path, epochs=10)
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss - 0.05
    assert max(epoch.val_c_td for epoch in history.epochs) > 0.6


def test_the_whole_curve_is_predicted_on_the_landmark_clock(landmark_prepared, tmp_path):
    model, _ = fit(landmark_prepared, tmp_path, epochs=1)
    tensors = landmark_prepared.tensors
    members = tensors.members(Split.VAL)
    small, large = (predict(model, Batches(tensors, members, size, tuple(range(5))), CPU) for size in (3, 1000))
    assert small.hazard.shape == small.survival.shape == (len(members), tensors.steps)
    assert np.isfinite(small.hazard).all()
    np.testing.assert_allclose(small.hazard, large.hazard, atol=1e-6)
    np.testing.assert_allclose(small.survival, np.cumprod(1 - small.hazard, axis=1))
    assert (small.step < tensors.steps - 1).any()
    loss = []
    for hazard, step, event in zip(small.hazard, small.step, small.event, strict=True):
        survived = hazard[: step + (0 if event else 1)]
        loss.append(-np.log1p(-survived).sum() - (np.log(hazard[step]) if event else 0.0))
    np.testing.assert_allclose(small.nll, loss)


def test_starting_hazards(prepared, landmark_prepared):
    tensors = prepared.tensors
    training = tensors.members(Split.TRAIN)
    (mean,) = starting_hazard(tensors)
    assert mean == tensors.event[training].sum() / (tensors.step[training] + 1).sum()
    # Interval 1 has no event; what is added is one subject with the mean hazard, 2 events over 7 steps.
    others = len(landmark_prepared.tensors.step) - 3
    few = replace(
        landmark_prepared.tensors,
        split=np.array([0, 0, 0] + [1] * others, dtype=np.int8),
        step=np.array([2, 2, 0] + [2] * others),
        event=np.array([True, False, True] + [True] * others),
        edge_days=np.array([0.0, 1.0, 2.0, 3.0]),
    )
    mean = 2 / 7
    np.testing.assert_allclose(starting_hazard(few), [(1 + mean) / 4, mean / 3, (1 + mean) / 3])
    with pytest.raises(OutcomeError, match="found 0 events in 7 at-risk steps"):
        starting_hazard(replace(few, event=np.zeros(others + 3, dtype=bool)))


def assert_same(one, other):
    # Beartype draws from Python's generator, as often as it has a list to check.
    assert trained(one, without={"python"}) == trained(other, without={"python"})


@dataclass(frozen=True)
class EveryState(Checkpointer):
    """Keeps the folder of checkpoints as it stood after each save."""

    def save_last(self, state, *, epoch, is_epochs_end):
        super().save_last(state, epoch=epoch, is_epochs_end=is_epochs_end)
        before = len(list(self.run_folder.glob("at_*")))
        shutil.copytree(self.folder, self.run_folder / f"at_{before:04d}" / "checkpoints")


class Drawing(torch.nn.Module):
    """Draws from all three generators, as a model or a transform of somebody else's may."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *inputs):
        drawn = [random.gauss(0.0, 0.1), np.random.normal(0.0, 0.1), 0.1 * float(torch.randn(()))]
        return self.model(*inputs) + sum(drawn)


def cosine(optimizer):
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)


TO_THE_END = {
    "plain": {"epochs": 3},
    "early stopping, plateau": {"lr": 0.1, "patience": 3, "scheduler": plateau, "epochs": 20, "batch_size": 64},
    "all three generators": {"wrapped": Drawing, "epochs": 3},
    "windows, cosine": {"max_visits": 6, "scheduler": cosine, "batch_size": 100},
}


@pytest.mark.parametrize("name", TO_THE_END)
def test_from_every_step_on_it_ends_at_the_same_place(tmp_path, name):
    # Not here: beartype draws from Python's generator to choose which items of a list it checks.
    done_by(goes_on_from_every_step, tmp_path, TO_THE_END[name], output=tmp_path / "output")


def goes_on_from_every_step(folder, settings):
    prepared = prepared_records()
    for name in ("undisturbed", "saving"):
        (folder / name).mkdir()
    model, history = fit(prepared, folder / "undisturbed", **settings)
    expected, weights = trained(folder / "undisturbed"), written_out(model.state_dict())
    if "patience" in settings:
        assert history.stopped.startswith("early stopping"), history.stopped
        assert len({epoch.lr for epoch in history.epochs}) > 1, history.epochs

    fit(prepared, folder / "saving", minutes_between_saves=0.0, checkpointer=EveryState, **settings)
    assert trained(folder / "saving") == expected
    stops = sorted((folder / "saving").glob("at_*"))
    steps = math.ceil(len(prepared.tensors.members(Split.TRAIN)) / settings.get("batch_size", 32))
    assert len(stops) == steps * len(history.epochs)
    reached = set()
    for stop in stops:
        state = load_checkpoint(stop / "checkpoints" / "last.pt")
        reached.add((state["progress"]["epoch"], state["progress"]["steps"]))
        # Other weights and other generators to begin with: all of them must be put back.
        model, history = fit(prepared, stop, weights_seed=99, state=state, **settings)
        assert trained(stop) == expected, state["progress"]
        assert written_out(model.state_dict()) == weights
        where = f"epoch {state['progress']['epoch']} after {state['progress']['steps']} steps"
        assert history.events == [f"went on in {where}"]
    assert len(reached) == len(stops)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("call", [2, 7, 8], ids=["step", "last step", "validation"])
def test_a_signal_stops_it_after_the_step_and_nothing_is_lost(prepared, tmp_path, kind, call):
    class Signalled(torch.nn.Module):
        """Sends the signal to its own process, in the second epoch."""

        def __init__(self, model):
            super().__init__()
            self.model, self.calls = model, 0

        def forward(self, *inputs):
            self.calls += 1
            if self.calls == 9 + call:
                os.kill(os.getpid(), kind)
            return self.model(*inputs)

    class Silent(Signalled):
        def forward(self, *inputs):
            return self.model(*inputs)

    before = signal.getsignal(kind)
    for name in ("undisturbed", "run"):
        (tmp_path / name).mkdir()
    fit(prepared, tmp_path / "undisturbed", wrapped=Silent)
    epoch, steps = (2, call) if call < 7 else (3, 0)
    where = f"in epoch {epoch} after {steps} steps"
    with pytest.raises(
        Interrupted,
        match=rf"stopped by signal {int(kind)} {where}; all of it is saved\. survlstm train resume={tmp_path}/run",
    ) as stopped:
        fit(prepared, tmp_path / "run", wrapped=Signalled)
    assert stopped.value.exit_code == 128 + kind
    assert signal.getsignal(kind) is before
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    assert (state["progress"]["epoch"], state["progress"]["steps"]) == (epoch, steps)
    fit(prepared, tmp_path / "run", wrapped=Silent, state=state)
    assert_same(tmp_path / "run", tmp_path / "undisturbed")


def ticking(**budget):
    """A meter whose clock ticks once a look."""
    return Meter(clock=itertools.count().__next__, **budget)


def test_a_spent_budget_ends_it_within_an_epoch_and_a_larger_one_goes_on(prepared, tmp_path, caplog):
    for name in ("undisturbed", "run"):
        (tmp_path / name).mkdir()
    fit(prepared, tmp_path / "undisturbed")
    with caplog.at_level(logging.INFO, logger="survlstm"):
        _, history = fit(prepared, tmp_path / "run", meter=ticking(budget_hours=30 / 3600))
    assert history.stopped == "the budget of 0.00833333 hours is spent, in epoch 2"
    assert len(history.epochs) == 1
    assert "Best validation loss:" in caplog.text
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    assert state["progress"]["steps"] > 0
    _, history = fit(prepared, tmp_path / "run", state=state, meter=ticking(budget_hours=9.0))
    assert history.usage.seconds > 30
    assert_same(tmp_path / "run", tmp_path / "undisturbed")


def test_a_budget_below_one_epoch_is_an_error_that_loses_nothing(prepared, tmp_path):
    for name in ("undisturbed", "run"):
        (tmp_path / name).mkdir()
    fit(prepared, tmp_path / "undisturbed")
    with pytest.raises(
        TrainingError, match=r"for an epoch before its budget is spent; [1-6] steps were done .*resume="
    ):
        fit(prepared, tmp_path / "run", meter=ticking(cost_per_hour=3600.0, budget_dollars=4.0))
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    fit(prepared, tmp_path / "run", state=state)
    assert_same(tmp_path / "run", tmp_path / "undisturbed")


@pytest.fixture
def state(prepared, tmp_path):
    """The state after one epoch of two."""
    fit(prepared, tmp_path, epochs=1)
    return load_checkpoint(tmp_path / "checkpoints" / "last.pt")


@pytest.mark.parametrize("fact", ["torch", "device", "threads", "processes"])
def test_another_place_is_told_in_the_log_and_in_the_history(prepared, tmp_path, caplog, state, fact):
    here = state["place"][fact]
    state["place"][fact] = "another"
    _, history = fit(prepared, tmp_path, epochs=2, state=state)
    said = f"{fact} another → {here}"
    assert f"WARNING: not the same place as before ({said}): results may differ by rounding" in caplog.text
    written = json.loads((tmp_path / "history.json").read_text())
    assert written["events"] == history.events == [f"went on in epoch 2 after 0 steps, with {said}"]


def test_another_number_of_threads_is_noticed(prepared, tmp_path, caplog, state):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        fit(prepared, tmp_path, epochs=2, state=state)
    finally:
        torch.set_num_threads(before)
    assert f"not the same place as before (threads {before} → {before + 1})" in caplog.text


def test_the_same_place_is_not_worth_a_warning(prepared, tmp_path, caplog, state):
    fit(prepared, tmp_path, epochs=2, state=state)
    assert "WARNING" not in caplog.text


@pytest.mark.parametrize("sizes", [(16, None, 16), (None, 8, 8), (16, 8, 8), (8, 16, 8)])
def test_parts_that_had_to_be_made_smaller_stay_so(prepared, tmp_path, state, sizes):
    kept, asked, used = sizes
    state["micro_batch_size"] = kept
    all_of_it = made(prepared, tmp_path)
    all_of_it.trainer.learner.micro_batch_size = asked
    all_of_it.trainer.fit(all_of_it.train, all_of_it.val, epochs=2, state=state)
    assert all_of_it.trainer.learner.micro_batch_size == used
    assert load_checkpoint(tmp_path / "checkpoints" / "last.pt")["micro_batch_size"] == used


def test_what_was_used_adds_up_over_the_lives(prepared, tmp_path, state):
    before = state["history"]["usage"]["seconds"]
    assert before > 0
    state["history"]["usage"]["seconds"] = 1000.0
    _, history = fit(prepared, tmp_path, epochs=2, state=state, meter=Meter(cost_per_hour=3.6))
    assert 1000.0 < history.usage.seconds < 1060.0
    assert history.usage.cost == pytest.approx(history.usage.seconds / 1000)
