"""Life-table hazard per step, without covariates: the baseline that every model must beat."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

# Fewest events of an interval over which the hazard is held constant.
EVENTS_PER_INTERVAL = 10


def covariate_free_hazard(
    step: Int[np.ndarray, " subject"], event: Bool[np.ndarray, " subject"], *, steps: int
) -> Float[np.ndarray, " {steps}"]:
    """Estimate the hazard of each step as events over subjects at risk, pooled over intervals of ten events or more.

    Steps late in the follow-up often hold no event. A hazard of 0 there would give a later event an infinite negative
    log-likelihood. Consecutive steps are therefore pooled until an interval holds ``EVENTS_PER_INTERVAL`` events. The
    remaining steps at the end, those after the training follow-up included, join the last complete interval; if no
    interval is complete, all steps share one hazard. Where every step has ten events, the result is the increment of
    the Nelson-Aalen estimate.

    Args:
        step: index of the last step at risk (``survlstm.survival.steps``); shape (subject,), integer.
        event: True if the event happened in ``step``, False if censored; shape (subject,), boolean. Use the training
            subjects.
        steps: number of steps to return, at least 1.

    Returns:
        Hazards above 0 and at most 1, of shape (steps,).

    Raises:
        ValueError: no subject has the event.

    Example:
        >>> step, event = np.repeat([0, 1], 20), np.arange(40) % 2 == 0
        >>> covariate_free_hazard(step, event, steps=3).tolist()
        [0.25, 0.5, 0.5]
    """
    if not event.any():
        raise ValueError(
            f"at least one event is needed to estimate a hazard; all {len(event)} training subjects are censored"
        )
    events = np.bincount(step[event], minlength=steps)[:steps]
    at_risk = len(step) - np.concatenate([[0], np.cumsum(np.bincount(step, minlength=steps))[: steps - 1]])
    interval = np.zeros(steps, dtype=np.int64)
    current = events_in_current = 0
    for position, events_here in enumerate(events):
        interval[position] = current
        events_in_current += int(events_here)
        if events_in_current >= EVENTS_PER_INTERVAL:
            current, events_in_current = current + 1, 0
    last_complete = max(current - 1, 0)
    interval = np.minimum(interval, last_complete)
    return (np.bincount(interval, events) / np.bincount(interval, at_risk))[interval]
