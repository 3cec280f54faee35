"""Contenders and landmarks → who ranks subjects how well: a forest plot and a heat map."""

from __future__ import annotations

import math
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from survlstm.evaluation.results import Estimate, LandmarkCell, LandmarkResult, StepRow
from survlstm.report.figures.canvas import BLUE, GREEN, INK, MUTED, ORANGE, PAPER, RULE, WIDTH, DrawnFigure, new_figure
from survlstm.report.formatting import format_count, format_estimate, format_number, format_time
from survlstm.utils.formatting import MISSING

# Colour, marker and filling by role: none of them carries the meaning alone.
LOOKS = {"model": (BLUE, "o", BLUE), "oracle": (GREEN, "D", PAPER), "baseline": (MUTED, "s", PAPER)}


def draw_forest(rows: tuple[StepRow, ...]) -> DrawnFigure | None:
    """The c_td of every contender on one axis; None where no contender has one."""
    known = [row for row in rows if math.isfinite(row.c_td.value)]
    if not known:
        return None
    figure = new_figure(44 * len(rows) + 58)
    axes = figure.add_subplot()
    ends = [0.5, *(value for row in known for value in (row.c_td.value, *(row.c_td.interval or ())))]
    margin = max(0.02, 0.06 * (max(ends) - min(ends)))
    axes.set(xlim=(min(ends) - margin, max(ends) + margin), ylim=(len(rows) - 0.25, -0.62))
    axes.set(yticks=[], xlabel="c_td (0.5 = random, 1 = perfect ranking)")
    axes.spines["left"].set_visible(False)
    axes.axvline(0.5, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    for position, row in enumerate(rows):
        _forest_line(axes, row, position)
    return DrawnFigure(
        name="c_td",
        title="How well each contender ranks subjects",
        alt="Forest plot of c_td: " + "; ".join(f"{row.name} {format_estimate(row.c_td)}" for row in rows) + ".",
        caption=(
            "The marker is c_td on the judged subjects, the bar its interval; without a bar there is no interval. "
            "Further right ranks better. A bar that crosses the dashed line at 0.5 is compatible with a coin flip. "
            "Circle: the model; diamond: the oracle; squares: baselines."
        ),
        figure=figure,
    )


def _forest_line(axes: Axes, row: StepRow, position: int) -> None:
    colour, marker, filling = LOOKS[row.role]
    value, bounds = row.c_td
    if bounds:
        axes.plot([bounds.low, bounds.high], [position, position], color=colour, linewidth=2.4, solid_capstyle="butt")
    if math.isfinite(value):
        axes.plot(value, position, color=colour, marker=marker, markersize=8, markerfacecolor=filling, mew=1.8)
    # The words stand over the bar, on paper of their own, so that the line at 0.5 doesn't run through them.
    paper = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.5}
    weight = "bold" if row.role == "model" else "normal"
    across = axes.get_yaxis_transform()
    for place, words, side in ((0, row.name, "left"), (1, format_estimate(row.c_td), "right")):
        axes.text(
            place, position - 0.38, words, ha=side, va="center", weight=weight, bbox=dict(paper), transform=across
        )


def draw_heat_map(landmarks: tuple[LandmarkResult, ...]) -> DrawnFigure | None:
    """The model's AUC, or Harrell's C where there is none, by landmark and horizon; None without a landmark."""
    if not landmarks:
        return None
    asked = sorted({horizon for found in landmarks for horizon in (*found.horizons, *found.unsupported)})
    if not asked:
        return None
    unit = landmarks[0].unit
    names = [found.name for found in landmarks]
    times = [format_time(horizon, unit) for horizon in asked]
    # The shorter list goes across, which keeps the cells wide enough to read on a phone; one line of four is.
    alone = len(names) == 1
    turned = len(asked) > max(len(names), 4 if alone else 0)
    columns, lines = (names, times) if turned else (times, names)
    figure = new_figure(62 * len(lines) + 68, max(WIDTH, 88 * len(columns)))
    axes = figure.add_subplot()
    sides = ("horizon", "" if alone else "landmark")
    _label_grid(axes, columns, lines, sides[::-1] if turned else sides)
    said = []
    for row, landmark in enumerate(landmarks):
        for column, horizon in enumerate(asked):
            shown = _cell_words(landmark, horizon)
            said.append(f"{landmark.name}, {format_time(horizon, unit)}: {', '.join(shown.words)}")
            _draw_cell(axes, shown, (row, column) if turned else (column, row))
    return DrawnFigure(
        name="discrimination",
        title="The model's discrimination by landmark and horizon",
        alt="Heat map of the model's AUC. " + "; ".join(said) + ".",
        caption=(
            "Large: the AUC at the horizon (C: Harrell's C where there is no AUC). Below it: how many of the judged "
            "subjects are still at risk after the horizon, and how many had the event by then. Deeper blue ranks "
            "better, white is 0.5, orange is worse than random; a dash can't be computed. Few events make an unsteady "
            "figure: the tables give its interval."
        ),
        figure=figure,
    )


def _label_grid(axes: Axes, columns: list[str], lines: list[str], sides: tuple[str, ...]) -> None:
    axes.set(xlim=(0, len(columns)), ylim=(len(lines), 0))
    axes.set_xticks([place + 0.5 for place in range(len(columns))], columns)
    axes.set_yticks([place + 0.5 for place in range(len(lines))], lines)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.xaxis.set_ticks_position("top")
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(sides[0], labelpad=8)
    axes.set_ylabel(sides[1], labelpad=8)


class _Words(NamedTuple):
    """What is written into one cell of the heat map, and the value that tints it."""

    value: float | None
    words: tuple[str, ...]


def _cell_words(landmark: LandmarkResult, horizon: float) -> _Words:
    if horizon not in landmark.horizons:
        behind = horizon in landmark.unsupported
        return _Words(None, (MISSING, "behind the", "follow-up") if behind else (MISSING, "not asked", "here"))
    place = landmark.horizons.index(horizon)
    counts = (f"{landmark.at_risk_after[place]:,} at risk", format_count(landmark.events_by[place], "event"))
    cells = [row.cells[place] for row in landmark.rows if row.role == "model" and len(row.cells) > place]
    figure, name = _ranking(cells[0]) if cells else (None, "")
    if figure is None:
        return _Words(None, (MISSING, *counts))
    return _Words(figure.value, (name + format_number(figure.value), *counts))


def _ranking(cell: LandmarkCell) -> tuple[Estimate | None, str]:
    for figure, name in ((cell.auc, ""), (cell.c_harrell, "C ")):
        if figure is not None and math.isfinite(figure.value):
            return figure, name
    return None, ""


def _draw_cell(axes: Axes, shown: _Words, corner: tuple[int, int]) -> None:
    left, top = corner
    value = 0.5 if shown.value is None else shown.value
    colour, alpha = BLUE if value >= 0.5 else ORANGE, min(1.0, abs(value - 0.5) / 0.5) * 0.55
    at, wide, tall = (left + 0.02, top + 0.03), 0.96, 0.94
    axes.add_patch(Rectangle(at, wide, tall, linewidth=0, facecolor=colour, alpha=alpha))
    axes.add_patch(Rectangle(at, wide, tall, linewidth=0.8, facecolor="none", edgecolor=RULE))
    for line, words in enumerate(shown.words):
        size, weight = (13, "bold") if line == 0 else (9, "normal")
        axes.text(left + 0.5, top + (0.29, 0.58, 0.79)[line], words, ha="center", va="center", size=size, weight=weight)
