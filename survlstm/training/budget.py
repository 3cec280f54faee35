"""Time and price → what a run has used, what it will use at most, and whether its budget is spent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class BudgetMeter:
    """Runs from the moment it is made, on top of ``seconds_before``, those of the run's earlier lives."""

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
        """Since the run began, without the time between its lives."""
        return self.seconds_before + self.clock() - self.started

    def cost(self, seconds: float) -> float | None:
        """Dollars; None without a price."""
        return None if self.cost_per_hour is None else seconds / 3600 * self.cost_per_hour

    @property
    def spent(self) -> str | None:
        """Which budget is spent, in words."""
        if self.budget_hours is not None and self.seconds >= self.budget_hours * 3600:
            return f"the budget of {self.budget_hours:g} hours is spent"
        cost = self.cost(self.seconds)
        if self.budget_dollars is not None and cost is not None and cost >= self.budget_dollars:
            return f"the budget of ${self.budget_dollars:g} is spent"
        return None
