"""Log a run to MLflow, in a SQLite file or on a server."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from survlstm.training.history import Epoch, History
from survlstm.training.loggers.logger import (
    NOTHING_LOGGED,
    State,
    epoch_scalars,
    finite_only,
    flat_parameters,
    require_package,
)
from survlstm.utils.errors import ConfigError
from survlstm.utils.files import write_json
from survlstm.utils.version import __version__

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

log = logging.getLogger(__name__)

# MLflow reads these from the environment only; values that the user has set are kept. MLflow's own defaults retry an
# unreachable server for minutes, draw the pauses between retries from the random generator whose numbers a run must
# repeat, send usage statistics, and print over the progress bar.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# Longest parameter that servers before MLflow 2.10 accept; the artifact config.yaml holds the whole values.
LONGEST_VALUE = 500
PARAMS_AT_ONCE = 100
EPOCHS_AT_ONCE = 100
# Artifacts of a run. predictions.parquet is left out: it has a row for each subject.
FILES = ("config.yaml", "history.json", "metrics.json", "report.html")
STATUS: dict[State, str] = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
# File in the run's folder that names the MLflow run and its store.
LINK = "mlflow.json"


# MLflow sends these to every server that it connects to.
CREDENTIALS = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_AWS_SIGV4",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
)


def refuse_unnamed_server(store: str | None, *, file: str, advice: str) -> None:
    """Check that no file of unknown origin sends the user's MLflow credentials to a server of its choice.

    Args:
        store: ``logger.store`` as ``file`` has it.
        file: Name of the file, for the message.
        advice: What the user should do, for the message.

    Raises:
        ConfigError: The store is a server that only ``file`` names, and this user has credentials.
    """
    if store is None or store.startswith("sqlite:") or store == os.environ.get("MLFLOW_TRACKING_URI"):
        return
    held = [name for name in CREDENTIALS if name in os.environ]
    if (Path.home() / ".mlflow" / "credentials").is_file():
        held.append("~/.mlflow/credentials")
    if held:
        raise ConfigError(
            f"logger.store must be named by the command or by MLFLOW_TRACKING_URI where there are credentials "
            f"({', '.join(held)}); found it only in {file}, and that server would receive them. {advice}"
        )


class MLflowLogger:
    """Log parameters, the figures of every epoch, the final metrics and the results as artifacts.

    The epoch is MLflow's step. The artifacts of a SQLite store are written to the folder ``mlflow-artifacts`` beside
    it; a server decides itself where they go. A resumed run continues its MLflow run, which ``mlflow.json`` in its
    folder names; MLflow can't change parameters, so changed ones are logged as tags ``resumed.KEY``.

    Args:
        store: Address of a server or of a SQLite file; None takes ``folder/mlflow.db``.
        folder: Folder of the default store.
        experiment: Name of the MLflow experiment; it is created if it does not exist.
        log_checkpoint: Whether the weights of the best epoch are logged too.
        patience_seconds: How long the run waits for the store when it begins and when it ends.

    Raises:
        ConfigError: mlflow is not installed.
    """

    name = "mlflow"

    def __init__(
        self, *, store: str | None, folder: str, experiment: str, log_checkpoint: bool, patience_seconds: float
    ) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        require_package("mlflow", extra="mlflow")
        # It warns about a failed first try even if the retry succeeds.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        self.store = store or f"sqlite:///{Path(folder).expanduser().absolute() / 'mlflow.db'}"
        self.experiment = experiment
        self.log_checkpoint = log_checkpoint
        self.patience_seconds = patience_seconds
        self.advice = f"Check that {self.store} is an MLflow store that can be reached, or set logger.store"
        self._client: MlflowClient
        self._run_id = ""
        self._done = NOTHING_LOGGED

    def begin(self, config: dict[str, Any], *, name: str, folder: Path) -> None:
        """Create the MLflow run, or find the one of an earlier process and read its last epoch."""
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=self.store)
        run = self._existing_run(folder / LINK)
        if run is None:
            run = self._client.create_run(
                self._experiment_id(),
                run_name=name,
                tags={"survlstm.folder": str(folder), "survlstm.version": __version__},
            )
            write_json(folder / LINK, {"store": self.store, "run_id": run.info.run_id})
        else:
            self._client.update_run(run.info.run_id, status="RUNNING")
        self._run_id, self._done = run.info.run_id, int(run.data.metrics.get("epoch", NOTHING_LOGGED))
        self._log_params(config, run.data.params)
        log.info("Logging to MLflow: run %s of experiment %s in %s", self._run_id, self.experiment, self.store)

    def epoch_ended(self, history: History) -> None:
        """Log the epochs that the MLflow run does not hold yet; MLflow can't replace logged values."""
        new = [epoch for epoch in history.candidates if epoch.epoch > self._done]
        for start in range(0, len(new), EPOCHS_AT_ONCE):
            epochs = new[start : start + EPOCHS_AT_ONCE]
            # One request stores all of its metrics or none, so a stored epoch implies that all before it are stored.
            self._log_metrics(
                [metric for epoch in epochs for metric in _metrics(_epoch_values(epoch), step=epoch.epoch)]
            )
            self._done = epochs[-1].epoch

    def end(self, metrics: dict[str, float], folder: Path, state: State) -> None:
        """Log the final metrics at the last epoch, the status, and those result files that exist."""
        self._log_metrics(_metrics(finite_only(metrics), step=max(self._done, 0)))
        # Before the artifacts: if their store can't be reached, the run must not keep the status RUNNING.
        self._client.set_terminated(self._run_id, STATUS[state])
        for path in (folder / file for file in FILES):
            if path.is_file():
                self._client.log_artifact(self._run_id, str(path))
        if (folder / "figures").is_dir():
            self._client.log_artifacts(self._run_id, str(folder / "figures"), "figures")
        best = folder / "checkpoints" / "best.pt"
        if self.log_checkpoint and best.is_file():
            self._client.log_artifact(self._run_id, str(best), "checkpoints")

    def close(self) -> None:
        """Do nothing; the client holds no open connection."""

    def _existing_run(self, link: Path) -> Run | None:
        """Return the MLflow run that an earlier process created in this store, or None where it was deleted."""
        from mlflow import MlflowException

        try:
            linked = json.loads(link.read_text(encoding="utf-8"))
            store, run_id = linked["store"], linked["run_id"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if store != self.store:
            return None
        try:
            run = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return run if run.info.lifecycle_stage == "active" else None

    def _experiment_id(self) -> str:
        from mlflow import MlflowException

        experiment = self._client.get_experiment_by_name(self.experiment)
        if experiment is None:
            try:
                return self._client.create_experiment(self.experiment, artifact_location=_artifact_location(self.store))
            except MlflowException as error:
                # Another run of the same sweep has created it in the meantime.
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            experiment = self._client.get_experiment_by_name(self.experiment)
            assert experiment is not None, "it exists already"
        if experiment.lifecycle_stage != "active":
            restore = f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
            self.advice = (
                f"Restore it with MLFLOW_TRACKING_URI={shlex.quote(self.store)} {restore}, or set logger.experiment "
                "to another name"
            )
            raise ConfigError(f"logger.experiment must not name a deleted experiment; {self.experiment} was deleted")
        return experiment.experiment_id

    def _log_params(self, config: dict[str, Any], logged: dict[str, str]) -> None:
        from mlflow.entities import Param, RunTag

        values = flat_parameters(config)
        long = [key for key, value in values.items() if len(value) > LONGEST_VALUE]
        values |= {key: _cut(values[key]) for key in long}
        if long:
            log.info(
                "Cut to %d characters for MLflow: %s; the artifact config.yaml holds the whole values",
                LONGEST_VALUE,
                ", ".join(long),
            )
        new = [Param(key, value) for key, value in values.items() if key not in logged]
        changed = [
            RunTag(f"resumed.{key}", values[key]) for key in logged if values.get(key, logged[key]) != logged[key]
        ]
        for start in range(0, len(new), PARAMS_AT_ONCE):
            self._client.log_batch(self._run_id, params=new[start : start + PARAMS_AT_ONCE], synchronous=True)
        if changed:
            self._client.log_batch(self._run_id, tags=changed[:PARAMS_AT_ONCE], synchronous=True)

    def _log_metrics(self, metrics: list[Metric]) -> None:
        if metrics:
            self._client.log_batch(self._run_id, metrics=metrics, synchronous=True)


def _epoch_values(epoch: Epoch) -> dict[str, float]:
    return {"epoch": float(epoch.epoch)} | epoch_scalars(epoch)


def _metrics(values: dict[str, float], *, step: int) -> list[Metric]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    # MLflow refuses other characters in the name of a metric.
    return [Metric(re.sub(r"[^\w./ :-]", "_", name), value, now, step) for name, value in values.items()]


def _cut(value: str) -> str:
    mark = f" … (cut from {len(value)} characters)"
    return value[: LONGEST_VALUE - len(mark)] + mark


def _artifact_location(store: str) -> str | None:
    """Return where the artifacts of a SQLite store go; None for a server, which decides that itself."""
    if not store.startswith("sqlite:///"):
        return None
    return (Path(store.removeprefix("sqlite:///")).absolute().parent / "mlflow-artifacts").as_uri()
