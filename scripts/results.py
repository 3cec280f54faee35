"""Cohorts, outcomes and seeds → the table of results that docs/results.md shows; each row is a run of its own.

    python scripts/results.py [real=DIR] [cohorts=cohort_1000] [outcomes=synthetic,random] [seeds=0,1,2] [override …]

``real`` is a folder that holds the cohorts as real exports; without it their built-in twins are run.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

OPTIONS = {
    "real": "",
    "cohorts": "cohort_106,cohort_1000",
    "outcomes": "synthetic,random,death,ckd_progression",
    "seeds": "0,1,2",
}
RUN = ["model=lstm_medium", "trainer=a40"]
Z95 = 1.959964
COLUMNS = (
    "cohort",
    "outcome",
    "seed",
    "test subjects (events)",
    "c_td",
    "95 % interval",
    "best baseline",
    "model has more",
    "oracle",
    "of its excess",
    "nll",
    "covariate-free nll",
)


def main(words: list[str]) -> None:
    """Run everything, print a row a run, and the means over seeds."""
    options = dict(word.split("=", 1) for word in words if word.split("=")[0] in OPTIONS)
    overrides = [word for word in words if word.split("=")[0] not in OPTIONS]
    cohorts, outcomes, seeds = (
        options.get(name, OPTIONS[name]).split(",") for name in ("cohorts", "outcomes", "seeds")
    )
    real = options.get("real")
    jobs = [(cohort, outcome, seed) for cohort in cohorts for outcome in outcomes for seed in seeds]
    print("| " + " | ".join(COLUMNS) + " |\n|---|---|---:|---:|---:|---|---|---|---:|---:|---:|---:|")
    excess: dict[tuple[str, str], list[float]] = {}
    c_tds: dict[tuple[str, str], list[float]] = {}
    for cohort, outcome, seed in tqdm(jobs, disable=None):
        name = f"{cohort}, {'real' if real else 'built-in'}"
        chosen = [f"data={cohort}", f"outcome={outcome}", f"seed={seed}", *RUN, *overrides]
        found = _run(chosen + ([f"data.path={real}/{cohort}"] if real else []))
        if isinstance(found, str):
            sys.exit(f"{name}, {outcome}, seed {seed}: {found}")
        rows = {row["name"]: row for row in found["test"]["rows"]}
        model, oracle = rows["model"]["c_td"]["value"], rows.get("oracle")
        known = outcome == "synthetic" and model is not None
        share = (model - 0.5) / (oracle["c_td"]["value"] - 0.5) if known and oracle else None
        if model is not None:
            c_tds.setdefault((name, outcome), []).append(model)
        if share is not None:
            excess.setdefault((name, outcome), []).append(share)
        print(_row(f"{name} | {outcome} | {seed}", found["test"], rows, share), flush=True)
    print("\n| cohort | outcome | mean c_td over seeds | mean share of the oracle's excess |\n|---|---|---:|---:|")
    for (name, outcome), values in c_tds.items():
        shares = excess.get((name, outcome))
        share_text = f"{statistics.mean(shares):.1%}" if shares else "-"
        print(f"| {name} | {outcome} | {statistics.mean(values):.3f} | {share_text} |")


def _run(overrides: list[str]) -> dict | str:
    """metrics.json of one run, or the sentence it ended with."""
    with tempfile.TemporaryDirectory() as folder:
        words = [*overrides, f"output_dir={folder}/run"]
        done = subprocess.run([sys.executable, "-m", "survlstm", "train", *words], capture_output=True, text=True)
        if done.returncode:
            return (done.stdout + done.stderr).strip().splitlines()[-1]
        return json.loads((Path(folder) / "run" / "metrics.json").read_text())


def _row(start: str, test: dict, rows: dict, share: float | None) -> str:
    model, oracle, free = rows["model"], rows.get("oracle"), rows["covariate-free hazard"]
    c_td, interval = model["c_td"], "under 30 events"
    if c_td["interval"]:
        low, high = c_td["interval"]["low"], c_td["interval"]["high"]
        errors = (c_td["value"] - 0.5) / ((high - low) / (2 * Z95)) if high > low else float("nan")
        interval = f"{low:.3f} to {high:.3f} ({errors:+.1f} standard errors from 0.5)"
    best = max((row for row in rows.values() if row["role"] == "baseline"), key=lambda row: row["c_td"]["value"] or 0)
    cells = [
        start,
        f"{test['subjects']} ({test['events']})",
        _number(c_td["value"]),
        interval,
        f"{best['name']} {_number(best['c_td']['value'])}",
        _difference(best["c_td_difference"]),
        _number(oracle and oracle["c_td"]["value"]),
        "-" if share is None else f"{share:.0%}",
        _number(model["nll"]["value"]),
        _number(free["nll"]["value"]),
    ]
    return f"| {' | '.join(cells)} |"


def _difference(difference: dict | None) -> str:
    if difference is None:
        return "-"
    interval = difference["interval"]
    return f"{difference['value']:+.3f} ({interval['low']:+.3f} to {interval['high']:+.3f})"


def _number(value: float | None) -> str:
    """Three digits; a figure that does not exist (no event, no oracle) is a dash."""
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main(sys.argv[1:])
