"""Calibration of a model from a landmark: risk groups and calibration line at a horizon, and D-calibration."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from survlstm.evaluation.landmarks import AtRisk
from survlstm.evaluation.results import Calibration
from survlstm.survival.calibration_line import CalibrationLine, calibration_line
from survlstm.survival.d_calibration import d_calibration
from survlstm.survival.kaplan_meier import KaplanMeier
from survlstm.survival.one_calibration import CalibrationGroups, calibration_groups, one_calibration

MOST_GROUPS = 10
SUBJECTS_PER_GROUP = 15
# With fewer events the test rejects correct models two to three times too often (Demler et al. 2015 merge such groups).
EVENTS_PER_GROUP = 5


def calibrate(
    survival: Float[np.ndarray, " subject"], at_risk: AtRisk, horizon: float, censoring: KaplanMeier, confidence: float
) -> Calibration:
    """Compare predicted and observed risk by a horizon, in groups and by a calibration line.

    Args:
        survival: Predicted survival at the horizon.
        at_risk: The evaluated subjects. Of several rows of a subject each counts with its weight, also for the numbers
            of subjects and events that a group needs.
        horizon: The horizon, in the unit of the durations.
        censoring: Survival curve of the censoring.
        confidence: Confidence level of the observed risks.

    Returns:
        The calibration, with the reason for anything that could not be computed.
    """
    groups, p_value, why_not = _groups(survival, at_risk, horizon, confidence)
    line = None
    try:
        line = calibration_line(
            survival,
            duration=at_risk.duration,
            event=at_risk.event,
            horizon=horizon,
            censoring=censoring,
            weight=at_risk.case_weight,
        )
    except (ValueError, np.linalg.LinAlgError) as error:
        why_not = f"{why_not}; no calibration line: {error}" if why_not else f"no calibration line: {error}"
    return _as_values(horizon, groups, p_value, line, why_not)


def d_calibration_until(survival: Float[np.ndarray, "subject horizon"], at_risk: AtRisk, *, steps: int) -> float | None:
    """Test D-calibration with the follow-up cut at a horizon (docs/conventions.md, Calibration).

    Args:
        survival: Predicted survival at the end of each step.
        at_risk: The evaluated subjects.
        steps: Number of steps up to the horizon.

    Returns:
        The p-value; None without an event by the horizon.
    """
    last = np.minimum(at_risk.step, steps - 1)
    row = np.arange(len(last))
    # A row censored before the end of its first interval has step -1. It is known to survive time 0 only.
    own = np.where(last >= 0, survival[row, last], 1.0)
    before = np.where(last > 0, survival[row, last - 1], 1.0)
    event = at_risk.event & (at_risk.step < steps)
    # A censored subject is spread over the bins as its own curve predicts, so that without an event the test cannot
    # reject.
    if not event.any():
        return None
    return d_calibration(own, event=event, survival_before=before, weight=at_risk.case_weight).p_value


def _groups(
    survival: np.ndarray, at_risk: AtRisk, horizon: float, confidence: float
) -> tuple[CalibrationGroups | None, float | None, str | None]:
    """Form as many groups as their follow-up and events allow; return them, the p-value and what is missing."""
    weight = at_risk.case_weight
    subjects = len(survival) if weight is None else round(float(weight.sum()))
    table, why_not = None, f"there are {subjects} subjects, a group needs {SUBJECTS_PER_GROUP}"
    for number in range(min(MOST_GROUPS, subjects // SUBJECTS_PER_GROUP), 1, -1):
        try:
            fewer = calibration_groups(
                survival,
                duration=at_risk.duration,
                event=at_risk.event,
                horizon=horizon,
                groups=number,
                confidence=confidence,
                weight=weight,
            )
            table = table or fewer
            if (fewer.observed * fewer.subjects >= EVENTS_PER_GROUP).all():
                return fewer, one_calibration(fewer).p_value, None
            why_not = f"a group has fewer than {EVENTS_PER_GROUP} events"
        except ValueError as error:
            why_not = str(error).removesuffix(". Use fewer groups")
    return table, None, f"no calibration test, even with two groups: {why_not}"


def _as_values(
    horizon: float,
    groups: CalibrationGroups | None,
    p_value: float | None,
    line: CalibrationLine | None,
    why_not: str | None,
) -> Calibration:
    columns: dict[str, tuple] = {
        name: tuple(getattr(groups, name).tolist()) if groups else ()
        for name in ("predicted", "observed", "low", "high")
    }
    return Calibration(
        horizon=horizon,
        subjects=tuple(round(number) for number in groups.subjects.tolist()) if groups else (),
        **columns,
        p_value=p_value,
        slope=line.slope if line else None,
        intercept=line.intercept if line else None,
        in_the_large=line.in_the_large if line else None,
        why_not=why_not,
    )
