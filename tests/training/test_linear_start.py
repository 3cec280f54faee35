"""Epoch 0: a model with a linear part starts at a regression, which stays the best epoch unless another is better."""

import functools
import json
import logging
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from survlstm.data.split import Split
from survlstm.training.checkpoint import Checkpointer, load_checkpoint
from survlstm.training.history import read_history
from survlstm.training.prediction import predict_split
from survlstm.training.train_step import TrainStep
from survlstm.utils.errors import CheckpointError, NotFiniteError
from tests.learning import CPU, batches_of, gradients_of, prepared_on, trainer_of
from tests.nested import nested_for, started
from tests.states import trained, written_out

DESTROYS = 3.0


def nested_trainer(folder, *, clock="visit", lr=0.01, state=None, batch_size=32, weights_seed=0, **settings):
    """A trainer as ``survlstm.runs.train`` builds it: a resumed model is not started."""
    folder.mkdir(exist_ok=True)
    prepared = prepared_on(clock)
    model = started(clock) if state is None else nested_for(prepared, seed=weights_seed)
    model.linear_lr = lr
    optimizer = torch.optim.AdamW(model.parameter_groups(), lr=lr)
    trainer = trainer_of(
        TrainStep(model, optimizer, CPU, grad_clip=1.0),
        Checkpointer(folder, 2, {}),
        **{"minutes_between_saves": math.inf, **settings},
    )
    train, val = (batches_of(prepared, part, batch_size=batch_size) for part in (Split.TRAIN, Split.VAL))
    return SimpleNamespace(trainer=trainer, model=model, train=train, val=val)


def fit_nested(folder, *, epochs=3, state=None, **settings):
    new = nested_trainer(folder, state=state, **settings)
    history = new.trainer.fit(new.train, new.val, epochs=epochs, state=state)
    return new.model, history


@functools.cache
def weights_at_start(clock="visit"):
    return written_out(started(clock).state_dict())


def test_a_rate_that_destroys_the_model_leaves_the_regression(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="survlstm"):
        model, history = fit_nested(tmp_path / "run", lr=DESTROYS, patience=2, epochs=9)
    assert (history.best_epoch, history.best) == (0, history.start)
    # Patience counts from epoch 0 on.
    assert history.stopped == "early stopping after 2 epochs"
    assert all(epoch.val_loss > history.start.val_loss for epoch in history.epochs)
    assert written_out(model.state_dict()) == weights_at_start()
    best = load_checkpoint(tmp_path / "run" / "checkpoints" / "best.pt")
    assert (best["epoch"], written_out(best["model"])) == (0, weights_at_start())
    assert "(before the first epoch: no epoch was better than the regression by the margin)" in caplog.text


def test_an_epoch_that_improves_it_is_the_best(tmp_path):
    _, history = fit_nested(tmp_path / "run", lr=0.002)
    assert history.best_epoch > 0
    assert history.best.val_loss < history.start.val_loss


def test_an_epoch_that_improves_it_by_less_than_the_margin_is_not_kept(tmp_path):
    model, history = fit_nested(tmp_path / "run", lr=0.002, start_margin=100.0)
    assert (history.best_epoch, history.best) == (0, history.start)
    assert written_out(model.state_dict()) == weights_at_start()
    for epoch, gain in zip(history.epochs, history.gains, strict=True):
        assert gain.nats == pytest.approx(history.start.val_loss - epoch.val_loss)
        assert gain.nats < 100 * gain.standard_error
    assert max(history.gains).nats > 0
    assert read_history(tmp_path / "run").gains == history.gains


def test_the_figures_of_epoch_0_are_those_of_the_regression(tmp_path):
    _, history = fit_nested(tmp_path / "run", epochs=1)
    for part, loss in ((Split.TRAIN, history.start.train_loss), (Split.VAL, history.start.val_loss)):
        found = predict_split(started("visit"), batches_of(prepared_on("visit"), part), CPU)
        assert loss == pytest.approx(found.nll.mean(), rel=1e-6)
    assert history.start.epoch == 0
    assert [epoch.epoch for epoch in history.candidates] == [0, 1]


def test_history_json_holds_epoch_0(tmp_path):
    _, history = fit_nested(tmp_path / "run", lr=DESTROYS, epochs=1)
    written = json.loads((tmp_path / "run" / "history.json").read_text())
    assert written["start"]["val_loss"] == history.start.val_loss
    assert (written["best_epoch"], len(written["epochs"])) == (0, 1)
    again = read_history(tmp_path / "run")
    assert (again.start, again.best) == (history.start, history.start)
    written["best_epoch"] = 2
    (tmp_path / "run" / "history.json").write_text(json.dumps(written))
    with pytest.raises(CheckpointError, match="its best epoch must be one of its epochs"):
        read_history(tmp_path / "run")


@pytest.mark.parametrize("lr", [0.002, DESTROYS])
@pytest.mark.parametrize("stop", [1, 4], ids=["first epoch", "second epoch"])
def test_a_run_that_was_killed_is_resumed_bit_for_bit(tmp_path, lr, stop):
    class Killed(Exception):
        pass

    class Killing(Checkpointer):
        def save_last(self, state, *, epoch, is_epochs_end):
            super().save_last(state, epoch=epoch, is_epochs_end=is_epochs_end)
            progress = state["progress"]
            if 3 * (progress["epoch"] - 1) + progress["steps"] == stop:
                raise Killed

    model, _ = fit_nested(tmp_path / "undisturbed", lr=lr)
    expected = trained(tmp_path / "undisturbed", without={"python"})
    new = nested_trainer(tmp_path / "run", lr=lr, minutes_between_saves=0.0)
    assert len(new.train) == 3
    new.trainer.checkpointer = Killing(tmp_path / "run", 2, {})
    with pytest.raises(Killed):
        new.trainer.fit(new.train, new.val, epochs=3)
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    assert (state["progress"]["epoch"], state["progress"]["steps"]) == (1 + stop // 3, stop % 3)
    resumed, history = fit_nested(tmp_path / "run", lr=lr, state=state, weights_seed=99)
    assert trained(tmp_path / "run", without={"python"}) == expected
    assert written_out(resumed.state_dict()) == written_out(model.state_dict())
    assert (history.best_epoch == 0) == (lr == DESTROYS)


def test_a_state_with_the_likelihoods_of_other_subjects_is_refused(tmp_path):
    fit_nested(tmp_path / "run", epochs=1)
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    with pytest.raises(CheckpointError, match="start_nll must hold one number for each row of the validation"):
        fit_nested(tmp_path / "run", epochs=2, state=state | {"start_nll": state["start_nll"][1:]})


def test_only_the_owner_can_read_a_state_with_likelihoods_of_single_subjects(tmp_path):
    fit_nested(tmp_path / "run", epochs=2)
    mode = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "run" / "checkpoints").iterdir()}
    private = {name for name, bits in mode.items() if bits == 0o600}
    assert private == {"last.pt", "previous.pt", "epoch_0002.pt"} == mode.keys() - {"best.pt"}


def test_a_regression_without_a_finite_loss_ends_the_run_and_says_when(tmp_path):
    new = nested_trainer(tmp_path / "run")
    with torch.no_grad():
        new.model.bias.fill_(math.nan)
    with pytest.raises(NotFiniteError, match=r"found nan before the first epoch over \d+ subjects"):
        new.trainer.fit(new.train, new.val, epochs=1)


@pytest.mark.parametrize("clock", ["visit", "landmark", "days"])
def test_micro_batches_and_bfloat16_train_it(tmp_path, clock):
    """The same gradients in parts; in bfloat16 those of the linear part agree to its three digits."""

    def step(**settings):
        model = started(clock, dropout=0.3)
        torch.nn.init.normal_(model.head[-1].weight, std=0.1)
        optimizer = torch.optim.SGD(model.parameter_groups(), lr=0.0)
        return TrainStep(model, optimizer, CPU, None, **settings)

    batches = batches_of(prepared_on(clock), max_visits=6)
    chosen = batches.members[:20]
    whole, loss, _ = gradients_of(step(), batches, chosen)
    parts, loss_of_parts, _ = gradients_of(step(micro_batch_size=3), batches, chosen)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)
    assert loss_of_parts == pytest.approx(loss, rel=1e-5)
    rounded, loss_in_bfloat16, _ = gradients_of(step(precision=torch.bfloat16), batches, chosen)
    assert loss_in_bfloat16 == pytest.approx(loss, rel=0.01)
    assert float(torch.nn.functional.cosine_similarity(rounded, whole, dim=0)) > 0.99
    assert np.isfinite(rounded.numpy()).all()


def test_the_gradients_of_the_linear_part_are_not_clipped():
    model, batches = started("visit"), batches_of(prepared_on("visit"))
    torch.nn.init.normal_(model.head[-1].weight, std=0.1)
    groups = [{**group, "lr": 1.0, "weight_decay": 0.0} for group in model.parameter_groups()]
    before = [parameter.detach().clone() for parameter in model.parameters()]
    step = TrainStep(model, torch.optim.SGD(groups, lr=1.0), CPU, grad_clip=1e-3)
    next(iter(step.steps(batches, [batches.members[:20]], salt=0)))
    moved = {id(new): (new.detach() - old).norm() for new, old in zip(model.parameters(), before, strict=True)}
    rest, linear = ([moved[id(parameter)] for parameter in group["params"]] for group in model.parameter_groups())
    assert float(torch.stack(rest).norm()) == pytest.approx(1e-3, rel=1e-3)
    assert float(torch.stack(linear).norm()) > 0.01
