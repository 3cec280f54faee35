"""Draw the results of a run on matplotlib axes, without pyplot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

from matplotlib.axes import Axes

from survlstm.api.metrics_file import NamedCalibration, StoredMetrics
from survlstm.evaluation.results import Curves
from survlstm.report.figures.calibration import draw_calibration_groups
from survlstm.report.figures.canvas import house_style, legend_above, new_axes, new_figure
from survlstm.report.figures.curves import draw_group_lines
from survlstm.report.figures.learning import draw_loss_lines
from survlstm.training.history import History
from survlstm.utils.errors import CohortError, ConfigError

HEIGHT = 330
T = TypeVar("T")


@dataclass(frozen=True)
class EvaluationPlots:
    """Figures of an evaluation; every method returns matplotlib axes and leaves pyplot alone.

    Without ``ax`` a method draws a new figure, which is ``ax.figure``. A notebook shows it at the end of a cell after
    ``%matplotlib inline``; ``ax.figure.savefig`` saves it.
    """

    _read: Callable[[], StoredMetrics] = field(repr=False)

    def survival(self, landmark: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Draw the predicted and the observed survival of the risk groups from a landmark.

        Args:
            landmark: Name of the landmark, as in ``landmarks``; None for the first one with curves.
            ax: Axes to draw on; None for a new figure.

        Returns:
            The axes.

        Raises:
            CheckpointError: The run has not been evaluated.
            CohortError: No landmark has enough subjects for curves.
            ConfigError: No landmark with curves has this name.
        """
        drawable = [curves for curves in self._read().curves() if curves.group_name and len(curves.time)]
        if not drawable:
            raise CohortError("survival curves need three subjects at risk at a landmark; no landmark has them")
        chosen: Curves = _first(drawable, landmark, [curves.landmark for curves in drawable])
        return _draw(ax, lambda axes: draw_group_lines(axes, chosen), title=f"from {chosen.landmark}")

    def calibration(self, landmark: str | None = None, *, horizon: float | None = None, ax: Axes | None = None) -> Axes:
        """Draw the predicted against the observed risk of groups of subjects at one horizon.

        Args:
            landmark: Name of the landmark, as in ``landmarks``; None for the first one with groups.
            horizon: The horizon in the unit of the landmark; None for the longest one with groups.
            ax: Axes to draw on; None for a new figure.

        Returns:
            The axes.

        Raises:
            CheckpointError: The run has not been evaluated.
            CohortError: No group could be formed at any landmark and horizon; the message says why.
            ConfigError: No landmark and horizon with groups has this name and time.
        """
        found = self._read().calibration()
        drawable = [one for one in found if one.calibration.predicted]
        if not drawable:
            why = "; ".join(dict.fromkeys(one.calibration.why_not or "" for one in found)) or "there is no landmark"
            raise CohortError(f"a calibration plot needs groups of subjects: {why}")
        names = [one.landmark for one in drawable]
        at_landmark = [one for one in drawable if one.landmark == _first(drawable, landmark, names).landmark]
        chosen: NamedCalibration = at_landmark[-1]
        if horizon is not None:
            times = [f"{one.calibration.horizon:g}" for one in at_landmark]
            chosen = _first(at_landmark, f"{horizon:g}", times, what="horizon")
        return _draw(
            ax,
            lambda axes: draw_calibration_groups(axes, chosen.calibration, unit=chosen.unit),
            title=f"from {chosen.landmark}",
            is_square=True,
        )


@dataclass(frozen=True)
class RunPlots(EvaluationPlots):
    """Figures of a run: those of its evaluation, and its learning curves."""

    _read_history: Callable[[], History] = field(repr=False)

    def history(self, *, ax: Axes | None = None) -> Axes:
        """Draw the training and the validation loss by epoch.

        Args:
            ax: Axes to draw on; None for a new figure.

        Returns:
            The axes.

        Raises:
            CheckpointError: The history is missing, damaged, or has no finished epoch.
        """
        history = self._read_history()
        return _draw(ax, lambda axes: draw_loss_lines(axes, history), title="")


def _first(values: Sequence[T], wanted: str | None, names: Sequence[str], *, what: str = "landmark") -> T:
    """Return the first value, or the first one of the wanted name."""
    if wanted is not None and wanted not in names:
        raise ConfigError(f"{what} must be one of {', '.join(dict.fromkeys(names))}; found {wanted!r}")
    return values[0 if wanted is None else names.index(wanted)]


def _draw(ax: Axes | None, draw: Callable[[Axes], None], *, title: str, is_square: bool = False) -> Axes:
    """Draw on axes of the user in the user's style, or on new ones in the style of the report."""
    with house_style() if ax is None else nullcontext():
        if ax is not None:
            axes = ax
        elif is_square:
            axes = new_figure(HEIGHT, HEIGHT).add_subplot()
        else:
            _, axes = new_axes(HEIGHT)
        draw(axes)
        if title:
            axes.set_title(title)
        if ax is None and not is_square:
            legend_above(axes.figure, axes, 2)  # type: ignore[arg-type]  # the axes of a new figure have no subfigure
        else:
            axes.legend()
    return axes
