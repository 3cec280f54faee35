"""Train every shipped model on one cohort: the table of docs/models.md, means over seeds.

    python scripts/model_table.py [real=DIR] [cohort=cohort_1000] [models=lstm_small,gru,…] [seeds=0,1,2] [override …]

``real`` is a folder that holds the cohort as a real export; without it the built-in cohort is used. The baseline row is
the logistic hazard of the same runs.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence

from runs import number, read_options, run_cohort
from tqdm import tqdm

OPTIONS = {
    "real": "",
    "cohort": "cohort_1000",
    "models": "mlp_bag,retain,gru,transformer,lstm_small,lstm_medium,lstm_large,nested_lstm",
    "seeds": "0,1,2",
}
JUDGEMENT = ["evaluation.baselines=[logistic_hazard]", "evaluation.landmarks.visits=[]"]
COLUMNS = ("model", "parameters", "best epoch", "s an epoch", "c_td by seed", "mean c_td", "nll by seed", "mean nll")


def main(words: list[str]) -> None:
    """Run every model with every seed, and print a row a model."""
    options, overrides = read_options(words, OPTIONS)
    models, seeds = options["models"].split(","), options["seeds"].split(",")
    print("| " + " | ".join(COLUMNS) + " |\n|---|---:|---:|---:|---|---:|---|---:|")
    others: dict[str, list[dict]] = {"logistic hazard (history)": [], "oracle": []}
    for model in tqdm(models, disable=None):
        runs = []
        for seed in seeds:
            chosen = [f"model={model}", "trainer=cpu", f"seed={seed}", *JUDGEMENT, *overrides]
            found = run_cohort(options["cohort"], options["real"], chosen)
            if isinstance(found, str):
                sys.exit(f"{model}, seed {seed}: {found}")
            runs.append(found)
        print(_row(model, runs), flush=True)
        for name, rows in others.items():
            rows[:] = [row for run in runs for row in run["test"]["rows"] if row["name"] == name]
    for name, rows in others.items():
        print(_line([name, "-", "-", "-", *_metrics(rows)]))


def _row(model: str, runs: Sequence[dict]) -> str:
    rows = [run["test"]["rows"][0] for run in runs]
    training = [run["training"] for run in runs]
    seconds = statistics.median(epoch["seconds"] for run in runs for epoch in run["epochs"])
    epochs = ", ".join(str(one["best_epoch"]) for one in training)
    return _line([model, f"{training[0]['parameters']:,}", epochs, f"{seconds:.1f}", *_metrics(rows)])


def _metrics(rows: Sequence[dict]) -> list[str]:
    cells = []
    for metric in ("c_td", "nll"):
        values = [row[metric]["value"] for row in rows]
        cells += [", ".join(map(number, values)), number(statistics.mean(values))]
    return cells


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(sys.argv[1:])
