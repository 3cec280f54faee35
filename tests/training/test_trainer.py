"""Trainer on small records: learning, history, checkpoints, repeatability and losses that are not finite."""

import json
import logging
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from survlstm.data.batches import Batches
from survlstm.data.outcomes.clinical import FirstCodeOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.split import Split
from survlstm.training.checkpoint import load_checkpoint
from survlstm.training.initial_hazard import initial_hazard
from survlstm.training.prediction import predict_split
from survlstm.utils.errors import NotFiniteError, OutcomeError
from tests.learning import fit_new, plateau, prepared_records
from tests.records import LANDMARK_SETTINGS, RecordsSource, events_of, random_records

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def prepared():
    return prepared_records()


def test_it_learns(prepared, tmp_path):
    _, history = fit_new(prepared, tmp_path, epochs=10)
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss - 0.2
    assert max(epoch.val_c_td for epoch in history.epochs) > 0.6


def test_history_json_holds_every_epoch(prepared, tmp_path):
    _, history = fit_new(prepared, tmp_path, epochs=3)
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
    model, history = fit_new(prepared, tmp_path, epochs=5, lr=0.05)
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
        _, history = fit_new(prepared, tmp_path / folder, seed=seed)
        return [(e.train_loss, e.val_loss, e.val_c_td, e.grad_norm) for e in history.epochs]

    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir(), (tmp_path / "c").mkdir()
    first = numbers("a", 0)
    assert first == numbers("b", 0)
    assert first != numbers("c", 1)


def test_early_stopping_ends_the_run_and_says_so(prepared, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="survlstm"):
        _, history = fit_new(prepared, tmp_path, epochs=40, lr=0.1, patience=2)
    assert len(history.epochs) < 40
    assert history.stopped == f"early stopping after {len(history.epochs)} epochs"
    assert f"Training ended: {history.stopped}" in caplog.text


def test_the_plateau_scheduler_lowers_the_rate_that_history_records(prepared, tmp_path):
    _, history = fit_new(prepared, tmp_path, epochs=12, lr=0.1, scheduler=plateau)
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
        fit_new(prepared, tmp_path, lr=1e30, epochs=5)


class Spoilt(torch.nn.Module):
    """A model whose logits are NaN in one training step."""

    def __init__(self, model, at):
        super().__init__()
        self.model, self.at, self.calls = model, at, 0

    def forward(self, *inputs):
        self.calls += self.training
        return self.model(*inputs) * (math.nan if self.calls == self.at else 1.0)


def test_nan_in_a_later_epoch_tells_the_norms_before_it_and_leaves_the_epoch_before_it(prepared, tmp_path):
    with pytest.raises(
        NotFiniteError,
        match=rf"in epoch 3, step 2, .*before it: {NUMBER}\)\. .*; epoch 2 is saved in .*checkpoints$",
    ):
        fit_new(prepared, tmp_path, epochs=5, wrapped=lambda model: Spoilt(model, at=16))
    last = load_checkpoint(tmp_path / "checkpoints" / "last.pt")
    assert last["epoch"] == 2
    assert all(torch.isfinite(weights).all() for weights in last["model"].values())


def test_of_the_gradient_norms_the_last_five_are_told(prepared, tmp_path):
    with pytest.raises(NotFiniteError, match=rf"epoch 1, step 7, .*before it: {NUMBER}(, {NUMBER}){{4}}\)"):
        fit_new(prepared, tmp_path, wrapped=lambda model: Spoilt(model, at=7))


def test_predictions_do_not_hang_on_the_batch_size(prepared, tmp_path):
    model, _ = fit_new(prepared, tmp_path, epochs=1)
    members, columns = prepared.tensors.members(Split.VAL), tuple(range(5))
    small = predict_split(model, Batches(prepared.tensors, members, 3, columns), CPU)
    large = predict_split(model, Batches(prepared.tensors, members, 1000, columns), CPU)
    np.testing.assert_allclose(small.hazard, large.hazard, atol=1e-6)
    np.testing.assert_allclose(small.nll, large.nll, rtol=1e-4)
    assert np.isnan(small.hazard).any()


def test_the_epochs_loss_is_the_mean_over_subjects(prepared, tmp_path):
    model, history = fit_new(prepared, tmp_path, epochs=2)
    found = predict_split(
        model, Batches(prepared.tensors, prepared.tensors.members(Split.VAL), 7, tuple(range(5))), CPU
    )
    assert history.epochs[history.best_epoch - 1].val_loss == pytest.approx(found.nll.mean(), rel=1e-5)


def test_with_windows_too_the_loss_is_the_mean_over_subjects_whatever_the_batch_size(prepared, tmp_path):
    """With learning rate 0 and no dropout the first epoch's loss is that of the untrained model, for any batch size."""
    losses = []
    for batch_size in (7, 1000):
        folder = tmp_path / str(batch_size)
        folder.mkdir()
        _, history = fit_new(prepared, folder, max_visits=4, batch_size=batch_size, epochs=1, lr=0.0, dropout=0.0)
        losses.append(history.epochs[0].train_loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0] > 1.5


@pytest.fixture(scope="module")
def landmark_prepared():
    """Subjects with frequent visits have early events, so the history before the landmark predicts the outcome."""
    outcome = FirstCodeOutcome(["X/7"])
    return prepare_uncached(RecordsSource(events_of(random_records(500, seed=0))), outcome, LANDMARK_SETTINGS)


def test_it_learns_on_the_landmark_clock(landmark_prepared, tmp_path):
    _, history = fit_new(landmark_prepared, tmp_path, epochs=10)
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss - 0.05
    assert max(epoch.val_c_td for epoch in history.epochs) > 0.6


def test_the_whole_curve_is_predicted_on_the_landmark_clock(landmark_prepared, tmp_path):
    model, _ = fit_new(landmark_prepared, tmp_path, epochs=1)
    tensors = landmark_prepared.tensors
    members = tensors.members(Split.VAL)
    small, large = (predict_split(model, Batches(tensors, members, size, tuple(range(5))), CPU) for size in (3, 1000))
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
    (mean,) = initial_hazard(tensors)
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
    np.testing.assert_allclose(initial_hazard(few), [(1 + mean) / 4, mean / 3, (1 + mean) / 3])
    with pytest.raises(OutcomeError, match="found 0 events in 7 at-risk steps"):
        initial_hazard(replace(few, event=np.zeros(others + 3, dtype=bool)))
