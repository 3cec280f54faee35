"""Names of the outcome and the data of a run, as every page, table and log line shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from survlstm.config.schema.data import DataConfig
from survlstm.config.schema.outcome import DaysClockConfig
from survlstm.config.schema.run import RunConfig
from survlstm.config.schema.section import SwapPoint
from survlstm.utils.data_location import place_name

# Shown with all results of an outcome that is not read from the records.
BANNER = "SYNTHETIC OUTCOME: drawn from the records by a formula; it says nothing about these patients"
DRAWN = {"SyntheticOutcome": "synthetic (drawn by a formula)", "RandomOutcome": "random (drawn by chance)"}


class RunTask(NamedTuple):
    """Outcome and data of a run.

    Attributes:
        outcome: Name of the outcome.
        data: Name of the data.
        banner: Warning that the outcome is drawn; empty for an outcome of the records.
    """

    outcome: str
    data: str
    banner: str

    @property
    def title(self) -> str:
        """Outcome and data in one phrase."""
        return f"outcome {self.outcome}, {self.data}"


class TimeRules(NamedTuple):
    """Rules of the prediction times of a run on the days clock, as texts of the config.

    Attributes:
        trained: Rules of the prediction times to train on.
        evaluated: Rules of those that are only evaluated.
    """

    trained: tuple[str, ...]
    evaluated: tuple[str, ...]


class RunDescription(NamedTuple):
    """Title, task and configuration of a run, as its page shows them.

    Attributes:
        name: The run, or the evaluation of a run.
        task: Its outcome and data.
        config_yaml: The composed configuration of the command.
        times: Rules of the prediction times; None on the other clocks.
    """

    name: str
    task: RunTask
    config_yaml: str
    times: TimeRules | None = None

    @property
    def title(self) -> str:
        """The headline of the page."""
        return f"{self.name}: {self.task.title}"


def describe_task(config: RunConfig, data: DataConfig | None = None) -> RunTask:
    """Describe the task of a run.

    Args:
        config: Configuration of the run.
        data: Another cohort on which its model is evaluated; None for the data of the run.

    Returns:
        The task.
    """
    return RunTask(outcome_name(config.outcome), _data_name(data or config.data), outcome_banner(config.outcome))


def time_rules(config: RunConfig) -> TimeRules | None:
    """Return the rules of the prediction times of a run.

    Args:
        config: Configuration of the run, with the evaluation settings that apply.

    Returns:
        The rules; None on the other clocks.
    """
    if not isinstance(config.clock, DaysClockConfig):
        return None
    return TimeRules(tuple(config.clock.times), tuple(config.evaluation.times))


def outcome_banner(outcome: SwapPoint) -> str:
    """Return the warning to show with the results of a drawn outcome.

    Args:
        outcome: Config of the outcome.

    Returns:
        ``BANNER``; empty for an outcome of the records.
    """
    settings = outcome.settings()
    return BANNER if is_drawn(str(settings["_target_"])) or settings.get("drawn") is True else ""


def is_drawn(target: str) -> bool:
    """Return whether an outcome class draws its events instead of reading them from the records.

    Args:
        target: Import path of the class, the ``_target_`` of the config.

    Returns:
        True for the classes of ``DRAWN``.
    """
    return _class_of(target) in DRAWN


def outcome_name(outcome: SwapPoint) -> str:
    """Return the name of an outcome.

    Args:
        outcome: Config of the outcome.

    Returns:
        The name, see ``outcome_name_of_class``.
    """
    settings = outcome.settings()
    return outcome_name_of_class(str(settings["_target_"]), settings.get("codes", []))


def outcome_name_of_class(target: str, codes: Sequence[str] = ()) -> str:
    """Return the name of an outcome from its class and codes.

    Args:
        target: Import path of the class.
        codes: Codes of a ``FirstCodeOutcome``.

    Returns:
        The name.
    """
    name = _class_of(target)
    if name == "FirstCodeOutcome" and codes:
        more = len(codes) - 1
        others = f" or {more} other code{'' if more == 1 else 's'}" if more else ""
        return f"first entry of {codes[0]}{others}"
    return DRAWN.get(name, "death" if name == "DeathOutcome" else name)


def _class_of(target: str) -> str:
    return target.rpartition(".")[2]


def _data_name(data: DataConfig) -> str:
    if data.path is not None:
        return f"export {place_name(data.path)}"
    assert data.simulated is not None, "validated: one of path and simulated is set"
    return f"{data.simulated.patients:,} simulated patients"
