"""What each epoch gave → history.json, whole after every epoch."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from survlstm.utils.errors import CheckpointError
from survlstm.utils.files import write_json
from survlstm.utils.stored_files import parse_fields, read_json


@dataclass(frozen=True)
class Epoch:
    """One line of the history; losses in nats per subject, seconds of training alone."""

    epoch: int
    train_loss: float
    val_loss: float
    val_c_td: float
    lr: float
    grad_norm: float
    seconds: float
    subjects_per_second: float


@dataclass(frozen=True)
class Usage:
    """What a run has used up to its last save, in all its processes' lives.

    ``seconds`` run from the start of the command, and leave out what a killed process did after its last save.
    ``seconds_at_most`` are those of a run in which all epochs are trained, validation and evaluation left out. Costs
    are dollars, None without a price. ``peak_bytes`` is the most memory of the main process and ``peak_device_bytes``
    the most allocated on its CUDA device, both since the run was last started. ``device_busy`` is the share of the
    training time in which the device was busy, where its driver reports it.
    """

    seconds: float = 0.0
    seconds_at_most: float | None = None
    cost: float | None = None
    cost_at_most: float | None = None
    peak_bytes: int = 0
    peak_device_bytes: int | None = None
    device_busy: float | None = None


@dataclass
class Progress:
    """Where training stands: ``steps`` of ``epoch`` are done, with these sums over their subjects and steps."""

    epoch: int = 1
    steps: int = 0
    loss_sum: float = 0.0
    norm_sum: float = 0.0
    seconds: float = 0.0


@dataclass
class History:
    """The epochs so far, and the facts that stand for the whole run.

    ``events`` says what happened on the way: that it went on after a stop, on another machine, with smaller parts.
    """

    parameters: int
    parameters_per_subject: float
    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    stopped: str = ""
    usage: Usage = field(default_factory=Usage)
    events: list[str] = field(default_factory=list)

    @property
    def best(self) -> Epoch:
        """The epoch whose weights are kept; IndexError before the first one has ended."""
        return self.epochs[self.best_epoch - 1]

    def as_plain(self) -> dict[str, Any]:
        """As a checkpoint and history.json hold it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_plain(cls, plain: Any) -> History:
        """From what ``as_plain`` gave; ValueError where a part is missing, unknown or not of its type."""
        if not (isinstance(plain, dict) and isinstance(plain.get("epochs"), list)):
            raise ValueError("a history must hold a list of epochs")
        epochs = [parse_fields(Epoch, epoch) for epoch in plain["epochs"]]
        return parse_fields(cls, {**plain, "epochs": epochs, "usage": parse_fields(Usage, plain.get("usage"))})

    def write(self, path: Path) -> None:
        """Replace the file as a whole: a reader never sees half a history."""
        write_json(path, self.as_plain())


def read_history(folder: Path) -> History:
    """The history.json of a run; null stands for what is not finite. CheckpointError where it can't be used."""
    try:
        plain = read_json(folder / "history.json")
        for epoch in plain["epochs"]:
            epoch.update({key: math.nan for key, value in epoch.items() if value is None})
        history = History.from_plain(plain)
        if not 0 <= history.best_epoch <= len(history.epochs):
            raise ValueError("its best epoch must be one of its epochs")
        return history
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"a run must leave its history.json; {folder} has none that can be used: {type(error).__name__}: {error}"
        ) from error
