"""Hazards of the model, the oracle and the baselines → the curve of each of them from a landmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int64

from survlstm.data.tensors import Tensors
from survlstm.evaluation.hazard_extrapolation import fit_hazard_extrapolation, log_odds
from survlstm.evaluation.landmarks import AtRisk, Landmark
from survlstm.survival.follow_up import check_probability


@dataclass(frozen=True)
class Comparator:
    """Hazards of one model on the evaluated subjects.

    Entries behind a subject's last at-risk step are read only where ``known_ahead`` says that they need no later
    history: for a model that knows no covariates, and on the landmark clock, where every hazard is one of the landmark.
    ``reference`` are its hazards on the subjects of ``HazardRows.reference``; only what is not known ahead needs them.
    """

    name: str
    role: Literal["model", "oracle", "baseline"]
    hazard: Float[np.ndarray, "subject step"]
    known_ahead: bool
    reference: Float[np.ndarray, "reference reference_step"] | None = None

    @property
    def survival(self) -> Float[np.ndarray, "subject step"]:
        """S through each step; what is unknown is carried as if it were certain, and is never read."""
        return np.cumprod(1 - np.nan_to_num(self.hazard), axis=1)


@dataclass(frozen=True)
class HazardRows:
    """Whom the rows of hazards belong to: numbers of the tensors' subjects, rising."""

    evaluated: Int64[np.ndarray, " subject"]
    reference: Int64[np.ndarray, " reference"]


@dataclass(frozen=True)
class LandmarkComparator:
    """Survival of the subjects at risk at one landmark, at its grid."""

    name: str
    role: Literal["model", "oracle", "baseline"]
    survival: Float[np.ndarray, "subject horizon"]

    def __post_init__(self) -> None:
        check_probability(self.survival, subjects=len(self.survival))


def from_landmark(contender: Comparator, landmark: Landmark, tensors: Tensors, rows: HazardRows) -> LandmarkComparator:
    """S after the landmark, from what was known there: later hazards of the record would know later visits.

    So the hazard of the landmark's own step is carried on, with the drift that is fitted on the reference subjects; at
    the first horizon that is the model itself. Hazards known ahead are taken as they are.
    """
    steps = len(landmark.grid)
    row, here = _place(landmark.test, landmark, tensors, rows.evaluated)
    if contender.known_ahead:
        hazard = contender.hazard[row[:, None], here[:, None] + np.arange(steps)]
    else:
        assert contender.reference is not None, "what is not known ahead has a reference"
        reference = landmark.reference
        drift = fit_hazard_extrapolation(
            log_odds(contender.reference[_place(reference, landmark, tensors, rows.reference)]),
            step=reference.step,
            event=reference.event,
            steps=steps,
        )
        hazard = drift.hazard(log_odds(contender.hazard[row, here]), steps=steps)
    return LandmarkComparator(contender.name, contender.role, np.cumprod(1 - hazard, axis=1))


def _place(at_risk: AtRisk, landmark: Landmark, tensors: Tensors, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The row of each subject at risk, and the step of the clock that it stands at."""
    row = np.searchsorted(members, at_risk.subject)
    number = at_risk.visit - tensors.visit_offsets[at_risk.subject]
    return row, number if landmark.unit == "steps" else np.zeros_like(row)
