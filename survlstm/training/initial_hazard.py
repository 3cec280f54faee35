"""Compute the hazards that a model starts from, from the labels of the training subjects."""

from __future__ import annotations

import numpy as np

from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.utils.errors import OutcomeError


def initial_hazard(tensors: Tensors) -> tuple[float, ...]:
    """Estimate the mean hazard of the training subjects, for the bias of the model's last layer.

    The estimate is events over at-risk steps. On the other clocks each step is estimated on its own, with one more
    at-risk subject that has the mean hazard, so that no step gets a hazard of 0 or 1. On the days clock a
    step that a row was observed in for a share counts for that share.

    Args:
        tensors: All subjects of the run; only the labels of the training split are used.

    Returns:
        One hazard on the visit clock; one for each step on the other clocks.

    Raises:
        OutcomeError: The training subjects have no event, or an event in every at-risk step.
    """
    rows = tensors.rows_of(tensors.members(Split.TRAIN))
    step, event, exposure = tensors.step[rows], tensors.event[rows], tensors.exposure[rows]
    events, steps = int(event.sum()), float((step + 1 + exposure).sum())
    if not 0 < events < steps:
        raise OutcomeError(
            f"the training subjects must have events and survived steps; found {events} events in {steps:g} at-risk "
            "steps. Use a larger cohort or another outcome"
        )
    mean = events / steps
    if not tensors.in_days:
        return (mean,)
    number = np.arange(tensors.steps)
    happened = np.bincount(step[event], minlength=tensors.steps)
    at_risk = np.where(step[:, None] + 1 == number, exposure[:, None], step[:, None] >= number).sum(axis=0)
    return tuple(((happened + mean) / (at_risk + 1)).tolist())
