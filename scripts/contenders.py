"""Cohort and outcomes → the model beside its baselines, with intervals: the tables of docs/contenders.md.

    python scripts/contenders.py [real=DIR] [cohort=cohort_1000] [outcomes=synthetic,death] [clocks=visit] [override …]

``real`` is a folder that holds the cohort as a real export; without it its built-in twin is run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

OPTIONS = {
    "real": "",
    "cohort": "cohort_1000",
    "outcomes": "synthetic,death,ckd_progression",
    "clocks": "visit,landmark",
}
RUN = ["model=lstm_medium", "trainer=a40"]


def main(words: list[str]) -> None:
    """Train and judge everything, and print a section for each outcome and clock."""
    options = OPTIONS | dict(word.split("=", 1) for word in words if word.split("=")[0] in OPTIONS)
    overrides = [word for word in words if word.split("=")[0] not in OPTIONS]
    jobs = [(outcome, clock) for outcome in options["outcomes"].split(",") for clock in options["clocks"].split(",")]
    for outcome, clock in tqdm(jobs, disable=None):
        chosen = [f"data={options['cohort']}", f"outcome={outcome}", f"clock={clock}", *RUN, *overrides]
        found = _run(chosen + ([f"data.path={options['real']}/{options['cohort']}"] if options["real"] else []))
        print(f"### {outcome}, {clock} clock\n", flush=True)
        if isinstance(found, str):
            print(f"{found}\n", flush=True)
            continue
        _print_verdict(found["test"])
        for finding in found["health"]:
            if finding["level"] in {"failure", "warning"}:
                print(f"- {finding['level']}: {finding['finding']} ({finding['evidence']})")
        print(flush=True)


def _run(overrides: list[str]) -> dict | str:
    """metrics.json of one run, or the sentence it ended with."""
    with tempfile.TemporaryDirectory() as folder:
        words = [*overrides, f"output_dir={folder}/run"]
        done = subprocess.run([sys.executable, "-m", "survlstm", "train", *words], capture_output=True, text=True)
        if done.returncode:
            return (done.stdout + done.stderr).strip().splitlines()[-1]
        return json.loads((Path(folder) / "run" / "metrics.json").read_text())


def _print_verdict(test: dict) -> None:
    print(f"{test['subjects']} test subjects, {test['events']} events. {test['lines'][0]}\n")
    print("| | c_td | model has more | nll | model has less |\n|---|---|---|---|---|")
    for row in test["rows"]:
        differences = _difference(row["c_td_difference"], 1), _difference(row["nll_difference"], -1)
        cells = row["name"], _estimate(row["c_td"]), differences[0], _estimate(row["nll"]), differences[1]
        print(f"| {' | '.join(cells)} |")
    for landmark in test["landmarks"]:
        print(f"\nFrom {landmark['name']}: {landmark['at_risk']} at risk, {landmark['events']} events.", end=" ")
        print(" ".join(f"{note}." for note in landmark["notes"]) + "\n")
        if not landmark["rows"]:
            continue
        until = f"{landmark['horizons'][-1]:g} {landmark['unit']}"
        print(
            f"| | C at {until} | AUC at {until} | Brier at {until} | ibs | D-calibration p |\n|---|---|---|---|---|---|"
        )
        for row in landmark["rows"]:
            last = row["cells"][-1]
            figures = (_estimate(figure) for figure in (last["c_harrell"], last["auc"], last["brier"], row["ibs"]))
            print(f"| {row['name']} | {' | '.join(figures)} | {last['d_calibration']:.3f} |")


def _estimate(estimate: dict | None) -> str:
    if estimate is None or estimate["value"] is None:
        return "-"
    if estimate["interval"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} ({estimate['interval']['low']:.3f} to {estimate['interval']['high']:.3f})"


def _difference(difference: dict | None, sign: int) -> str:
    if difference is None:
        return "-"
    low, high = sorted(sign * end for end in difference["interval"].values())
    return f"{sign * difference['value']:+.3f} ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    main(sys.argv[1:])
