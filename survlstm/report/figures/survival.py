"""Predicted survival → the curves of single subjects, and the spread of risk groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from survlstm.report.figures.canvas import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PAPER,
    PURPLE,
    DrawnFigure,
    legend_above,
    new_axes,
)
from survlstm.report.formatting import format_number, format_time

# More lines than these can't be told apart on one figure.
MOST_LINES = 8
MOST_MARKERS = 12
# An axis of S shows so much below 1, or all: else curves of a low risk would be one line at the top.
ROOMS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
STARTS = {"visits": "at the last visit read", "days": "at the landmark"}
UNITS = {"visits": "visits after the last one read", "days": "days after the landmark"}


class _Look(NamedTuple):
    """No two lines share dashes, marker and filling: without colours they differ too."""

    colour: str
    dashes: str | tuple[float, tuple[float, ...]]
    marker: str
    is_filled: bool


LOOKS = (
    _Look(BLUE, "-", "o", True),
    _Look(ORANGE, (0, (6, 2)), "s", True),
    _Look(GREEN, (0, (2, 1.5)), "^", True),
    _Look(PURPLE, (0, (7, 2, 1.5, 2)), "D", True),
    _Look(INK, "-", "v", False),
    _Look(BLUE, (0, (6, 2)), "X", False),
    _Look(ORANGE, (0, (2, 1.5)), "P", False),
    _Look(GREEN, (0, (7, 2, 1.5, 2)), "o", False),
)


@dataclass(frozen=True)
class SubjectCurve:
    """One subject's prediction: ``survival`` is S at the grid, ``at_horizons`` at the horizons that tables show.

    ``name`` is what a page may call the subject: no id. ``chosen_as`` is empty where the subject was asked for;
    ``percentile`` counts 0 to 100 among the training subjects.
    """

    name: str
    chosen_as: str
    risk: float
    percentile: float
    visits: int
    entries: int
    entries_unknown: int
    at_horizons: tuple[float, ...]
    survival: Float64[np.ndarray, " horizon"]


@dataclass(frozen=True)
class GroupCurve:
    """Mean S of a risk group at the grid, and the middle 80 % of its subjects from ``low`` to ``high``."""

    name: str
    subjects: int
    mean: Float64[np.ndarray, " horizon"]
    low: Float64[np.ndarray, " horizon"]
    high: Float64[np.ndarray, " horizon"]


@dataclass(frozen=True)
class TimeGrid:
    """The grid of the curves, 0 not among its times, and what it counts."""

    grid: Float64[np.ndarray, " horizon"]
    unit: Literal["visits", "days"]

    @property
    def last(self) -> float:
        """Where the curves end."""
        return float(self.grid[-1])


def draw_subjects(subjects: Sequence[SubjectCurve], times: TimeGrid) -> list[DrawnFigure]:
    """S(t) of the subjects, the lowest risk first; a figure for each ``MOST_LINES`` of them."""
    ordered = sorted(subjects, key=lambda subject: subject.risk)
    parts = [ordered[start : start + MOST_LINES] for start in range(0, len(ordered), MOST_LINES)]
    return [_draw_some(part, times, place, len(parts)) for place, part in enumerate(parts, start=1)]


def _draw_some(subjects: list[SubjectCurve], times: TimeGrid, place: int, places: int) -> DrawnFigure:
    figure, axes = new_axes(300 + 17 * len(subjects))
    for look, subject in zip(LOOKS, subjects, strict=False):
        _line(axes, times, subject.survival, look, _legend_entry(subject))
    lowest = _axes(axes, times, min(float(subject.survival.min()) for subject in subjects))
    legend_above(figure, axes, 1)
    said = "; ".join(f"{subject.name} {format_number(float(subject.survival[-1]), 2)}" for subject in subjects)
    what = "Survival of one subject" if len(subjects) == 1 else f"Survival of {len(subjects)} subjects"
    return DrawnFigure(
        name="survival_subjects" if place == 1 else f"survival_subjects_{place}",
        title=what + (f", {place} of {places}" if places > 1 else ""),
        alt=f"Predicted probability of no event by {format_time(times.last, times.unit)}: {said}.",
        caption=(
            "Each curve is predicted from what is known of one subject, and starts at 1 "
            f"{STARTS[times.unit]}. The lowest risk stands first.{_cut(lowest)}"
        ),
        figure=figure,
    )


def draw_risk_groups(groups: Sequence[GroupCurve], times: TimeGrid) -> DrawnFigure:
    """The mean curve of every group that has a subject, and the band that holds the middle 80 % of them."""
    figure, axes = new_axes(340)
    drawn = [(look, group) for look, group in zip(LOOKS, groups, strict=False) if group.subjects]
    for look, group in drawn:
        size = "1 subject" if group.subjects == 1 else f"{group.subjects:,} subjects"
        _line(axes, times, group.mean, look, f"{group.name}, {size}")
        low, high = _from_0(group.low), _from_0(group.high)
        axes.fill_between([0, *times.grid], low, high, color=look.colour, alpha=0.13, linewidth=0)
        for edge in (low, high):
            axes.plot([0, *times.grid], edge, color=look.colour, linestyle=look.dashes, linewidth=0.7)
    lowest = _axes(axes, times, min(float(group.low.min()) for _, group in drawn))
    legend_above(figure, axes, 1)
    said = "; ".join(
        f"{group.name} {format_number(float(group.mean[-1]), 2)} "
        f"({format_number(float(group.low[-1]), 2)} to {format_number(float(group.high[-1]), 2)})"
        for _, group in drawn
    )
    missing = [group.name for group in groups if not group.subjects]
    return DrawnFigure(
        name="survival_groups",
        title="Survival by risk group",
        alt=f"Mean predicted probability of no event by {format_time(times.last, times.unit)}, "
        f"and its middle 80 %: {said}.",
        caption=(
            "Groups are thirds of the training distribution of risk, so they need not be equally large here. Mean of "
            "the predicted curves; the band, between thin lines, holds the middle 80 % of the group's subjects (10 % "
            "lie below it, 10 % above): the spread of predictions, not the certainty of a mean."
            + (f" Nobody is in: {', '.join(missing)}." if missing else "")
            + _cut(lowest)
        ),
        figure=figure,
    )


def _line(axes: Axes, times: TimeGrid, survival: np.ndarray, look: _Look, label: str) -> None:
    axes.plot(
        [0, *times.grid],
        _from_0(survival),
        color=look.colour,
        linestyle=look.dashes,
        marker=look.marker,
        markersize=6,
        markerfacecolor=look.colour if look.is_filled else PAPER,
        markevery=max(1, -(-len(times.grid) // MOST_MARKERS)),
        label=label,
        zorder=3,
    )


def _legend_entry(subject: SubjectCurve) -> str:
    return f"{subject.name}: risk {format_number(subject.risk)}, percentile {subject.percentile:.0f}"


def _from_0(survival: np.ndarray) -> np.ndarray:
    return np.concatenate([[1.0], survival])


def _axes(axes: Axes, times: TimeGrid, lowest: float) -> float:
    """The scales; returns where the one of S begins."""
    begins = next((1 - room for room in ROOMS if 1 - lowest <= 0.95 * room), 0.0)
    top = 1 + 0.03 * (1 - begins)
    axes.set(xlim=(0, times.last * 1.02), ylim=(begins, top), ylabel="probability of no event")
    axes.set_xlabel(UNITS[times.unit])
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=times.unit == "visits", steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return begins


def _cut(begins: float) -> str:
    return f" The axis begins at {begins:g}, not at 0." if begins > 0 else ""
