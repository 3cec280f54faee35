"""A stopped trainer is resumed: from every step, after signals or a spent budget, in another compute environment."""

import itertools
import json
import logging
import math
import os
import random
import signal

import numpy as np
import pytest
import torch

from survlstm.data.split import Split
from survlstm.training.budget import BudgetMeter
from survlstm.training.checkpoint import load_checkpoint
from survlstm.utils.errors import Interrupted, TrainingError
from tests.learning import fit_new, plateau, prepared_records, trainer_for
from tests.lives import done_by
from tests.states import trained, written_out
from tests.training.checkpoints import EveryState

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def prepared():
    return prepared_records()


def assert_same(one, other):
    # Beartype draws from Python's generator, as often as it has a list to check.
    assert trained(one, without={"python"}) == trained(other, without={"python"})


class Drawing(torch.nn.Module):
    """A model that draws from all three generators, as a user's own model may."""

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
    model, history = fit_new(prepared, folder / "undisturbed", **settings)
    expected, weights = trained(folder / "undisturbed"), written_out(model.state_dict())
    if "patience" in settings:
        assert history.stopped.startswith("early stopping"), history.stopped
        assert len({epoch.lr for epoch in history.epochs}) > 1, history.epochs

    fit_new(prepared, folder / "saving", minutes_between_saves=0.0, checkpointer=EveryState, **settings)
    assert trained(folder / "saving") == expected
    stops = sorted((folder / "saving").glob("at_*"))
    steps = math.ceil(len(prepared.tensors.members(Split.TRAIN)) / settings.get("batch_size", 32))
    assert len(stops) == steps * len(history.epochs)
    reached = set()
    for stop in stops:
        state = load_checkpoint(stop / "checkpoints" / "last.pt")
        reached.add((state["progress"]["epoch"], state["progress"]["steps"]))
        # Other weights and other generators to begin with: all of them must be put back.
        model, history = fit_new(prepared, stop, weights_seed=99, state=state, **settings)
        assert trained(stop) == expected, state["progress"]
        assert written_out(model.state_dict()) == weights
        where = f"epoch {state['progress']['epoch']} after {state['progress']['steps']} steps"
        assert history.events == [f"resumed in {where}"]
    assert len(reached) == len(stops)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("call", [2, 7, 8], ids=["step", "last step", "validation"])
def test_a_signal_stops_it_after_the_step_and_nothing_is_lost(prepared, tmp_path, kind, call):
    class Signalled(torch.nn.Module):
        """Send the signal to this process in the second epoch."""

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
    fit_new(prepared, tmp_path / "undisturbed", wrapped=Silent)
    epoch, steps = (2, call) if call < 7 else (3, 0)
    where = f"in epoch {epoch} after {steps} steps"
    with pytest.raises(
        Interrupted,
        match=rf"stopped by signal {int(kind)} {where}; the state is saved\. "
        rf"Resume with survlstm train resume={tmp_path}/run",
    ) as stopped:
        fit_new(prepared, tmp_path / "run", wrapped=Signalled)
    assert stopped.value.exit_code == 128 + kind
    assert signal.getsignal(kind) is before
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    assert (state["progress"]["epoch"], state["progress"]["steps"]) == (epoch, steps)
    fit_new(prepared, tmp_path / "run", wrapped=Silent, state=state)
    assert_same(tmp_path / "run", tmp_path / "undisturbed")


def ticking(**budget):
    """A budget whose clock advances at every reading."""
    return BudgetMeter(clock=itertools.count().__next__, **budget)


def test_a_spent_budget_ends_it_within_an_epoch_and_a_larger_one_goes_on(prepared, tmp_path, caplog):
    for name in ("undisturbed", "run"):
        (tmp_path / name).mkdir()
    fit_new(prepared, tmp_path / "undisturbed")
    with caplog.at_level(logging.INFO, logger="survlstm"):
        _, history = fit_new(prepared, tmp_path / "run", budget=ticking(budget_hours=30 / 3600))
    assert history.stopped == "the budget of 0.00833333 hours is spent, in epoch 2"
    assert len(history.epochs) == 1
    assert "Best validation loss:" in caplog.text
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    assert state["progress"]["steps"] > 0
    _, history = fit_new(prepared, tmp_path / "run", state=state, budget=ticking(budget_hours=9.0))
    assert history.usage.seconds > 30
    assert_same(tmp_path / "run", tmp_path / "undisturbed")


def test_a_budget_below_one_epoch_is_an_error_that_loses_nothing(prepared, tmp_path):
    for name in ("undisturbed", "run"):
        (tmp_path / name).mkdir()
    fit_new(prepared, tmp_path / "undisturbed")
    with pytest.raises(
        TrainingError, match=r"for an epoch before its budget is spent; [1-6] steps were done .*resume="
    ):
        fit_new(prepared, tmp_path / "run", budget=ticking(cost_per_hour=3600.0, budget_dollars=4.0))
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    fit_new(prepared, tmp_path / "run", state=state)
    assert_same(tmp_path / "run", tmp_path / "undisturbed")


@pytest.fixture
def state(prepared, tmp_path):
    """The training state after one epoch of two."""
    fit_new(prepared, tmp_path, epochs=1)
    return load_checkpoint(tmp_path / "checkpoints" / "last.pt")


@pytest.mark.parametrize("fact", ["torch", "device", "threads", "processes"])
def test_another_place_is_told_in_the_log_and_in_the_history(prepared, tmp_path, caplog, state, fact):
    here = state["place"][fact]
    state["place"][fact] = "another"
    _, history = fit_new(prepared, tmp_path, epochs=2, state=state)
    said = f"{fact} another → {here}"
    assert f"the compute environment has changed ({said}): results may differ by rounding" in caplog.text
    written = json.loads((tmp_path / "history.json").read_text())
    assert written["events"] == history.events == [f"resumed in epoch 2 after 0 steps, with {said}"]


def test_another_number_of_threads_is_noticed(prepared, tmp_path, caplog, state):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        fit_new(prepared, tmp_path, epochs=2, state=state)
    finally:
        torch.set_num_threads(before)
    assert f"the compute environment has changed (threads {before} → {before + 1})" in caplog.text


def test_the_same_place_is_not_worth_a_warning(prepared, tmp_path, caplog, state):
    fit_new(prepared, tmp_path, epochs=2, state=state)
    assert "WARNING" not in caplog.text


@pytest.mark.parametrize("sizes", [(16, 8, 16, 8), (None, 8, None, 8), (None, 8, 16, 16), (8, 8, None, None)])
def test_parts_that_had_to_be_made_smaller_stay_so_unless_others_are_asked_for(prepared, tmp_path, state, sizes):
    asked_then, used_then, asked, used = sizes
    state["asked_at_once"], state["micro_batch_size"] = asked_then, used_then
    all_of_it = trainer_for(prepared, tmp_path)
    all_of_it.trainer.train_step.micro_batch_size = asked
    all_of_it.trainer.fit(all_of_it.train, all_of_it.val, epochs=2, state=state)
    assert all_of_it.trainer.train_step.micro_batch_size == used
    assert load_checkpoint(tmp_path / "checkpoints" / "last.pt")["micro_batch_size"] == used


def test_what_was_used_adds_up_over_the_lives(prepared, tmp_path, state):
    before = state["history"]["usage"]["seconds"]
    assert before > 0
    state["history"]["usage"]["seconds"] = 1000.0
    _, history = fit_new(prepared, tmp_path, epochs=2, state=state, budget=BudgetMeter(cost_per_hour=3.6))
    assert 1000.0 < history.usage.seconds < 1060.0
    assert history.usage.cost == pytest.approx(history.usage.seconds / 1000)
