"""Calibration plot: predicted against observed risk at one horizon."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from survlstm.evaluation.results import Calibration
from survlstm.report.figures.canvas import BLUE, INK, PAPER, DrawnFigure, new_figure
from survlstm.report.formatting import (
    format_number,
    format_p_value,
    format_since,
    format_time,
    starts_at_prediction_times,
)


def draw_calibration(calibration: Calibration, *, landmark: str, unit: str, name: str) -> DrawnFigure | None:
    """Draw the predicted against the observed risk of groups of subjects.

    Args:
        calibration: Calibration at one horizon.
        landmark: Name of the landmark.
        unit: Unit of the horizon.
        name: Stem of the files.

    Returns:
        The figure; None if there are no groups.
    """
    if not calibration.predicted:
        return None
    predicted, observed = calibration.predicted, calibration.observed
    # Narrow, so that three fit in a row without small print.
    figure = new_figure(290, 300)
    draw_calibration_groups(figure.add_subplot(), calibration, unit=unit)
    horizon = format_time(calibration.horizon, unit)
    what = "prediction times" if starts_at_prediction_times(landmark, unit) else "subjects"
    pairs = ", ".join(
        f"{format_number(x, 2)} and {format_number(y, 2)}" for x, y in zip(predicted, observed, strict=True)
    )
    return DrawnFigure(
        name=name,
        title=f"Calibration {format_since(landmark)} by {horizon}",
        alt=f"Predicted and observed risk by {horizon} in {len(predicted)} groups: {pairs}.",
        caption=_caption(calibration, int(np.isnan(calibration.low).sum()), what),
        figure=figure,
    )


def draw_calibration_groups(axes: Axes, calibration: Calibration, *, unit: str) -> None:
    """Draw the predicted against the observed risk of groups of subjects on given axes, without a legend.

    Args:
        axes: The axes, which get equal scales and labels.
        calibration: Calibration at one horizon, with at least one group.
        unit: Unit of the horizon.
    """
    predicted, observed = np.array(calibration.predicted), np.array(calibration.observed)
    low, high = np.array(calibration.low), np.array(calibration.high)
    end = min(1.0, 1.08 * float(np.nanmax([*predicted, *observed, *high, 0.05])))
    axes.set(aspect="equal", xlim=(-0.02 * end, end), ylim=(-0.02 * end, end))
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.plot([0, end], [0, end], color=INK, linewidth=1, linestyle=(0, (4, 3)), label="perfect calibration")
    axes.vlines(predicted, low, high, color=BLUE, linewidth=1.6)
    axes.plot(predicted, observed, "o", color=BLUE, markersize=7, markerfacecolor=PAPER, mew=1.8, clip_on=False)
    axes.set(xlabel=f"predicted risk by {format_time(calibration.horizon, unit)}", ylabel="observed risk")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def _caption(calibration: Calibration, without_bar: int, what: str) -> str:
    sizes = calibration.subjects
    each = f"{min(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
    text = (
        f"Circles: {len(sizes)} groups of {each} {what} by predicted risk, with the interval of the observed risk. "
        "On the dashed line both agree; above it more events were observed than predicted. "
    )
    if without_bar:
        text += f"Without an interval, because all or none had the event: {without_bar}. "
    text += (
        f"Slope {format_number(calibration.slope, 2)}, intercept {format_number(calibration.intercept, 2)}, "
        f"in the large {format_number(calibration.in_the_large, 2)}; "
        f"test of calibration: p {format_p_value(calibration.p_value)}."
    )
    return text + (f" Missing: {calibration.why_not}." if calibration.why_not else "")
