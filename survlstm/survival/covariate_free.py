"""Life-table hazard per step, without covariates: the baseline that every model must beat."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from survlstm.survival.follow_up import check_exposure

# Fewest events of an interval over which the hazard is held constant.
EVENTS_PER_INTERVAL = 10


def covariate_free_hazard(
    step: Int[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    *,
    steps: int,
    exposure: Float[np.ndarray, " subject"] | None = None,
) -> Float[np.ndarray, " {steps}"]:
    """Estimate the hazard of each step as events over subjects at risk, pooled over intervals of ten events or more.

    Steps late in the follow-up often hold no event. A hazard of 0 there would give a later event an infinite negative
    log-likelihood. Consecutive steps are therefore pooled until an interval holds ``EVENTS_PER_INTERVAL`` events. The
    remaining steps at the end, those after the training follow-up included, join the last complete interval; if no
    interval is complete, all steps share one hazard. Where every step has ten events, the result is the increment of
    the Nelson-Aalen estimate.

    With exposures the hazard of a step is that of the actuarial life table, events / (at risk at its start - censored
    within it + sum of their exposures), in which one half is the usual exposure of a censored subject (Cutler & Ederer
    1958, Journal of Chronic Diseases 8:699).

    Args:
        step: index of the last step at risk (``survlstm.survival.steps``), -1 for a subject censored within the first
            step; shape (subject,), integer.
        event: True if the event happened in ``step``, False if censored; shape (subject,), boolean. Use the training
            subjects.
        steps: number of steps to return, at least 1.
        exposure: share of step ``step + 1`` in which a censored subject was observed, 0 to 1 and 0 for events; shape
            (subject,). None counts none of it.

    Returns:
        Hazards above 0 and at most 1, of shape (steps,).

    Raises:
        ValueError: no subject has the event, or an exposure is not valid.

    Example:
        >>> step, event = np.repeat([0, 1], 20), np.arange(40) % 2 == 0
        >>> covariate_free_hazard(step, event, steps=3).tolist()
        [0.25, 0.5, 0.5]
    """
    if not event.any():
        raise ValueError(
            f"at least one event is needed to estimate a hazard; all {len(event)} training subjects are censored"
        )
    events, at_risk = _life_table(step, event, steps=steps, exposure=exposure)
    interval = _pooled_intervals(events)
    return (np.bincount(interval, events) / np.bincount(interval, at_risk))[interval]


def _life_table(
    step: np.ndarray, event: np.ndarray, *, steps: int, exposure: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return events and time at risk of each step, in the lengths of a step."""
    events = np.bincount(step[event], minlength=steps)[:steps]
    survived = np.bincount(step + 1, minlength=steps + 1)
    at_risk = survived[::-1].cumsum()[::-1][1 : steps + 1]
    if exposure is not None:
        check_exposure(exposure, event)
        at_risk = at_risk + np.bincount(step + 1, exposure, minlength=steps)[:steps]
    return events, at_risk


def _pooled_intervals(events: np.ndarray) -> np.ndarray:
    """Return the interval of each step; all but the last hold ``EVENTS_PER_INTERVAL`` events or just above."""
    interval = np.zeros(len(events), dtype=np.int64)
    current, events_in_current = 0, 0.0
    for position, events_here in enumerate(events):
        interval[position] = current
        events_in_current += float(events_here)
        # Weights such as 1/3 do not add up to whole numbers exactly.
        if events_in_current >= EVENTS_PER_INTERVAL - 1e-9:
            current, events_in_current = current + 1, 0.0
    return np.minimum(interval, max(current - 1, 0))
