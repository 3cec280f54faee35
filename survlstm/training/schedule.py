"""Step any of torch's learning-rate schedulers once an epoch, with the validation loss where it takes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau


@dataclass(frozen=True)
class Schedule:
    """A learning-rate schedule.

    Attributes:
        scheduler: torch's scheduler; None keeps the learning rate constant.
    """

    scheduler: LRScheduler | None

    def step(self, val_loss: float) -> None:
        """Take the step at the end of an epoch; ReduceLROnPlateau uses the validation loss.

        Args:
            val_loss: Validation loss of the epoch, in nats per subject.
        """
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(val_loss)
        elif self.scheduler is not None:
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the scheduler's state; empty without one."""
        return {} if self.scheduler is None else self.scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned.

        Args:
            state: State of a scheduler of the same class; not used without a scheduler.
        """
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state)
