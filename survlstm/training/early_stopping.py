"""Decide from the validation losses which epoch is the best and when to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass
class EarlyStopping:
    """Stop after ``patience`` epochs in a row that improve the loss by no more than ``min_delta``.

    The best epoch is the one with the lowest loss; ``min_delta`` only decides which epochs count as an improvement.

    Attributes:
        patience: Epochs without improvement before training stops; None never stops.
        min_delta: Decrease of the loss, in nats per subject, that an improvement must exceed.
        best_loss: Lowest loss so far.
        best_epoch: The epoch with that loss, counted from 1; 0 before the first one, or for a fitted start.
        reference: Loss of the last epoch that counted as an improvement.
        waited: Epochs since then.
    """

    patience: int | None
    min_delta: float
    best_loss: float = math.inf
    best_epoch: int = 0
    reference: float = math.inf
    waited: int = 0

    def update(self, loss: float, epoch: int) -> bool:
        """Record the validation loss of an epoch.

        Args:
            loss: Validation loss, in nats per subject.
            epoch: Number of the epoch, counted from 1; 0 for a model that starts from a fit, before it is trained.

        Returns:
            Whether this epoch is the best so far.
        """
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
        """Whether patience has run out."""
        return self.patience is not None and self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """Return what was recorded; ``patience`` and ``min_delta`` come from the config and are left out."""
        names = ("best_loss", "best_epoch", "reference", "waited")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned.

        Args:
            state: Values of the attributes by name; the others keep their values.
        """
        for name, value in state.items():
            setattr(self, name, value)
