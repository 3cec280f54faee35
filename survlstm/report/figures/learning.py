"""Learning curves: loss and validation C-index by epoch."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from survlstm.report.figures.canvas import BLUE, INK, MUTED, ORANGE, DrawnFigure, legend_above, new_axes
from survlstm.report.figures.curves import MOST_MARKERS
from survlstm.report.formatting import format_number, format_short
from survlstm.training.history import History


def draw_learning(history: History) -> list[DrawnFigure]:
    """Draw the loss and the validation C-index by epoch.

    Args:
        history: Epochs of the training.

    Returns:
        Two figures; none if no epoch was finished.
    """
    if not history.epochs:
        return []
    return [_draw_loss(history), _draw_c_index(history)]


def _draw_loss(history: History) -> DrawnFigure:
    figure, axes = new_axes(290)
    draw_loss_lines(axes, history)
    legend_above(figure, axes, 3)
    first, last, best = history.candidates[0], history.epochs[-1], history.best
    best_loss = f"The best epoch is {best.epoch} with validation loss {format_number(best.val_loss)}. {_start(history)}"
    return DrawnFigure(
        name="loss",
        title="Loss by epoch",
        alt=(
            f"Training loss from {format_number(first.train_loss)} to {format_number(last.train_loss)}, "
            f"validation loss from {format_number(first.val_loss)} to {format_number(last.val_loss)} in "
            f"{len(history.epochs)} epochs."
        ),
        caption=(
            f"Mean over subjects, lower is better. {best_loss}The weights of the best epoch are evaluated. A "
            "validation loss that rises while the training loss falls shows overfitting; two flat lines show that "
            "nothing was learned."
        ),
        figure=figure,
    )


def draw_loss_lines(axes: Axes, history: History) -> None:
    """Draw the training and the validation loss by epoch on given axes, without a legend.

    Args:
        axes: The axes, which get the scale and the labels.
        history: Epochs of the training, at least one.
    """
    _line(axes, history, [epoch.train_loss for epoch in history.candidates], (BLUE, "-", "o", "training"))
    _line(axes, history, [epoch.val_loss for epoch in history.candidates], (ORANGE, (0, (5, 2)), "s", "validation"))
    axes.set_ylabel("loss (nats per subject)")
    _finish(axes, history)


def _draw_c_index(history: History) -> DrawnFigure:
    figure, axes = new_axes(290)
    values = [epoch.val_c_td for epoch in history.candidates]
    _line(axes, history, values, (ORANGE, (0, (5, 2)), "s", "validation"))
    axes.axhline(0.5, color=INK, linewidth=1, linestyle=(0, (4, 3)), label="random")
    axes.set_ylabel("C-index")
    _finish(axes, history)
    legend_above(figure, axes, 3)
    best, last = history.best, history.epochs[-1]
    at_best = f"{format_number(best.val_c_td)} at the best epoch. "
    return DrawnFigure(
        name="validation_c_td",
        title="Validation C-index by epoch",
        alt=f"Validation C-index from {format_number(values[0])} to {format_number(values[-1])}, {at_best}".rstrip(
            ", "
        ),
        caption=(
            f"Ranking of the validation subjects, higher is better: {at_best}The epoch is chosen on these subjects, so "
            "that their C-index is slightly optimistic; the metrics above come from subjects on whom nothing was "
            f"chosen. Learning rate at the end: {format_short(last.lr)}."
        ),
        figure=figure,
    )


def _start(history: History) -> str:
    """Return what epoch 0 is, for the caption; nothing if there is none."""
    if history.start is None:
        return ""
    return "Epoch 0 is the regression from which training starts. It stays the best until an epoch is clearly better. "


def _line(axes: Axes, history: History, values: list[float], looks: tuple[str, object, str, str]) -> None:
    colour, dashes, marker, label = looks
    few = len(values) <= MOST_MARKERS
    number_of = [epoch.epoch for epoch in history.candidates]
    finite = np.where(np.isfinite(values), values, np.nan)
    axes.plot(number_of, finite, color=colour, linestyle=dashes, label=label, marker=marker if few else "")


def _finish(axes: Axes, history: History) -> None:
    axes.axvline(history.best_epoch, color=MUTED, linewidth=1.2, linestyle=":", label="best epoch")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.margins(x=0.03, y=0.08)
