"""Curves of several models on the same subjects → concordance, AUC, Brier score and log-likelihood at horizons."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64

from survlstm.survival.auc import cumulative_dynamic_auc
from survlstm.survival.brier import brier_of, mean_over, nbll_of
from survlstm.survival.ipcw import outcome_at, supported_horizons
from survlstm.survival.kaplan_meier import KaplanMeier
from survlstm.survival.rank_concordance import count_pairs


class LandmarkSample(NamedTuple):
    """The curves S(t) of every model at every time of ``grid``, and what became of the subjects."""

    survival: Float[np.ndarray, "model subject horizon"]
    duration: Float64[np.ndarray, " subject"]
    event: Bool[np.ndarray, " subject"]


class LandmarkMetrics(NamedTuple):
    """NaN where the data can't give a figure; ``ibs`` and ``inbll`` integrate over the whole grid."""

    c_harrell: Float[np.ndarray, "model shown"]
    c_uno: Float[np.ndarray, "model shown"]
    auc: Float[np.ndarray, "model shown"]
    brier: Float[np.ndarray, "model shown"]
    nbll: Float[np.ndarray, "model shown"]
    ibs: Float[np.ndarray, " model"]
    inbll: Float[np.ndarray, " model"]


def landmark_metrics(
    sample: LandmarkSample,
    *,
    censoring: KaplanMeier,
    grid: Float64[np.ndarray, " horizon"],
    shown: Float64[np.ndarray, " shown"],
) -> LandmarkMetrics:
    """All figures at once: what is dear, the pairs and the weights of a horizon, the models share.

    C at a horizon compares the risk by then, anchored at the events until then (Uno's with 1/G² and tau behind the
    horizon); the other figures as their modules in survlstm.survival define them. ``shown`` are times of ``grid``; a
    time without follow-up behind it gives NaN.
    """
    models = len(sample.survival)
    within = len(supported_horizons(grid, duration=sample.duration, censoring=censoring))
    outcomes = [
        outcome_at(at, duration=sample.duration, event=sample.event, censoring=censoring) for at in grid[:within]
    ]
    brier, nbll = np.full((2, models, len(grid)), np.nan)
    for step, outcome in enumerate(outcomes):
        brier[:, step] = brier_of(sample.survival[:, :, step], outcome)
        nbll[:, step] = nbll_of(sample.survival[:, :, step], outcome)
    place = np.searchsorted(grid, shown)
    harrell, uno, auc = np.full((3, models, len(shown)), np.nan)
    known = np.flatnonzero([step < within and outcomes[step].happened.any() for step in place])
    if len(known):
        risk = 1 - sample.survival[:, :, place[known]]
        harrell[:, known], uno[:, known] = _concordance(sample, risk, censoring, shown[known])
        auc[:, known] = _auc(sample, risk, censoring, shown[known])
    ibs, inbll = (
        np.array([mean_over(grid, of_one) if len(grid) > 1 else np.nan for of_one in values])
        for values in (brier, nbll)
    )
    return LandmarkMetrics(harrell, uno, auc, brier[:, place], nbll[:, place], ibs, inbll)


def _concordance(
    sample: LandmarkSample, risk: np.ndarray, censoring: KaplanMeier, horizon: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Harrell's and Uno's C, [model, horizon]."""
    models, subjects, _ = risk.shape
    columns = risk.transpose(1, 0, 2).reshape(subjects, -1)
    pairs = count_pairs(columns, duration=sample.duration, event=sample.event)
    won = (pairs.lower + pairs.equal / 2).reshape(len(pairs.anchor), models, len(horizon))
    anchor_time = sample.duration[pairs.anchor]
    is_anchor = anchor_time[:, None] <= horizon
    inverse = np.zeros(len(anchor_time))
    reached = is_anchor[:, -1]
    inverse[reached] = censoring.at(anchor_time[reached]) ** -2.0
    found = []
    for weight in (np.ones(len(anchor_time)), inverse):
        counted = np.where(is_anchor, weight[:, None], 0.0)
        with np.errstate(invalid="ignore"):
            found.append(np.einsum("ah,amh->mh", counted, won) / (counted.T @ pairs.comparable))
    return found[0], found[1]


def _auc(sample: LandmarkSample, risk: np.ndarray, censoring: KaplanMeier, horizon: np.ndarray) -> np.ndarray:
    return np.stack(
        [
            cumulative_dynamic_auc(
                of_one, duration=sample.duration, event=sample.event, horizon=horizon, censoring=censoring
            ).auc
            for of_one in risk
        ]
    )
