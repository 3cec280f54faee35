"""Dynamic prediction on pbc2, by repeated cross-validation: the first table of docs/published.md.

    python scripts/published_pbc2.py DIR [landmark=1826] [repeats=10] [seeds=1] override …

DIR is the dataset of ``scripts/pbc2_to_meds.py``. Every fold trains on the prediction times of its training patients
and predicts the test patients who are at risk at the landmark, in days after the first visit. The predictions of the
five folds are evaluated together, and the figures are means over the repeats, each with other folds. The Cox
regression is the super-landmark baseline of the same folds. With several seeds, ``LSTM (mean of seeds)`` averages the
survival curves.

The Brier score is that of Gerds; the censoring curve is that of the patients at risk. IBS is its mean from the landmark
to the horizon by the trapezoid rule over the edges of the intervals, with the score 0 at the landmark.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from runs import read_options
from tqdm import tqdm

import survlstm
from survlstm.data.factory import build_batches
from survlstm.data.split import Split
from survlstm.evaluation.baselines.at_times import fit_at_times
from survlstm.evaluation.baselines.hazards import COVARIATE_FREE
from survlstm.evaluation.landmark_metrics import LandmarkSample, landmark_metrics
from survlstm.survival.kaplan_meier import censoring_curve
from survlstm.training.prediction import predict_split

OPTIONS = {"landmark": "1826", "repeats": "10", "seeds": "1", "resamples": "500"}
TASK = [
    "data=meds",
    "outcome=first_code",
    "outcome.codes=[PBC2//DEATH_OR_TRANSPLANTATION]",
    "clock=days",
    "data.min_visits=1",
    "data.values=continuous",
    "model=lstm_small",
    "clock.edges_days=[183,365,548,731,913,1096]",
    "trainer=cpu",
]
SHORT = ["evaluation.baselines=[]", "evaluation.groups=[]", "evaluation.resamples=100"]
FOLDS = 5
MODEL, MEAN, COX, FREE = "LSTM", "LSTM (mean of seeds)", "Cox (elastic net, stacked prediction times)", COVARIATE_FREE


def main(words: list[str]) -> None:
    """Run all repeats, and print a table with the means and spreads over them, and the difference to the Cox."""
    # The log of fifty runs would hide the tables.
    logging.disable(logging.WARNING)
    place, *words = words
    options, overrides = read_options(words, OPTIONS)
    repeats, seeds = int(options["repeats"]), int(options["seeds"])
    task = [*TASK, f"data.path={place}", f"evaluation.times=[day:{options['landmark']}]", *overrides]
    found = []
    with tqdm(total=repeats * FOLDS * seeds, disable=None) as bar:
        for repeat in range(repeats):
            folds = [_fold([*task, *_folds_of(repeat, fold)], seeds, bar) for fold in range(FOLDS)]
            found.append(_Repeat.join(folds))
    _print(found, int(options["resamples"]))


def _folds_of(repeat: int, fold: int) -> list[str]:
    return [f"split.folds={FOLDS}", f"split.fold={fold}", f"split.seed={repeat}"]


class _Repeat:
    """Curves of every model on the same patients, in the order of their ids."""

    def __init__(
        self,
        names: np.ndarray,
        survival: dict[str, np.ndarray],
        labels: np.ndarray,
        *,
        grid: np.ndarray,
        validation_loss: float,
    ) -> None:
        order = np.argsort(names)
        self.validation_loss = validation_loss
        self.survival = {model: curves[order] for model, curves in survival.items()}
        self.names, self.duration, self.event = names[order], labels[order, 0], labels[order, 1] > 0
        self.grid = grid

    @classmethod
    def join(cls, folds: list[_Repeat]) -> _Repeat:
        """Put the test patients of all folds together."""
        survival = {model: np.concatenate([fold.survival[model] for fold in folds]) for model in folds[0].survival}
        labels = np.concatenate([np.column_stack([fold.duration, fold.event]) for fold in folds])
        return cls(
            np.concatenate([fold.names for fold in folds]),
            survival,
            labels,
            grid=folds[0].grid,
            validation_loss=float(np.mean([fold.validation_loss for fold in folds])),
        )

    def figures(self, chosen: np.ndarray) -> np.ndarray:
        """Return AUC, Brier score and IBS of each model, [model, figure]."""
        duration, event = self.duration[chosen], self.event[chosen]
        sample = LandmarkSample(np.stack([curves[chosen] for curves in self.survival.values()]), duration, event)
        found = landmark_metrics(sample, censoring=censoring_curve(duration, event), grid=self.grid, shown=self.grid)
        times = np.concatenate([[0.0], self.grid])
        scores = np.column_stack([np.zeros(len(found.brier)), found.brier])
        return np.column_stack([found.auc[:, -1], found.brier[:, -1], np.trapezoid(scores, times) / times[-1]])


def _fold(words: list[str], seeds: int, bar: tqdm) -> _Repeat:
    tensors = survlstm.prepare(words).data.tensors
    rows = tensors.rows_of(tensors.members(Split.TEST), kind=1)
    survival, losses = {}, []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            run = survlstm.train([*words, *SHORT, f"seed={seed}"], output_dir=Path(folder) / "run")
            losses.append(run.history["val_loss"].min())
            batches = build_batches(run.config, tensors, Split.TEST, all_rows=True)
            predictions = predict_split(run.model.cpu(), batches, torch.device("cpu"))
        survival[seed] = predictions.survival[np.isin(predictions.row, rows)]
        bar.update()
    curves = {MODEL: survival[0]}
    if seeds > 1:
        curves[MEAN] = np.mean(list(survival.values()), axis=0)
    for name, baseline in ((COX, "cox"), (FREE, COVARIATE_FREE)):
        curves[name] = np.cumprod(1 - fit_at_times(baseline, tensors, rows).hazard, axis=1)
    labels = np.column_stack([tensors.duration_days[rows], tensors.event[rows]])
    return _Repeat(
        tensors.subject_id[tensors.row_subject[rows]],
        curves,
        labels,
        grid=tensors.edge_days[1:],
        validation_loss=float(np.mean(losses)),
    )


def _print(found: list[_Repeat], resamples: int) -> None:
    first = found[0]
    everybody = np.arange(len(first.names))
    figures = np.stack([repeat.figures(everybody) for repeat in found])
    loss = np.mean([repeat.validation_loss for repeat in found])
    print(f"{len(everybody)} at risk, {int(first.event.sum())} events; {len(found)} repeats of {FOLDS} folds")
    print(f"validation loss, mean over all trainings: {loss:.3f}\n")
    print("| model | AUC | Brier score at the horizon | IBS |\n|---|---|---|---|")
    for number, name in enumerate(first.survival):
        cells = zip(figures[:, number].mean(axis=0), figures[:, number].std(axis=0), strict=True)
        print(f"| {name} | " + " | ".join(f"{mean:.3f} ({spread:.3f})" for mean, spread in cells) + " |")
    # The same patients in every repeat: a resample of them is one for all repeats.
    generator, differences = np.random.default_rng(0), defaultdict(list)
    names = list(first.survival)
    for _ in tqdm(range(resamples), disable=None, desc="Resampling"):
        chosen = generator.integers(len(everybody), size=len(everybody))
        mean = np.mean([repeat.figures(chosen) for repeat in found], axis=0)
        for name in names:
            differences[name].append(mean[names.index(name)] - mean[names.index(COX)])
    print(f"\nMinus {COX}, 95 % interval over patients:\n\n| model | AUC | Brier score | IBS |\n|---|---|---|---|")
    centre = figures.mean(axis=0) - figures.mean(axis=0)[names.index(COX)]
    for number, name in enumerate(names):
        low, high = np.nanquantile(differences[name], [0.025, 0.975], axis=0)
        ends = zip(centre[number], low, high, strict=True)
        print(f"| {name} | " + " | ".join(f"{one:+.3f} ({a:+.3f} to {b:+.3f})" for one, a, b in ends) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
