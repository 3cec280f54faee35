"""Report the start and the end of a run to its logger (TensorBoard, MLflow)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from survlstm.config.schema.run import RunConfig
from survlstm.training.loggers.logger import Logger, State
from survlstm.utils.errors import Interrupted


@contextmanager
def logged(logger: Logger, config: RunConfig, folder: Path) -> Iterator[None]:
    """Report the start before the block and the end after it; the trainer reports the epochs.

    Args:
        logger: The logger; it is closed when the block ends, however it ends.
        config: The config of the run, which the logger receives.
        folder: The run folder. Its name, with that of the folder above, names the run; after a finished run its metrics
            are reported too.
    """
    logger.begin(config.model_dump(by_alias=True), name=f"{folder.parent.name}/{folder.name}", folder=folder)
    state: State = "failed"
    try:
        yield
        state = "finished"
    except (Interrupted, KeyboardInterrupt):
        state = "stopped"
        raise
    finally:
        logger.end(_final(folder) if state == "finished" else {}, folder, state)
        logger.close()


def _final(folder: Path) -> dict[str, float]:
    """Return the final metrics from metrics.json; empty if the run was not evaluated."""
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    (model,) = [row for row in metrics["test"]["rows"] if row["role"] == "model"]
    found = {f"test.{name}": model[name]["value"] for name in ("c_td", "nll")}
    found |= {f"val.{name}": metrics["validation"][name]["value"] for name in ("c_td", "nll")}
    return {name: value for name, value in found.items() if value is not None}
