"""The wheel, installed elsewhere, trains from an empty folder: conf travels inside the package."""

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def empty(tmp_path):
    """An empty folder to work in."""
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


@pytest.fixture
def run(empty):
    """Run Python in the empty folder; returns what it wrote to stdout."""

    def call(*words, **environment):
        command = [sys.executable, *words]
        done = subprocess.run(
            command, cwd=empty, env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


@pytest.fixture
def elsewhere(tmp_path, run):
    """A folder in which the wheel is installed, without its dependencies."""
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT))
    (wheel,) = tmp_path.glob("survlstm-*.whl")
    folder = tmp_path / "elsewhere"
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder), str(wheel))
    return folder


def test_a_wheel_installed_elsewhere_runs_the_smoke_experiment(empty, elsewhere, run, shared_cache):
    where = run(
        "-c", "import survlstm.config.conf_dir as c; print(c.__file__, c.conf_dir())", PYTHONPATH=str(elsewhere)
    )
    assert where.split() == [
        str(elsewhere / "survlstm" / "config" / "conf_dir.py"),
        str(elsewhere / "survlstm" / "conf"),
    ]
    shown = run(
        "-m",
        "survlstm",
        "train",
        "experiment=smoke",
        "evaluation.baselines=[]",
        PYTHONPATH=str(elsewhere),
        SURVLSTM_CACHE_DIR=str(shared_cache),
    )
    assert "Training complete!" in shown
    assert len(list(empty.glob("outputs/*/*/metrics.json"))) == 1
    assert (elsewhere / "survlstm" / "py.typed").is_file()


@pytest.mark.slow
def test_the_wheel_trains_sweeps_resumes_exports_and_serves_a_model_of_the_users_own(
    empty, elsewhere, run, shared_cache
):
    shutil.copytree(ROOT / "examples" / "own_classes", empty / "configs")
    allow = "allow=[own_gru.OwnGRU]"
    environment = {"PYTHONPATH": str(elsewhere), "SURVLSTM_CACHE_DIR": str(shared_cache)}

    def survlstm(*words):
        return run("-m", "survlstm", *words, "--config-dir", "configs", **environment)

    train = ["data=tiny", "trainer=smoke", "model=own_gru", "evaluation.baselines=[]"]
    assert "Training complete!" in survlstm("train", *train, "output_dir=run")
    assert "2 jobs: 2 finished" in survlstm("train", "-m", *train, "model.hidden_dim=4,8", "output_dir=sweep")
    assert "Resuming in epoch 4" in survlstm("train", "resume=run", "trainer.epochs=4", allow)
    assert "onnxruntime and torch agree" in survlstm("export", "run=run", "output=bundle", "format=onnx", allow)
    with subprocess.Popen(
        [sys.executable, "-m", "survlstm", "serve", "bundle=bundle", "port=8793", "--config-dir", "configs", allow],
        cwd=empty,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
    ) as server:
        try:
            assert b'"status":"ok"' in _answer("http://127.0.0.1:8793/health")
        finally:
            server.terminate()


def _answer(address, *, seconds=60):
    for _ in range(seconds):
        try:
            with urllib.request.urlopen(address, timeout=5) as reply:
                return reply.read()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(1)
    raise AssertionError("the server did not answer")
