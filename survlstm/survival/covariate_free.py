"""Training labels → a hazard per step that knows no covariate: the model that every other one must beat."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

EVENTS_PER_INTERVAL = 10


def covariate_free_hazard(
    step: Int[np.ndarray, " subject"], event: Bool[np.ndarray, " subject"], *, steps: int
) -> Float[np.ndarray, " {steps}"]:
    """Events over subjects at risk, per step (the life-table hazard), in intervals of ten events or more.

    Single late steps hold no event at all; their hazard of 0 would make one later event infinitely surprising. So an
    interval grows step by step until it holds ``EVENTS_PER_INTERVAL`` events; what is left at the end joins the last
    one, the steps behind the training follow-up included. Raises ValueError without any event.
    """
    if not event.any():
        raise ValueError("a hazard needs at least one event; the training subjects have none")
    events = np.bincount(step[event], minlength=steps)[:steps]
    at_risk = len(step) - np.concatenate([[0], np.cumsum(np.bincount(step, minlength=steps))[: steps - 1]])
    interval = np.zeros(steps, dtype=np.int64)
    number = held = 0
    for at, here in enumerate(events):
        interval[at] = number
        held += int(here)
        if held >= EVENTS_PER_INTERVAL:
            number, held = number + 1, 0
    complete = max(number - 1, 0)
    interval = np.minimum(interval, complete)
    return (np.bincount(interval, events) / np.bincount(interval, at_risk))[interval]
