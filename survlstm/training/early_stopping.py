"""Validation losses, one an epoch → is this the best, and is it time to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass
class EarlyStopping:
    """Stops after ``patience`` epochs in a row without an improvement of more than ``min_delta``; None never stops.

    The best epoch is the one with the lowest loss at all; ``min_delta`` only decides what counts as progress.
    """

    patience: int | None
    min_delta: float
    best_loss: float = math.inf
    best_epoch: int = 0
    reference: float = math.inf
    waited: int = 0

    def update(self, loss: float, epoch: int) -> bool:
        """True where this epoch is the best so far."""
        if loss < self.reference - self.min_delta:
            self.reference, self.waited = loss, 0
        else:
            self.waited += 1
        is_best = loss < self.best_loss
        if is_best:
            self.best_loss, self.best_epoch = loss, epoch
        return is_best

    @property
    def should_stop(self) -> bool:
        """True once patience has run out."""
        return self.patience is not None and self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """What it has seen; its settings are not part of it."""
        names = ("best_loss", "best_epoch", "reference", "waited")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        for name, value in state.items():
            setattr(self, name, value)
