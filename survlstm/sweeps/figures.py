"""Figures of a sweep: main effects, and the mean metric over two swept keys."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from survlstm.report.figures.canvas import BLUE, INK, MUTED, PAPER, RULE, DrawnFigure, new_figure
from survlstm.report.formatting import format_count, format_number
from survlstm.sweeps.load_runs import Value
from survlstm.sweeps.table import Sweep, format_setting, main_effects, most_influential_keys, sort_values
from survlstm.utils.formatting import MISSING

# Larger figures can't be read; the tables hold all values.
MOST_KEYS, MOST_VALUES, MOST_COLUMNS, MOST_LINES = 8, 12, 9, 14
LINE = 24


class _Panel(NamedTuple):
    key: str
    effects: pd.DataFrame


def draw_effects(sweep: Sweep) -> DrawnFigure | None:
    """Draw the mean of the metric at each value of each swept key, one panel per key.

    Args:
        sweep: The sweep; its finished runs with the metric are drawn.

    Returns:
        The figure; None if no key has two means.
    """
    panels, left_out = _panels(sweep)
    if not panels:
        return None
    lines = sum(len(panel.effects) + 1.6 for panel in panels)
    figure = new_figure(LINE * lines + 58)
    axes = figure.add_subplot()
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    ticks: list[tuple[float, str]] = []
    top = 0.0
    for panel in panels:
        axes.text(
            0,
            top + 0.55,
            shorten(panel.key, 44),
            weight="bold",
            size=10,
            va="center",
            transform=axes.get_yaxis_transform(),
        )
        if top:
            axes.axhline(top - 0.15, color=RULE, linewidth=0.8)
        _draw_panel(axes, sweep, panel, top + 1.4)
        ticks += [
            (top + 1.4 + place, shorten(format_setting(value), 16))
            for place, value in enumerate(panel.effects["value"])
        ]
        top += len(panel.effects) + 1.6
    axes.set(ylim=(top, 0), xlabel=sweep.metric.axis)
    axes.margins(x=0.06)
    axes.set_yticks([place for place, _ in ticks], [words for _, words in ticks])
    axes.tick_params(axis="y", length=0)
    return DrawnFigure(
        name="main_effects",
        title="Main effects",
        alt=f"Mean {sweep.metric.words} by value of each swept key. " + "; ".join(map(_said, panels)) + ".",
        caption=(
            "Blue: the mean over the finished runs with that value, over all values of the other keys. Rings: single "
            "runs; their number is on the right. If the rings of two values overlap, the key has not been shown to "
            f"matter. Keys with the largest differences come first.{left_out}"
        ),
        figure=figure,
    )


def _panels(sweep: Sweep) -> tuple[list[_Panel], str]:
    """Return the keys to draw, those with the largest effects first, and a sentence on those that are not drawn."""
    effects = dict(iter(main_effects(sweep).groupby("key", sort=False)))
    fine = [key for key in effects if len(effects[key]) > MOST_VALUES]
    panels = [
        _Panel(key, effects[key])
        for key in most_influential_keys(sweep)
        if key not in fine and effects[key].iloc[:, 2].count() > 1
    ]
    said = ""
    if len(panels) > MOST_KEYS:
        said += f" Left out: {format_count(len(panels) - MOST_KEYS, 'key')} with smaller differences."
    if fine:
        said += f" Left out: {format_count(len(fine), 'key')} with more than {MOST_VALUES} values."
    return panels[:MOST_KEYS], said


def _draw_panel(axes: Axes, sweep: Sweep, panel: _Panel, top: float) -> None:
    places = [top + place for place in range(len(panel.effects))]
    means = list(panel.effects.iloc[:, 2])
    axes.plot(means, places, color=BLUE, linewidth=1.2, zorder=2)
    for place, value, mean, runs in zip(
        places, panel.effects["value"], means, panel.effects["finished runs"], strict=True
    ):
        found = [score for row, score in sweep.scored if row.overrides is not None and row.setting(panel.key) == value]
        axes.plot(found, [place] * len(found), "o", markersize=4, mfc=PAPER, mec=MUTED, mew=0.9, zorder=1.5)
        if math.isfinite(mean):
            axes.plot(mean, place, "o", markersize=7, color=BLUE, zorder=3)
        axes.text(
            1.02, place, f"{runs}", color=MUTED, size=9, ha="left", va="center", transform=axes.get_yaxis_transform()
        )


def _said(panel: _Panel) -> str:
    means = zip(panel.effects["value"], panel.effects.iloc[:, 2], strict=True)
    return f"{panel.key}: " + ", ".join(f"{format_setting(value)} {format_number(mean)}" for value, mean in means)


def draw_heat_map(sweep: Sweep) -> DrawnFigure | None:
    """Draw the mean of the metric for each pair of values of two swept keys.

    Args:
        sweep: The sweep; its finished runs with the metric are drawn.

    Returns:
        The figure; None unless exactly two keys were swept, with few enough values.
    """
    if len(sweep.keys) != 2 or not sweep.scored:
        return None
    recorded = [row for row in sweep.rows if row.overrides is not None]
    sides = [sort_values(row.setting(key) for row in recorded) for key in sweep.keys]
    # The key with fewer values goes across, because phones are narrow.
    across, down = sorted((0, 1), key=lambda side: len(sides[side]))
    if len(sides[across]) > MOST_COLUMNS or len(sides[down]) > MOST_LINES:
        return None
    columns, lines = sides[across], sides[down]
    scores: dict[tuple[Value, Value], list[float]] = {(line, column): [] for line in lines for column in columns}
    for row, score in sweep.scored:
        if row.overrides is not None:
            scores[row.setting(sweep.keys[down]), row.setting(sweep.keys[across])].append(score)
    best = sweep.winner.group.values if sweep.winner else {}
    chosen = (best.get(sweep.keys[down]), best.get(sweep.keys[across]))
    figure = new_figure(46 * len(lines) + 74)
    axes = figure.add_subplot()
    _label_grid(axes, columns, lines, (sweep.keys[across], sweep.keys[down]))
    said = []
    means = {pair: sum(found) / len(found) for pair, found in scores.items() if found}
    for (line, column), found in scores.items():
        corner, mean = (columns.index(column), lines.index(line)), means.get((line, column))
        tint = _depth(sweep, mean, list(means.values()))
        _draw_cell(axes, corner, mean, len(found), tint, is_best=(line, column) == chosen, is_narrow=len(columns) > 4)
        said.append(f"{format_setting(line)} and {format_setting(column)}: {format_number(mean)}")
    return DrawnFigure(
        name="heat_map",
        title=f"{sweep.keys[down]} and {sweep.keys[across]} together",
        alt=f"Mean {sweep.metric.words} by {sweep.keys[down]} and {sweep.keys[across]}. " + "; ".join(said) + ".",
        caption=(
            f"Mean {sweep.metric.words} of the finished runs of each pair; deeper blue is better. The framed cell is "
            "the winner; a hatched cell has no finished run."
        ),
        figure=figure,
    )


def _label_grid(axes: Axes, columns: list[Value], lines: list[Value], names: tuple[str, str]) -> None:
    axes.set(xlim=(-0.02, len(columns) + 0.02), ylim=(len(lines) + 0.02, -0.02))
    widest = max(len(format_setting(value)) for value in columns) * len(columns)
    axes.set_xticks(
        [place + 0.5 for place in range(len(columns))],
        [shorten(format_setting(value), 14) for value in columns],
        rotation=0 if widest <= 40 else 90,
    )
    axes.set_yticks(
        [place + 0.5 for place in range(len(lines))], [shorten(format_setting(value), 14) for value in lines]
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.xaxis.set_ticks_position("top")
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(shorten(names[0], 34), labelpad=8)
    # The title has the full key.
    axes.set_ylabel(shorten(names[1].rpartition(".")[2], max(12, 6 * len(lines))), labelpad=8)


def _draw_cell(
    axes: Axes,
    corner: tuple[int, int],
    mean: float | None,
    runs: int,
    tint: float,
    *,
    is_best: bool,
    is_narrow: bool,
) -> None:
    left, top = corner
    at, wide, tall = (left + 0.03, top + 0.04), 0.94, 0.92
    if mean is None:
        axes.add_patch(Rectangle(at, wide, tall, linewidth=0.8, facecolor=PAPER, edgecolor=RULE, hatch="////"))
        paper = {"facecolor": PAPER, "edgecolor": "none", "pad": 2}
        axes.text(left + 0.5, top + 0.5, MISSING, ha="center", va="center", bbox=paper)
        return
    axes.add_patch(Rectangle(at, wide, tall, linewidth=0, facecolor=BLUE, alpha=0.55 * tint))
    edge, width = (INK, 2.4) if is_best else (RULE, 0.8)
    axes.add_patch(Rectangle(at, wide, tall, linewidth=width, facecolor="none", edgecolor=edge, zorder=2 + is_best))
    weight = "bold" if is_best else "normal"
    size = 9 if is_narrow else 13
    alone = is_narrow or runs == 1
    axes.text(
        left + 0.5,
        top + (0.5 if alone else 0.38),
        format_number(mean),
        ha="center",
        va="center",
        size=size,
        weight=weight,
    )
    if not alone:
        axes.text(left + 0.5, top + 0.73, format_count(runs, "run"), ha="center", va="center", size=9)


def _depth(sweep: Sweep, mean: float | None, means: list[float]) -> float:
    """Return the colour intensity of a mean: 0 for the worst, 1 for the best."""
    order = [sweep.metric.order(value) for value in means]
    if mean is None or max(order) == min(order):
        return 0.5
    return (max(order) - sweep.metric.order(mean)) / (max(order) - min(order))


def shorten(words: str, length: int) -> str:
    """Shorten a text by leaving out its middle.

    Args:
        words: The text.
        length: Largest number of characters of the result.

    Returns:
        The text, with an ellipsis for its middle if it is longer than ``length``.
    """
    if len(words) <= length:
        return words
    return f"{words[: length // 2]}…{words[len(words) - length + length // 2 + 1 :]}"
