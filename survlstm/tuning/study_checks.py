"""Check that a study's storage holds only what this search can have written.

A journal or a database may have been written by anybody, or by a search over another space. A trial's values become
overrides and lines of an experiment file, and its metrics choose the winner, so both are checked against the search
space first.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from survlstm.tuning.config import TuneConfig
from survlstm.tuning.space import Choice, Dimension, IntRange
from survlstm.utils.errors import ConfigError

FIGURES = ("val_nll", "val_c_td", "seconds")
COUNTS = ("slot", "retry", "best_epoch", "epochs")
TEXTS = ("token", "failure")


def check_study(trials: Sequence[FrozenTrial], config: TuneConfig, where: str) -> None:
    """Raise ConfigError, naming the trial and its fault, if a trial does not belong to this search.

    Args:
        trials: The trials in the storage.
        config: The search.
        where: The storage's location, for the message.
    """
    distributions = {key: _distribution(dimension) for key, dimension in config.space.items()}
    for trial in trials:
        fault = _fault(trial, len(trials), config, distributions)
        if fault:
            raise ConfigError(
                f"storage must hold the trials of this search; trial {trial.number} in {where} {fault}. Restore the "
                "storage as the search left it, or set another name"
            )


def _fault(trial: FrozenTrial, trials: int, config: TuneConfig, distributions: dict[str, BaseDistribution]) -> str:
    for key, found in trial.distributions.items():
        if distributions.get(key) != found:
            return (
                f"has the parameter {key[:80]}, which is not in the search space"
                if key not in distributions
                else f"has drawn {key} from another range than the search space has"
            )
    drawn = {**_queued(trial), **trial.params}
    for key, value in drawn.items():
        if key not in config.space or not config.space[key].holds(value):
            return f"has a value for {key[:80]} that is not in the search space"
    if trial.state in {TrialState.COMPLETE, TrialState.PRUNED} and trial.params.keys() != config.space.keys():
        missing = sorted(config.space.keys() - trial.params.keys())
        return f"is {trial.state.name.lower()} without a value for {', '.join(missing)}"
    attributes = _attribute_fault(trial.user_attrs, trials)
    return attributes or _figure_fault(trial, config.metric)


def _queued(trial: FrozenTrial) -> dict[str, Any]:
    """Return the values that a waiting trial will use."""
    fixed = trial.system_attrs.get("fixed_params", {})
    return fixed if isinstance(fixed, dict) else {"fixed_params": fixed}


def _attribute_fault(attributes: dict[str, Any], trials: int) -> str:
    """Return which attribute is invalid; ``survlstm.tuning.trial_table`` describes them."""
    checks: dict[str, Callable[[Any], bool]] = {
        **dict.fromkeys(FIGURES, _is_figure),
        **dict.fromkeys(COUNTS, _is_count),
        **dict.fromkeys(TEXTS, lambda value: isinstance(value, str)),
        # Every index was opened by an attempt, so there are no more indices than attempts.
        "slot": lambda value: _is_count(value) and value < trials,
        "seen": _is_time,
    }
    wrong = [name for name, check in checks.items() if name in attributes and not check(attributes[name])]
    if "token" in attributes and "seen" not in attributes:
        wrong.append("seen")
    return f"has a {wrong[0]} that survlstm does not write" if wrong else ""


def _figure_fault(trial: FrozenTrial, metric: str) -> str:
    steps = trial.intermediate_values
    if not all(_is_count(step) and _is_figure(value) for step, value in steps.items()):
        return "has an invalid validation curve"
    if trial.state != TrialState.COMPLETE:
        return ""
    if trial.values is None or len(trial.values) != 1 or not _is_figure(trial.values[0]):
        return f"is complete without a {metric}"
    if trial.values[0] != trial.user_attrs.get(metric):
        return f"has two different values of {metric}"
    return ""


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.options)
    if isinstance(dimension, IntRange):
        return IntDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_time(value: Any) -> bool:
    try:
        return datetime.datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False
