"""Cumulative/dynamic AUC of a risk score at horizons, weighted for censoring."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from survlstm.survival.case_weights import check_group, check_weight, pairs_within
from survlstm.survival.follow_up import check_follow_up, check_one_column_per_horizon, check_score
from survlstm.survival.ipcw import check_horizons
from survlstm.survival.kaplan_meier import KaplanMeier, kaplan_meier


class DynamicAuc(NamedTuple):
    """Cumulative/dynamic AUC at each horizon and its mean.

    Attributes:
        auc: AUC at each horizon, 0 to 1; shape (horizon,). NaN where all controls are in the group of the case.
        mean_auc: weighted mean of ``auc`` over the horizons.
        cases: number of subjects with the event at or before each horizon; shape (horizon,).
        controls: number of subjects followed beyond each horizon; shape (horizon,).
    """

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
    weight: Float[np.ndarray, " subject"] | None = None,
    group: Int[np.ndarray, " subject"] | None = None,
) -> DynamicAuc:
    """Compute the probability that a case at horizon t has a higher score than a control; higher is better.

    At horizon t a case has the event at T <= t and the weight 1/G(T); a control has T > t. A subject censored at or
    before t is neither. 0.5 is what chance gives, 1 means that every case has a higher score than every control.
    Scores count as equal if they are exactly equal, and an equal pair counts 1/2.

    G is read at T itself, as in scikit-survival, not at T- as in ``brier``. ``mean_auc`` weights each horizon by the
    decrease of the evaluated subjects' Kaplan-Meier curve since the previous horizon (since time zero for the first).

    Source: Uno et al. 2007, Journal of the American Statistical Association 102:527; the mean: Lambert & Chevret 2016,
    Statistical Methods in Medical Research 25:2088.

    Args:
        score: risk score, higher = earlier event, finite; shape (subject,) for one score at all horizons, or
            (subject, horizon) for one column per horizon.
        duration: time to the event or to the end of follow-up, finite and >= 0; shape (subject,).
        event: True = event, False = censored at ``duration``; shape (subject,), boolean.
        horizon: strictly increasing times in the unit of ``duration``; shape (horizon,). Each must be below the longest
            ``duration``, and G must be known and above 0 there (``ipcw.supported_horizons`` selects such horizons).
        censoring: G, the ``censoring_curve`` of the training subjects, in the unit of ``duration``.
        weight: case weight of each subject, > 0; shape (subject,). None = 1 each.
        group: an integer per subject; subjects of one group are not compared; shape (subject,). None = all are.

    Returns:
        AUC and numbers of cases and controls per horizon, and the mean AUC.

    Raises:
        ValueError: a horizon is not supported or has no case, a score is NaN or infinite, the follow-up is invalid, a
            weight is not finite and > 0, or the numbers of subjects or horizons differ.

    Example:
        >>> follow_up = {"duration": np.array([1, 2, 3, 4]), "event": np.array([True, True, False, False])}
        >>> follow_up |= {"horizon": np.array([1, 2]), "censoring": censoring_curve(**follow_up)}
        >>> cumulative_dynamic_auc(np.array([0.9, 0.3, 0.5, 0.1]), **follow_up).auc.tolist()
        [1.0, 0.75]
    """
    check_follow_up(duration, event)
    check_horizons(horizon, duration=duration, censoring=censoring)
    check_score(score, subjects=len(duration))
    per_horizon = score if score.ndim == 2 else np.broadcast_to(score[:, None], (len(score), len(horizon)))
    check_one_column_per_horizon(per_horizon.shape[1], horizons=len(horizon))
    is_case = event[:, None] & (duration[:, None] <= horizon)
    _check_cases(is_case, horizon)
    check_weight(weight, subjects=len(duration))
    check_group(group, subjects=len(duration))
    case_weight = np.zeros(len(duration))
    case_weight[is_case[:, -1]] = 1 / censoring.at(duration[is_case[:, -1]])
    if weight is not None:
        case_weight *= weight
    sums = np.array(
        [
            _sums(
                column[case],
                weight=case_weight[case],
                control=column[duration > at],
                control_weight=None if weight is None else weight[duration > at],
            )
            for column, case, at in zip(per_horizon.T, is_case.T, horizon, strict=True)
        ]
    )
    controls = (duration[:, None] > horizon).sum(axis=0)
    if group is not None:
        pairs, within = _sums_within_groups(
            per_horizon, duration, horizon, case_weight=case_weight, weight=weight, group=group
        )
        # A difference of sums of weights is not exactly 0 where no pair remains.
        sums = np.where((is_case.sum(axis=0) * controls > pairs)[:, None], sums - within, np.nan)
    auc = sums[:, 0] / sums[:, 1]
    decrease = -np.diff(kaplan_meier(duration, event, weight=weight).at(horizon), prepend=1.0)
    return DynamicAuc(auc, float((auc * decrease).sum() / decrease.sum()), is_case.sum(axis=0), controls)


def _check_cases(is_case: np.ndarray, horizon: np.ndarray) -> None:
    without_case = horizon[~is_case.any(axis=0)]
    if len(without_case):
        raise ValueError(
            f"every horizon must have an event at or before it; {len(without_case)} of {len(horizon)} have none "
            f"(until {without_case[-1]:g})"
        )


def _sums(
    case: np.ndarray, *, weight: np.ndarray, control: np.ndarray, control_weight: np.ndarray | None
) -> tuple[float, float]:
    """Return the weight of the pairs in which the case has the higher score and of all; equal scores count 1/2."""
    order = np.argsort(control)
    control = control[order]
    first, end = (np.searchsorted(control, case, side) for side in ("left", "right"))
    # The mean of both ends is the number of controls with a lower score plus half of those with an equal score.
    if control_weight is None:
        return float(weight @ ((first + end) / 2)), float(weight.sum() * len(control))
    until = np.append(0.0, np.cumsum(control_weight[order]))
    return float(weight @ ((until[first] + until[end]) / 2)), float(weight.sum() * until[-1])


def _sums_within_groups(
    score: np.ndarray,
    duration: np.ndarray,
    horizon: np.ndarray,
    *,
    case_weight: np.ndarray,
    weight: np.ndarray | None,
    group: np.ndarray,
) -> tuple[Int[np.ndarray, " horizon"], Float[np.ndarray, "horizon sum"]]:
    """Return the number of pairs of a case and a control of its group at each horizon, and the sums of ``_sums``."""
    pairs, sums = np.zeros(len(horizon), dtype=np.int64), np.zeros((len(horizon), 2))
    anchor = np.flatnonzero(case_weight)
    for place, other in pairs_within(group, duration, anchor, columns=len(horizon)):
        case = anchor[place]
        pair_weight = case_weight[case] * (1.0 if weight is None else weight[other])
        is_pair = (duration[case][:, None] <= horizon) & (duration[other][:, None] > horizon)
        concordant = (score[case] > score[other]) + (score[case] == score[other]) / 2
        pairs += is_pair.sum(axis=0)
        sums += np.stack([pair_weight @ (is_pair * concordant), pair_weight @ is_pair], axis=1)
    return pairs, sums
