"""Define the logger protocol, and the values that every logger receives."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from survlstm.training.history import Epoch, History
from survlstm.utils.errors import ConfigError, first_line
from survlstm.utils.nested import flatten

State = Literal["finished", "failed", "stopped"]
# Characters of a package's message: some quote a page in one line.
MOST_SHOWN = 300
# Figures that epoch 0 has, before the first step.
OF_START = ("train_loss", "val_loss", "val_c_td")
# Stands for the last logged epoch where none is logged; below 0, because a model that starts from a fit has an epoch 0.
NOTHING_LOGGED = -1


@runtime_checkable
class Logger(Protocol):
    """A service that shows runs.

    Rank 0 calls the methods in the order in which they stand here. A run that is resumed calls ``begin`` again, with
    the same folder. A method may raise any exception: ``BackgroundLogger`` keeps it from the run.

    Attributes:
        name: The choice in ``conf/logger``.
        patience_seconds: How long a run waits for ``begin`` and for ``end``.
    """

    name: str
    patience_seconds: float

    @property
    def advice(self) -> str:
        """What the user should check when the logger fails, without a full stop."""

    def begin(self, config: dict[str, Any], *, name: str, folder: Path) -> None:
        """Begin logging a run, or continue after a resumption.

        Args:
            config: The resolved config as plain values.
            name: Name of the run.
            folder: Folder of the run, where the logger may store what it needs after a resumption.
        """

    def epoch_ended(self, history: History) -> None:
        """Log the epochs that are not logged yet.

        Args:
            history: All epochs so far. Some may have been logged before the run was resumed.
        """

    def end(self, metrics: dict[str, float], folder: Path, state: State) -> None:
        """Log the end of the run.

        Args:
            metrics: Metrics of the evaluated model; empty where the run has none.
            folder: Folder of the run, which holds its results.
            state: How the run ended.
        """

    def close(self) -> None:
        """Release what is open; called last, also after a method has failed."""


class NoLogger:
    """A logger that does nothing, for ``logger=none``."""

    name = "none"
    patience_seconds = 0.0
    advice = ""

    def begin(self, config: dict[str, Any], *, name: str, folder: Path) -> None:
        """Do nothing."""

    def epoch_ended(self, history: History) -> None:
        """Do nothing."""

    def end(self, metrics: dict[str, float], folder: Path, state: State) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def require_package(package: str, *, extra: str) -> None:
    """Check that an optional package is installed.

    Args:
        package: Name of the module to import.
        extra: The extra of survlstm that installs it.

    Raises:
        ConfigError: The package can't be imported.
    """
    try:
        importlib.import_module(package)
    # An incompatible installation may raise any exception.
    except Exception as error:
        raise ConfigError(
            f"logger={extra} needs the extra {extra}: pip install 'survlstm[{extra}]' "
            f"({first_line(error, with_type=True, at_most=MOST_SHOWN)})"
        ) from error


def epoch_scalars(epoch: Epoch) -> dict[str, float]:
    """Select the finite figures of an epoch; of epoch 0, before the first step, only the losses and the C-index.

    Args:
        epoch: Figures of one epoch.

    Returns:
        The values by the names that ``history.json`` uses, without the number of the epoch.
    """
    figures = dataclasses.asdict(epoch)
    names = OF_START if epoch.epoch == 0 else [name for name in figures if name != "epoch"]
    return finite_only({name: figures[name] for name in names})


def finite_only(metrics: dict[str, float]) -> dict[str, float]:
    """Select the metrics that are finite.

    An undefined C-index then leaves a gap in the curve; some stores would replace NaN by a number.

    Args:
        metrics: Values by name, possibly NaN or infinite.

    Returns:
        The finite values by name, in the same order.
    """
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}


def flat_parameters(config: dict[str, Any]) -> dict[str, str]:
    """Flatten a nested config.

    Args:
        config: Plain values.

    Returns:
        For each dotted key the value as text; lists are not flattened.

    Example:
        >>> flat_parameters({"trainer": {"epochs": 3}})
        {'trainer.epochs': '3'}
    """
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in flatten(config, keep_empty=True).items()
    }
