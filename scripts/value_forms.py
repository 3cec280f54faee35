"""Compare the forms of values, data.values, on one task: a table of docs/values.md.

    python scripts/value_forms.py [forms=none,bins,continuous,both] [seeds=0,1,2 | folds=5] override …

Every form is trained with every seed, or on every fold of a cross-validation, and so is the logistic hazard, which
reads the same inputs. The columns of the validation subjects are those to choose by.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from runs import read_options
from tqdm import tqdm

import survlstm
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.evaluation.baselines.hazards import logistic_hazard
from survlstm.survival.concordance import concordance_td

OPTIONS = {"forms": "none,bins,continuous,both", "seeds": "0,1,2", "folds": ""}
# Only the logistic hazard is fitted, and no landmark is judged.
SHORT = [
    "evaluation.baselines=[]",
    "evaluation.landmarks.visits=[]",
    "evaluation.groups=[]",
    "evaluation.resamples=200",
]
MODELS = ("LSTM", "logistic hazard")


def main(words: list[str]) -> None:
    """Train every form, and print a row for each form and model: means over the runs, and their spread."""
    options, overrides = read_options(words, OPTIONS)
    folds = int(options["folds"] or 0)
    runs = [f"split.fold={fold} split.folds={folds}" for fold in range(folds)] if folds else []
    runs = runs or [f"seed={seed}" for seed in options["seeds"].split(",")]
    jobs = [(form, run) for form in options["forms"].split(",") for run in runs]
    found = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for number, (form, run) in enumerate(tqdm(jobs, disable=None)):
            words = [f"data.values={form}", *run.split(), *overrides]
            for model, figures in _figures(words, Path(folder) / str(number)).items():
                found[form, model].append(figures)
    _print(found)


def _figures(words: list[str], folder: Path) -> dict[str, np.ndarray]:
    """Train, and return likelihood and C-index of the validation and the test subjects by model."""
    run = survlstm.train([*words, *SHORT], output_dir=folder)
    tensors = survlstm.prepare(words).data.tensors
    best = run.history["val_loss"].idxmin()
    rows = run.metrics.set_index("name") if "name" in run.metrics else run.metrics
    model = rows.loc["model"]
    oracle = rows.loc["oracle"]["c_td"] if "oracle" in rows.index else np.nan
    lstm = [run.history["val_loss"][best], run.history["val_c_td"][best], model["nll"], model["c_td"], oracle]
    logistic = [figure for part in (Split.VAL, Split.TEST) for figure in _logistic(tensors, part)]
    return dict(zip(MODELS, (np.array(lstm, dtype=float), np.array([*logistic, oracle])), strict=True))


def _logistic(tensors: Tensors, part: Split) -> tuple[float, float]:
    """Return the negative log-likelihood a subject and the C-index of the logistic hazard on a split."""
    members = tensors.members(part)
    step, event = tensors.step[members], tensors.event[members]
    hazard = logistic_hazard(tensors, members, tensors.steps).hazard
    number = np.arange(hazard.shape[1])
    happened = (number == step[:, None]) & event[:, None]
    at_risk = number <= step[:, None]
    terms = np.log(np.where(happened, hazard, 1 - hazard), out=np.zeros(hazard.shape), where=at_risk)
    survival = np.cumprod(np.where(at_risk, 1 - hazard, 1.0), axis=1)
    return float(-terms.sum() / len(members)), concordance_td(survival, step=step, event=event).c_td


def _print(found: dict[tuple[str, str], list[np.ndarray]]) -> None:
    print("| values | model | validation nll | validation C | test nll | test C | oracle C |")
    print("|---|---|---|---|---|---|---|")
    for (form, model), runs in sorted(found.items(), key=lambda item: MODELS.index(item[0][1])):
        mean, spread = np.mean(runs, axis=0), np.std(runs, axis=0)
        cells = (
            f"{one:.3f} ({other:.3f})" if np.isfinite(one) else "" for one, other in zip(mean, spread, strict=True)
        )
        print(f"| {form} | {model} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
