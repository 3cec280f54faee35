"""Labels of the training subjects → the hazards that a model starts from."""

from __future__ import annotations

import numpy as np

from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.utils.errors import OutcomeError


def initial_hazard(tensors: Tensors) -> tuple[float, ...]:
    """Events over at-risk steps of the training subjects: one figure on the visit clock, one a step on the landmark's.

    A step's figure counts one subject more, with the mean hazard: no step has a hazard of 0 or 1. Raises OutcomeError
    where there is no event, or no survived step.
    """
    members = tensors.members(Split.TRAIN)
    step, event = tensors.step[members], tensors.event[members]
    events, steps = int(event.sum()), int((step + 1).sum())
    if not 0 < events < steps:
        raise OutcomeError(
            f"the training subjects must have events and survived steps; found {events} events in {steps} at-risk "
            "steps. Use a larger cohort or another outcome"
        )
    mean = events / steps
    if tensors.clock == "visit":
        return (mean,)
    happened = np.bincount(step[event], minlength=tensors.steps)
    at_risk = (step[:, None] >= np.arange(tensors.steps)).sum(axis=0)
    return tuple(((happened + mean) / (at_risk + 1)).tolist())
