"""Concordance, AUC, Brier score and log-likelihood of several models at the horizons of a landmark."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from survlstm.survival.auc import cumulative_dynamic_auc
from survlstm.survival.brier import time_average, weighted_brier, weighted_nbll
from survlstm.survival.ipcw import outcome_at, supported_horizons
from survlstm.survival.kaplan_meier import KaplanMeier
from survlstm.survival.rank_concordance import count_pairs


class LandmarkSample(NamedTuple):
    """Survival curves of several models on the same subjects, with the follow-up of these subjects.

    Attributes:
        survival: Survival at every time of the grid.
        duration: Time to the event or to the end of follow-up.
        event: Whether the event happens at that time.
        weight: Case weight, > 0; None = 1 each.
        group: Subject of each row, if a subject has several: they are not compared. None = every row is a subject.
    """

    survival: Float[np.ndarray, "model subject horizon"]
    duration: Float64[np.ndarray, " subject"]
    event: Bool[np.ndarray, " subject"]
    weight: Float64[np.ndarray, " subject"] | None = None
    group: Int64[np.ndarray, " subject"] | None = None


class LandmarkMetrics(NamedTuple):
    """Metrics by model; NaN where the data do not determine a metric.

    Attributes:
        c_harrell: Harrell's C of the risk by the horizon, over the events until then.
        c_uno: Uno's C of the same pairs.
        auc: Cumulative/dynamic AUC at the horizon.
        brier: Brier score at the horizon.
        nbll: Negative binomial log-likelihood at the horizon.
        ibs: Brier score integrated over the grid.
        inbll: Negative binomial log-likelihood integrated over the grid.
    """

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
    """Compute all metrics of several models together.

    The pairs of subjects and the weights of a horizon are expensive and shared by the models. C at a horizon compares
    the risk by then and counts pairs of each event until then (Uno's C with weights 1/G² and tau after the horizon).
    The other metrics are those of their modules in survlstm.survival.

    Args:
        sample: Curves and follow-up.
        censoring: Survival curve of the censoring, G.
        grid: Times of the curves.
        shown: Times of ``grid`` for which metrics are returned. A time without later follow-up gives NaN.

    Returns:
        The metrics.
    """
    models = len(sample.survival)
    within = len(supported_horizons(grid, duration=sample.duration, censoring=censoring))
    outcomes = [
        outcome_at(at, duration=sample.duration, event=sample.event, censoring=censoring, weight=sample.weight)
        for at in grid[:within]
    ]
    brier, nbll = np.full((2, models, len(grid)), np.nan)
    for step, outcome in enumerate(outcomes):
        brier[:, step] = weighted_brier(sample.survival[:, :, step], outcome)
        nbll[:, step] = weighted_nbll(sample.survival[:, :, step], outcome)
    column = np.searchsorted(grid, shown)
    harrell, uno, auc = np.full((3, models, len(shown)), np.nan)
    known = np.flatnonzero([step < within and outcomes[step].happened.any() for step in column])
    if len(known):
        risk = 1 - sample.survival[:, :, column[known]]
        harrell[:, known], uno[:, known] = _concordance(sample, risk, censoring, shown[known])
        auc[:, known] = _auc(sample, risk, censoring, shown[known])
    ibs, inbll = (
        np.array([time_average(grid, scores) if len(grid) > 1 else np.nan for scores in values])
        for values in (brier, nbll)
    )
    return LandmarkMetrics(harrell, uno, auc, brier[:, column], nbll[:, column], ibs, inbll)


def _concordance(
    sample: LandmarkSample, risk: np.ndarray, censoring: KaplanMeier, horizon: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return Harrell's and Uno's C, [model, horizon]."""
    # One count of pairs serves all models and horizons, as columns of one array.
    models, subjects, _ = risk.shape
    columns = risk.transpose(1, 0, 2).reshape(subjects, -1)
    pairs = count_pairs(columns, duration=sample.duration, event=sample.event, weight=sample.weight, group=sample.group)
    concordant = (pairs.lower + pairs.equal / 2).reshape(len(pairs.anchor), models, len(horizon))
    anchor_time = sample.duration[pairs.anchor]
    is_anchor = anchor_time[:, None] <= horizon
    inverse = np.zeros(len(anchor_time))
    reached = is_anchor[:, -1]
    inverse[reached] = censoring.at(anchor_time[reached]) ** -2.0
    own = np.ones(len(anchor_time)) if sample.weight is None else sample.weight[pairs.anchor]
    c_indices = []
    for weight in (own, own * inverse):
        counted = np.where(is_anchor, weight[:, None], 0.0)
        with np.errstate(invalid="ignore"):
            c_indices.append(np.einsum("ah,amh->mh", counted, concordant) / (counted.T @ pairs.comparable))
    return c_indices[0], c_indices[1]


def _auc(sample: LandmarkSample, risk: np.ndarray, censoring: KaplanMeier, horizon: np.ndarray) -> np.ndarray:
    return np.stack(
        [
            cumulative_dynamic_auc(
                risk_of_model,
                duration=sample.duration,
                event=sample.event,
                horizon=horizon,
                censoring=censoring,
                weight=sample.weight,
                group=sample.group,
            ).auc
            for risk_of_model in risk
        ]
    )
