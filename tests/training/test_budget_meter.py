"""BudgetMeter: seconds, dollars and spent budgets, measured with a clock set by the test; format_duration."""

import pytest

from survlstm.training.budget import BudgetMeter


class Clock:
    """A clock that shows the time it is set to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_seconds_count_from_the_start_on_top_of_earlier_lives(clock):
    budget = BudgetMeter(clock=clock)
    assert budget.seconds == 0
    clock.now += 90
    assert budget.seconds == 90
    budget.seconds_before = 600.0
    assert budget.seconds == 690


def test_costs(clock):
    assert BudgetMeter(clock=clock).cost(3600.0) is None
    assert BudgetMeter(0.4, clock=clock).cost(900.0) == pytest.approx(0.1)
    assert BudgetMeter(0.0, clock=clock).cost(900.0) == 0.0


def test_without_a_budget_nothing_is_ever_spent(clock):
    budget = BudgetMeter(0.4, clock=clock)
    clock.now += 1e9
    assert budget.spent is None


@pytest.mark.parametrize(
    ("hours", "dollars", "after", "said"),
    [
        (2.0, None, 7199.9, None),
        (2.0, None, 7200.0, "the budget of 2 hours is spent"),
        (0.5, None, 1800.0, "the budget of 0.5 hours is spent"),
        (None, 1.5, 13499.0, None),
        (None, 1.5, 13500.0, "the budget of $1.5 is spent"),
        # Whichever is spent first.
        (2.0, 1.5, 7200.0, "the budget of 2 hours is spent"),
        (4.0, 1.5, 13500.0, "the budget of $1.5 is spent"),
    ],
)
def test_what_is_spent_and_when(clock, hours, dollars, after, said):
    budget = BudgetMeter(0.4, hours, dollars, clock=clock)
    clock.now += after
    assert budget.spent == said


def test_what_earlier_lives_used_is_spent_too(clock):
    budget = BudgetMeter(budget_hours=1.0, clock=clock)
    budget.seconds_before = 3599.0
    assert budget.spent is None
    clock.now += 1
    assert budget.spent == "the budget of 1 hours is spent"
