"""Figures of an explanation: the codes with the largest effects, and one subject over time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from survlstm.evaluation.results import Estimate
from survlstm.report.figures.canvas import BLUE, INK, ORANGE, PAPER, RULE, DrawnFigure, new_figure
from survlstm.report.formatting import format_count, format_number, format_signed

# Characters that fit across a figure in the widest font, and those that fit beside a number.
LONGEST_LABEL, LONGEST_BESIDE = 58, 42
MOST_COLUMNS = 60
PLANTED = "\N{BLACK DIAMOND} "


class ImportanceBar(NamedTuple):
    """Importance of a code by one method.

    Attributes:
        importance: Mean absolute effect on the log-odds, with its interval.
        effect: Mean effect on the log-odds of the subjects with the code; its sign is the direction.
    """

    importance: Estimate
    effect: float


class CodeLine(NamedTuple):
    """A code in the figure of the cohort.

    Attributes:
        label: Name of the code.
        is_planted: Whether the outcome was drawn from this code.
        bars: Its importance by each method.
    """

    label: str
    is_planted: bool
    bars: tuple[ImportanceBar, ImportanceBar]


class CodeStrip(NamedTuple):
    """A code in the figure of one subject.

    Attributes:
        label: Name of the code.
        is_planted: Whether the outcome was drawn from this code.
        attribution: Attribution at each visit; 0 where the code is absent.
    """

    label: str
    is_planted: bool
    attribution: Float[np.ndarray, " visit"]


def draw_codes(lines: tuple[CodeLine, ...], methods: tuple[str, str]) -> DrawnFigure:
    """Draw the importance of codes by two methods side by side, with triangles for the direction of the effect.

    Args:
        lines: The codes, the most important one first.
        methods: Names of the two methods.

    Returns:
        The figure.
    """
    figure = new_figure(36 * len(lines) + 62)
    panels = figure.subplots(1, 2, sharey=True)
    for panel, (axes, method) in enumerate(zip(panels, methods, strict=True)):
        ends = [value for line in lines for value in line.bars[panel].importance.interval or (0.0,)]
        most = max([*ends, *(line.bars[panel].importance.value for line in lines), 1e-12])
        axes.set(xlim=(0, 1.06 * most), ylim=(len(lines) - 0.6, -0.65), yticks=[], title=method)
        axes.set_xlabel("importance (log-odds)")
        axes.title.set(fontsize=11, fontweight="bold")
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.patch.set_visible(False)
        axes.spines["left"].set_visible(False)
        for position, line in enumerate(lines):
            _draw_bar(axes, line.bars[panel], position)
    for position, line in enumerate(lines):
        # The labels belong to the panel that is drawn last, because its grid would otherwise cross them.
        text = _label(panels[1], line.label, position - 0.36, LONGEST_LABEL, is_planted=line.is_planted)
        text.set(transform=panels[0].get_yaxis_transform(), bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5})
    effects = "; ".join(
        f"{_marked(line.label, line.is_planted)} "
        f"{format_signed(line.bars[0].effect)} and {format_signed(line.bars[1].effect)}"
        for line in lines
    )
    return DrawnFigure(
        name="explanation_codes",
        title="The codes that move the predicted hazard most",
        alt=f"Mean effect on the log-odds of the event by {methods[0]} and by {methods[1]}: {effects}.",
        caption=(
            "Mean absolute effect on the log-odds of the event over all explained subjects, with 0 for a subject "
            "without the code; bars contain 95 % of the resamples of subjects. Upward triangle, orange: on average the "
            "code raises the risk of the subjects that have it; downward, blue: it lowers the risk. The two methods "
            "have different scales. Codes are ordered by the mean of both ranks."
            + (" Diamond, bold: the outcome was drawn from this code." if any(x.is_planted for x in lines) else "")
        ),
        figure=figure,
    )


def draw_subject(
    days: Float[np.ndarray, " visit"], log_odds: Float[np.ndarray, " visit"], strips: tuple[CodeStrip, ...]
) -> DrawnFigure:
    """Draw the log-odds of one subject after each visit, and the attributions of the log-odds after the last visit.

    More than ``MOST_COLUMNS`` visits are drawn in groups of consecutive visits.

    Args:
        days: Days from the first visit.
        log_odds: Log-odds of the event after each visit.
        strips: Codes with their attributions.

    Returns:
        The figure.
    """
    group = _groups(len(days))
    columns = int(group[-1]) + 1
    last_of = np.searchsorted(group, np.arange(columns), side="right") - 1
    cells = [np.bincount(group, weights=strip.attribution) for strip in strips]
    deepest = max([float(np.abs(values).max()) for values in cells] + [1e-12])
    figure = new_figure(36 * len(strips) + 178)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[120, 36 * max(len(strips), 1)])
    upper.plot(np.arange(columns), log_odds[last_of], color=INK, marker="o" if columns <= 30 else "", markersize=4)
    upper.set_ylabel("log-odds\nof the event")
    upper.grid(axis="y")
    upper.set_axisbelow(True)
    upper.yaxis.set_major_locator(MaxNLocator(4))
    upper.tick_params(axis="x", length=0)
    lower.set(xlim=(-0.6, columns - 0.4), ylim=(max(len(strips), 1) - 0.45, -0.55), yticks=[])
    lower.spines["left"].set_visible(False)
    for position, (strip, values) in enumerate(zip(strips, cells, strict=True)):
        _label(lower, strip.label, position - 0.32, LONGEST_BESIDE, is_planted=strip.is_planted)
        total = format_signed(float(strip.attribution.sum()))
        lower.text(
            1.0, position - 0.32, total, size=9.5, ha="right", va="center", transform=lower.get_yaxis_transform()
        )
        _draw_strip(lower, values, position, deepest)
    labelled = np.unique(np.linspace(0, columns - 1, min(columns, 3)).round().astype(int))
    lower.set_xticks(labelled, [f"day {days[last_of[column]]:,.0f}" for column in labelled])
    return DrawnFigure(
        name="explanation_subject",
        title="One subject over time",
        alt=(
            f"Log-odds of the event from {format_number(float(log_odds[0]))} after the first of "
            f"{format_count(len(days), 'visit')} "
            f"to {format_number(float(log_odds[-1]))} after the last. Attributions of codes to the last: "
            + "; ".join(f"{x.label} {format_signed(float(x.attribution.sum()))}" for x in strips)
            + "."
        ),
        caption=_subject_caption(len(days), columns, deepest),
        figure=figure,
    )


def _draw_bar(axes: Axes, bar: ImportanceBar, position: int) -> None:
    colour, marker = (ORANGE, "^") if bar.effect >= 0 else (BLUE, "v")
    if bar.importance.interval:
        low, high = bar.importance.interval
        axes.plot([low, high], [position, position], color=colour, linewidth=2.2, solid_capstyle="butt")
    axes.plot(bar.importance.value, position, color=colour, marker=marker, markersize=8, clip_on=False)


def _draw_strip(axes: Axes, values: Float[np.ndarray, " column"], position: int, deepest: float) -> None:
    tall = 0.42
    for column in np.flatnonzero(values):
        size = abs(float(values[column])) / deepest
        colour = ORANGE if values[column] > 0 else BLUE
        corner = (column - 0.46, position - 0.02)
        axes.add_patch(Rectangle(corner, 0.92, tall, linewidth=0, facecolor=colour, alpha=0.12 + 0.88 * size))
    axes.add_patch(
        Rectangle((-0.5, position - 0.02), len(values), tall, linewidth=0.8, facecolor="none", edgecolor=RULE)
    )


def _label(axes: Axes, label: str, down: float, longest: int, *, is_planted: bool) -> Text:
    text = axes.text(
        0.0,
        down,
        _shortened(_marked(label, is_planted), longest),
        size=9.5,
        va="center",
        weight="bold" if is_planted else "normal",
        transform=axes.get_yaxis_transform(),
    )
    # The text extends across both panels and must not widen the first one.
    text.set_in_layout(False)
    return text


def _marked(label: str, is_planted: bool) -> str:
    return PLANTED + label if is_planted else label


def _shortened(label: str, longest: int) -> str:
    return label if len(label) <= longest else label[: longest - 1].rstrip() + "…"


def _groups(visits: int) -> np.ndarray:
    """Return the column of each visit; consecutive visits share one if there are more than ``MOST_COLUMNS``."""
    size = -(-visits // MOST_COLUMNS)
    return np.arange(visits) // size


def _subject_caption(visits: int, columns: int, deepest: float) -> str:
    each = "visit" if columns == visits else f"group of {-(-visits // MOST_COLUMNS)} consecutive visits"
    return (
        f"Above: the log-odds of the event after each {each}, from this and all earlier visits. Below: the attribution "
        "of each code to the log-odds after the last visit, by integrated gradients, at the visits that record it. "
        f"Orange raises and blue lowers the log-odds; the deepest cell is {format_number(deepest)}; the sum is on the "
        "right. Columns have equal distances, whatever the time between them; days count from the first visit that "
        "the model reads."
    )
