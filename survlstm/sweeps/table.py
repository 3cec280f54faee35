"""Group the runs of a sweep into repeats, choose the winner on validation, and compute main effects.

This module alone decides which runs are repeats of each other and what chooses the winner.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from survlstm.config.validation import nearest_key
from survlstm.evaluation.results import Estimate
from survlstm.report.task import BANNER
from survlstm.sweeps.load_runs import RunRow, SplitMetrics, Value
from survlstm.sweeps.repeats import RepeatSpread, spread_over_repeats
from survlstm.sweeps.ties import Tie, tie_of
from survlstm.utils.errors import ConfigError
from survlstm.utils.formatting import MISSING

# Runs that differ in these keys only are repeats of each other.
REPEAT_KEYS = ("seed", "split.seed", "split.fold")
# Keys that change no metric.
IDLE_KEYS = {"output_dir", "cache_dir", "resume", "verbose"}

CONVENTIONS = {
    "validation": "the subjects that choose the winner; they also chose each run's best epoch. The best of many values "
    "is somewhat optimistic, the more so the more jobs there are",
    "test": "shown for information; it chooses nothing on this page",
    "interval of a run": "in the tables of jobs: percentile bootstrap over subjects; missing if there are too few "
    "events, or if only the metrics of the epochs are known",
    "interval over repeats": "in the tables of groups: the 95% t-interval of the mean over three or more finished "
    "repeats, computed on the logit of c_td and the logarithm of nll (delta method), so that it stays within the range "
    "of the metric. It shows how much seeds or folds matter, not how much another sample of subjects would; folds "
    "share most of their training subjects, so it is rather too narrow",
    "tied": "the best two are tied if the lead of the first is smaller than its paired uncertainty: the 95% t-interval "
    "of the differences between repeats of the same seed and fold, or, of single runs, the bootstrap over the "
    "validation subjects that both share. It does not say that other seeds would give the same order",
    "repeats": f"runs whose overrides differ in {', '.join(REPEAT_KEYS)} only; their mean is compared",
    "so far": "a run that is not finished shows its best epoch so far and takes no part in any comparison",
    "main effect": "the mean over the finished runs with one value of one key, over all values of the other keys; if "
    "jobs failed, these are no longer the same for each value",
    "nll": "negative log-likelihood in nats per subject; lower is better",
    "c_td": "C-index, Antolini's time-dependent concordance; 0.5 = random, 1 = perfect ranking",
}


class Metric(NamedTuple):
    """A validation metric that may choose the winner.

    Attributes:
        name: ``val_nll`` or ``val_c_td``.
        figure: ``nll`` or ``c_td``.
        higher: Whether higher is better.
        words: The metric in a sentence.
        axis: The metric as an axis label, with its direction.
    """

    name: str
    figure: str
    higher: bool
    words: str
    axis: str

    def of(self, row: RunRow) -> float | None:
        """Return the value of the metric on a run's validation subjects.

        Args:
            row: The run.

        Returns:
            The value, nll in nats per subject; None if the run has none.
        """
        estimate: Estimate | None = getattr(row.val, self.figure)
        return estimate.value if estimate else None

    def order(self, value: float) -> float:
        """Return a sort key for a value of the metric; smaller is better."""
        return -value if self.higher else value


METRICS = {
    metric.name: metric
    for metric in (
        Metric("val_nll", "nll", False, "validation nll", "validation nll (lower is better)"),
        Metric("val_c_td", "c_td", True, "validation c_td", "validation c_td (higher is better)"),
    )
}


def metric_named(name: str) -> Metric:
    """Return the metric with a name.

    Args:
        name: ``val_nll`` or ``val_c_td``.

    Returns:
        The metric.

    Raises:
        ConfigError: If there is no such metric; test metrics are refused.
    """
    if name not in METRICS:
        nearest = nearest_key(name, list(METRICS))
        hint = f"; the nearest is {nearest}" if nearest else ""
        raise ConfigError(
            f"metric must be one of {', '.join(METRICS)}; the test split chooses nothing. Found {name!r}{hint}"
        )
    return METRICS[name]


@dataclass(frozen=True)
class RepeatGroup:
    """Runs that differ in seed, split seed and fold only; a run without repeats is a group of one."""

    label: str
    values: dict[str, Value]
    rows: tuple[RunRow, ...]

    @property
    def finished(self) -> tuple[RunRow, ...]:
        """The runs whose metrics are final."""
        return tuple(row for row in self.rows if row.is_finished)

    def spread(self, split: str, figure: str) -> RepeatSpread | None:
        """Compute the spread of a metric over the finished repeats.

        Args:
            split: ``"val"`` or ``"test"``.
            figure: ``"nll"`` or ``"c_td"``.

        Returns:
            The spread; None if no finished repeat has the metric.
        """
        splits: list[SplitMetrics] = [getattr(row, split) for row in self.finished]
        return spread_over_repeats([found.value for of in splits if (found := getattr(of, figure)) is not None], figure)

    def shown(self, split: str, figure: str) -> Estimate | None:
        """Return the estimate of a metric that tables and sentences show.

        Args:
            split: ``"val"`` or ``"test"``.
            figure: ``"nll"`` or ``"c_td"``.

        Returns:
            The mean and the interval over repeats; for a single run its metric and the interval over subjects. None if
            no finished run has the metric.
        """
        if len(self.rows) == 1:
            return getattr(getattr(self.rows[0], split), figure) if self.rows[0].is_finished else None
        found = self.spread(split, figure)
        return Estimate(found.mean, found.interval) if found else None


@dataclass(frozen=True)
class Winner:
    """The group chosen by validation.

    Attributes:
        group: The winner.
        second: The second best group; None if there is none.
        notes: Remarks on the choice.
        tie: Whether validation distinguishes the two; None without a second group.
    """

    group: RepeatGroup
    second: RepeatGroup | None
    notes: tuple[str, ...]
    tie: Tie | None = None

    @property
    def is_tied(self) -> bool:
        """Whether validation does not distinguish the winner from the second."""
        return self.tie is not None and self.tie.is_tied is True


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep's folder.

    Attributes:
        folder: The sweep's folder.
        metric: The metric that chooses the winner.
        rows: One row per run.
        keys: Swept keys, except those that make repeats.
        repeats: Swept keys that make repeats.
        groups: The runs in groups of repeats.
        winner: The winner; None if no run has finished with the metric.
        planned: Number of jobs requested; None if unknown.
    """

    folder: Path
    metric: Metric
    rows: tuple[RunRow, ...]
    keys: tuple[str, ...]
    repeats: tuple[str, ...]
    groups: tuple[RepeatGroup, ...]
    winner: Winner | None
    planned: int | None = None

    @property
    def banner(self) -> str:
        """The warning for drawn outcomes; empty if all outcomes are read from the records."""
        drawn = sum(row.is_drawn for row in self.rows)
        some = f" (of {drawn} of {len(self.rows)} jobs)" if drawn < len(self.rows) else ""
        return f"{BANNER}{some}" if drawn else ""

    @property
    def not_begun(self) -> int:
        """Number of jobs that have no folder yet."""
        return max(0, (self.planned or 0) - len(self.rows))

    @property
    def scored(self) -> list[tuple[RunRow, float]]:
        """Every finished run that has the metric, with its value."""
        pairs = [(row, self.metric.of(row)) for row in self.rows if row.is_finished]
        return [(row, value) for row, value in pairs if value is not None]

    @property
    def has_repeats(self) -> bool:
        """Whether any group has more than one run."""
        return any(len(group.rows) > 1 for group in self.groups)


def make_sweep(folder: Path, rows: Sequence[RunRow], *, metric: str, planned: int | None = None) -> Sweep:
    """Group the runs and choose the winner.

    Args:
        folder: The sweep's folder.
        rows: The runs, in the order of the tables.
        metric: The metric that chooses the winner, one of ``METRICS``.
        planned: Number of jobs that the sweep was started with; None if unknown.

    Returns:
        The sweep, with the runs in groups of repeats.

    Raises:
        ConfigError: If ``metric`` is not one of ``METRICS``.
    """
    chosen = metric_named(metric)
    swept = _swept_keys(rows)
    keys = tuple(key for key in swept if key not in REPEAT_KEYS)
    groups = _groups(rows, keys)
    return Sweep(
        folder=folder,
        metric=chosen,
        rows=tuple(rows),
        keys=keys,
        repeats=tuple(key for key in swept if key in REPEAT_KEYS),
        groups=groups,
        winner=pick_best(groups, chosen),
        planned=planned,
    )


def _swept_keys(rows: Sequence[RunRow]) -> list[str]:
    """Return the overridden keys that have more than one value, in the order of the commands."""
    recorded = [row for row in rows if row.overrides is not None]
    named = dict.fromkeys(key for row in recorded for key in row.overrides or {} if key not in IDLE_KEYS)
    return [key for key in named if len({row.setting(key) for row in recorded}) > 1]


def _groups(rows: Iterable[RunRow], keys: Sequence[str]) -> tuple[RepeatGroup, ...]:
    members: dict[tuple[object, ...], list[RunRow]] = {}
    for row in rows:
        # Nothing says whose repeat a run without a manifest is.
        same = (row.folder,) if row.overrides is None else tuple(row.setting(key) for key in keys)
        members.setdefault(same, []).append(row)
    return tuple(
        RepeatGroup(_label(found, keys), {key: found[0].setting(key) for key in keys}, tuple(found))
        for found in members.values()
    )


def _label(rows: Sequence[RunRow], keys: Sequence[str]) -> str:
    if rows[0].overrides is None or not keys:
        return f"run {rows[0].name}" if len(rows) == 1 else "all runs"
    return ", ".join(f"{key}={format_setting(rows[0].setting(key))}" for key in keys)


def format_setting(value: Value) -> str:
    """Format a setting for tables and sentences.

    Args:
        value: The setting; None if it is unknown.

    Returns:
        The text, of a float with at most six significant digits; a dash for None.
    """
    if value is None:
        return MISSING
    return f"{value:g}" if isinstance(value, float) else str(value)


def pick_best(groups: Sequence[RepeatGroup], metric: Metric) -> Winner | None:
    """Choose the group with the best mean on validation, the first of equal ones.

    Groups with unfinished repeats take part only if no group is complete.

    Args:
        groups: The groups of repeats.
        metric: The metric to compare.

    Returns:
        The winner; None if no run with the metric has finished.
    """
    means = [(group, found.mean) for group in groups if (found := group.spread("val", metric.figure)) is not None]
    whole = [(group, mean) for group, mean in means if len(group.finished) == len(group.rows)]
    if not means:
        return None
    ranked = [group for group, mean in sorted(whole or means, key=lambda pair: metric.order(pair[1]))]
    notes = tuple(_notes(ranked, means, bool(whole)))
    if len(ranked) == 1:
        return Winner(ranked[0], None, notes)
    best, second = ranked[:2]
    tie = tie_of(best.rows, second.rows, figure=metric.figure, repeat_keys=REPEAT_KEYS)
    return Winner(best, second, notes, tie)


def _notes(ranked: Sequence[RepeatGroup], means: Sequence[tuple[RepeatGroup, float]], is_whole: bool) -> Iterable[str]:
    if not is_whole:
        yield "In no group are all repeats finished; groups with some finished repeats are compared."
    left_out = len(means) - len(ranked)
    if left_out:
        yield f"Not compared, because some of their repeats are unfinished: {left_out} of {len(means)} groups."
    numbers = sorted({len(group.finished) for group in ranked})
    if len(numbers) > 1:
        yield f"The groups have {numbers[0]} to {numbers[-1]} finished repeats: their means are not equally precise."
    edges = _at_the_edge(ranked)
    if edges:
        more = f" and {len(edges) - 3} more" if len(edges) > 3 else ""
        yield f"The best value is at the edge of those tried, better ones may lie beyond: {', '.join(edges[:3])}{more}."


def _at_the_edge(ranked: Sequence[RepeatGroup]) -> list[str]:
    """Return the keys whose best value is the smallest or largest of three or more."""
    found = []
    for key, best in ranked[0].values.items():
        values = {group.values[key] for group in ranked}
        tried = sorted(value for value in values if isinstance(value, int | float))
        if len(tried) > 2 and len(tried) == len(values) and best in (tried[0], tried[-1]):
            found.append(
                f"{key}={format_setting(best)} ({'smallest' if best == tried[0] else 'largest'} of {len(tried)})"
            )
    return found


def sort_values(values: Iterable[Value]) -> list[Value]:
    """Sort the values of a key for tables and axes.

    Args:
        values: The values, with repetitions.

    Returns:
        The distinct values: numbers by size, then texts, then None.
    """

    def order(value: Value) -> tuple[int, float, str]:
        if value is None or isinstance(value, str):
            return (2 if value is None else 1, 0.0, value or "")
        return (0, value, "")

    return sorted(set(values), key=order)


def main_effects(sweep: Sweep) -> pd.DataFrame:
    """Return the mean of the metric by swept key and value.

    Args:
        sweep: The sweep; its finished runs with the metric are averaged.

    Returns:
        A table with the columns key, value, mean of the metric (NaN without finished runs) and number of finished runs.
        Keys are in the order of ``sweep.keys``, the values of a key in that of ``sort_values``.
    """
    lines: list[tuple[str, Value, float, int]] = []
    for key in sweep.keys:
        for value in sort_values(row.setting(key) for row in sweep.rows if row.overrides is not None):
            found = [score for row, score in sweep.scored if row.overrides is not None and row.setting(key) == value]
            lines.append((key, value, float(np.mean(found)) if found else math.nan, len(found)))
    return pd.DataFrame(lines, columns=["key", "value", f"mean {sweep.metric.name}", "finished runs"])


def most_influential_keys(sweep: Sweep) -> list[str]:
    """Return the swept keys, those with the largest difference between their means first.

    Args:
        sweep: The sweep.

    Returns:
        The keys without those that make repeats. A key without finished runs counts as one without a difference.
    """
    means = main_effects(sweep).groupby("key", sort=False)[f"mean {sweep.metric.name}"]
    reach = (means.max() - means.min()).fillna(0.0).sort_values(ascending=False, kind="stable")
    return list(reach.index)
