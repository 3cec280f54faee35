"""Helpers of the MLflow tests: log a run, read what MLflow stored, and start a real server."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import PackageNotFoundError, version

import pytest

from survlstm.training.loggers.background import BackgroundLogger
from survlstm.training.loggers.mlflow_logger import MLflowLogger
from tests.training.loggers.histories import CONFIG, METRICS


def needs_mlflow():
    """Skip a module where mlflow is not installed."""
    try:
        found = version("mlflow")
    except PackageNotFoundError:
        found = "0"
    if int(found.split(".")[0]) < 3:
        pytest.skip(f"needs the extra mlflow; found mlflow {found}", allow_module_level=True)


def tracker_of(*, store=None, folder="", experiment="survlstm", log_checkpoint=False, patience_seconds=60.0):
    return MLflowLogger(
        store=store,
        folder=str(folder),
        experiment=experiment,
        log_checkpoint=log_checkpoint,
        patience_seconds=patience_seconds,
    )


def life(logger, folder, histories, *, config=CONFIG, metrics=METRICS, state="finished", killed=False):
    """Log a run without BackgroundLogger, so that errors are raised; ``killed`` leaves out the end of the run."""
    folder.mkdir(exist_ok=True)
    logger.begin(config, name=folder.name, folder=folder)
    for each in histories:
        logger.epoch_ended(each)
    if not killed:
        logger.end(metrics, folder, state)
    logger.close()


def guarded_run(logger, folder, histories, *, between=lambda guarded: None):
    """Log a run through BackgroundLogger; call ``between`` before the epochs and return the seconds of waiting."""
    folder.mkdir(exist_ok=True)
    guarded = BackgroundLogger(logger)
    started = time.monotonic()
    guarded.begin(CONFIG, name=folder.name, folder=folder)
    held = time.monotonic() - started
    between(guarded)
    started = time.monotonic()
    for each in histories:
        guarded.epoch_ended(each)
    guarded.end(METRICS, folder, "finished")
    guarded.close()
    return held + time.monotonic() - started


class Kept:
    """What a store holds of an experiment, read with a separate client."""

    def __init__(self, store, experiment="survlstm"):
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri=store)
        found = self.client.get_experiment_by_name(experiment)
        self.runs = [] if found is None else self.client.search_runs([found.experiment_id])

    @property
    def run(self):
        """Return the only run of the experiment."""
        (run,) = self.runs
        return run

    def points(self, metric):
        """Return step and value of every logged value, in the order of the steps."""
        history = self.client.get_metric_history(self.run.info.run_id, metric)
        return sorted((point.step, point.value) for point in history)

    def files(self, path=None):
        """Return the paths of the artifacts, with the contents of folders."""
        found = self.client.list_artifacts(self.run.info.run_id, path)
        return [name for each in found for name in (self.files(each.path) if each.is_dir else [each.path])]


class Server:
    """``mlflow server`` on a SQLite file, in a process group of its own."""

    def __init__(self, folder):
        self.folder, self.process = folder, None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self):
        """Start the server if it is not running, and wait until it answers."""
        if self.process is not None:
            return
        words = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        places = [
            *("--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}"),
            *("--artifacts-destination", str(self.folder / "artifacts")),
        ]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", *words, *places],
                cwd=self.folder,
                env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + 120
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < until, (self.folder / "server.log").read_text()
            time.sleep(0.2)

    def signal(self, number):
        """Send a signal to all processes of the server."""
        os.killpg(self.process.pid, number)

    def kill(self):
        """Kill the server at once; it can be started again."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _answers(self):
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False
