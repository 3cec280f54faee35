"""Training labels → a hazard per step that knows no covariate: the model that every other one must beat."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int


def covariate_free_hazard(
    step: Int[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    *,
    steps: int,
    events_per_interval: int = 10,
) -> Float[np.ndarray, " {steps}"]:
    """Events over subjects at risk, per step (the life-table hazard), in intervals of at least a few events each.

    Single late steps hold no event at all; their hazard of 0 would make one later event infinitely surprising. So
    neighbouring steps share a hazard until they hold ``events_per_interval`` events; the last interval reaches to the
    end, steps behind the training follow-up included.
    """
    events = np.bincount(step[event], minlength=steps)[:steps]
    at_risk = len(step) - np.concatenate([[0], np.cumsum(np.bincount(step, minlength=steps))[: steps - 1]])
    if not event.any():
        raise ValueError("a hazard needs at least one event; the training subjects have none")
    interval = (np.cumsum(events) - events) // events_per_interval
    # The rest at the end may hold too few events to stand alone.
    last = interval == interval.max()
    if interval.max() > 0 and events[last].sum() < events_per_interval:
        interval[last] -= 1
        interval = np.unique(interval, return_inverse=True)[1]
    rate = np.bincount(interval, events) / np.maximum(np.bincount(interval, at_risk), 1)
    return rate[interval]
