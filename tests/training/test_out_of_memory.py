"""Too little memory: told in a sentence or halved, in training and in prediction, for real and as CUDA says it."""

import json
import logging
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from survlstm.data.batches import Batches
from survlstm.data.split import Split
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.training.out_of_memory import is_out_of_memory, requested_memory
from survlstm.training.prediction import predict_split
from survlstm.utils.errors import OutOfMemoryError, TrainingError
from tests.learning import (
    CPU,
    FEATURES,
    SAID_BY_CUDA,
    Tight,
    batches_of,
    figures,
    fit,
    gradients_of,
    model_for,
    prepared_on,
    train_step_of,
)
from tests.tensors import flat_tensors

ROOT = Path(__file__).parents[2]
SAID_BY_HOST = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "160677888 bytes. Error code 12 (Cannot allocate memory)"
)
# Measured: 8e-8 (tests/training/test_train_step.py).
RTOL = 1e-6


@pytest.mark.parametrize(
    ("error", "holds"),
    [
        (torch.OutOfMemoryError(SAID_BY_CUDA), True),
        (RuntimeError(SAID_BY_HOST), True),
        (MemoryError(), True),
        (np._core._exceptions._ArrayMemoryError((10**12,), np.dtype(float)), True),
        (RuntimeError("could not create a memory object"), True),
        # What oneDNN says of an LSTM whose weights or scratchpad it could not allocate (seen with RLIMIT_AS).
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not execute a primitive"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_what_is_for_want_of_memory(error, holds):
    assert is_out_of_memory(error) == holds


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError(f"first\n{SAID_BY_HOST}\nlast"), "you tried to allocate 160677888 bytes"),
        (torch.OutOfMemoryError(SAID_BY_CUDA), "Tried to allocate 2.00 GiB"),
        (MemoryError("Unable to allocate 7.28 TiB for an array"), "Unable to allocate 7.28 TiB"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_what_was_asked_for(error, said):
    assert said in requested_memory(error)
    assert "\n" not in requested_memory(error)


def test_too_large_a_batch_stops_with_what_to_try():
    prepared = prepared_on("visit")
    train_step = train_step_of(Tight(model_for(prepared), rows=10))
    batches = batches_of(prepared)
    sentence = (
        r"^Out of memory with 23 subjects with [\d,]+ visits \(the longest record has \d+\) at once on cpu: .*"
        r"Tried to allocate 2.00 GiB.* Try trainer.micro_batch_size=11 \(the same result in two parts\), "
        r"trainer.on_oom=halve, model=lstm_small or data.max_visits=50$"
    )
    with pytest.raises(OutOfMemoryError, match=sentence):
        gradients_of(train_step, batches, batches.members[:23])
    assert issubclass(OutOfMemoryError, TrainingError)


@pytest.mark.parametrize("on_oom", ["stop", "halve"])
def test_one_subject_can_not_be_halved(on_oom):
    prepared = prepared_on("visit")
    train_step = train_step_of(Tight(model_for(prepared), rows=0), on_oom=on_oom)
    batches = batches_of(prepared)
    with pytest.raises(OutOfMemoryError, match=r"^Out of memory with 1 subject.*Try model=lstm_small or data.max_v"):
        gradients_of(train_step, batches, batches.members[:1])


def test_halved_until_it_fits_the_gradients_are_the_same(caplog):
    prepared = prepared_on("visit")
    batches = batches_of(prepared)
    chosen = batches.members[:23]
    whole = gradients_of(train_step_of(model_for(prepared), lr=0.0, grad_clip=None), batches, chosen)
    train_step = train_step_of(Tight(model_for(prepared), rows=6), lr=0.0, grad_clip=None, on_oom="halve")
    with caplog.at_level(logging.WARNING, logger="survlstm"):
        found = gradients_of(train_step, batches, chosen)
    assert float((found[0] - whole[0]).norm() / whole[0].norm()) < RTOL
    assert found[1:] == pytest.approx(whole[1:], rel=RTOL)
    assert train_step.micro_batch_size == 5
    for told in (train_step.events, caplog.messages):
        assert len(told) == 2
        assert all("Out of memory with" in each for each in told)
    assert [int(event.split("trainer.micro_batch_size=")[1].split()[0]) for event in train_step.events] == [11, 5]


def test_the_history_holds_it_and_is_the_same(tmp_path):
    prepared = prepared_on("visit")
    expected = fit(prepared, tmp_path / "one", train_step_of(model_for(prepared)))
    assert expected.events == []
    found = fit(prepared, tmp_path / "other", train_step_of(Tight(model_for(prepared), rows=7), on_oom="halve"))
    np.testing.assert_allclose(figures(found), figures(expected), rtol=RTOL)
    # Of 15 subjects 7 are computed at once; 16 have to be halved to 8 and that to 4.
    assert len(found.events) in {1, 2}
    assert json.loads((tmp_path / "other" / "history.json").read_text())["events"] == found.events


class Broken(torch.nn.Module):
    """A model with an error of its own."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *inputs):
        raise RuntimeError("an error of the model's own")


def test_another_error_passes_through_unchanged():
    prepared = prepared_on("visit")
    batches = batches_of(prepared)
    model = Broken(model_for(prepared))
    with pytest.raises(RuntimeError, match=r"^an error of the model's own$"):
        gradients_of(train_step_of(model, on_oom="halve"), batches, batches.members)
    with pytest.raises(RuntimeError, match=r"^an error of the model's own$"):
        predict_split(model, batches, CPU)


@pytest.mark.parametrize("clock", ["visit", "landmark"])
@pytest.mark.parametrize("rows", [1, 3])
def test_predictions_in_halves_are_the_same(clock, rows, caplog):
    prepared = prepared_on(clock)
    batches = batches_of(prepared, batch_size=16)
    whole = predict_split(model_for(prepared), batches, CPU)
    halves = predict_split(Tight(model_for(prepared), rows=rows), batches, CPU)
    assert "out of memory while evaluating" in caplog.text
    np.testing.assert_array_equal(halves.subject, whole.subject)
    np.testing.assert_allclose(halves.hazard, whole.hazard, rtol=RTOL)
    np.testing.assert_allclose(halves.nll, whole.nll, rtol=RTOL)


def test_a_prediction_for_one_subject_can_not_be_halved():
    prepared = prepared_on("visit")
    with pytest.raises(OutOfMemoryError, match=r"^out of memory with one subject of [\d,]+ visits on cpu: CUDA out"):
        predict_split(Tight(model_for(prepared), rows=0), batches_of(prepared), CPU)


def wide():
    """Batches of 48 long records, and a train_step whose wide embeddings take half a gigabyte for them."""
    visits = np.random.default_rng(0).integers(100, 110, 48)
    codes = np.arange(visits.sum()) % 9 + 1
    ended = flat_tensors(
        step=visits - 1,
        event=np.arange(48) % 2 == 0,
        visits=visits,
        codes_per_visit=np.ones(len(codes), dtype=np.int64),
        code=codes,
    )
    torch.manual_seed(0)
    model = DiscreteTimeSurvivalLSTM(
        vocabulary_size=10,
        embedding_dim=4096,
        hidden_dim=8,
        num_layers=1,
        dropout=0.3,
        visit_features=5,
        intervals=None,
        mean_hazard=[0.05],
    ).train()
    batches = Batches(ended, ended.members(Split.TRAIN), 48, FEATURES)
    return batches, train_step_of(model, on_oom="halve")


def three_steps(batches, train_step):
    return [(float(step.loss), float(step.norm)) for step in train_step.steps(batches, batches.in_order() * 3, salt=7)]


def address_space(what):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(what)


def in_too_little_memory():
    """Room for half as much again as half a batch needs: told as JSON."""
    batches, train_step = wide()
    half = train_step_of(train_step.model, lr=0.0, micro_batch_size=24)
    # Once for what is kept, such as compiled kernels, once to see what is needed.
    for _ in range(2):
        before = address_space("VmSize")
        list(half.steps(batches, batches.in_order(), salt=7))
    room = int(1.5 * (address_space("VmPeak") - before))
    resource.setrlimit(resource.RLIMIT_AS, (before + room, before + room))
    steps = three_steps(batches, train_step)
    sys.stdout.write(json.dumps({"steps": steps, "size": train_step.micro_batch_size, "events": train_step.events}))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't limit the address space")
def test_where_memory_really_runs_out_half_as_much_is_computed():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert 1 <= len(found["events"]) <= 2
    assert "Out of memory with 48 subjects with 5," in found["events"][0]
    assert "allocate" in found["events"][0]
    assert found["size"] in {24, 12}
    np.testing.assert_allclose(found["steps"], three_steps(*wide()), rtol=RTOL)


LIMITED = """
import resource, sys
from pathlib import Path
import survlstm.runs.train, survlstm.runs.resume
from survlstm.cli.main import main
pages = int(Path("/proc/self/statm").read_text().split()[0])
room = pages * resource.getpagesize() + 150 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (room, room))
main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't limit the address space")
def test_a_run_that_does_not_fit_ends_with_one_sentence_and_code_6(survlstm, tmp_path):
    words = ["train", "experiment=smoke", "outcome=death", "evaluation.baselines=[]", "evaluation.resamples=100"]
    words += ["trainer.batch_size=46", "vocabulary.min_frequency=300"]
    # Fills the cache.
    assert survlstm(*words, "trainer.dry_run=true") == 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    too_large = [*words, "model.embedding_dim=16384", "output_dir=run"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *too_large], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 6, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (sentence,) = [line for line in done.stdout.splitlines() if line.startswith("OutOfMemoryError: ")]
    for part in ("46 subjects with 1,", "visits", "allocate", "trainer.micro_batch_size=23", "trainer.on_oom=halve"):
        assert part in sentence
    assert sentence in (tmp_path / "run" / "training.log").read_text()


if __name__ == "__main__":
    in_too_little_memory()
