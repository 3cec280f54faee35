"""Hazards of the model, the oracle and the baselines → the curve of each of them from a landmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Int64

from survlstm.data.tensors import Tensors
from survlstm.judgement.landmarks import Landmark
from survlstm.survival.follow_up import check_probability

Members: TypeAlias = Int64[np.ndarray, " subject"]


@dataclass(frozen=True)
class Contender:
    """Hazards of one model on the evaluated subjects.

    Entries behind a subject's last at-risk step are read only where ``known_ahead`` says that they need no later
    history: for a model that knows no covariates, and on the landmark clock, where every hazard is one of the landmark.
    """

    name: str
    role: Literal["model", "oracle", "baseline"]
    hazard: Float[np.ndarray, "subject step"]
    known_ahead: bool

    @property
    def survival(self) -> Float[np.ndarray, "subject step"]:
        """S through each step; what is unknown is carried as if it were certain, and is never read."""
        return np.cumprod(1 - np.nan_to_num(self.hazard), axis=1)


@dataclass(frozen=True)
class LandmarkContender:
    """Survival of the subjects at risk at one landmark, at its grid."""

    name: str
    role: Literal["model", "oracle", "baseline"]
    survival: Float[np.ndarray, "subject horizon"]

    def __post_init__(self) -> None:
        check_probability(self.survival, subjects=len(self.survival))


def from_landmark(contender: Contender, landmark: Landmark, tensors: Tensors, members: Members) -> LandmarkContender:
    """S after the landmark, from what was known there: later hazards of the record would know later visits.

    So the hazard of the landmark's own step is held for the steps after it, S = (1 - h)^k; at the first horizon that is
    the model itself, behind it an extrapolation. Hazards known ahead are taken as they are. ``members`` are the
    subjects of the hazard's rows, in rising order.
    """
    subject, steps = landmark.test.subject, len(landmark.grid)
    row = np.searchsorted(members, subject)
    here = landmark.test.visit - tensors.visit_offsets[subject] if landmark.unit == "steps" else np.zeros_like(row)
    if contender.known_ahead:
        hazard = contender.hazard[row[:, None], here[:, None] + np.arange(steps)]
        return LandmarkContender(contender.name, contender.role, np.cumprod(1 - hazard, axis=1))
    held = contender.hazard[row, here]
    return LandmarkContender(contender.name, contender.role, (1 - held)[:, None] ** np.arange(1, steps + 1))
