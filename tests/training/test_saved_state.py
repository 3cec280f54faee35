"""saved_state: every part of a checkpoint is checked before training is resumed from it."""

import copy
import math

import pytest
import torch

from survlstm.models.weights import check_weights
from survlstm.training.checkpoint import load_checkpoint
from survlstm.training.saved_state import check_optimizer_state, check_scheduler_state, check_state, checkpoint_info
from survlstm.utils.errors import CheckpointError
from tests.learning import fit_new, plateau, prepared_records, trainer_for


@pytest.fixture(scope="module")
def prepared():
    return prepared_records()


@pytest.fixture(scope="module")
def saved(prepared, tmp_path_factory):
    """The training state after two epochs."""
    folder = tmp_path_factory.mktemp("saved")
    fit_new(prepared, folder, epochs=2, scheduler=plateau)
    about = {
        "config": {},
        "fitted": prepared.preprocessing.as_plain(),
        "mean_hazard": (0.1,),
        "data_fingerprint": prepared.fingerprint,
    }
    return load_checkpoint(folder / "checkpoints" / "last.pt") | {"about": about}


def changed(state, *path, value):
    """Return a copy with another value at a path of keys."""
    state = copy.deepcopy(state)
    holder = state
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return state


def without(state, *path):
    state = copy.deepcopy(state)
    holder = state
    for key in path[:-1]:
        holder = holder[key]
    del holder[path[-1]]
    return state


def test_a_state_that_a_run_has_left_is_sound(saved):
    check_state(saved, "last.pt")
    assert checkpoint_info(saved).mean_hazard == (0.1,)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("about",), None, "its part about lacks config, fitted, mean_hazard, data_fingerprint"),
        (("about", "mean_hazard"), "0.1", "mean_hazard must hold 1 numbers between 0 and 1"),
        (("about", "mean_hazard"), ["0.1"], "mean_hazard must hold 1 numbers between 0 and 1"),
        (("about", "mean_hazard"), [1.5], "mean_hazard must hold 1 numbers"),
        (("about", "mean_hazard"), [math.nan], "mean_hazard must hold 1 numbers"),
        (("about", "mean_hazard"), [0.1, 0.2], "mean_hazard must hold 1 numbers"),
        (("about", "data_fingerprint"), 7, "data_fingerprint must be text"),
        (("about", "fitted"), [], "the preprocessing state must have exactly the parts vocabulary"),
        (("about", "fitted", "vocabulary"), ["a"], r"the vocabulary must begin with \[PAD\] and \[UNK\]"),
        (("about", "fitted", "vocabulary"), [1], "the vocabulary must be a list of codes"),
        (("about", "fitted", "vocabulary"), ["[PAD]", "[UNK]", "X/1", "X/1"], "hold each code once"),
        (("about", "fitted", "feature_mean"), ["0.0"] * 5, "feature_mean must be a list of numbers"),
        (("about", "fitted", "feature_mean"), [math.inf] * 5, "feature_mean must contain finite numbers"),
        (
            ("about", "fitted", "feature_mean"),
            [10**400] * 5,
            "feature_mean must contain numbers within the range of double precision",
        ),
        (("about", "fitted", "feature_mean"), [1e308] * 10, "means must be at most 10000"),
        (("about", "fitted", "feature_spread"), [-1.0] * 10, "spreads 0 or 1e-30 to 10000"),
        (("about", "fitted", "feature_spread"), [1.0] * 4, "each of the 10 features must have a mean and a spread"),
        (("about", "fitted", "edge_days"), [1.0, 2.0], "edge_days must begin at 0 and rise"),
        (("history",), 7, "a history must hold a list of epochs"),
        (("history", "epochs", 0), None, "Epoch must have the fields"),
        (("history", "epochs", 0, "val_loss"), "2.1", "val_loss of Epoch is invalid"),
        (("history", "epochs", 0, "epoch"), 7, "its epochs must be numbered from 1 on"),
        (("history", "best_epoch"), 0, "its best epoch must be one of its epochs"),
        (("history", "best_epoch"), 9, "its best epoch must be one of its epochs"),
        (("history", "usage"), {}, "Usage must have the fields"),
        (("history", "gains"), [1.0], "the gains of a history must be pairs of numbers"),
        (("history", "gains"), [[0.1, 0.2]], "the gain of each of its epochs, or none"),
        (("start_nll",), torch.zeros(3), "start_nll belongs to a model that starts from a fit only"),
        (("stopping", "waited"), "1", "waited of EarlyStoppingState is invalid"),
        (("stopping", "waited"), -1, "waited for an improvement must be 0 or more"),
        (("stopping", "should_stop"), True, "EarlyStoppingState must have the fields"),
        (("progress", "epoch"), 1, "its epoch must be the last complete one"),
        (("progress", "steps"), -1, "the steps and sums of its epoch must be finite"),
        (("progress", "loss_sum"), math.nan, "the steps and sums of its epoch must be finite"),
        (("epoch",), "2", "its epoch must be the last complete one"),
        (("micro_batch_size",), 0, "micro_batch_size must be null or a number above 0"),
        (("asked_at_once",), True, "asked_at_once must be null or a number above 0"),
        (("place",), {"torch": 2}, "its place must be a dictionary of text"),
        (("random",), {}, "its random states must be those of python, numpy, torch and cuda"),
        (("random", "python"), (3, (1, 2), None), "its random states can't be used"),
        (("random", "numpy"), {"state": 1}, "its random states can't be used"),
        (("random", "torch"), torch.zeros(3), "its random states can't be used"),
        (("random", "cuda"), ["x"], "its random states can't be used"),
        (("more",), 1, "it must have the parts about, asked_at_once"),
    ],
)
def test_an_unsound_part_is_named(saved, path, value, said):
    with pytest.raises(CheckpointError, match=rf"^last\.pt must be a checkpoint of this run; .*{said}"):
        check_state(changed(saved, *path, value=value), "last.pt")


@pytest.mark.parametrize(
    "nll", [None, [0.5], torch.zeros(3), torch.zeros(3, 2).double(), torch.full([3], math.nan).double()]
)
def test_the_likelihoods_of_a_fitted_start_are_finite_and_in_double_precision(saved, nll):
    start = changed(saved, "history", "start", value=saved["history"]["epochs"][0] | {"epoch": 0})
    check_state(start | {"start_nll": torch.zeros(3).double()}, "last.pt")
    with pytest.raises(CheckpointError, match="start_nll must be a vector of finite numbers in double precision"):
        check_state(start | {"start_nll": nll}, "last.pt")


@pytest.mark.parametrize("name", ["model", "optimizer", "stopping", "random", "about"])
def test_a_part_that_is_missing_is_told(saved, name):
    with pytest.raises(CheckpointError, match="it must have the parts about"):
        check_state(without(saved, name), "last.pt")


NAME = "head.0.weight"


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        ([[0.0] * 16] * 16, r"head\.0\.weight must be \[16, 16\], is list"),
        (torch.zeros(16, 17), r"head\.0\.weight must be \[16, 16\], is \[16, 17\] torch\.float32"),
        (torch.zeros(16, 16).half(), r"is \[16, 16\] torch\.float16"),
        # One number that stands for all: sizes are compared with what is there.
        (torch.zeros(1, 1).expand(16, 16), r"is \[16, 16\] torch\.float32"),
        (torch.zeros(16, 16).to_sparse(), r"head\.0\.weight must be"),
        (torch.full((16, 16), math.inf), "the weights must be finite; 1 of"),
    ],
)
def test_other_weights_are_refused(saved, weight, said):
    check_weights(saved["model"], saved["model"])
    with pytest.raises(ValueError, match=said):
        check_weights(saved["model"], saved["model"] | {NAME: weight})
    for other in (None, {}, {**saved["model"], "more": weight}):
        with pytest.raises(ValueError, match="the weights must be those of the config's model"):
            check_weights(saved["model"], other)


@pytest.fixture
def trainer(prepared, tmp_path):
    return trainer_for(prepared, tmp_path, scheduler=plateau).trainer


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((), None),
        (("state",), []),
        (("param_groups",), {}),
        (("param_groups",), []),
        (("param_groups", 0), 7),
        (("param_groups", 0, "lr"), "0.1"),
        (("param_groups", 0, "lr"), math.nan),
        (("param_groups", 0, "betas"), (0.9,)),
        (("param_groups", 0, "amsgrad"), 2),
        (("param_groups", 0, "params"), [0]),
        (("state", 0), None),
        (("state", 99), {}),
        (("state", "0"), {}),
        (("state", 0, "exp_avg"), torch.zeros(3)),
        (("state", 0, "exp_avg"), "x"),
        (("state", 0, "step"), None),
        (("state", 0, "more"), torch.zeros(())),
    ],
)
def test_another_optimizers_state_is_refused(saved, trainer, path, value):
    optimizer = trainer.train_step.optimizer
    assert check_optimizer_state(optimizer, saved["optimizer"], same_torch=True) == saved["optimizer"]
    other = changed(saved, "optimizer", *path, value=value)["optimizer"]
    with pytest.raises(ValueError, match="optimizer"):
        check_optimizer_state(optimizer, other, same_torch=True)


@pytest.mark.parametrize(
    ("path", "value"),
    [((), None), (("best",), "low"), (("mode",), "max"), (("min_lrs",), [0, 0]), (("num_bad_epochs",), None)],
)
def test_another_schedulers_state_is_refused(saved, trainer, path, value):
    own = trainer.scheduler.state_dict()
    assert check_scheduler_state(own, saved["scheduler"], same_torch=True) == saved["scheduler"]
    other = changed(saved, "scheduler", *path, value=value)["scheduler"]
    with pytest.raises(ValueError, match="scheduler"):
        check_scheduler_state(own, other, same_torch=True)


def test_a_setting_that_another_torch_does_not_know_stays_as_it_is_now(saved, trainer):
    optimizer, own = trainer.train_step.optimizer, trainer.scheduler.state_dict()
    less = without(saved, "optimizer", "param_groups", 0, "decoupled_weight_decay")["optimizer"]
    found = check_optimizer_state(optimizer, less, same_torch=False)
    assert found["param_groups"][0]["decoupled_weight_decay"] is True
    with pytest.raises(ValueError, match="must have the settings of the config's optimizer"):
        check_optimizer_state(optimizer, less, same_torch=True)
    # What is no setting of the scheduler does not become an attribute of it.
    found = check_scheduler_state(own, saved["scheduler"] | {"step": "x", "verbose": False}, same_torch=False)
    assert found == saved["scheduler"]
    with pytest.raises(ValueError, match="must have the settings of the config's scheduler"):
        check_scheduler_state(own, {}, same_torch=True)


def test_a_run_does_not_go_on_with_the_moments_of_another_model(prepared, saved, tmp_path):
    path = ("optimizer", "state", 0, "exp_avg")
    for other in (changed(saved, *path, value=torch.zeros(3)), changed(saved, "model", NAME, value=torch.zeros(1))):
        with pytest.raises(CheckpointError, match=r"^last\.pt must be a checkpoint of this run; .*weights"):
            fit_new(prepared, tmp_path, epochs=3, state=other, scheduler=plateau)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (torch.optim.SGD, {"lr": 0.1}),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
        (torch.optim.RMSprop, {}),
        (torch.optim.Adafactor, {}),
    ],
)
def test_the_state_of_another_optimizer_of_torch_is_read(kind, settings, tmp_path):
    def made():
        model = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Linear(3, 2))
        return model, kind(model.parameters(), **settings)

    model, optimizer = made()
    for _ in range(2):
        model(torch.tensor([1, 2])).sum().backward()
        optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    _, other = made()
    other.load_state_dict(check_optimizer_state(other, saved, same_torch=True))
    saved["state"][0] = {"moment": torch.zeros(5, 4)}
    with pytest.raises(ValueError, match="must have the shapes of the model's weights"):
        check_optimizer_state(other, saved, same_torch=True)
