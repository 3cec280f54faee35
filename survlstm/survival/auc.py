"""Scores and follow-up → cumulative/dynamic AUC at horizons."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from survlstm.survival.follow_up import check_follow_up, check_one_column_per_horizon, check_score
from survlstm.survival.ipcw import check_horizons
from survlstm.survival.kaplan_meier import KaplanMeier, kaplan_meier


class DynamicAuc(NamedTuple):
    """AUC per horizon with the subjects behind it, and its mean over the horizons."""

    auc: Float[np.ndarray, " horizon"]
    mean_auc: float
    cases: Int[np.ndarray, " horizon"]
    controls: Int[np.ndarray, " horizon"]


def cumulative_dynamic_auc(
    score: Real[np.ndarray, " subject"] | Real[np.ndarray, "subject horizon"],
    *,
    duration: Real[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    horizon: Real[np.ndarray, " horizon"],
    censoring: KaplanMeier,
) -> DynamicAuc:
    """P(score of a case > score of a control), score higher = earlier event, fixed or one column per horizon.

    At horizon t cases have the event at T <= t, weight 1/G(T), and controls have T > t; whoever is censored before is
    neither. Equal scores (exactly equal) count 1/2. ``censoring`` is the ``censoring_curve`` G of the training
    subjects, read at T itself as in scikit-survival. The mean weights each horizon by the fall of the evaluated
    subjects' own Kaplan-Meier curve since the one before. ValueError for unsupported horizons, a horizon without case,
    scores that are not finite, and shapes that differ. Uno et al. 2007, JASA 102:527; mean: Lambert & Chevret 2016,
    Statistical Methods in Medical Research 25:2088.
    """
    check_follow_up(duration, event)
    check_horizons(horizon, duration=duration, censoring=censoring)
    check_score(score, subjects=len(duration))
    per_horizon = score if score.ndim == 2 else np.broadcast_to(score[:, None], (len(score), len(horizon)))
    check_one_column_per_horizon(per_horizon.shape[1], horizons=len(horizon))
    is_case = event[:, None] & (duration[:, None] <= horizon)
    _check_cases(is_case, horizon)
    inverse = np.zeros(len(duration))
    inverse[is_case[:, -1]] = 1 / censoring.at(duration[is_case[:, -1]])
    auc = np.array(
        [
            _weighted_auc(column[case], weight=inverse[case], control=column[duration > at])
            for column, case, at in zip(per_horizon.T, is_case.T, horizon, strict=True)
        ]
    )
    fall = -np.diff(kaplan_meier(duration, event).at(horizon), prepend=1.0)
    controls = (duration[:, None] > horizon).sum(axis=0)
    return DynamicAuc(auc, float((auc * fall).sum() / fall.sum()), is_case.sum(axis=0), controls)


def _check_cases(is_case: np.ndarray, horizon: np.ndarray) -> None:
    without = horizon[~is_case.any(axis=0)]
    if len(without):
        raise ValueError(
            f"every horizon needs an event at or before it; {len(without)} of {len(horizon)} have none "
            f"(until {without[-1]:g})"
        )


def _weighted_auc(case: np.ndarray, *, weight: np.ndarray, control: np.ndarray) -> float:
    control = np.sort(control)
    won = (np.searchsorted(control, case, "left") + np.searchsorted(control, case, "right")) / 2
    return float(weight @ won / (weight.sum() * len(control)))
