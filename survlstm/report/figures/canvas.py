"""A drawn figure → an SVG and a PNG file, and the same SVG fit to stand inside a page, light or dark."""

from __future__ import annotations

import io
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# The page's CSS variable → its colour on white paper. A file shows the colour; a page replaces it by the variable, so
# that dark mode needs no second drawing. Every colour stands here once: two equal ones could not be told apart again.
PALETTE = {
    "paper": "#ffffff",
    "ink": "#1b2126",
    "muted": "#56616b",
    "rule": "#d5dbe0",
    "blue": "#0063a6",
    "orange": "#b44a00",
    "green": "#007a5c",
    "purple": "#9c4a86",
}
PAPER, INK, MUTED, RULE, BLUE, ORANGE, GREEN, PURPLE = PALETTE.values()
# One unit of the view box is one point; the page shows 400 of them on 22 to 30 rem, so that 11 stay legible on a phone.
WIDTH = 400
STYLE = {
    "font.family": "sans-serif",
    # The widest of the usual sans-serif faces: what fits in it fits in a reader's own.
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11,
    "axes.labelsize": 11,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": PAPER,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "figure.facecolor": PAPER,
    "figure.edgecolor": PAPER,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "savefig.facecolor": PAPER,
    "savefig.edgecolor": PAPER,
    "svg.fonttype": "none",
    "svg.hashsalt": "survlstm",
    "text.color": INK,
    # A dollar sign in a code's name is no formula.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
}


@dataclass(frozen=True)
class DrawnFigure:
    """A figure and its words: ``alt`` for those who can't see it, ``caption`` for all. ``name`` is the files' stem."""

    name: str
    title: str
    alt: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class SavedFigure:
    """A drawing as the page shows it."""

    name: str
    title: str
    alt: str
    caption: str
    svg: Markup


def house_style() -> AbstractContextManager[None]:
    """Matplotlib's defaults and nothing of a user's own settings, then ours, for as long as figures are drawn."""
    # Any: matplotlib's stubs want every key as a literal.
    settings: Any = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
    return matplotlib.rc_context(settings | STYLE)


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure in units of the view box, its margins fitted to what is written in them."""
    return Figure(figsize=(width / 72, height / 72), layout="constrained")


def new_axes(height: float) -> tuple[Figure, Axes]:
    """A figure with one plot, ruled horizontally."""
    figure = new_figure(height)
    axes = figure.add_subplot()
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return figure, axes


def legend_above(figure: Figure, axes: Axes, columns: int) -> None:
    """The legend between the figure's upper edge and the plot, where it covers nothing."""
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside upper left",
        ncols=columns,
        borderaxespad=0.2,
        columnspacing=1.4,
        handlelength=2.6,
        handletextpad=0.6,
        borderpad=0.2,
    )


def save(drawing: DrawnFigure, folder: Path) -> SavedFigure:
    """Write ``folder/name.svg`` and ``.png``, equal bytes for equal values, and return the plate for the page."""
    stream = io.StringIO()
    FigureCanvasSVG(drawing.figure).print_svg(
        stream, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    svg = stream.getvalue()
    (folder / f"{drawing.name}.svg").write_text(svg, encoding="utf-8")
    # The margins found for the SVG are the PNG's too: to find them again costs a third of the time.
    drawing.figure.set_layout_engine("none")
    drawing.figure.set_dpi(200)
    FigureCanvasAgg(drawing.figure).print_png(folder / f"{drawing.name}.png", metadata={"Software": None})
    return SavedFigure(drawing.name, drawing.title, drawing.alt, drawing.caption, Markup(_inline(svg, drawing)))


def _inline(svg: str, drawing: DrawnFigure) -> str:
    """Without the file's head and style sheet, ids of its own, colours and type of the page, and a spoken name."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*</defs>", "", svg)
    # Tags only: what is written between them belongs to the data.
    svg = re.sub(r"<[^>]+>", lambda tag: _of_the_page(tag.group(), drawing.name), svg)
    label = Markup.escape(drawing.alt)
    view_box = re.search(r'viewBox="[^"]+"', svg)
    assert view_box is not None, "matplotlib writes a view box"
    return re.sub(r"<svg[^>]*>", lambda _: f'<svg {view_box.group()} role="img" aria-label="{label}">', svg, count=1)


def _of_the_page(tag: str, name: str) -> str:
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    tag = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", tag)
    tag = tag.replace("xlink:href", "href").replace("'DejaVu Sans', sans-serif", "var(--sans)")
    for variable, colour in PALETTE.items():
        tag = tag.replace(colour, f"var(--{variable})")
    return tag
