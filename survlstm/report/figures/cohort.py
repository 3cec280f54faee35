"""Flow diagram of the cohort."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath

from survlstm.data.prepared_data import CohortFlow
from survlstm.report.figures.canvas import BLUE, INK, MUTED, PAPER, WIDTH, DrawnFigure
from survlstm.report.formatting import format_count

LINE = 15
GAP = 14
LEFT, RIGHT = (4, 146), (166, WIDTH - 4)
INSET, TEXT_SIZE = 9, 10.5


def draw_flow(flow: CohortFlow, *, evaluated: tuple[str, int, int]) -> DrawnFigure:
    """Draw the subjects read, the exclusions with their events, the subjects used and the evaluated split.

    Built-in rules that left nobody out are not drawn; the user's own rules always are.

    Args:
        flow: Counts of the cohort.
        evaluated: Name, number of subjects and number of events of the evaluated split.

    Returns:
        The figure.
    """
    drawn = [rule for rule in flow.subjects_excluded if rule.subjects or rule.reason.startswith("cohort.")]
    excluded = [
        [*wrap_to_width(rule.reason), f"{rule.subjects:,} left out, {rule.events:,} with the event"] for rule in drawn
    ]
    hidden = len(flow.subjects_excluded) - len(drawn)
    split, subjects, events = evaluated
    times = flow.prediction_times
    of_times = [] if times is None else [f"at {format_count(times.trained, 'prediction time')}"]
    ends = [
        ["Subjects used", f"{flow.subjects_used:,}", *of_times],
        [f"Evaluated: {split}", f"{subjects:,}", f"{events:,} with the event"],
    ]
    height = sum(_box_height(lines) + GAP for lines in [["", ""], *excluded, *ends]) + GAP
    figure = Figure(figsize=(WIDTH / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0))
    axes.set_axis_off()
    bottom = top = _box(axes, ["Subjects read", f"{flow.subjects_read:,}"], LEFT, GAP, bold=True)
    for lines in excluded:
        middle = top + GAP + _box_height(lines) / 2
        _arrow(axes, (sum(LEFT) / 2, middle), (RIGHT[0], middle))
        top = _box(axes, lines, RIGHT, top + GAP)
    for lines in ends:
        _arrow(axes, (sum(LEFT) / 2, bottom), (sum(LEFT) / 2, top + GAP))
        bottom = top = _box(axes, lines, LEFT, top + GAP, bold=True)
    return DrawnFigure(
        name="cohort",
        title="From the subjects read to the subjects evaluated",
        alt=f"Flow diagram: {flow.subjects_read:,} subjects read; "
        + "".join(f"{rule.subjects:,} left out ({rule.reason}); " for rule in flow.subjects_excluded)
        + f"{flow.subjects_used:,} used{''.join(f' {line}' for line in of_times)}; {subjects:,} evaluated ({split}), "
        f"{events:,} with the event.",
        caption=(
            "Rules apply from top to bottom, each to the subjects that the rules above it left. The events that a rule "
            "excludes are shown, because a rule that removes events changes the population of the metrics."
            + (f" Not drawn: {hidden} rule{'' if hidden == 1 else 's'} that left nobody out." if hidden else "")
        ),
        figure=figure,
    )


def wrap_to_width(text: str) -> list[str]:
    """Break a text into lines that fit into a box beside the flow.

    Args:
        text: Text with spaces. A word that is wider than a box, such as a code, is broken too.

    Returns:
        The lines.
    """
    # Drawn on a grid of pixels, a line is some percent wider than its outline.
    most = 0.93 * (RIGHT[1] - RIGHT[0] - 2 * INSET)
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if _width(joined) <= most:
            lines[-1] = joined
            continue
        lines += [word] if lines[-1] else []
        lines[-1] = word
        while _width(lines[-1]) > most:
            fits = max(length for length in range(1, len(lines[-1])) if _width(lines[-1][:length]) <= most)
            lines[-1:] = [lines[-1][:fits], lines[-1][fits:]]
    return lines


def _width(text: str) -> float:
    return float(TextPath((0, 0), text, size=TEXT_SIZE).get_extents().width) if text else 0.0


def _box_height(lines: list[str]) -> int:
    return LINE * len(lines) + 12


def _box(axes: Axes, lines: list[str], sides: tuple[int, int], top: float, *, bold: bool = False) -> float:
    """Draw the box and return its lower edge."""
    left, right = sides
    edge, width = (BLUE, 1.4) if bold else (MUTED, 0.8)
    axes.add_patch(
        Rectangle(
            (left, top), right - left, _box_height(lines), facecolor=PAPER, edgecolor=edge, linewidth=width, zorder=2
        )
    )
    for number, line in enumerate(lines):
        weight = "bold" if bold and number == 1 else "normal"
        middle = top + 6 + LINE * (number + 0.5)
        axes.text(left + INSET, middle, line, va="center", size=TEXT_SIZE, weight=weight, zorder=3)
    return top + _box_height(lines)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": INK, "linewidth": 1, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9}
    axes.annotate("", xy=end, xytext=start, arrowprops=style)
