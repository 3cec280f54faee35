"""Compare the model with its baselines for several outcomes and clocks: the tables of docs/comparisons.md.

    python scripts/comparators.py [real=DIR] [cohort=cohort_1000] [outcomes=synthetic,death] [clocks=visit] [override …]

``real`` is a folder that holds the cohort as a real export; without it its built-in twin is run.
"""

from __future__ import annotations

import sys

from runs import difference, number, read_options, run_cohort
from tqdm import tqdm

OPTIONS = {
    "real": "",
    "cohort": "cohort_1000",
    "outcomes": "synthetic,death,ckd_progression",
    "clocks": "visit,landmark",
}


def main(words: list[str]) -> None:
    """Train and judge everything, and print a section for each outcome and clock."""
    options, overrides = read_options(words, OPTIONS)
    jobs = [(outcome, clock) for outcome in options["outcomes"].split(",") for clock in options["clocks"].split(",")]
    for outcome, clock in tqdm(jobs, disable=None):
        found = run_cohort(options["cohort"], options["real"], [f"outcome={outcome}", f"clock={clock}", *overrides])
        print(f"### {outcome}, {clock} clock\n", flush=True)
        if isinstance(found, str):
            print(f"{found}\n", flush=True)
            continue
        _print_evaluation(found["test"])
        print()
        raised = [finding for finding in found["diagnostics"] if finding["level"] in {"failure", "warning"}]
        for finding in raised:
            print(f"- {finding['level']}: {finding['finding']} ({finding['evidence']})")
        print("\n" if raised else "", end="", flush=True)


def _print_evaluation(test: dict) -> None:
    print(f"{test['subjects']} test subjects, {test['events']} events. {test['lines'][0]}\n")
    print("| | c_td | difference (model minus comparator) | nll | difference (comparator minus model) |")
    print("|---|---|---|---|---|")
    for row in test["rows"]:
        differences = difference(row["c_td_difference"]), difference(row["nll_difference"], sign=-1)
        cells = row["name"], _estimate(row["c_td"]), differences[0], _estimate(row["nll"]), differences[1]
        print(f"| {' | '.join(cells)} |")
    for landmark in test["landmarks"]:
        start = f"From {landmark['name']}: {landmark['at_risk']} at risk, {landmark['events']} events."
        print("\n" + " ".join([start, *(f"{note}." for note in landmark["notes"])]) + "\n")
        if not landmark["rows"]:
            continue
        until = f"{landmark['horizons'][-1]:g} {landmark['unit']}"
        print(
            f"| | C at {until} | AUC at {until} | Brier at {until} | ibs | D-calibration p |\n|---|---|---|---|---|---|"
        )
        for row in landmark["rows"]:
            last = row["cells"][-1]
            figures = (_estimate(figure) for figure in (last["c_harrell"], last["auc"], last["brier"], row["ibs"]))
            print(f"| {row['name']} | {' | '.join(figures)} | {number(last['d_calibration'])} |")


def _estimate(estimate: dict | None) -> str:
    if estimate is None:
        return "-"
    if estimate["interval"] is None:
        return number(estimate["value"])
    return f"{number(estimate['value'])} ({estimate['interval']['low']:.3f} to {estimate['interval']['high']:.3f})"


if __name__ == "__main__":
    main(sys.argv[1:])
