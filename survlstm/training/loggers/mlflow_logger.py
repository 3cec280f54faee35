"""A run → a run of an MLflow experiment, in a SQLite file of one's own or on a server."""

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
from survlstm.training.loggers.logger import State, epoch_scalars, finite_only, flat_parameters, require_package
from survlstm.utils.errors import ConfigError
from survlstm.utils.files import write_json
from survlstm.utils.version import __version__

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

log = logging.getLogger(__name__)

# MLflow takes these from the environment only; what the user has set stands. Its own defaults try a dead server for
# minutes, draw the pauses between tries from the random numbers that a run repeats, report its use to its makers, and
# print through the progress bar.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# What servers before MLflow 2.10 take; config.yaml, an artifact, holds the whole.
LONGEST_VALUE = 500
PARAMS_AT_ONCE = 100
EPOCHS_AT_ONCE = 100
# Not predictions.parquet, which has a line for each subject.
FILES = ("config.yaml", "history.json", "metrics.json", "report.html")
STATUS: dict[State, str] = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
# In the run's folder: which run of which store it is.
LINK = "mlflow.json"


# MLflow sends these to whichever server it talks to.
CREDENTIALS = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_AWS_SIGV4",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
)


def refuse_unnamed_server(store: str | None, *, file: str, advice: str) -> None:
    """ConfigError where a server that only ``file`` names would get the credentials of this user."""
    if store is None or store.startswith("sqlite:") or store == os.environ.get("MLFLOW_TRACKING_URI"):
        return
    held = [name for name in CREDENTIALS if name in os.environ]
    if (Path.home() / ".mlflow" / "credentials").is_file():
        held.append("~/.mlflow/credentials")
    if held:
        raise ConfigError(
            f"logger.store must be named by the command or by MLFLOW_TRACKING_URI where there are credentials "
            f"({', '.join(held)}); found it only in {file}, and that server would get them. {advice}"
        )


class MLflowLogger:
    """Params, the metrics of every epoch with the epoch as step, final metrics, and the results as artifacts.

    ``store`` is the address of a server or of a SQLite file; None is ``folder``/mlflow.db. The artifacts of a SQLite
    store stand beside it in mlflow-artifacts; a server says itself where its own go. ``log_checkpoint`` sends the best
    weights too. A run that goes on does so in its MLflow run, which mlflow.json in its folder names; there params stay
    as they were, and what has changed becomes a tag. ConfigError where the package is missing.
    """

    name = "mlflow"

    def __init__(
        self, *, store: str | None, folder: str, experiment: str, log_checkpoint: bool, patience_seconds: float
    ) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        require_package("mlflow", extra="mlflow")
        # It would tell of the first try, which the second may mend.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        self.store = store or f"sqlite:///{Path(folder).expanduser().absolute() / 'mlflow.db'}"
        self.experiment = experiment
        self.log_checkpoint = log_checkpoint
        self.patience_seconds = patience_seconds
        self.advice = f"See that {self.store} is an MLflow store that answers, or set logger.store"
        self._client: MlflowClient
        self._run_id = ""
        self._done = 0

    def begin(self, config: dict[str, Any], *, name: str, folder: Path) -> None:
        """Make the MLflow run, or find it and see which epochs stand there."""
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=self.store)
        run = self._linked(folder / LINK)
        if run is None:
            run = self._client.create_run(
                self._experiment_id(),
                run_name=name,
                tags={"survlstm.folder": str(folder), "survlstm.version": __version__},
            )
            write_json(folder / LINK, {"store": self.store, "run_id": run.info.run_id})
        else:
            self._client.update_run(run.info.run_id, status="RUNNING")
        self._run_id, self._done = run.info.run_id, int(run.data.metrics.get("epoch", 0))
        self._log_params(config, run.data.params)
        log.info("Tracked by MLflow: run %s of experiment %s in %s", self._run_id, self.experiment, self.store)

    def epoch_ended(self, history: History) -> None:
        """The metrics of the epochs that do not stand there yet; MLflow can't replace one."""
        new = [epoch for epoch in history.epochs if epoch.epoch > self._done]
        for start in range(0, len(new), EPOCHS_AT_ONCE):
            epochs = new[start : start + EPOCHS_AT_ONCE]
            # All or nothing, so that a last epoch that stands there stands there with all before it.
            self._log_metrics([metric for epoch in epochs for metric in _metrics(_of_epoch(epoch), step=epoch.epoch)])
            self._done = epochs[-1].epoch

    def end(self, metrics: dict[str, float], folder: Path, state: State) -> None:
        """The final metrics at the last epoch, how the run ended, and of its results what is there."""
        self._log_metrics(_metrics(finite_only(metrics), step=self._done))
        # First: a store of artifacts that can't be reached must not leave the run running for ever.
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
        """Nothing is left open."""

    def _linked(self, link: Path) -> Run | None:
        """The run that an earlier life made in this store, unless somebody has deleted it."""
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

        found = self._client.get_experiment_by_name(self.experiment)
        if found is None:
            try:
                return self._client.create_experiment(self.experiment, artifact_location=_beside(self.store))
            except MlflowException as error:
                # Another run of a sweep was faster.
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            found = self._client.get_experiment_by_name(self.experiment)
            assert found is not None, "it exists already"
        if found.lifecycle_stage != "active":
            restore = f"mlflow experiments restore --experiment-id {found.experiment_id}"
            self.advice = (
                f"Restore it with MLFLOW_TRACKING_URI={shlex.quote(self.store)} {restore}, or set logger.experiment "
                "to another name"
            )
            raise ConfigError(f"logger.experiment must not name a deleted experiment; {self.experiment} was deleted")
        return found.experiment_id

    def _log_params(self, config: dict[str, Any], there: dict[str, str]) -> None:
        from mlflow.entities import Param, RunTag

        values = flat_parameters(config)
        long = [key for key, value in values.items() if len(value) > LONGEST_VALUE]
        values |= {key: _cut(values[key]) for key in long}
        if long:
            log.info("Cut for MLflow to %d characters: %s; config.yaml is whole", LONGEST_VALUE, ", ".join(long))
        new = [Param(key, value) for key, value in values.items() if key not in there]
        changed = [RunTag(f"resumed.{key}", values[key]) for key in there if values.get(key, there[key]) != there[key]]
        for start in range(0, len(new), PARAMS_AT_ONCE):
            self._client.log_batch(self._run_id, params=new[start : start + PARAMS_AT_ONCE], synchronous=True)
        if changed:
            self._client.log_batch(self._run_id, tags=changed[:PARAMS_AT_ONCE], synchronous=True)

    def _log_metrics(self, metrics: list[Metric]) -> None:
        if metrics:
            self._client.log_batch(self._run_id, metrics=metrics, synchronous=True)


def _of_epoch(epoch: Epoch) -> dict[str, float]:
    return {"epoch": float(epoch.epoch)} | epoch_scalars(epoch)


def _metrics(values: dict[str, float], *, step: int) -> list[Metric]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    # What a name must not hold there becomes _.
    return [Metric(re.sub(r"[^\w./ :-]", "_", name), value, now, step) for name, value in values.items()]


def _cut(value: str) -> str:
    mark = f" … (cut from {len(value)} characters)"
    return value[: LONGEST_VALUE - len(mark)] + mark


def _beside(store: str) -> str | None:
    """Where the artifacts of a SQLite file go; a server knows that itself."""
    if not store.startswith("sqlite:///"):
        return None
    return (Path(store.removeprefix("sqlite:///")).absolute().parent / "mlflow-artifacts").as_uri()
