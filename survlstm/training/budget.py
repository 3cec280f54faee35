"""Measure a run's training time and cost, and say when its budget is spent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class BudgetMeter:
    """Measure elapsed time and cost from the moment the meter is created.

    Attributes:
        cost_per_hour: Price of the machine in dollars per hour; None where no price is known.
        budget_hours: Hours that the run may use, earlier processes included; None for no limit.
        budget_dollars: Dollars that the run may use; None for no limit. Needs ``cost_per_hour``.
        seconds_before: Seconds that earlier processes of a resumed run have used.
        clock: Monotonic clock in seconds.
        started: Reading of the clock when the meter was created.
    """

    cost_per_hour: float | None = None
    budget_hours: float | None = None
    budget_dollars: float | None = None
    seconds_before: float = 0.0
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def seconds(self) -> float:
        """Seconds used by the run, without the time between a stop and its resumption."""
        return self.seconds_before + self.clock() - self.started

    def cost(self, seconds: float) -> float | None:
        """Return the cost of a duration.

        Args:
            seconds: The duration in seconds.

        Returns:
            Dollars, or None where no price is known.
        """
        return None if self.cost_per_hour is None else seconds / 3600 * self.cost_per_hour

    @property
    def spent(self) -> str | None:
        """A sentence that names the budget that is spent; None while none is."""
        if self.budget_hours is not None and self.seconds >= self.budget_hours * 3600:
            return f"the budget of {self.budget_hours:g} hours is spent"
        cost = self.cost(self.seconds)
        if self.budget_dollars is not None and cost is not None and cost >= self.budget_dollars:
            return f"the budget of ${self.budget_dollars:g} is spent"
        return None
