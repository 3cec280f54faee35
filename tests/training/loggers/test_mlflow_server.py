"""MLflowLogger with a real server, a killed one, one that never answers and one that does not exist."""

import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training.loggers.histories import CONFIG, history, results, warnings_in
from tests.training.loggers.mlflow_life import Kept, Server, guarded_run, life, needs_mlflow, tracker_of

needs_mlflow()

PATIENCE = 2.0
ONE_RUN = """
import pathlib, random, sys, time
from survlstm.training.loggers.background import BackgroundLogger
from survlstm.training.loggers.mlflow_logger import MLflowLogger
from tests.training.loggers.histories import CONFIG, METRICS, history

logger = MLflowLogger(store=sys.argv[1], folder="", experiment="survlstm", log_checkpoint=False, patience_seconds=1.0)
before, started, folder = random.getstate(), time.monotonic(), pathlib.Path()
guarded = BackgroundLogger(logger)
guarded.begin(CONFIG, name="a run", folder=folder)
guarded.epoch_ended(history(1))
guarded.end(METRICS, folder, "finished")
guarded.close()
assert time.monotonic() - started < 8
assert random.getstate() == before
assert not list(folder.iterdir())
sys.stderr.write(f"left at {time.time()}")
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """One server for the module; it is started again if a test has killed it."""
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture
def server(started):
    started.start()
    return started


@pytest.fixture
def deaf():
    """The address of a server that accepts every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def impatient(monkeypatch):
    """Settings in the environment that make MLflow wait for one second and try once."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def test_a_server_has_all_of_a_run_that_went_on(server, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    results(run)
    logger = tracker_of(store=server.url, experiment="whole", log_checkpoint=True)
    life(logger, run, [history(1), history(2, val_c_td=float("nan"))], state="stopped")
    assert Kept(server.url, "whole").run.info.status == "KILLED"
    life(tracker_of(store=server.url, experiment="whole"), run, [history(2), history(4)])
    found = Kept(server.url, "whole")
    assert found.run.info.run_name == "run"
    assert found.run.info.status == "FINISHED"
    assert found.run.data.params["model.dropout"] == "0.3"
    assert found.points("train_loss") == [(1, 2.9), (2, 2.8), (3, 2.7), (4, 2.6)]
    assert [step for step, _ in found.points("val_c_td")] == [1, 3, 4]
    assert found.points("test.c_td") == [(2, 0.75), (4, 0.75)]
    assert sorted(found.files()) == [
        "checkpoints/best.pt",
        *("config.yaml", "figures/loss.png", "history.json", "metrics.json", "report.html"),
    ]
    fetched = found.client.download_artifacts(found.run.info.run_id, "figures/loss.png", str(tmp_path))
    assert Path(fetched).read_text() == "a figure"


def test_a_server_killed_in_a_run_is_one_warning_and_gets_all_when_the_run_goes_on(server, tmp_path, caplog, impatient):
    def logger():
        return tracker_of(store=server.url, experiment="killed")

    run = tmp_path / "run"
    held = guarded_run(logger(), run, [history(1), history(2)], between=lambda guarded: server.kill())
    assert held < 10
    (said,) = warnings_in(caplog)
    assert said.startswith("logger=mlflow is switched off, and the run continues without it: MlflowException: ")
    assert f"Check that {server.url} is an MLflow store that can be reached, or set logger.store; history.json" in said
    server.start()
    caplog.clear()
    guarded_run(logger(), run, [history(3)])
    assert not warnings_in(caplog)
    assert Kept(server.url, "killed").points("epoch") == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_a_server_that_stands_still_in_a_run_holds_it_up_no_longer_than_its_patience(server, tmp_path, caplog):
    def stand_still(guarded):
        server.signal(signal.SIGSTOP)
        guarded.patience_seconds = PATIENCE

    logger = tracker_of(store=server.url, experiment="still")
    started = time.monotonic()
    try:
        guarded_run(logger, tmp_path / "run", [history(1)], between=stand_still)
    finally:
        server.signal(signal.SIGCONT)
    assert PATIENCE <= time.monotonic() - started < PATIENCE + 8
    (said,) = warnings_in(caplog)
    assert "it has not answered for 2 s" in said


def nowhere():
    """The address of a port on which no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_server_that_is_not_there_is_one_warning_at_the_beginning(tmp_path, caplog):
    address = nowhere()
    assert guarded_run(tracker_of(store=address), tmp_path / "run", [history(1), history(2)]) < 10
    (said,) = warnings_in(caplog)
    assert address in said
    assert "Connection refused" in said
    assert len(said) < 600
    assert not (tmp_path / "run" / "mlflow.json").exists()


def test_a_server_that_never_answers_holds_a_run_up_no_longer_than_its_patience(deaf, tmp_path, caplog):
    held = guarded_run(tracker_of(store=deaf, patience_seconds=PATIENCE), tmp_path / "run", [history(1), history(2)])
    assert PATIENCE <= held < PATIENCE + 8
    (said,) = warnings_in(caplog)
    assert f"it has not answered for 2 s. Check that {deaf} is an MLflow store that can be reached" in said


def test_mlflow_itself_gives_up_on_a_server_that_never_answers(deaf, tmp_path, caplog, impatient):
    assert guarded_run(tracker_of(store=deaf, patience_seconds=30.0), tmp_path / "run", [history(1)]) < 10
    (said,) = warnings_in(caplog)
    assert "Read timed out" in said


def test_trying_again_draws_none_of_the_random_numbers_that_a_run_repeats(tmp_path, monkeypatch):
    from mlflow import MlflowException

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    logger = tracker_of(store=nowhere())
    before = random.getstate()
    with pytest.raises(MlflowException, match="Connection refused"):
        logger.begin(CONFIG, name="a run", folder=tmp_path)
    assert random.getstate() == before


def test_a_server_that_never_answers_keeps_no_process_and_draws_no_random_number(deaf, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", ONE_RUN, deaf], cwd=tmp_path, timeout=120, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    said, left = ended.stderr.split("left at ")
    assert said.startswith("logger=mlflow is switched off"), said
    assert said.count("\n") == 1, said
    assert ended.stdout == ""
    assert time.time() - float(left) < 5
