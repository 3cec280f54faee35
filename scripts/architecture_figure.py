"""Draw the picture of docs/architecture.md: the flow of a run through the packages, and the layers of imports.

    python scripts/architecture_figure.py [FILE]    docs/figures/architecture.svg without FILE

The layers are those of the import contract in pyproject.toml.
"""

from __future__ import annotations

import sys
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIGURE = ROOT / "docs" / "figures" / "architecture.svg"

# Units are pixels of a phone, on which the picture is shown at nearly its own size.
WIDTH, MARGIN, GAP = 372, 12, 6
LEFT, RIGHT = MARGIN, WIDTH - MARGIN
STAGE, USE, ROW, ARROW = 54, 42, 27, 16

CONTENTS = {
    "cli": "the commands",
    "api": "Python functions",
    "runs": "start, resume, evaluate and export a run",
    "inference": "bundles, and predictions from them",
    "explanation": "gradients and occlusion of codes",
    "report": "the HTML page, its figures and tables",
    "evaluation": "baselines, metrics, intervals, diagnostics",
    "training": "trainer, checkpoints, loggers",
    "data": "records to tensors",
    "models": "tensors to logits",
    "config": "schemas, composition, classes",
    "simulation": "synthetic cohorts",
    "survival": "loss and metrics, as functions of arrays",
    "utils": "errors, files, logs",
}
GROUPS = {
    "use": ("cli", "api", "sweeps", "tuning", "serving"),
    "life": ("runs",),
    "result": ("inference", "explanation", "report", "evaluation"),
    "learn": ("training", "data", "models"),
    "base": ("config", "simulation", "survival", "utils"),
}
GROUP = {package: group for group, packages in GROUPS.items() for package in packages}

# What a run does, in order: the package, and what it does at this stage.
STAGES = (
    ("data", "source, visits, cohort, outcome, split,", "vocabulary and tensors, in this order"),
    ("training", "models give logits, survival gives the loss;", "early stopping, a checkpoint per epoch"),
    ("evaluation", "the test subjects: model and baselines,", "with intervals, and checks for leaks"),
    ("report", "report.html, beside metrics.json and", "predictions.parquet"),
)
USES = (("inference", "predict"), ("serving", "serve"), ("explanation", "explain"))

STYLE = """
svg { --paper: #ffffff; --ink: #1d2328; --soft: #4b555d; --line: #7b868f;
  --use: #e3e8fb; --life: #fbe7cf; --result: #f6dfea; --learn: #d8eee6; --base: #e8eaec; --file: #ffffff;
  font-family: system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; font-size: 12px; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #1b2126; --ink: #eceff1; --soft: #bcc5cc; --line: #87939c;
    --use: #2c3763; --life: #5a3f1b; --result: #592c44; --learn: #1e4a3d; --base: #384048; --file: #1b2126; } }
text { fill: var(--ink); }
.title { font-weight: 600; font-size: 14px; }
.name { font-weight: 600; }
.soft { fill: var(--soft); font-size: 11px; }
.paper { fill: var(--paper); stroke: none; }
rect { stroke: var(--line); }
.use { fill: var(--use); } .life { fill: var(--life); } .result { fill: var(--result); }
.learn { fill: var(--learn); } .base { fill: var(--base); }
.file { fill: var(--file); stroke-dasharray: 4 3; }
path { stroke: var(--ink); stroke-width: 1.4; fill: none; }
"""


class Drawing:
    """The parts of the picture, added from top to bottom.

    Attributes:
        parts: SVG elements so far.
        top: Where the next part begins, in pixels from the top.
    """

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.top = MARGIN

    def text(self, left: float, base: float, words: str, *, kind: str = "", middle: bool = False) -> None:
        """Write one line with its base line at ``base``."""
        anchor = ' text-anchor="middle"' if middle else ""
        kind = f' class="{kind}"' if kind else ""
        self.parts.append(f'<text x="{left:g}" y="{base:g}"{kind}{anchor}>{escape(words)}</text>')

    def box(self, left: float, right: float, height: float, *, kind: str, top: float | None = None) -> None:
        """Draw a box from ``left`` to ``right``."""
        self.parts.append(
            f'<rect x="{left:g}" y="{self.top if top is None else top:g}" width="{right - left:g}" height="{height:g}" '
            f'rx="5" class="{kind}"/>'
        )

    def arrow(self, middle: float, *, top: float | None = None) -> None:
        """Draw an arrow downwards, as long as the space between two stages."""
        start = (self.top if top is None else top) + 1
        end = start + ARROW - 3
        head = f"M{middle - 4:g} {end - 5:g}L{middle:g} {end:g}L{middle + 4:g} {end - 5:g}"
        self.parts.append(f'<path d="M{middle:g} {start:g}V{end:g}{head}"/>')

    def title(self, words: str) -> None:
        """Write the title of a panel."""
        self.text(LEFT, self.top + 14, words, kind="title")
        self.top += 26


def layers() -> list[list[str]]:
    """Read the layers of the import contract, the topmost first, without ``__main__``."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (stack,) = (contract["layers"] for contract in contracts["contracts"] if contract["type"] == "layers")
    return [layer.split(" | ") for layer in stack if layer != "__main__"]


def draw_flow(drawing: Drawing) -> None:
    """Draw how a command becomes a run, a report and predictions."""
    drawing.title("The flow of a run")
    middle = WIDTH / 2
    half = (RIGHT - LEFT - GAP) / 2
    drawing.box(LEFT, LEFT + half, ROW, kind="use")
    drawing.text(LEFT + half / 2, drawing.top + 18, "cli: survlstm train", kind="name", middle=True)
    drawing.box(RIGHT - half, RIGHT, ROW, kind="use")
    drawing.text(RIGHT - half / 2, drawing.top + 18, "api: survlstm.train()", kind="name", middle=True)
    drawing.top += ROW
    drawing.arrow(middle)
    drawing.top += ARROW
    drawing.box(LEFT, RIGHT, ROW, kind="base")
    drawing.text(LEFT + 8, drawing.top + 18, "config", kind="name")
    drawing.text(LEFT + 62, drawing.top + 18, "composes one config and validates all of it", kind="soft")
    drawing.top += ROW
    drawing.arrow(LEFT + 24)
    drawing.top += ARROW
    begin, bar = drawing.top, LEFT + 48
    drawing.text(bar + 14, drawing.top + 8, "records: an export, events or a simulation", kind="soft")
    drawing.top += 14
    for package, first, second in STAGES:
        drawing.arrow(bar + 40)
        drawing.top += ARROW
        drawing.box(bar + GAP, RIGHT, STAGE, kind=GROUP[package])
        drawing.text(bar + GAP + 8, drawing.top + 17, package, kind="name")
        drawing.text(bar + GAP + 8, drawing.top + 32, first, kind="soft")
        drawing.text(bar + GAP + 8, drawing.top + 46, second, kind="soft")
        drawing.top += STAGE
    drawing.box(LEFT, bar, drawing.top - begin, kind="life", top=begin)
    drawing.text(LEFT + 24, (begin + drawing.top) / 2 - 2, "runs", kind="name", middle=True)
    drawing.text(LEFT + 24, (begin + drawing.top) / 2 + 12, "calls", kind="soft", middle=True)
    drawing.arrow(middle)
    drawing.top += ARROW
    drawing.box(LEFT, RIGHT, ROW, kind="file")
    drawing.text(middle, drawing.top + 18, "run folder; survlstm export makes a bundle of it", middle=True)
    drawing.top += ROW
    third = (RIGHT - LEFT - 2 * GAP) / 3
    for number, (package, command) in enumerate(USES):
        left = LEFT + number * (third + GAP)
        drawing.arrow(left + third / 2)
        drawing.box(left, left + third, USE, kind=GROUP[package], top=drawing.top + ARROW)
        drawing.text(left + third / 2, drawing.top + ARROW + 17, package, kind="name", middle=True)
        drawing.text(left + third / 2, drawing.top + ARROW + 32, f"survlstm {command}", kind="soft", middle=True)
    drawing.top += ARROW + USE + 20


def draw_layers(drawing: Drawing) -> None:
    """Draw the packages as layers."""
    drawing.title("Packages: imports point downwards")
    for layer in layers():
        width = (RIGHT - LEFT - GAP * (len(layer) - 1)) / len(layer)
        for number, package in enumerate(layer):
            left = LEFT + number * (width + GAP)
            drawing.box(left, left + width, ROW, kind=GROUP[package])
            drawing.text(left + 8, drawing.top + 18, package, kind="name")
            # Three packages in a row leave no space for more than their names.
            if len(layer) < 3:
                drawing.text(left + (92 if len(layer) == 1 else 46), drawing.top + 18, CONTENTS[package], kind="soft")
        drawing.top += ROW + 4


def picture() -> str:
    """Draw both panels."""
    drawing = Drawing()
    draw_flow(drawing)
    draw_layers(drawing)
    height = drawing.top + MARGIN - 4
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}" '
        'role="img" aria-label="The flow of a run through the packages of survlstm, and the layers of imports">\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="paper" width="{WIDTH}" height="{height:g}" rx="6"/>\n' + "\n".join(drawing.parts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FIGURE
    target.write_text(picture(), encoding="utf-8")
