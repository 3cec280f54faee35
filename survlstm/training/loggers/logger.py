"""Define the logger protocol, and the values that every logger receives."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from survlstm.training.history import Epoch, History
from survlstm.utils.errors import ConfigError

State = Literal["finished", "failed", "stopped"]


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
            f"({type(error).__name__}: {first_line(error)})"
        ) from error


def epoch_scalars(epoch: Epoch) -> dict[str, float]:
    """Return the finite figures of an epoch, under the names that ``history.json`` uses."""
    return finite_only({name: value for name, value in dataclasses.asdict(epoch).items() if name != "epoch"})


def finite_only(metrics: dict[str, float]) -> dict[str, float]:
    """Return the metrics that are finite.

    An undefined C-index then leaves a gap in the curve; some stores would replace NaN by a number.
    """
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}


def flat_parameters(config: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten a nested config.

    Args:
        config: Plain values.
        prefix: Prepended to every key.

    Returns:
        For each dotted key the value as text; lists are not flattened.

    Example:
        >>> flat_parameters({"trainer": {"epochs": 3}})
        {'trainer.epochs': '3'}
    """
    flat: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, dict) and value:
            flat |= flat_parameters(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return flat


def first_line(error: BaseException) -> str:
    """Return the first line of an error message, without its middle where it is longer than 300 characters."""
    lines = str(error).strip().splitlines()
    line = lines[0] if lines else "no message"
    return line if len(line) <= 300 else f"{line[:140]} … {line[-157:]}"
