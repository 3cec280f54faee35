"""Parallel coordinates of a sweep: one line per finished run, through its settings and its validation metric."""

from __future__ import annotations

import math

from matplotlib.axes import Axes

from survlstm.report.figures.canvas import BLUE, MUTED, ORANGE, PAPER, DrawnFigure, new_figure
from survlstm.report.formatting import format_count, format_number
from survlstm.sweeps.figures import MOST_KEYS, MOST_VALUES, shorten
from survlstm.sweeps.load_runs import Value
from survlstm.sweeps.table import Sweep, format_setting, most_influential_keys, sort_values

LINE = 66


def draw_parallel(sweep: Sweep) -> DrawnFigure | None:
    """Draw the finished runs over horizontal axes, whose names can be read on a phone.

    Args:
        sweep: The sweep; its finished runs with the metric are drawn.

    Returns:
        The figure; None with fewer than two finished runs or without a swept key.
    """
    scored = [(row, score) for row, score in sweep.scored if row.overrides is not None]
    keys = _keys(sweep)
    if len(scored) < 2 or not keys:
        return None
    figure = new_figure(LINE * (len(keys) + 1) + 20)
    axes = figure.add_subplot()
    axes.set(xlim=(-0.06, 1.06), ylim=(len(keys) + 0.4, -0.62))
    axes.axis("off")
    places = {
        key: _draw_axis(axes, [row.setting(key) for row, _ in scored], key, line) for line, key in enumerate(keys)
    }
    scores = [score for _, score in scored]
    ends = _draw_metric(axes, sweep, scores, len(keys))
    chosen = set(map(id, sweep.winner.group.finished)) if sweep.winner else set()
    # The best runs are drawn last, on top of the others.
    for row, score in sorted(scored, key=lambda pair: -sweep.metric.order(pair[1])):
        across = [places[key][row.setting(key)] for key in keys] + [_between(score, ends)]
        _draw_run(axes, across, _opacity(sweep, score, scores), is_best=id(row) in chosen)
    left_out = len(sweep.keys) - len(keys)
    return DrawnFigure(
        name="parallel",
        title="All finished runs",
        alt=(
            f"Parallel coordinates of {format_count(len(scored), 'finished run')} over {', '.join(keys)} and "
            f"{sweep.metric.words}, {format_number(min(scores))} to {format_number(max(scores))}. {_of_winner(sweep)}"
        ),
        caption=(
            f"Each line is a finished run, from its settings at the top to its {sweep.metric.words} at the bottom "
            "(better to the right). Deeper blue is better; the thick dashed orange line is the winner."
            + (f" Left out: {format_count(left_out, 'key')} with smaller effects." if left_out else "")
        ),
        figure=figure,
    )


def _keys(sweep: Sweep) -> list[str]:
    """Return the swept keys in their order; if there are many, those with the largest effects."""
    widest = set(most_influential_keys(sweep)[:MOST_KEYS])
    return [key for key in sweep.keys if key in widest]


def _draw_axis(axes: Axes, values: list[Value], key: str, line: int) -> dict[Value, float]:
    """Draw the axis of one key and return the position of each value."""
    found = sort_values(values)
    numbers = [value for value in found if isinstance(value, int | float)]
    is_by_size = len(found) > MOST_VALUES and len(numbers) == len(found)
    places = _by_size(numbers) if is_by_size else _evenly(found)
    axes.plot([0, 1], [line, line], color=MUTED, linewidth=0.9, zorder=1)
    axes.text(-0.05, line - 0.34, shorten(key, 44), weight="bold", size=10, va="center", zorder=4, bbox=_paper())
    named = [found[0], found[-1]] if is_by_size else _that_fit(found)
    for value in named:
        axes.plot(places[value], line, "|", color=MUTED, markersize=7, zorder=1)
        side = (
            "center" if 0.02 < places[value] < 0.98 or len(named) == 1 else "left" if places[value] < 0.5 else "right"
        )
        axes.text(
            places[value],
            line + 0.22,
            shorten(format_setting(value), 16),
            size=9,
            ha=side,
            va="center",
            zorder=4,
            bbox=_paper(),
        )
    return places


def _that_fit(found: list[Value]) -> list[Value]:
    """Return as many values as fit beside each other, always with the first and the last."""
    longest = max(min(16, len(format_setting(value))) for value in found)
    step = math.ceil(len(found) * (longest + 2) / 60)
    return found if step == 1 else [*found[: -max(1, step // 2) - 1 : step], found[-1]]


def _evenly(found: list[Value]) -> dict[Value, float]:
    steps = max(1, len(found) - 1)
    return {value: place / steps if len(found) > 1 else 0.5 for place, value in enumerate(found)}


def _by_size(numbers: list[int | float]) -> dict[Value, float]:
    """Place values by size, or by their logarithm if the largest is a hundred times the smallest."""
    is_wide = numbers[0] > 0 and numbers[-1] / numbers[0] >= 100
    sizes = [math.log(value) if is_wide else float(value) for value in numbers]
    return {value: _between(size, (sizes[0], sizes[-1])) for value, size in zip(numbers, sizes, strict=True)}


def _draw_metric(axes: Axes, sweep: Sweep, scores: list[float], line: int) -> tuple[float, float]:
    """Draw the axis of the metric, better to the right, and return its worst and best end."""
    worst, best = sorted((min(scores), max(scores)), key=lambda score: -sweep.metric.order(score))
    axes.plot([0, 1], [line, line], color=MUTED, linewidth=0.9, zorder=1)
    name = f"{sweep.metric.words} (better to the right)"
    axes.text(-0.05, line - 0.34, name, weight="bold", size=10, va="center", zorder=4, bbox=_paper())
    for end, place, side in ((worst, 0, "left"), (best, 1, "right")):
        axes.text(place, line + 0.22, format_number(end), size=9, ha=side, va="center", zorder=4, bbox=_paper())
    return worst, best


def _draw_run(axes: Axes, across: list[float], opacity: float, *, is_best: bool) -> None:
    down = list(range(len(across)))
    if is_best:
        axes.plot(across, down, color=ORANGE, linewidth=2.6, linestyle=(0, (6, 2)), zorder=3)
        axes.plot(across, down, "o", color=ORANGE, markersize=5, zorder=3)
    else:
        axes.plot(across, down, color=BLUE, linewidth=1.3, alpha=opacity, zorder=2)


def _opacity(sweep: Sweep, score: float, scores: list[float]) -> float:
    """Return a higher opacity for better runs; among many runs all but the best are faint."""
    order = [sweep.metric.order(value) for value in scores]
    share = _between(sweep.metric.order(score), (max(order), min(order)))
    return 0.12 + 0.78 * share ** (1 if len(scores) <= 20 else 3)


def _between(value: float, ends: tuple[float, float]) -> float:
    """Return the position of a value between two ends, from 0 to 1; 0.5 if the ends are equal."""
    return 0.5 if ends[0] == ends[1] else (value - ends[0]) / (ends[1] - ends[0])


def _paper() -> dict[str, object]:
    return {"facecolor": PAPER, "edgecolor": "none", "pad": 1}


def _of_winner(sweep: Sweep) -> str:
    return f"The winner: {sweep.winner.group.label}." if sweep.winner else "There is no winner."
