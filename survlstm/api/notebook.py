"""Short texts and HTML of runs, evaluations and comparisons; they hold no id and no value of a single subject."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from html import escape
from pathlib import Path

import pandas as pd
from matplotlib.backends.backend_svg import FigureCanvasSVG

from survlstm.api.metrics_file import StoredMetrics, read_metrics
from survlstm.report.figures.canvas import house_style, legend_above, new_axes
from survlstm.report.figures.learning import draw_loss_lines
from survlstm.runs.folder import read_run_record
from survlstm.training.history import History
from survlstm.utils.errors import SurvlstmError

PICTURE_HEIGHT = 230
# Characters of a sentence in a short text.
MOST_CHARACTERS = 160


def results_text(kind: str, folder: Path) -> str:
    """Describe a run or an evaluation in at most three lines.

    Args:
        kind: Name of its class.
        folder: Its folder.

    Returns:
        The lines: folder and state, C-index and subjects, and the first sentence of the summary.
    """
    head = f"<{kind} {str(folder)!r}{_state(folder)}"
    try:
        metrics = read_metrics(folder)
        lines = [head, f" {_c_index(metrics)} on {metrics.subjects}", f" {_shortened(metrics.lines[0])}"]
    except (SurvlstmError, IndexError):
        lines = [head]
    return "\n".join(lines) + ">"


def results_html(kind: str, folder: Path, *, history: Callable[[], History] | None) -> str:
    """Describe a run or an evaluation as HTML: the summary, the metrics and the learning curves.

    Args:
        kind: Name of its class.
        folder: Its folder.
        history: Reads the history of a run; None for an evaluation.

    Returns:
        HTML in which every text is escaped. What can't be read is left out, and a sentence says why.
    """
    parts = [f"<p><b>{escape(kind)}</b> {escape(str(folder))}{escape(_state(folder))}</p>"]
    try:
        metrics = read_metrics(folder)
        lines = "".join(f"<li>{escape(line)}</li>" for line in metrics.lines)
        banner = f"<p><b>{escape(metrics.banner)}</b></p>" if metrics.banner else ""
        table = metrics_html(metrics.table())
        parts.append(f"{banner}<ul>{lines}</ul><p>{escape(metrics.subjects)}</p>{table}")
    except SurvlstmError as error:
        parts.append(f"<p>{escape(str(error))}</p>")
    if history is not None:
        try:
            parts.append(_picture(history()))
        except SurvlstmError as error:
            parts.append(f"<p>{escape(str(error))}</p>")
    return f"<div>{''.join(parts)}</div>"


def metrics_html(table: pd.DataFrame) -> str:
    """Write the C-index and the negative log-likelihood of a table of metrics as an HTML table.

    Args:
        table: Table with the columns ``c_td`` and ``nll`` and their intervals, one row per name.

    Returns:
        An HTML table in which every text is escaped.
    """
    rows = "".join(
        f"<tr><th>{escape(str(name))}</th><td>{_interval(row, 'c_td')}</td><td>{_interval(row, 'nll')}</td></tr>"
        for name, row in table.iterrows()
    )
    head = "<tr><th></th><th>C-index</th><th>negative log-likelihood</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _interval(row: pd.Series[float], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.3f}" + ("" if pd.isna(low) else f" ({low:.3f} to {high:.3f})")


def _c_index(metrics: StoredMetrics) -> str:
    model = metrics.table().iloc[0]
    return f"C-index {_interval(model, 'c_td')}"


def _state(folder: Path) -> str:
    state = read_run_record(folder).state
    return "" if state == "unknown" else f", {state}"


def _shortened(sentence: str) -> str:
    return sentence if len(sentence) <= MOST_CHARACTERS else f"{sentence[: MOST_CHARACTERS - 1]}…"


def _picture(history: History) -> str:
    """Draw the learning curves as an image inside the page; an image runs no script and loads nothing."""
    stream = io.BytesIO()
    with house_style():
        figure, axes = new_axes(PICTURE_HEIGHT)
        draw_loss_lines(axes, history)
        legend_above(figure, axes, 3)
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None})
    encoded = base64.b64encode(stream.getvalue()).decode()
    return f'<img alt="Loss by epoch" src="data:image/svg+xml;base64,{encoded}"/>'
