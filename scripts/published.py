"""Cross-validate the model, the logistic hazard and Cox, beside published figures: the tables of docs/published.md.

    python scripts/published.py [published=NAME] [folds=5] override …

The overrides say what is trained, as for ``survlstm train``; the folds are of subjects. Every number is read from the
``metrics.json`` of the runs, and shown as the mean over the folds with the standard deviation between them. On the
visit clock a row is a step, without C at a horizon; on the other clocks there is a table for every prediction time.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from runs import read_options
from tqdm import tqdm

import survlstm

OPTIONS = {"published": "", "folds": "5"}
SHORT = ["evaluation.baselines=[logistic_hazard,cox]", "evaluation.groups=[]", "evaluation.resamples=100"]


class Published(NamedTuple):
    """Published figures of a five-fold cross-validation; None where none is given.

    Attributes:
        model: Name of the model.
        c_td: Antolini's C-index.
        ibs: Integrated Brier score.
        source: Where they stand.
    """

    model: str
    c_td: float | None
    ibs: float | None
    source: str


KNOWN = {
    "metabric": Published(
        "LogisticHazard of pycox",
        0.658,
        0.166,
        "Kvamme and Borgan, Lifetime Data Analysis 27 (2021); five folds of 1,904 subjects",
    )
}


def main(words: list[str]) -> None:
    """Train on every fold, and print a table for each prediction time."""
    options, overrides = read_options(words, OPTIONS)
    name, folds = options["published"], int(options["folds"])
    if name and name not in KNOWN:
        sys.exit(f"published must be one of {', '.join(KNOWN)}; found {name}")
    if folds < 2:
        sys.exit(f"folds must be 2 or more; found {folds}")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for fold in tqdm(range(folds), disable=None):
            run = Path(folder) / str(fold)
            survlstm.train(
                [f"split.folds={folds}", f"split.fold={fold}", *_short(overrides), *overrides], output_dir=run
            )
            found.append(json.loads((run / "metrics.json").read_text(encoding="utf-8")))
    print(summary(found, KNOWN.get(name)))


def _short(overrides: list[str]) -> list[str]:
    """Return the settings of this script that the overrides leave open."""
    chosen = {word.split("=")[0] for word in overrides}
    return [word for word in SHORT if word.split("=")[0] not in chosen]


def summary(runs: list[dict[str, Any]], published: Published | None) -> str:
    """Summarise the runs of all folds as Markdown.

    Args:
        runs: ``metrics.json`` of each fold.
        published: Figures to show beside them.

    Returns:
        For each prediction time a line with its counts and a table, and at the end the findings on leaks.
    """
    parts: list[str] = []
    for place, (title, figures) in enumerate(_figures(runs)):
        lines = [title, "", "| model | c_td | C | IBS |", "|---|---|---|---|"]
        lines += [f"| {name} | {' | '.join(map(_cell, zip(*rows, strict=True)))} |" for name, rows in figures.items()]
        if published and not place:
            cells = " | ".join("-" if one is None else f"{one:.3f}" for one in (published.c_td, None, published.ibs))
            lines += [f"| published: {published.model} | {cells} |", "", f"Published by {published.source}."]
        parts.append("\n".join(lines))
    raised = sorted(
        {
            f"- {finding['finding']} ({finding['evidence']})"
            for run in runs
            for finding in run["diagnostics"]
            if finding["check"] == "leak suspects" and finding["level"] != "ok"
        }
    )
    return "\n\n".join([*parts, *raised[:1]])


def _figures(runs: list[dict[str, Any]]) -> list[tuple[str, dict[str, list[tuple[float, ...]]]]]:
    """Return the title of each prediction time, and c_td, Harrell's C and IBS of each model in each fold."""
    tests = [run["test"] for run in runs]
    tables: list[tuple[str, dict[str, list[tuple[float, ...]]]]] = []
    for place in range(max(1, min(len(test["landmarks"]) for test in tests))):
        figures: dict[str, list[tuple[float, ...]]] = defaultdict(list)
        for test in tests:
            landmark = test["landmarks"][place] if test["landmarks"] else {"rows": []}
            at = {row["name"]: row for row in landmark["rows"]}
            for row in test["rows"]:
                # The C-index of all steps is that of the rows that were trained on, the first table's.
                figures[row["name"]].append(
                    (_value(row["c_td"]) if not place else np.nan, *_at_end(at.get(row["name"])))
                )
        tables.append((_title(tests, place), figures))
    return tables


def _title(tests: list[dict[str, Any]], place: int) -> str:
    events = f"{sum(test['subjects'] for test in tests):,} test subjects in {len(tests)} folds, "
    events += f"{sum(test['events'] for test in tests):,} events"
    if not tests[0]["landmarks"]:
        return f"Every step: {events}."
    landmarks = [test["landmarks"][place] for test in tests]
    last = {f"{one['horizons'][-1]:g} {one['unit']}" for one in landmarks if one["horizons"]}
    until = f"C and IBS until {' or '.join(sorted(last))}" if last else "no horizon is supported"
    at_risk = sum(one["at_risk"] for one in landmarks)
    return f"From {landmarks[0]['name']}: {events}; {at_risk:,} at risk; {until}."


def _at_end(row: dict[str, Any] | None) -> tuple[float, float]:
    if row is None or not row["cells"]:
        return np.nan, np.nan
    return _value(row["cells"][-1]["c_harrell"]), _value(row["ibs"])


def _value(estimate: dict[str, Any] | None) -> float:
    return np.nan if estimate is None or estimate["value"] is None else float(estimate["value"])


def _cell(values: tuple[float, ...]) -> str:
    """Return mean and standard deviation over the folds; "-" if a fold lacks the figure."""
    return f"{np.mean(values):.3f} ({np.std(values):.3f})" if np.isfinite(values).all() else "-"


if __name__ == "__main__":
    main(sys.argv[1:])
