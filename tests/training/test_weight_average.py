"""WeightAverage: a moving average of the weights that is validated and kept, while training goes on without it."""

import math

import pytest
import torch

from survlstm.data.split import Split
from survlstm.training.checkpoint import load_checkpoint
from survlstm.training.distributed import SINGLE_PROCESS
from survlstm.training.factory import build_train_step
from survlstm.training.prediction import predict_split
from survlstm.training.weight_average import WeightAverage
from survlstm.utils.errors import CheckpointError
from tests.bundles import config_on
from tests.learning import CPU, batches_of, prepared_on, trainer_of
from tests.nested import nested_for
from tests.states import trained, written_out
from tests.training.checkpoints import EveryState

DECAY = 0.8


def fit(folder, *, decay=DECAY, state=None, epochs=3, seed=0, checkpointer=EveryState, minutes=math.inf):
    """Train a small model with an average and return it, its average and its history."""
    folder.mkdir(exist_ok=True)
    prepared = prepared_on("visit")
    model = nested_for(prepared, seed=seed)
    config = config_on("visit", "optimizer.lr=0.02", f"trainer.average_decay={'null' if decay is None else decay}")
    step = build_train_step(config, model, CPU, SINGLE_PROCESS)
    trainer = trainer_of(step, checkpointer(folder, 10, {}), minutes_between_saves=minutes)
    train, val = (batches_of(prepared, part, batch_size=32) for part in (Split.TRAIN, Split.VAL))
    return model, step, trainer.fit(train, val, epochs=epochs, state=state)


def test_an_average_worked_by_hand():
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0.0)
    average, expected = WeightAverage(model, 0.2), 0.0
    # Decays 2/11, then 0.2 as 3/12 is larger.
    for value, decay in ((1.0, 2 / 11), (3.0, 0.2), (-1.0, 0.2)):
        model.weight.data.fill_(value)
        average.update(model)
        expected = decay * expected + (1 - decay) * value
        assert float(average.weights["weight"]) == pytest.approx(expected)
    with average.applied(model):
        assert float(model.weight.detach()) == pytest.approx(expected)
    assert float(model.weight.detach()) == -1.0


def test_the_weights_come_back_after_an_error():
    model = torch.nn.Linear(1, 1)
    average, before = WeightAverage(model, 0.5), float(model.weight.detach())
    average.weights["weight"].fill_(9.0)
    with pytest.raises(RuntimeError, match="stop"), average.applied(model):
        raise RuntimeError("stop")
    assert float(model.weight.detach()) == before


def test_the_average_is_validated_and_kept_and_training_goes_on_without_it(tmp_path):
    _, _, history = fit(tmp_path / "run", epochs=2)
    _, _, plain = fit(tmp_path / "plain", epochs=2, decay=None)
    assert [one.train_loss for one in history.epochs] == [one.train_loss for one in plain.epochs]
    assert [one.val_loss for one in history.epochs] != [one.val_loss for one in plain.epochs]
    states = [load_checkpoint(folder / "checkpoints" / "last.pt") for folder in (tmp_path / "run", tmp_path / "plain")]
    assert written_out(states[0]["model"]) == written_out(states[1]["model"])
    assert "average" not in states[1]
    best = load_checkpoint(tmp_path / "run" / "checkpoints" / "best.pt")
    assert best["epoch"] == history.best_epoch == 2
    assert written_out(best["model"]) == written_out(states[0]["average"]["weights"])


def test_the_loss_of_an_epoch_is_that_of_the_average(tmp_path):
    model, _, history = fit(tmp_path / "run")
    found = predict_split(model, batches_of(prepared_on("visit"), Split.VAL), CPU)
    assert found.nll.mean() == pytest.approx(history.best.val_loss, rel=1e-6)


def test_from_every_step_on_it_ends_at_the_same_place(tmp_path):
    fit(tmp_path / "run", epochs=2, minutes=0.0)
    expected = trained(tmp_path / "run", without={"python"})
    stops = sorted((tmp_path / "run").glob("at_*"))
    assert len(stops) == 6
    for stop in stops:
        fit(stop, epochs=2, state=load_checkpoint(stop / "checkpoints" / "last.pt"), seed=9)
        assert trained(stop, without={"python"}) == expected


def test_an_average_that_is_new_at_a_resumption_begins_at_the_resumed_weights(tmp_path):
    fit(tmp_path / "run", decay=None, epochs=1)
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    _, step, _ = fit(tmp_path / "run", epochs=1, state=state, seed=9)
    assert step.average.steps == 0
    assert written_out(step.average.weights) == written_out(state["model"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda average: {**average, "steps": -1}, "its average must hold a number of steps"),
        (lambda average: None, "its average must hold a number of steps"),
        (lambda average: {**average, "weights": {}}, "the weights must be those of the config's model"),
    ],
)
def test_another_models_average_is_refused(tmp_path, change, said):
    fit(tmp_path / "run", epochs=1)
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    state["average"] = change(state["average"])
    with pytest.raises(CheckpointError, match=said):
        fit(tmp_path / "run", epochs=2, state=state)
