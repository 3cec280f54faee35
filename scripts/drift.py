"""Compare three hazard extrapolations of a finished run by the integrated Brier score.

    python scripts/drift.py RUN [CACHE_DIR]

*own* is fitted at the landmark, as the summary does; *bundle* is the one that a bundle carries, of every visit; *held*
holds the hazard where it stands. Test subjects of a run on the visit clock, at the landmarks and horizons of its
config.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from survlstm.data.factory import build_batches
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.evaluation.hazard_extrapolation import HazardExtrapolation, fit_hazard_extrapolation, log_odds
from survlstm.evaluation.landmark_metrics import LandmarkSample, landmark_metrics
from survlstm.evaluation.landmarks import AtRisk, make_landmarks
from survlstm.inference.bundle.reference_case import make_reference
from survlstm.runs.finished import open_run
from survlstm.survival.kaplan_meier import kaplan_meier
from survlstm.training.prediction import Predictions, predict_split


def main(folder: str, cache_dir: str = "~/.cache/survlstm") -> None:
    """Print a line for each landmark."""
    run = open_run(Path(folder))
    prepared, model, asked = run.own_data(cache_dir), run.model(), run.config.evaluation.landmarks
    tensors = prepared.tensors
    found = make_reference(model, run.config, prepared).drift
    if found is None:
        raise SystemExit("drifts are of the visit clock; this run is of the landmark clock")
    val, test = (
        predict_split(model, build_batches(run.config, tensors, part), torch.device("cpu"))
        for part in (Split.VAL, Split.TEST)
    )
    steps = max(asked.horizons)
    print(f"{'landmark':>10}{'at risk':>9}{'own':>9}{'bundle':>9}{'held':>9}   (integrated Brier score)")
    for landmark in make_landmarks(tensors, Split.TEST, visits=asked.visits, days=asked.days, horizons=asked.horizons):
        own = fit_hazard_extrapolation(
            _logit(val, landmark.val, tensors), step=landmark.val.step, event=landmark.val.event, steps=steps
        )
        logit = _logit(test, landmark.test, tensors)
        curves = [
            np.cumprod(1 - drift.hazard(logit, steps=steps), axis=1)
            for drift in (own, HazardExtrapolation(*found), HELD)
        ]
        figures = landmark_metrics(
            LandmarkSample(np.stack(curves), landmark.test.duration, landmark.test.event),
            censoring=kaplan_meier(landmark.train.duration, ~landmark.train.event),
            grid=landmark.grid,
            shown=landmark.horizons,
        )
        print(f"{landmark.name:>10}{len(logit):9}" + "".join(f"{score:9.4f}" for score in figures.ibs))


HELD = HazardExtrapolation(0.0, 0.0, 0.0)


def _logit(predictions: Predictions, at_risk: AtRisk, tensors: Tensors) -> np.ndarray:
    row = np.searchsorted(predictions.subject, at_risk.subject)
    return log_odds(predictions.hazard[row, at_risk.visit - tensors.visit_offsets[at_risk.subject]])


if __name__ == "__main__":
    main(*sys.argv[1:])
