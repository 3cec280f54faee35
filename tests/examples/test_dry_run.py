"""``trainer.dry_run=true``: what a run would take, told without training, and what that is worth."""

import ctypes
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from survlstm.models.layers import VisitEmbedding
from survlstm.runs.dry_run import estimate_epoch, saved_bytes
from tests.learning import batches_of, figures, fit, model_for, prepared_on, train_step_of

ROOT = Path(__file__).parents[2]
BARE = ["evaluation.baselines=[]", "evaluation.landmarks.visits=[]", "evaluation.resamples=100"]
RUN = ["train", "experiment=smoke", *BARE]


def test_it_tells_what_a_run_would_take_and_leaves_the_cache_alone_behind(survlstm, tmp_path, shared_cache, capsys):
    assert survlstm(*RUN, "trainer.dry_run=true", "trainer.cost_per_hour=0.4", "trainer.epochs=7") == 0
    shown = capsys.readouterr().out
    for line in (
        r"Dry run: nothing is trained and no folder is made",
        r"Subjects: 60 \(train 46, val 7, test 7\)",
        r"Vocabulary size: 342; .+",
        r"Model parameters: 8,257 \(179.5 for each training subject\)",
        r"Memory on cpu: about \d+ MiB \(weights, gradients and optimizer \d+ MiB; largest batch, 23 subjects, [\d,]+ "
        r"visits, \d+ MiB\)",
        r"Memory of this process so far, data and libraries included: [\d,]+ MiB",
        r"Time: about \S+ s an epoch, at most \S+ s for 7 epochs \(validation and evaluation come on top\)",
        r"Cost: at most \$\d\.\d+ at \$0\.4 an hour",
    ):
        assert re.search(f"^{line}$", shown, re.M), line
    assert "Epoch" not in shown
    assert list(tmp_path.iterdir()) == []
    assert (shared_cache / "prepared").is_dir()


def test_without_a_price_it_says_nothing_of_cost(survlstm, capsys):
    assert survlstm(*RUN, "trainer.dry_run=true") == 0
    assert "$" not in capsys.readouterr().out


def test_a_users_own_configs_are_found(survlstm, tmp_path, capsys):
    (tmp_path / "my configs" / "experiment").mkdir(parents=True)
    (tmp_path / "my configs" / "experiment" / "mine.yaml").write_text("# @package _global_\nmodel: {hidden_dim: 8}\n")
    words = ["experiment=[smoke,mine]", *BARE, "trainer.dry_run=true"]
    for own in (["--config-dir", "my configs"], ["hydra.searchpath=[my configs]"]):
        assert survlstm("train", *words, *own) == 0
        assert "Model parameters: 6,545 " in capsys.readouterr().out
    assert survlstm("train", *words, "--config-dir", "my configs", "hydra/launcher=joblib") == 2
    assert "leave out the options of a sweep: hydra/launcher=joblib" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["-m", "seed=0,1"], ["-m"]])
def test_a_sweep_is_refused(survlstm, tmp_path, capsys, words):
    assert survlstm(*RUN, "trainer.dry_run=true", *words) == 2
    assert "trainer.dry_run and trainer.distributed are for one run; leave out -m" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_after_it_is_the_run_without_it(survlstm, tmp_path):
    """In one process: what it draws, sets or keeps must not show in what comes after."""
    found = []
    for name in ("before", "after"):
        assert survlstm(*RUN, f"output_dir={name}") == 0
        epochs = json.loads((tmp_path / name / "history.json").read_text())["epochs"]
        found.append([(each["train_loss"], each["val_loss"], each["grad_norm"]) for each in epochs])
        assert survlstm(*RUN, "trainer.dry_run=true") == 0
    assert found[0] == found[1]


def test_an_estimate_leaves_what_is_drawn_from_alone(tmp_path):
    prepared = prepared_on("visit")
    expected = figures(fit(prepared, tmp_path / "one", train_step_of(model_for(prepared)), epochs=2))
    train_step = train_step_of(model_for(prepared))
    estimate_epoch(train_step_of(model_for(prepared)), batches_of(prepared))
    assert figures(fit(prepared, tmp_path / "other", train_step, epochs=2)) == expected


def test_bytes_kept_for_the_backward_pass_by_hand():
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    inputs = torch.zeros(7, 3)
    # The inputs of both layers; relu keeps what it gives, which is the second layer's input, once.
    assert saved_bytes(model, lambda: model(inputs)) == 4 * (7 * 3 + 7 * 5)
    # A view keeps all that it is a view of.
    wide = torch.zeros(7, 30)
    assert saved_bytes(model, lambda: model(wide[:, :3])) == 4 * (7 * 30 + 7 * 5)
    weight = nn.Parameter(torch.ones(4))
    assert saved_bytes(model, weight.exp) == 4 * 4
    assert saved_bytes(model, lambda: weight * 2.0) == 0


def test_bytes_of_weights_gradients_and_moments():
    prepared = prepared_on("visit")
    model = model_for(prepared)
    parameters = sum(weights.numel() for weights in model.parameters())
    found = estimate_epoch(train_step_of(model), batches_of(prepared))
    # AdamW counts its steps in one float32 a parameter tensor.
    assert found.model_bytes == 4 * (4 * parameters + len(list(model.parameters())))


def test_a_smaller_part_keeps_less():
    prepared = prepared_on("visit")
    whole, part = (
        estimate_epoch(train_step_of(model_for(prepared), micro_batch_size=size), batches_of(prepared))
        for size in (None, 8)
    )
    assert re.fullmatch(r"30 subjects, [\d,]+ visits", whole.largest)
    assert re.fullmatch(r"8 subjects, [\d,]+ visits", part.largest)
    assert part.batch_bytes < 0.5 * whole.batch_bytes


def peak_of_training():
    """How much a step's largest batch adds to the process's peak, and what was estimated: told as JSON."""
    prepared = prepared_on("visit")
    batches = batches_of(prepared, batch_size=90)
    train_step = train_step_of(wide_model(prepared))
    # For what is kept, such as compiled kernels and the optimizer's moments.
    list(train_step.steps(batches, [batches.members[:4]] * 2, salt=0))
    # What earlier steps have freed is given back, so that it is not used again unseen.
    ctypes.CDLL(None).malloc_trim(0)
    # The peak of the process so far is that of its imports: forgotten.
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    list(train_step.steps(batches, batches.in_order(), salt=0))
    grown = resident("VmHWM") - before
    sys.stdout.write(json.dumps({"grown": grown, "estimated": estimate_epoch(train_step, batches).batch_bytes}))


def resident(what):
    """Not getrusage's peak, which a process that was started by a larger one inherits."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))


def wide_model(prepared):
    model = model_for(prepared)
    model.embedding = VisitEmbedding(len(prepared.vocabulary), 256, 5)
    model.lstm = nn.ModuleList(nn.LSTM(size, 512) for size in (256 + 5, 512))
    model.between[0].key = torch.arange(512, dtype=torch.int32)
    model.head[0] = nn.Linear(512, 16)
    return model


def test_the_estimate_is_what_memory_grows_by():
    """Measured: 0.75 to 0.9 of it, for some pages that an earlier step has freed are used again."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert 0.4 < found["grown"] / found["estimated"] < 2


def test_time_is_that_of_the_timed_steps_by_their_share_of_the_visits(monkeypatch):
    """Of 30 batches five are timed, after one that is not; a step takes a second on a clock of the test's own."""
    prepared = prepared_on("visit")
    batches = batches_of(prepared, batch_size=3)
    train_step = train_step_of(model_for(prepared))
    taken = []
    step = train_step.optimizer.step
    monkeypatch.setattr(train_step.optimizer, "step", lambda: (taken.append(1), step())[1])
    monkeypatch.setattr("survlstm.runs.dry_run.time.perf_counter", lambda: float(len(taken)))
    found = estimate_epoch(train_step, batches)
    assert len(taken) == 6
    slots = np.array([batches.collate(chosen).inputs.slots for chosen in batches.in_order()])
    timed = slots[[0, 7, 14, 21, 29]]
    assert found.seconds_per_epoch == pytest.approx(5 * slots.sum() / timed.sum())
    # Steps of unequal length: a plain mean would say 30.
    assert found.seconds_per_epoch != pytest.approx(30, rel=1e-3)


if __name__ == "__main__":
    peak_of_training()
