"""torch's schedulers behind one call: told the validation loss, whether they care or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau


@dataclass(frozen=True)
class Schedule:
    """Steps the scheduler once an epoch; without one the learning rate stays."""

    scheduler: LRScheduler | None

    def step(self, val_loss: float) -> None:
        """One epoch has passed with this validation loss."""
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(val_loss)
        elif self.scheduler is not None:
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """The scheduler's own state."""
        return {} if self.scheduler is None else self.scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state)
