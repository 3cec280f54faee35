"""Survival curves from a landmark: three example subjects, and risk groups with their Kaplan-Meier curves."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from survlstm.evaluation.results import Curves
from survlstm.report.figures.canvas import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    PAPER,
    PURPLE,
    DrawnFigure,
    legend_above,
    new_axes,
    new_figure,
)
from survlstm.report.formatting import format_number, format_since, format_time, starts_at_prediction_times

# Lines differ in colour, dashes and marker.
LOOKS = ((BLUE, "-", "o"), (PURPLE, (0, (6, 2)), "s"), (ORANGE, (0, (2, 1.5)), "^"))
# With more points than this the markers would merge into a thick line.
MOST_MARKERS = 25


def draw_examples(curves: Curves, *, name: str) -> DrawnFigure | None:
    """Draw the predicted survival of example subjects and mark their event or end of follow-up.

    Args:
        curves: Curves from one landmark.
        name: Stem of the files.

    Returns:
        The figure; None if there are no example subjects.
    """
    if not curves.example_name or not len(curves.time):
        return None
    figure, axes = new_axes(320)
    time_from_0, last = np.concatenate([[0.0], curves.time]), float(curves.time[-1])
    for number, example in enumerate(curves.example_name):
        colour, dashes, _ = LOOKS[number % len(LOOKS)]
        survival = np.concatenate([[1.0], curves.example_survival[number]])
        axes.plot(time_from_0, survival, color=colour, linestyle=dashes, label=example)
        duration = curves.example_duration[number]
        at = float(np.interp(min(duration, last), time_from_0, survival))
        _mark_end(
            axes,
            min(duration, last),
            at,
            colour,
            event=curves.example_event[number],
            is_followed_further=duration > last,
        )
    _covariate_free(axes, curves)
    axes.plot([], [], "X", color=INK, markersize=9, label="event")
    axes.plot([], [], "o", color=INK, markerfacecolor=PAPER, markersize=8, mew=1.8, label="end of follow-up")
    axes.plot([], [], ">", color=INK, markersize=8, label="followed further")
    _time_axes(axes, curves)
    legend_above(figure, axes, 2)
    ends = "; ".join(
        f"{example}: {_end(duration, event=event, unit=curves.unit)}"
        for example, duration, event in zip(
            curves.example_name, curves.example_duration, curves.example_event, strict=True
        )
    )
    finals = ", ".join(
        f"{example} {format_number(curve[-1], 2)}"
        for example, curve in zip(curves.example_name, curves.example_survival, strict=True)
    )
    by_times = starts_at_prediction_times(curves.landmark, curves.unit)
    three = "Three predictions" if by_times else "Three subjects"
    known = "at one prediction time of one subject" if by_times else "of one subject at the landmark"
    return DrawnFigure(
        name=name,
        title=f"{three} {format_since(curves.landmark)}",
        alt=f"Predicted survival of {three.lower()} up to {format_time(last, curves.unit)}: {finals}. {ends}.",
        caption=(
            f"Predicted probability of no event; each curve uses what was known {known}. "
            f"Marks show the observed follow-up ({ends}). The dotted grey line is the covariate-free hazard, the same "
            "for every subject. A useful model spreads the curves; one "
            f"{'prediction' if by_times else 'subject'} proves nothing."
        ),
        figure=figure,
    )


def _mark_end(
    axes: Axes, at_time: float, survival: float, colour: str, *, event: bool, is_followed_further: bool
) -> None:
    marker = ">" if is_followed_further else ("X" if event else "o")
    filling = PAPER if marker == "o" else colour
    size = 9 if marker == "X" else 8
    axes.plot(
        at_time,
        survival,
        marker,
        color=colour,
        markersize=size,
        markerfacecolor=filling,
        mew=1.8,
        clip_on=False,
        zorder=5,
    )


def _end(duration: float, *, event: bool, unit: str) -> str:
    # In steps, the duration of a censored subject ends half a step after the last step that it survived.
    return (
        f"event at {format_time(round(duration), unit)}"
        if event
        else f"no event for {format_time(math.floor(duration), unit)}"
    )


def draw_groups(curves: Curves, *, name: str) -> DrawnFigure | None:
    """Draw the mean predicted survival and the Kaplan-Meier curve of each risk group.

    Args:
        curves: Curves from one landmark.
        name: Stem of the files.

    Returns:
        The figure; None if there are no groups.
    """
    if not curves.group_name or not len(curves.time):
        return None
    groups = len(curves.group_name)
    figure = new_figure(330 + 17 * groups)
    axes, table = figure.subplots(2, 1, height_ratios=[12, 1 + groups])
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    draw_group_lines(axes, curves)
    _numbers_at_risk(table, curves)
    legend_above(figure, axes, 2)
    values = "; ".join(
        f"{group} predicted {format_number(predicted[-1], 2)}, observed {format_number(observed[-1], 2)}"
        for group, predicted, observed in zip(
            curves.group_name, curves.group_survival, curves.group_observed, strict=True
        )
    )
    return DrawnFigure(
        name=name,
        title=f"Risk groups {format_since(curves.landmark)}, predicted and observed",
        alt=f"Survival of {groups} risk groups at {format_time(float(curves.time[-1]), curves.unit)}: {values}.",
        caption=(
            f"Thirds of the {_counted(curves)} by predicted risk: mean predicted survival (solid, filled markers) and "
            "observed "
            "survival (Kaplan-Meier; dashed steps, open markers, confidence band). Groups that lie apart show "
            "discrimination; solid lines within the bands show calibration. A dashed line ends with the follow-up of "
            f"its group. Below: numbers at risk.{_repeated(curves)}"
        ),
        figure=figure,
    )


def _counted(curves: Curves) -> str:
    return "prediction times" if starts_at_prediction_times(curves.landmark, curves.unit) else "subjects"


def _repeated(curves: Curves) -> str:
    """Return a sentence on the bands of subjects with several prediction times; "" on the other clocks."""
    if not starts_at_prediction_times(curves.landmark, curves.unit):
        return ""
    return (
        " Where a subject has several prediction times, each of them counts; the bands are as wide as if each subject "
        "had one."
    )


def draw_group_lines(axes: Axes, curves: Curves) -> None:
    """Draw the predicted and the observed curve of each risk group on given axes, without a legend.

    Args:
        axes: The axes, which get the scale and the labels of the curves.
        curves: Curves from one landmark, with at least one group.
    """
    # All predicted curves come before the observed ones, so that each kind has a column in the legend.
    time_from_0, every = np.concatenate([[0.0], curves.time]), max(1, len(curves.time) // 8)
    for number, group in enumerate(curves.group_name):
        colour, _, marker = LOOKS[number % len(LOOKS)]
        predicted = np.concatenate([[1.0], curves.group_survival[number]])
        (line,) = axes.plot(time_from_0, predicted, color=colour, label=f"{group}, predicted")
        line.set(marker=marker, markevery=every, markersize=6)
    for number, group in enumerate(curves.group_name):
        colour, _, marker = LOOKS[number % len(LOOKS)]
        observed, low, high = (
            np.concatenate([[1.0], values[number]])
            for values in (curves.group_observed, curves.group_low, curves.group_high)
        )
        # Without the selection the last step would extend to the first time after the follow-up.
        followed = np.isfinite(observed)
        (line,) = axes.step(time_from_0[followed], observed[followed], where="post", color=colour)
        line.set(linestyle=(0, (4, 2)), label=f"{group}, observed")
        line.set(marker=marker, markevery=every, markersize=6, markerfacecolor=PAPER)
        axes.fill_between(time_from_0, low, high, step="post", color=colour, alpha=0.14, linewidth=0)
    _time_axes(axes, curves)


def _numbers_at_risk(table: Axes, curves: Curves) -> None:
    groups = range(len(curves.group_name))
    table.set(xlim=(0, float(curves.time[-1]) * 1.02), ylim=(len(groups) - 0.4, -1.4), xticks=[])
    table.spines[:].set_visible(False)
    table.set_yticks([-0.9, *groups], ["at risk", *curves.group_name])
    table.tick_params(axis="y", length=0, labelsize=9)
    shown = _spread(curves.time, 5)
    for number in groups:
        table.get_yticklabels()[number + 1].set_color(LOOKS[number % len(LOOKS)][0])
        for column in shown:
            at_risk = f"{int(curves.group_at_risk[number, column]):,}"
            table.text(curves.time[column], number, at_risk, ha="center", va="center_baseline", fontsize=9)


def _spread(times: np.ndarray, most: int) -> list[int]:
    """Choose up to ``most`` indices, the last one included, about evenly spaced in time and never crowded."""
    gap, chosen = times[-1] / most, [len(times) - 1]
    for target in np.arange(most - 1, 0, -1) * gap:
        nearest = int(np.abs(times - target).argmin())
        if times[chosen[-1]] - times[nearest] > 0.75 * gap and times[nearest] > 0.5 * gap:
            chosen.append(nearest)
    return chosen[::-1]


def _covariate_free(axes: Axes, curves: Curves) -> None:
    average = np.concatenate([[1.0], curves.covariate_free])
    axes.plot(
        np.concatenate([[0.0], curves.time]), average, color=MUTED, linestyle=":", linewidth=1.5, label="covariate-free"
    )


def _time_axes(axes: Axes, curves: Curves) -> None:
    last = float(curves.time[-1])
    axes.set(xlim=(0, last * 1.02), ylim=(0, 1.03), ylabel="probability of no event")
    start = "prediction time" if starts_at_prediction_times(curves.landmark, curves.unit) else "landmark"
    axes.set_xlabel(f"{curves.unit} from the {start}")
    ticks = [0.0, *(float(curves.time[column]) for column in _spread(curves.time, 5))]
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
