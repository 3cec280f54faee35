"""A logger of one's own: the losses of every epoch in a CSV file of the run folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from survlstm.training.history import History
from survlstm.training.loggers.logger import State


@dataclass
class CsvLogger:
    """Writes ``losses.csv``, see ``survlstm.training.loggers.logger.Logger``.

    Attributes:
        patience_seconds: How long a run waits for the logger at its start and at its end.
    """

    patience_seconds: float = 5.0
    name: str = field(default="csv", init=False)
    advice: str = field(default="Check that the run folder can be written", init=False)
    file: Path = field(default=Path("losses.csv"), init=False)

    def begin(self, config: dict[str, Any], *, name: str, folder: Path) -> None:
        self.file = folder / "losses.csv"

    def epoch_ended(self, history: History) -> None:
        rows = [f"{epoch.epoch},{epoch.train_loss},{epoch.val_loss}" for epoch in history.epochs]
        self.file.write_text("\n".join(["epoch,train_loss,val_loss", *rows, ""]), encoding="utf-8")

    def end(self, metrics: dict[str, float], folder: Path, state: State) -> None:
        pass

    def close(self) -> None:
        pass
