"""Figures of a search: the trials in order, importances, and the metric along each dimension."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from survlstm.report.figures.canvas import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    PAPER,
    DrawnFigure,
    legend_above,
    new_axes,
    new_figure,
)
from survlstm.report.formatting import format_count, format_number, format_short
from survlstm.tuning.config import TuneConfig
from survlstm.tuning.space import Choice, Dimension, IntRange
from survlstm.tuning.trial_table import TrialSlot

METRIC_NAMES = {"val_nll": "validation loss (nats per subject)", "val_c_td": "validation C-index"}
HEIGHT = 290


class MetricAxis(NamedTuple):
    """The part of the metric's axis that is drawn, and the number of trials outside it."""

    low: float
    high: float
    beyond: int
    edge: float


def draw_trials(found: list[TrialSlot], best: TrialSlot | None, config: TuneConfig) -> DrawnFigure | None:
    """Draw the metric of every trial in the order of the search, and the best so far.

    Args:
        found: All trials; those that are complete or pruned, with a finite metric, are drawn.
        best: The best complete trial; None if none is complete.
        config: The config of the search.

    Returns:
        The figure; None if no trial is complete.
    """
    known = _known(found, config)
    if not known or best is None:
        return None
    shown = _shown(known, config)
    figure, axes = new_axes(HEIGHT)
    _points(axes, known, [place.slot for place in known], shown, config)
    complete = [place for place in known if place.state == "complete"]
    values = [place.figure(config.metric) for place in complete]
    running = np.maximum.accumulate(values) if config.maximised else np.minimum.accumulate(values)
    last = max(place.slot for place in found)
    steps = [*(place.slot for place in complete), last]
    axes.step(steps, [*running, running[-1]], where="post", color=ORANGE, label="best so far", zorder=1)
    axes.set(xlabel="trial", ylabel=METRIC_NAMES[config.metric], ylim=(shown.low, shown.high))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    legend_above(figure, axes, 3)
    value = format_number(best.figure(config.metric), 4)
    return DrawnFigure(
        name="trials",
        title="Trials in order",
        alt=f"{format_count(len(known), 'trial')} by number; the best is trial {best.slot} with {value}.",
        caption=(
            f"{_better(config)}. The best is trial {best.slot} with {value}. A line that has been flat for the last "
            "third means that more trials would improve little. Hollow: pruned, at the best of its epochs."
            f"{_beyond(shown)}"
        ),
        figure=figure,
    )


def draw_importances(shares: dict[str, float], config: TuneConfig) -> DrawnFigure:
    """Draw one bar per dimension, the most important first.

    Args:
        shares: Share of the variance, 0 to 1, that each key explains.
        config: The config of the search.

    Returns:
        The figure.
    """
    figure = new_figure(44 * len(shares) + 40)
    axes = figure.add_subplot()
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    for position, (key, share) in enumerate(ordered):
        axes.barh(position + 0.12, share, height=0.42, color=BLUE)
        axes.text(0, position - 0.3, key, va="center", ha="left", color=INK)
        axes.text(share + 0.015, position + 0.12, f"{share:.0%}", va="center", ha="left", color=INK)
    axes.set(xlim=(0, 1.12), ylim=(len(ordered) - 0.4, -0.6), yticks=[], xticks=[])
    axes.set_xlabel(f"share of the variance of the {METRIC_NAMES[config.metric].split(' (')[0]}")
    axes.spines["bottom"].set_visible(False)
    return DrawnFigure(
        name="importances",
        title="Importance of each key",
        alt="Importances: " + "; ".join(f"{key} {share:.0%}" for key, share in ordered) + ".",
        caption=(
            "The share of the variance between complete trials that each key explains (functional ANOVA on a random "
            "forest); the shares add up to 100%. A key near 0 either does not matter within its range, or its range "
            "was too narrow to show an effect."
        ),
        figure=figure,
    )


def draw_slices(found: list[TrialSlot], best: TrialSlot | None, config: TuneConfig) -> list[DrawnFigure]:
    """Draw the metric along each dimension of the search space.

    Args:
        found: All trials; those that are complete or pruned, with a finite metric and a value of every key, are drawn.
        best: The best complete trial, which is marked; None if none is complete.
        config: The config of the search.

    Returns:
        One figure per key, in the order of ``config.space``; an empty list if no trial can be drawn.
    """
    known = [place for place in _known(found, config) if config.space.keys() <= place.params.keys()]
    if not known:
        return []
    return [_draw_slice(key, known, best, config) for key in config.space]


def _draw_slice(key: str, known: list[TrialSlot], best: TrialSlot | None, config: TuneConfig) -> DrawnFigure:
    dimension, shown = config.space[key], _shown(known, config)
    figure, axes = new_axes(HEIGHT)
    options = dimension.options if isinstance(dimension, Choice) else []
    across = [_across(place, key, options, place_number) for place_number, place in enumerate(known)]
    _points(axes, known, across, shown, config)
    if best is not None and best in known:
        where = across[known.index(best)]
        axes.plot(where, best.figure(config.metric), "D", color=ORANGE, markersize=9, label="best", zorder=4)
    _scale(axes, dimension)
    axes.set(xlabel=key, ylabel=METRIC_NAMES[config.metric], ylim=(shown.low, shown.high))
    legend_above(figure, axes, 3)
    said = "" if best is None else f" The best trial has {_said(best.params[key])}."
    return DrawnFigure(
        name=f"slice_{re.sub(r'[^A-Za-z0-9_]+', '_', key)}",
        title=key,
        alt=f"{METRIC_NAMES[config.metric]} of {format_count(len(known), 'trial')} along {key}.{said}",
        caption=(
            f"{_better(config)}; the other keys vary too.{said} If the best trial is at the edge, widen the range."
            f"{_beyond(shown)}"
        ),
        figure=figure,
    )


def _scale(axes: Axes, dimension: Dimension) -> None:
    """Show the whole search range, not only the part that has trials."""
    if isinstance(dimension, Choice):
        axes.set_xticks(range(len(dimension.options)), dimension.options)
        axes.set_xlim(-0.5, len(dimension.options) - 0.5)
        return
    low, high = float(dimension.low), float(dimension.high)
    if not dimension.log:
        margin = 0.04 * (high - low)
        axes.set_xlim(low - margin, high + margin)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=isinstance(dimension, IntRange), min_n_ticks=1))
        return
    axes.set_xscale("log")
    margin = (high / low) ** 0.04
    axes.set_xlim(low / margin, high * margin)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 100 else (1.0, 2.0, 5.0), numticks=8))
    # Matplotlib formats powers with mathtext, which the house style turns off.
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_short(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _points(axes: Axes, known: list[TrialSlot], across: list[float], shown: MetricAxis, config: TuneConfig) -> None:
    """Draw complete trials filled, pruned ones hollow, and worse ones than shown as a triangle at the edge."""
    looks = {"complete": (BLUE, BLUE), "pruned": (MUTED, PAPER)}
    for state, (edge, filling) in looks.items():
        for is_beyond in (False, True):
            chosen = [
                (where, min(max(place.figure(config.metric), shown.low), shown.high))
                for where, place in zip(across, known, strict=True)
                if place.state == state and (not shown.low <= place.figure(config.metric) <= shown.high) == is_beyond
            ]
            if not chosen:
                continue
            marker = ("v" if config.maximised else "^") if is_beyond else "o"
            wheres, values = zip(*((where, shown.edge if is_beyond else value) for where, value in chosen), strict=True)
            axes.plot(
                wheres,
                values,
                marker,
                color=edge,
                markerfacecolor=filling,
                label=None if is_beyond else state,
                zorder=3 if state == "complete" else 2,
            )


def _known(found: list[TrialSlot], config: TuneConfig) -> list[TrialSlot]:
    return [
        place for place in found if place.state in {"complete", "pruned"} and math.isfinite(place.figure(config.metric))
    ]


def _shown(known: list[TrialSlot], config: TuneConfig) -> MetricAxis:
    """Return the range from the best value to the 90 % quantile, so that one diverged trial does not compress the
    others.
    """
    sign = -1 if config.maximised else 1
    worse = np.sort([sign * place.figure(config.metric) for place in known])
    limit = float(worse[math.ceil(0.9 * len(worse)) - 1])
    # Values slightly outside the range are included.
    limit = max(value for value in worse.tolist() if value <= limit + 0.5 * (limit - worse[0]) or value == limit)
    span = limit - float(worse[0]) or abs(limit) * 0.1 or 0.1
    ends = sign * (float(worse[0]) - 0.08 * span), sign * (limit + 0.08 * span)
    return MetricAxis(min(ends), max(ends), int(np.sum(worse > limit)), sign * (limit + 0.05 * span))


def _across(place: TrialSlot, key: str, options: list[str], place_number: int) -> float:
    value = place.params[key]
    if not options:
        return float(value)
    # Shifted so that equal choices do not hide each other; by trial number, so that equal studies give equal figures.
    return options.index(value) + 0.3 * ((place_number * 0.618) % 1 - 0.5)


def _better(config: TuneConfig) -> str:
    return f"{'Higher' if config.maximised else 'Lower'} is better"


def _beyond(shown: MetricAxis) -> str:
    return (
        f" Triangles at the edge: {format_count(shown.beyond, 'trial')} worse than the range shown."
        if shown.beyond
        else ""
    )


def _said(value: object) -> str:
    return (
        value
        if isinstance(value, str)
        else format_short(float(value))
        if isinstance(value, int | float)
        else str(value)
    )
