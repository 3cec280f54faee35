"""Cohorts, outcomes and seeds → the table of results that docs/results.md shows; each row is a run of its own.

    python scripts/results.py [real=DIR] [seeds=0,1,2] [override …]

``real`` is a folder that holds cohort_106 and cohort_1000 as real exports; without it the built-in twins alone are run.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

COHORTS = ("cohort_106", "cohort_1000")
OUTCOMES = ("synthetic", "random", "death", "ckd_progression")
RUN = ["model=lstm_medium", "trainer=a40"]
Z95 = 1.959964
COLUMNS = (
    "cohort",
    "outcome",
    "seed",
    "test subjects (events)",
    "c_td",
    "95 % interval",
    "oracle",
    "of its excess",
    "nll",
    "covariate-free nll",
)


def main(words: list[str]) -> None:
    """Run everything, print one table a cohort, and the means over seeds."""
    options = dict(word.split("=", 1) for word in words if word.startswith(("real=", "seeds=")))
    overrides = [word for word in words if not word.startswith(("real=", "seeds="))]
    seeds = [int(seed) for seed in options.get("seeds", "0,1,2").split(",")]
    places: list[tuple[str, str | None]] = [(cohort, None) for cohort in COHORTS]
    if "real" in options:
        places = [(cohort, f"{options['real']}/{cohort}") for cohort in COHORTS] + places
    jobs = [(cohort, path, outcome, seed) for cohort, path in places for outcome in OUTCOMES for seed in seeds]
    print("| " + " | ".join(COLUMNS) + " |\n|---|---|---:|---:|---:|---|---:|---:|---:|---:|")
    excess: dict[tuple[str, str], list[float]] = {}
    c_tds: dict[tuple[str, str], list[float]] = {}
    for cohort, path, outcome, seed in tqdm(jobs, disable=None):
        name = f"{cohort}, {'real' if path else 'built-in'}"
        found = _run(cohort, path, outcome, seed, overrides)
        if isinstance(found, str):
            print(f"| {name} | {outcome} | {seed} | {found} | | | | | | |", flush=True)
            continue
        rows = {row["name"]: row for row in found["test"]["figures"]}
        model, oracle = rows["model"], rows.get("oracle")
        share = (model["c_td"] - 0.5) / (oracle["c_td"] - 0.5) if outcome == "synthetic" and oracle else None
        if model["c_td"] is not None:
            c_tds.setdefault((name, outcome), []).append(model["c_td"])
        if share is not None:
            excess.setdefault((name, outcome), []).append(share)
        print(_row(f"{name} | {outcome} | {seed}", found["test"], rows, share), flush=True)
    print("\n| cohort | outcome | mean c_td over seeds | mean share of the oracle's excess |\n|---|---|---:|---:|")
    for (name, outcome), values in c_tds.items():
        shares = excess.get((name, outcome))
        share_text = f"{statistics.mean(shares):.1%}" if shares else "-"
        print(f"| {name} | {outcome} | {statistics.mean(values):.3f} | {share_text} |")


def _run(cohort: str, path: str | None, outcome: str, seed: int, overrides: list[str]) -> dict | str:
    with tempfile.TemporaryDirectory() as folder:
        words = [f"data={cohort}", f"outcome={outcome}", f"seed={seed}", *RUN, *overrides, f"output_dir={folder}/run"]
        words += [f"data.path={path}"] if path else []
        done = subprocess.run([sys.executable, "-m", "survlstm", "train", *words], capture_output=True, text=True)
        if done.returncode:
            return (done.stdout + done.stderr).strip().splitlines()[-1]
        return json.loads((Path(folder) / "run" / "metrics.json").read_text())


def _row(start: str, test: dict, rows: dict, share: float | None) -> str:
    model, oracle, free = rows["model"], rows.get("oracle"), rows["covariate-free hazard"]
    interval = "under 30 events"
    if model["interval"]:
        low, high = model["interval"]["low"], model["interval"]["high"]
        error = (high - low) / (2 * Z95)
        interval = f"{low:.3f} to {high:.3f} ({(model['c_td'] - 0.5) / error:+.1f} standard errors from 0.5)"
    cells = [
        start,
        f"{test['subjects']} ({test['events']})",
        _number(model["c_td"]),
        interval,
        _number(oracle and oracle["c_td"]),
        "-" if share is None else f"{share:.0%}",
        _number(model["nll"]),
        _number(free["nll"]),
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    """Three digits; a figure that does not exist (no event, no oracle) is a dash."""
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main(sys.argv[1:])
