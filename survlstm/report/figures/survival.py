"""Predicted survival curves of single subjects and of risk groups."""

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

# More lines than this cannot be told apart in one figure.
MOST_LINES = 8
MOST_MARKERS = 12
# Heights of the axis of S below 1. The smallest one that fits is taken, because curves of low risks would otherwise
# merge into one line at the top; if none fits, the axis begins at 0.
HEIGHTS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)


class _Look(NamedTuple):
    """Look of a line. No two lines share dashes, marker and filling, so that they differ without colours as well."""

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
    """Prediction for one subject.

    Attributes:
        name: Name on the page, which is not the id.
        chosen_as: Why the subject is shown; empty if it was requested.
        risk: Probability of the event by the end of the grid.
        percentile: Percentile of the risk among the training subjects, 0 to 100.
        visits: Number of visits read.
        entries: Number of codes in them.
        entries_unknown: Number of these codes that the vocabulary lacks.
        at_horizons: Survival at the horizons of the table.
        survival: Survival at the times of the grid.
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
    """Predictions for a risk group.

    Attributes:
        name: Name of the group.
        subjects: Number of subjects.
        mean: Mean survival at the times of the grid.
        low: 10 % quantile of the survival of its subjects.
        high: 90 % quantile.
    """

    name: str
    subjects: int
    mean: Float64[np.ndarray, " horizon"]
    low: Float64[np.ndarray, " horizon"]
    high: Float64[np.ndarray, " horizon"]


@dataclass(frozen=True)
class TimeGrid:
    """Times of the curves.

    Attributes:
        grid: The times, without 0.
        unit: Unit of the times.
        start: What time 0 of days is: the landmark, or on the days clock the prediction time.
    """

    grid: Float64[np.ndarray, " horizon"]
    unit: Literal["visits", "days"]
    start: Literal["landmark", "prediction time"] = "landmark"

    @property
    def at_start(self) -> str:
        """Time 0, as in "at the landmark"."""
        return "at the last visit read" if self.unit == "visits" else f"at the {self.start}"

    @property
    def after_start(self) -> str:
        """Unit of the times with their start, as in "days after the landmark"."""
        return "visits after the last one read" if self.unit == "visits" else f"days after the {self.start}"

    @property
    def last(self) -> float:
        """End of the curves."""
        return float(self.grid[-1])


def draw_subjects(subjects: Sequence[SubjectCurve], times: TimeGrid) -> list[DrawnFigure]:
    """Draw the survival curves of subjects, the lowest risk first.

    Args:
        subjects: The subjects.
        times: Times of the curves.

    Returns:
        One figure for every ``MOST_LINES`` subjects.
    """
    ordered = sorted(subjects, key=lambda subject: subject.risk)
    parts = [ordered[start : start + MOST_LINES] for start in range(0, len(ordered), MOST_LINES)]
    return [_draw_part(part, times, number, len(parts)) for number, part in enumerate(parts, start=1)]


def _draw_part(subjects: list[SubjectCurve], times: TimeGrid, number: int, parts: int) -> DrawnFigure:
    figure, axes = new_axes(300 + 17 * len(subjects))
    for look, subject in zip(LOOKS, subjects, strict=False):
        _line(axes, times, subject.survival, look, _legend_entry(subject))
    lowest = _axes(axes, times, min(float(subject.survival.min()) for subject in subjects))
    legend_above(figure, axes, 1)
    values = "; ".join(f"{subject.name} {format_number(float(subject.survival[-1]), 2)}" for subject in subjects)
    title = "Survival of one subject" if len(subjects) == 1 else f"Survival of {len(subjects)} subjects"
    return DrawnFigure(
        name="survival_subjects" if number == 1 else f"survival_subjects_{number}",
        title=title + (f", {number} of {parts}" if parts > 1 else ""),
        alt=f"Predicted probability of no event by {format_time(times.last, times.unit)}: {values}.",
        caption=(
            "Each curve is predicted from what is known of one subject and starts at 1 "
            f"{times.at_start}. The lowest risk comes first.{_axis_note(lowest)}"
        ),
        figure=figure,
    )


def draw_risk_groups(groups: Sequence[GroupCurve], times: TimeGrid) -> DrawnFigure:
    """Draw the mean curve of every group with subjects, and the band of the middle 80 % of them.

    Args:
        groups: The groups.
        times: Times of the curves.

    Returns:
        The figure.
    """
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
    values = "; ".join(
        f"{group.name} {format_number(float(group.mean[-1]), 2)} "
        f"({format_number(float(group.low[-1]), 2)} to {format_number(float(group.high[-1]), 2)})"
        for _, group in drawn
    )
    missing = [group.name for group in groups if not group.subjects]
    return DrawnFigure(
        name="survival_groups",
        title="Survival by risk group",
        alt=f"Mean predicted probability of no event by {format_time(times.last, times.unit)}, "
        f"and its middle 80 %: {values}.",
        caption=(
            "Groups are thirds of the training distribution of risk, so that their sizes can differ here. The line is "
            "the mean of the predicted curves; the band, between thin lines, contains the middle 80 % of the subjects "
            "of the group (10 % lie below it, 10 % above). It shows the spread of predictions, not the uncertainty of "
            "the mean." + (f" Groups without a subject: {', '.join(missing)}." if missing else "") + _axis_note(lowest)
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
    """Set the scales and return the start of the axis of S."""
    begins = next((1 - height for height in HEIGHTS if 1 - lowest <= 0.95 * height), 0.0)
    top = 1 + 0.03 * (1 - begins)
    axes.set(xlim=(0, times.last * 1.02), ylim=(begins, top), ylabel="probability of no event")
    axes.set_xlabel(times.after_start)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=times.unit == "visits", steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return begins


def _axis_note(begins: float) -> str:
    return f" The axis begins at {begins:g}, not at 0." if begins > 0 else ""
