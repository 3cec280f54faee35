"""``torchrun … -m survlstm train trainer=ddp`` as a person types it: the run that one process makes, in one folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[2]
BARE = ["evaluation.baselines=[]", "evaluation.landmarks.visits=[]", "evaluation.resamples=100"]
# 46 training subjects in batches of 8 and 7, of which each process takes 4 or 3, in parts of 2.
RUN = ["data=tiny", "model.embedding_dim=16", "model.hidden_dim=16", "trainer.batch_size=8", *BARE]
TOGETHER = ["trainer=ddp", "trainer.device=cpu", "trainer.micro_batch_size=2"]
# Measured: 2e-7.
RTOL = 1e-5


@pytest.fixture
def torchrun(survlstm, tmp_path):
    """Starts two processes from the folder of the ``survlstm`` fixture, with its cache."""

    def start(*words):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [*command, "-m", "survlstm", "train", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def read(folder, name):
    return json.loads((folder / name).read_text())


def figures_in(folder):
    return [
        [epoch[name] for name in ("train_loss", "val_loss", "val_c_td", "grad_norm", "lr")]
        for epoch in read(folder, "history.json")["epochs"]
    ]


def numbers_in(value, path=()):
    """Dotted path → every number of a JSON value."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {name: number for key, item in pairs for name, number in numbers_in(item, (*path, key)).items()}
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {path: value} if is_number else {}


def test_two_processes_make_the_run_that_one_makes(survlstm, torchrun, tmp_path):
    assert survlstm("train", *RUN, "trainer.epochs=2", "output_dir=one") == 0
    # Its learning rate is the usual one: that a folder of the user's own is searched must not stand in the way.
    (tmp_path / "own").mkdir()
    both = torchrun(*RUN, *TOGETHER, "trainer.epochs=2", "output_dir=both", "--config-dir", "own")
    shown, _ = both.communicate(timeout=200)
    assert both.returncode == 0, shown
    one, other = tmp_path / "one", tmp_path / "both"
    np.testing.assert_allclose(figures_in(other), figures_in(one), rtol=RTOL)
    verdicts = [numbers_in(read(folder, "metrics.json")["test"]) for folder in (one, other)]
    assert verdicts[0].keys() == verdicts[1].keys()
    assert len(verdicts[0]) > 5
    for path, value in verdicts[0].items():
        assert verdicts[1][path] == pytest.approx(value, rel=RTOL), path

    assert {path.name for path in tmp_path.iterdir()} == {"one", "both", "own"}
    assert {path.name for path in other.iterdir()} == {path.name for path in one.iterdir()}
    lines = [line.split(" INFO ")[-1] for line in (other / "training.log").read_text().splitlines()]
    for once in ("Epoch 2/2", "Training ended: all 2 epochs done", f"Run folder: {other}"):
        assert lines.count(once) == 1
    assert sum("2 processes" in line for line in lines) == 1
    assert sum(line.startswith("Val loss: ") for line in lines) == 2
    # The console shows the same lines, once.
    assert shown.splitlines().count("Epoch 2/2") == 1
    assert "Traceback" not in shown


@pytest.fixture
def stopped(survlstm, torchrun, tmp_path):
    """The folder of a run of two processes that was sent SIGTERM in its third epoch or later, and what it showed."""
    both = torchrun(*RUN, *TOGETHER, "trainer.epochs=2000", "trainer.early_stopping.patience=null", "output_dir=run")
    shown = []
    for line in both.stdout:
        shown.append(line)
        if line.startswith("Epoch 3/"):
            both.send_signal(signal.SIGTERM)
            break
    shown.append(both.communicate(timeout=100)[0])
    assert both.returncode != 0
    return tmp_path / "run", "".join(shown)


@pytest.mark.slow
def test_stopped_by_a_signal_it_goes_on_in_two_processes_or_in_one(survlstm, torchrun, stopped, tmp_path):
    folder, shown = stopped
    assert (folder / "training.log").read_text().count("the state is saved") == 1
    assert "the state is saved" in shown
    done = len(read(folder, "history.json")["epochs"])
    assert 2 <= done < 1000
    more = ["trainer.early_stopping.patience=null", f"trainer.epochs={done + 2}"]
    shutil.copytree(folder, tmp_path / "alone")
    assert survlstm("train", "resume=alone", "trainer.distributed=false", *more) == 0
    both = torchrun("resume=run", *more)
    shown, _ = both.communicate(timeout=200)
    assert both.returncode == 0, shown
    assert survlstm("train", *RUN, *more, "output_dir=undisturbed") == 0
    expected = figures_in(tmp_path / "undisturbed")
    for name in ("run", "alone"):
        np.testing.assert_allclose(figures_in(tmp_path / name), expected, rtol=RTOL)
    assert "processes 2 → 1" in " ".join(read(tmp_path / "alone", "history.json")["events"])
    assert "processes" not in " ".join(read(tmp_path / "run", "history.json")["events"])


def test_torchrun_without_ddp_is_told(survlstm, monkeypatch, tmp_path, capsys):
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert survlstm("train", *RUN, "output_dir=run") == 2
    shown = capsys.readouterr()
    assert "ConfigError: torchrun has started 2 processes, and each would train the whole model; choose" in shown.err
    assert "trainer=ddp" in shown.err
    assert list(tmp_path.iterdir()) == []


def test_ddp_without_torchrun_is_one_process(survlstm, tmp_path):
    assert survlstm("train", *RUN, *TOGETHER, "trainer.epochs=1", "output_dir=run") == 0
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["trainer"]["distributed"] is True
    assert len(read(tmp_path / "run", "history.json")["epochs"]) == 1
    assert (tmp_path / "run" / "report.html").is_file()


def test_ddp_with_half_of_what_torchrun_sets_is_told(survlstm, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert survlstm("train", *RUN, "trainer=ddp", "output_dir=run") == 2
    assert "ConfigError: several processes must be started by torchrun, which sets RANK" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_ddp_is_for_one_run(survlstm, tmp_path, capsys):
    assert survlstm("train", "-m", *RUN, "trainer=ddp", "seed=0,1") == 2
    assert "trainer.distributed are for one run; leave out -m" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
