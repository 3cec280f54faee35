"""What every logger is told, and in which words: the numbers of an epoch, the config as flat parameters."""

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


@runtime_checkable
class Logger(Protocol):
    """Told of a run by its main process, in this order; a run that was stopped begins once more in its own folder.

    ``name`` is the choice in conf/logger, ``advice`` what to do when it fails, ``patience_seconds`` how long a run
    waits for it. Any method may raise anything: ``survlstm.training.loggers.background`` stands between it and the run.
    """

    name: str
    patience_seconds: float

    @property
    def advice(self) -> str:
        """What to see to, without a full stop."""

    def begin(self, config: dict[str, Any], *, name: str, folder: Path) -> None:
        """The resolved config, plain; ``folder`` is the run's, where a logger keeps what it must find again."""

    def epoch_ended(self, history: History) -> None:
        """After every epoch: all epochs so far, of which an earlier life of the run may have told some."""

    def end(self, metrics: dict[str, float], folder: Path, state: State) -> None:
        """The metrics of the judged model (none where there is none), and the folder with the results."""

    def close(self) -> None:
        """Nothing more comes; also called where a method has failed."""


class NoLogger:
    """Nobody is told anything."""

    name = "none"
    patience_seconds = 0.0
    advice = ""

    def begin(self, config: dict[str, Any], *, name: str, folder: Path) -> None:
        """Nothing."""

    def epoch_ended(self, history: History) -> None:
        """Nothing."""

    def end(self, metrics: dict[str, float], folder: Path, state: State) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def require_package(package: str, *, extra: str) -> None:
    """ConfigError where the package that an extra brings can't be imported."""
    try:
        importlib.import_module(package)
    # An installation that does not fit fails with anything.
    except Exception as error:
        raise ConfigError(
            f"logger={extra} needs the extra {extra}: pip install 'survlstm[{extra}]' "
            f"({first_line(error, with_type=True, at_most=MOST_SHOWN)})"
        ) from error


def epoch_scalars(epoch: Epoch) -> dict[str, float]:
    """The numbers of an epoch under the names of history.json, without those that are not finite."""
    return finite_only({name: value for name, value in dataclasses.asdict(epoch).items() if name != "epoch"})


def finite_only(metrics: dict[str, float]) -> dict[str, float]:
    """Without what is not finite: an undefined c_td is a gap in the curve, where a store would make a number of it."""
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}


def flat_parameters(config: dict[str, Any]) -> dict[str, str]:
    """Return each value of a config by its dotted key, written as in config.yaml; a list is a value."""
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in flatten(config, keep_empty=True).items()
    }
