"""ProcessGroup: two real processes over gloo train, predict and decide as a single one."""

import json
import os
import socket
from dataclasses import replace

import numpy as np
import pytest
import torch

from survlstm.config.schema.training import AuxiliaryConfig
from survlstm.data.split import Split
from survlstm.training.distributed import SINGLE_PROCESS, ProcessGroup, join_process_group, launched_processes
from survlstm.training.factory import build_auxiliary
from survlstm.training.linear_start import start_linear_part
from survlstm.training.prediction import predict_split
from survlstm.training.train_step import TrainStep
from survlstm.training.weight_average import WeightAverage
from survlstm.utils.errors import ConfigError
from tests.learning import CPU, Tight, batches_of, figures, fit, model_for, prepared_on, train_step_of
from tests.lives import forked
from tests.nested import nested_for, regression_on

# With a batch of one subject the second process has nothing to do; 7 can't be halved, and with parts of 2 the first
# process has two parts and the second two or one.
CASES = [
    ("visit", 7, None),
    ("visit", 7, 2),
    ("visit", 1, None),
    ("landmark", 7, 2),
    ("landmark", 1, None),
    ("days", 7, 2),
]
# Measured: 1.3e-7.
RTOL = 1e-5


def trained(case, folder, process_group):
    """Train, and return the figures of the history and the hazards of the validation subjects."""
    clock, batch_size, micro_batch_size = case
    prepared = prepared_on(clock)
    train_step = train_step_of(model_for(prepared), micro_batch_size=micro_batch_size, process_group=process_group)
    history = fit(prepared, folder, train_step, epochs=2, batch_size=batch_size, max_visits=6)
    found = predict_split(
        train_step.model, batches_of(prepared, Split.VAL, batch_size=4), CPU, process_group=process_group
    )
    c_td = [epoch.val_c_td for epoch in history.epochs]
    return {"figures": figures(history), "c_td": c_td, "hazard": np.nan_to_num(found.hazard, nan=-1.0).tolist()}


def in_halves(folder, process_group):
    """Train where only the last rank runs out of memory with its part of a batch."""
    prepared = prepared_on("visit")
    model = Tight(model_for(prepared), rows=3 if process_group.rank == process_group.size - 1 else 1000)
    train_step = train_step_of(model, on_oom="halve", process_group=process_group)
    history = fit(prepared, folder, train_step, epochs=1)
    return {"figures": figures(history), "size": train_step.micro_batch_size}


def nested(folder, process_group):
    """Train a model that starts from a regression, which the first rank alone fits, with an average of the weights."""
    prepared = prepared_on("visit")
    model = nested_for(prepared)
    start_linear_part(
        model, batches_of(prepared), vocabulary_size=len(prepared.vocabulary), process_group=process_group
    )
    optimizer = torch.optim.AdamW(model.parameter_groups(), lr=0.01)
    average = WeightAverage(model, 0.9)
    train_step = TrainStep(model, optimizer, CPU, 1.0, process_group=process_group, average=average)
    history = fit(prepared, folder, train_step, epochs=2)
    start = history.start
    return {"start": [start.train_loss, start.val_loss, start.val_c_td], "figures": figures(history)}


def with_heads(folder, process_group, *, only):
    """Train with auxiliary losses, beside that of the outcome or alone, in micro-batches."""
    prepared = prepared_on("visit")
    config = AuxiliaryConfig(next_codes_weight=0.02, next_visit_weight=0.3, only=only)
    model = model_for(prepared)
    heads = build_auxiliary(config, model, batches_of(prepared), vocabulary_size=len(prepared.vocabulary))
    train_step = replace(train_step_of(model, micro_batch_size=2, process_group=process_group), auxiliary=heads)
    train_step.optimizer.add_param_group({"params": list(heads.parameters())})
    history = fit(prepared, folder, train_step, epochs=2, batch_size=7, max_visits=6)
    losses = [list(vars(epoch).values()) for epoch in history.auxiliary]
    return {"figures": figures(history), "losses": losses, "head": model.head[0].weight[0].tolist()}


def lives(folder, rank, port):
    """Write the results of this process as JSON. tests/examples/test_several_processes.py starts torchrun itself."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with join_process_group("cpu") as process_group:
        mine = folder / str(process_group.rank)
        mine.mkdir()
        found = {
            "size": process_group.size,
            "sum": process_group.all_reduce_sum(torch.tensor([1.0, 10.0 * process_group.rank])).tolist(),
            "most": process_group.all_reduce_max([2, 1][process_group.rank]),
            "shared": process_group.broadcast({"rank": process_group.rank}),
            "trained": [trained(case, mine / str(number), process_group) for number, case in enumerate(CASES)],
            "in_halves": in_halves(mine / "halves", process_group),
            "nested": nested(mine / "nested", process_group),
            "with_heads": [with_heads(mine / f"heads{only}", process_group, only=only) for only in (False, True)],
        }
        with process_group.local_main_first():
            found["order"] = len(list(folder.glob("*/order")))
            (mine / "order").touch()
    found["wrote"] = sorted(path.parent.name for path in mine.glob("*/history.json"))
    (mine / "found.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [forked(lives, folder, rank, port) for rank in range(2)]
    for process in processes:
        process.join(300)
        assert process.exitcode == 0
    return [json.loads((folder / str(rank) / "found.json").read_text()) for rank in range(2)]


def test_what_travels_between_them(both):
    for found in both:
        assert (found["size"], found["most"], found["shared"]) == (2, 2, {"rank": 0})
        assert found["sum"] == [2.0, 10.0]
    assert [found["order"] for found in both] == [0, 1]


@pytest.mark.parametrize("case", CASES)
def test_histories_and_predictions_are_those_of_one_process(both, tmp_path, case):
    alone = trained(case, tmp_path / "run", SINGLE_PROCESS)
    for found in both:
        together = found["trained"][CASES.index(case)]
        np.testing.assert_allclose(together["figures"], alone["figures"], rtol=RTOL)
        assert together["c_td"] == pytest.approx(alone["c_td"])
        np.testing.assert_allclose(together["hazard"], alone["hazard"], rtol=RTOL, atol=1e-7)
    # Bit for bit: were they to drift apart, each would train a model of its own.
    assert both[0]["trained"] == both[1]["trained"]


def test_one_may_have_to_halve_its_part_alone(both, tmp_path):
    alone = in_halves(tmp_path / "run", SINGLE_PROCESS)
    for found in both:
        np.testing.assert_allclose(found["in_halves"]["figures"], alone["figures"], rtol=RTOL)
    assert both[0]["in_halves"]["size"] is None
    # Of 16 and 15 subjects the second process has 8 and 7.
    assert both[1]["in_halves"]["size"] in {2, 3}


def test_all_start_from_the_regression_of_the_first(both, tmp_path):
    assert both[0]["nested"] == both[1]["nested"]
    alone = nested(tmp_path / "run", SINGLE_PROCESS)
    for name, values in alone.items():
        np.testing.assert_allclose(both[1]["nested"][name], values, rtol=RTOL)


@pytest.mark.parametrize("only", [False, True])
def test_auxiliary_losses_are_those_of_one_process(both, tmp_path, only):
    alone = with_heads(tmp_path / "run", SINGLE_PROCESS, only=only)
    for found in both:
        for name, values in alone.items():
            np.testing.assert_allclose(found["with_heads"][only][name], values, rtol=1e-4)
    assert both[0]["with_heads"] == both[1]["with_heads"]


def test_only_the_first_process_fits_the_regression(monkeypatch):
    class Second(ProcessGroup):
        def broadcast(self, value):
            assert value is None
            return regression_on("visit")

    def fitted(*_):
        pytest.fail("the second process has fitted a regression")

    monkeypatch.setattr("survlstm.training.linear_start.shared_history_regression", fitted)
    prepared = prepared_on("visit")
    model = nested_for(prepared)
    group = Second(rank=1, size=2)
    start_linear_part(model, batches_of(prepared), vocabulary_size=len(prepared.vocabulary), process_group=group)
    np.testing.assert_allclose(model.bias.detach(), regression_on("visit").bias, rtol=1e-6)


def test_one_process_writes(both):
    assert len(both[0]["wrote"]) == len(CASES) + 4
    assert both[1]["wrote"] == []


def test_alone_nothing_travels():
    values = torch.tensor([1.0])
    assert SINGLE_PROCESS.all_reduce_sum(values) is values
    assert (SINGLE_PROCESS.all_reduce_max(3), SINGLE_PROCESS.broadcast("x"), SINGLE_PROCESS.is_main) == (3, "x", True)


def test_without_torchrun_there_is_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert launched_processes() == 1
    with join_process_group("cpu") as process_group:
        assert process_group is SINGLE_PROCESS
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("environment", [{}, {"RANK": "0"}, {"RANK": "zero", "LOCAL_RANK": "0"}])
def test_half_of_what_torchrun_sets_is_told(monkeypatch, environment):
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"WORLD_SIZE": "4", **environment}.items():
        monkeypatch.setenv(name, value)
    told = r"torchrun, which sets RANK and LOCAL_RANK; .*=4 alone\. Start torchrun"
    with pytest.raises(ConfigError, match=told), join_process_group("cpu"):
        pytest.fail("nothing was joined")
