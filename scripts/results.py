"""Train and evaluate over cohorts, outcomes and seeds: the tables of docs/results.md, one run per row.

    python scripts/results.py [real=DIR] [cohorts=cohort_1000] [outcomes=synthetic,random] [seeds=0,1,2] [override …]

``real`` is a folder that holds the cohorts as real exports; without it their built-in twins are run.
"""

from __future__ import annotations

import statistics
import sys

from runs import difference, number, read_options, run_cohort
from tqdm import tqdm

OPTIONS = {
    "real": "",
    "cohorts": "cohort_106,cohort_1000",
    "outcomes": "synthetic,random,death,ckd_progression",
    "seeds": "0,1,2",
}
# What the table shows needs no more of the evaluation.
JUDGEMENT = ["evaluation.baselines=[record_length,logistic_hazard,boosted_hazard]", "evaluation.landmarks.visits=[]"]
Z95 = 1.959964
COLUMNS = (
    "cohort",
    "outcome",
    "seed",
    "test subjects (events)",
    "c_td",
    "95 % interval",
    "best baseline",
    "difference to the best baseline",
    "oracle",
    "share of the oracle's excess",
    "nll",
    "covariate-free nll",
)


def main(words: list[str]) -> None:
    """Run everything, print a row a run, and the means over seeds."""
    options, overrides = read_options(words, OPTIONS)
    cohorts, outcomes, seeds = (options[name].split(",") for name in ("cohorts", "outcomes", "seeds"))
    jobs = [(cohort, outcome, seed) for cohort in cohorts for outcome in outcomes for seed in seeds]
    print("| " + " | ".join(COLUMNS) + " |\n|---|---|---:|---:|---:|---|---|---|---:|---:|---:|---:|")
    c_tds: dict[tuple[str, str], list[float]] = {}
    shares: dict[tuple[str, str], list[float]] = {}
    for cohort, outcome, seed in tqdm(jobs, disable=None):
        name = f"{cohort}, {'real' if options['real'] else 'built-in'}"
        found = run_cohort(cohort, options["real"], [f"outcome={outcome}", f"seed={seed}", *JUDGEMENT, *overrides])
        if isinstance(found, str):
            sys.exit(f"{name}, {outcome}, seed {seed}: {found}")
        rows = {row["name"]: row for row in found["test"]["rows"]}
        model, share = rows["model"]["c_td"]["value"], _share_of_excess(rows) if outcome == "synthetic" else None
        for kept, value in ((c_tds, model), (shares, share)):
            if value is not None:
                kept.setdefault((name, outcome), []).append(value)
        print(_row(f"{name} | {outcome} | {seed}", found["test"], rows, share), flush=True)
    print("\n| cohort | outcome | mean c_td over seeds | mean share of the oracle's excess |\n|---|---|---:|---:|")
    for (name, outcome), values in c_tds.items():
        share_text = f"{statistics.mean(shares[name, outcome]):.1%}" if (name, outcome) in shares else "-"
        print(f"| {name} | {outcome} | {statistics.mean(values):.3f} | {share_text} |")


def _share_of_excess(rows: dict) -> float | None:
    model, oracle = rows["model"]["c_td"]["value"], rows.get("oracle")
    return (model - 0.5) / (oracle["c_td"]["value"] - 0.5) if oracle and model is not None else None


def _row(start: str, test: dict, rows: dict, share: float | None) -> str:
    model, oracle, free = rows["model"], rows.get("oracle"), rows["covariate-free hazard"]
    c_td, interval = model["c_td"], "; ".join(test["notes"])
    if c_td["interval"]:
        low, high = c_td["interval"]["low"], c_td["interval"]["high"]
        errors = (c_td["value"] - 0.5) / ((high - low) / (2 * Z95)) if high > low else float("nan")
        interval = f"{low:.3f} to {high:.3f} ({errors:+.1f} standard errors from 0.5)"
    best = max((row for row in rows.values() if row["role"] == "baseline"), key=lambda row: row["c_td"]["value"] or 0)
    cells = [
        start,
        f"{test['subjects']} ({test['events']})",
        number(c_td["value"]),
        interval,
        "-" if best["c_td"]["value"] is None else f"{best['name']} {number(best['c_td']['value'])}",
        difference(best["c_td_difference"]),
        number(oracle and oracle["c_td"]["value"]),
        "-" if share is None else f"{share:.0%}",
        number(model["nll"]["value"]),
        number(free["nll"]["value"]),
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(sys.argv[1:])
