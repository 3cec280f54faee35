"""Survival curves of example subjects and of risk groups from a landmark, with the observed curves of the groups."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from survlstm.evaluation.landmarks import AtRisk, Landmark
from survlstm.evaluation.results import Curves
from survlstm.survival.kaplan_meier import confidence_band, kaplan_meier, read_steps

EXAMPLES = (("lowest risk", 0.0), ("median risk", 0.5), ("highest risk", 1.0))
GROUPS = ("low risk", "medium risk", "high risk")


def survival_curves(
    landmark: Landmark,
    survival: Float[np.ndarray, "subject horizon"],
    covariate_free: Float[np.ndarray, "subject horizon"],
    confidence: float,
) -> Curves | None:
    """Choose example subjects and risk groups by the predicted risk at the last horizon.

    Args:
        landmark: The landmark with its subjects.
        survival: Survival curves of the model.
        covariate_free: Survival curves of the covariate-free hazard.
        confidence: Confidence level of the bands around the observed curves.

    Returns:
        The curves; None with fewer than three subjects at risk.
    """
    test, time = landmark.test, landmark.grid
    if len(test.subject) < len(GROUPS):
        return None
    by_risk = np.argsort(-survival[:, -1], kind="stable")
    examples = by_risk[[round(share * (len(by_risk) - 1)) for _, share in EXAMPLES]]
    groups = np.array_split(by_risk, len(GROUPS))
    observed = [_observed(test, group, time, confidence) for group in groups]
    return Curves(
        landmark=landmark.name,
        unit=landmark.unit,
        time=time,
        example_name=tuple(name for name, _ in EXAMPLES),
        example_survival=survival[examples],
        example_duration=tuple(test.duration[examples].tolist()),
        example_event=tuple(test.event[examples].tolist()),
        group_name=GROUPS,
        group_survival=np.stack([_mean(survival, test, group) for group in groups]),
        group_observed=np.stack([curve for curve, _, _ in observed]),
        group_low=np.stack([low for _, low, _ in observed]),
        group_high=np.stack([high for _, _, high in observed]),
        group_at_risk=np.stack([(test.duration[group][:, None] >= time).sum(axis=0) for group in groups]),
        covariate_free=_mean(covariate_free, test, np.arange(len(covariate_free))),
    )


def _mean(survival: np.ndarray, test: AtRisk, group: np.ndarray) -> np.ndarray:
    weight = test.case_weight
    return np.average(survival[group], axis=0, weights=None if weight is None else weight[group])


def _observed(
    test: AtRisk, group: np.ndarray, time: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the Kaplan-Meier curve of a group and its band at each time; NaN after the follow-up of the group."""
    weight = test.case_weight
    curve = kaplan_meier(test.duration[group], test.event[group], weight=None if weight is None else weight[group])
    band = confidence_band(curve, confidence=confidence)
    known = (time <= curve.times[-1]) | (curve.survival[-1] == 0)
    columns = (curve.survival, 1.0), (band.low, np.nan), (band.high, np.nan)
    observed, low, high = (
        np.where(known, read_steps(values, times=curve.times, time=time, first=first, side="right"), np.nan)
        for values, first in columns
    )
    return observed, low, high
