"""Forest plot of the C-index of all models, and heat map of the discrimination of the model by landmark."""

from __future__ import annotations

import math
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from survlstm.evaluation.results import Estimate, LandmarkCell, LandmarkResult, StepRow
from survlstm.report.figures.canvas import BLUE, GREEN, INK, MUTED, ORANGE, PAPER, RULE, WIDTH, DrawnFigure, new_figure
from survlstm.report.formatting import (
    format_count,
    format_estimate,
    format_landmark,
    format_number,
    format_time,
    starts_at_prediction_times,
)
from survlstm.utils.formatting import MISSING

# Colour, marker and filling by role; none of them carries the meaning alone.
LOOKS = {"model": (BLUE, "o", BLUE), "oracle": (GREEN, "D", PAPER), "baseline": (MUTED, "s", PAPER)}


def draw_forest(rows: tuple[StepRow, ...]) -> DrawnFigure | None:
    """Draw the C-index of every model on one axis.

    Args:
        rows: Rows of the models.

    Returns:
        The figure; None if no model has a C-index.
    """
    known = [row for row in rows if math.isfinite(row.c_td.value)]
    if not known:
        return None
    figure = new_figure(44 * len(rows) + 58)
    axes = figure.add_subplot()
    ends = [0.5, *(value for row in known for value in (row.c_td.value, *(row.c_td.interval or ())))]
    margin = max(0.02, 0.06 * (max(ends) - min(ends)))
    axes.set(xlim=(min(ends) - margin, max(ends) + margin), ylim=(len(rows) - 0.25, -0.62))
    axes.set(yticks=[], xlabel="C-index (0.5 = random, 1 = perfect ranking)")
    axes.spines["left"].set_visible(False)
    axes.axvline(0.5, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    for position, row in enumerate(rows):
        _forest_line(axes, row, position)
    return DrawnFigure(
        name="c_td",
        title="C-index of the model and its comparators",
        alt="Forest plot of the C-index: " + "; ".join(f"{row.name} {format_estimate(row.c_td)}" for row in rows) + ".",
        caption=(
            "The marker is the C-index on the evaluated subjects, the bar its interval; without a bar there is no "
            "interval. Further right ranks better. A bar across the dashed line at 0.5 is compatible with chance. "
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
    # The texts are above the bar, on a white background, so that the line at 0.5 does not cross them.
    background = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.5}
    weight = "bold" if row.role == "model" else "normal"
    across = axes.get_yaxis_transform()
    for x, text, side in ((0, row.name, "left"), (1, format_estimate(row.c_td), "right")):
        axes.text(
            x, position - 0.38, text, ha=side, va="center", weight=weight, bbox=dict(background), transform=across
        )


def draw_heat_map(landmarks: tuple[LandmarkResult, ...]) -> DrawnFigure | None:
    """Draw the AUC of the model, or Harrell's C where it has no AUC, by landmark and horizon.

    Args:
        landmarks: Results from each landmark.

    Returns:
        The figure; None without a landmark.
    """
    if not landmarks:
        return None
    horizons = sorted({horizon for result in landmarks for horizon in (*result.horizons, *result.unsupported)})
    if not horizons:
        return None
    unit = landmarks[0].unit
    by_times = starts_at_prediction_times(landmarks[0].name, unit)
    names = [format_landmark(result.name) for result in landmarks]
    times = [format_time(horizon, unit) for horizon in horizons]
    # The shorter list goes across, which keeps the cells legible on a phone; a single line of four also fits.
    is_single = len(names) == 1
    turned = len(horizons) > max(len(names), 4 if is_single else 0)
    columns, lines = (names, times) if turned else (times, names)
    figure = new_figure(62 * len(lines) + 68, max(WIDTH, 88 * len(columns)))
    axes = figure.add_subplot()
    sides = ("horizon", "" if is_single else "prediction times" if by_times else "landmark")
    _label_grid(axes, columns, lines, sides[::-1] if turned else sides)
    cells = []
    for row, landmark in enumerate(landmarks):
        for column, horizon in enumerate(horizons):
            cell = _cell_text(landmark, horizon)
            cells.append(f"{format_landmark(landmark.name)}, {format_time(horizon, unit)}: {', '.join(cell.lines)}")
            _draw_cell(axes, cell, (row, column) if turned else (column, row))
    return DrawnFigure(
        name="discrimination",
        title=f"The model's discrimination by {'prediction times' if by_times else 'landmark'} and horizon",
        alt="Heat map of the model's AUC. " + "; ".join(cells) + ".",
        caption=(
            "Large: the AUC at the horizon (C: Harrell's C where there is no AUC). Below it: the number of evaluated "
            f"{'prediction times' if by_times else 'subjects'} at risk after the horizon, and the number of events by "
            "then. Deeper blue ranks better, white is "
            "0.5, orange is worse than random; a dash marks what cannot be computed. With few events the AUC is "
            "uncertain: the tables give its interval."
        ),
        figure=figure,
    )


def _label_grid(axes: Axes, columns: list[str], lines: list[str], sides: tuple[str, ...]) -> None:
    axes.set(xlim=(0, len(columns)), ylim=(len(lines), 0))
    axes.set_xticks([number + 0.5 for number in range(len(columns))], columns)
    axes.set_yticks([number + 0.5 for number in range(len(lines))], lines)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.xaxis.set_ticks_position("top")
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(sides[0], labelpad=8)
    axes.set_ylabel(sides[1], labelpad=8)


class _CellText(NamedTuple):
    """Text of one cell of the heat map, and the value that sets its colour."""

    value: float | None
    lines: tuple[str, ...]


def _cell_text(landmark: LandmarkResult, horizon: float) -> _CellText:
    if horizon not in landmark.horizons:
        is_late = horizon in landmark.unsupported
        return _CellText(None, (MISSING, "after the", "follow-up") if is_late else (MISSING, "not", "requested"))
    column = landmark.horizons.index(horizon)
    counts = (f"{landmark.at_risk_after[column]:,} at risk", format_count(landmark.events_by[column], "event"))
    cells = [row.cells[column] for row in landmark.rows if row.role == "model" and len(row.cells) > column]
    metric, name = _ranking(cells[0]) if cells else (None, "")
    if metric is None:
        return _CellText(None, (MISSING, *counts))
    return _CellText(metric.value, (name + format_number(metric.value), *counts))


def _ranking(cell: LandmarkCell) -> tuple[Estimate | None, str]:
    for metric, name in ((cell.auc, ""), (cell.c_harrell, "C ")):
        if metric is not None and math.isfinite(metric.value):
            return metric, name
    return None, ""


def _draw_cell(axes: Axes, cell: _CellText, corner: tuple[int, int]) -> None:
    left, top = corner
    value = 0.5 if cell.value is None else cell.value
    colour, alpha = BLUE if value >= 0.5 else ORANGE, min(1.0, abs(value - 0.5) / 0.5) * 0.55
    at, wide, tall = (left + 0.02, top + 0.03), 0.96, 0.94
    axes.add_patch(Rectangle(at, wide, tall, linewidth=0, facecolor=colour, alpha=alpha))
    axes.add_patch(Rectangle(at, wide, tall, linewidth=0.8, facecolor="none", edgecolor=RULE))
    for number, text in enumerate(cell.lines):
        size, weight = (13, "bold") if number == 0 else (9, "normal")
        axes.text(
            left + 0.5, top + (0.29, 0.58, 0.79)[number], text, ha="center", va="center", size=size, weight=weight
        )
