"""What each epoch gave → history.json, whole after every epoch."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


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


@dataclass
class History:
    """The epochs so far, and the facts that stand for the whole run."""

    parameters: int
    parameters_per_subject: float
    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    stopped: str = ""

    @property
    def best(self) -> Epoch:
        """The epoch whose weights are kept; IndexError before the first one has ended."""
        return self.epochs[self.best_epoch - 1]

    def write(self, path: Path) -> None:
        """Replace the file as a whole: a reader never sees half a history."""
        write_json(path, dataclasses.asdict(self))


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write strict JSON (a number that is not finite becomes null) and rename it into place."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(json.dumps(_finite(value), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
