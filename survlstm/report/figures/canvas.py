"""Style of the figures, and their output as SVG and PNG files and as SVG inside a page."""

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

# CSS variables of the page and their colours on white paper. A file shows the colour. In a page the variable replaces
# the colour, so that dark mode needs no second drawing; variables of the same colour could not be told apart.
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
# One unit of the view box is one point. The page shows 400 of them on 22 to 30 rem, so that text of 11 points stays
# legible on a phone.
WIDTH = 400
STYLE = {
    "font.family": "sans-serif",
    # The widest of the usual sans-serif fonts: text that fits in it also fits in the font of the reader.
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
    # A dollar sign in the name of a code starts no formula.
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
    """A figure with its texts.

    Attributes:
        name: Stem of the files.
        title: Title on the page.
        alt: Text for readers who cannot see the figure.
        caption: Text below the figure.
        figure: The figure.
    """

    name: str
    title: str
    alt: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class SavedFigure:
    """A figure that is written to its files, as a page shows it.

    Attributes:
        name: Stem of the files.
        title: Title on the page.
        alt: Text for readers who cannot see the figure.
        caption: Text below the figure.
        svg: Element for the page, with the colours of the page.
    """

    name: str
    title: str
    alt: str
    caption: str
    svg: Markup


def house_style() -> AbstractContextManager[None]:
    """Return a context with the defaults of Matplotlib and the style of the pages, but no settings of the user."""
    # The type is Any because the stubs of Matplotlib accept only literal keys.
    settings: Any = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
    return matplotlib.rc_context(settings | STYLE)


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Make an empty figure whose margins fit the texts in them.

    Args:
        height: Height in points; one point is one unit of the view box.
        width: Width in points.

    Returns:
        The figure, without axes.
    """
    return Figure(figsize=(width / 72, height / 72), layout="constrained")


def new_axes(height: float) -> tuple[Figure, Axes]:
    """Make a figure with one plot that has horizontal grid lines.

    Args:
        height: Height in points; the width is ``WIDTH``.

    Returns:
        The figure and the axes of its plot.
    """
    figure = new_figure(height)
    axes = figure.add_subplot()
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return figure, axes


def legend_above(figure: Figure, axes: Axes, columns: int) -> None:
    """Put the legend between the upper edge of the figure and the plot, where it covers nothing.

    Args:
        figure: The figure that receives the legend.
        axes: The plot whose labelled lines and areas the legend names.
        columns: Number of columns of the legend.
    """
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
    """Write the SVG and the PNG file of a figure; equal values give equal bytes.

    Args:
        drawing: The figure.
        folder: The folder that receives the files.

    Returns:
        The figure for the page.
    """
    stream = io.StringIO()
    FigureCanvasSVG(drawing.figure).print_svg(
        stream, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    svg = stream.getvalue()
    (folder / f"{drawing.name}.svg").write_text(svg, encoding="utf-8")
    # The PNG takes the margins of the SVG; to fit them again would cost a third of the time.
    drawing.figure.set_layout_engine("none")
    drawing.figure.set_dpi(200)
    FigureCanvasAgg(drawing.figure).print_png(folder / f"{drawing.name}.png", metadata={"Software": None})
    return SavedFigure(drawing.name, drawing.title, drawing.alt, drawing.caption, Markup(_inline(svg, drawing)))


def _inline(svg: str, drawing: DrawnFigure) -> str:
    """Return the SVG without header and style sheet, with unique ids, the style of the page and an accessible name."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*</defs>", "", svg)
    # Only tags are changed, because the text between them can come from the data.
    svg = re.sub(r"<[^>]+>", lambda tag: _page_tag(tag.group(), drawing.name), svg)
    label = Markup.escape(drawing.alt)
    view_box = re.search(r'viewBox="[^"]+"', svg)
    assert view_box is not None, "matplotlib writes a view box"
    return re.sub(r"<svg[^>]*>", lambda _: f'<svg {view_box.group()} role="img" aria-label="{label}">', svg, count=1)


def _page_tag(tag: str, name: str) -> str:
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    tag = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", tag)
    tag = tag.replace("xlink:href", "href").replace("'DejaVu Sans', sans-serif", "var(--sans)")
    for variable, colour in PALETTE.items():
        tag = tag.replace(colour, f"var(--{variable})")
    return tag
