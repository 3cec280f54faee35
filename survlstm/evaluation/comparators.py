"""Hazards of the model, the oracle and the baselines, and their survival curves from a landmark."""

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

    Attributes:
        name: Name in tables.
        role: The evaluated model, the oracle (the hazards that drew a synthetic outcome) or a baseline.
        hazard: Hazard at each step. Values after the last step at risk of a subject are read only if ``known_ahead``.
        known_ahead: Whether later hazards need no later history. True for a model without covariates, and on the
            landmark clock, where every hazard is predicted at the landmark.
        reference: Hazards on the subjects of ``HazardRows.reference``; None if ``known_ahead``, which needs none.
    """

    name: str
    role: Literal["model", "oracle", "baseline"]
    hazard: Float[np.ndarray, "subject step"]
    known_ahead: bool
    reference: Float[np.ndarray, "reference reference_step"] | None = None

    @property
    def survival(self) -> Float[np.ndarray, "subject step"]:
        """Survival at the end of each step; after the last known hazard it is constant and is never read."""
        return np.cumprod(1 - np.nan_to_num(self.hazard), axis=1)


@dataclass(frozen=True)
class HazardRows:
    """Rows of the tensors to which the rows of hazards belong; with one row for each subject, its index.

    Attributes:
        evaluated: Indices of the evaluated rows in the tensors, ascending.
        reference: Indices of the reference rows in the tensors, ascending.
    """

    evaluated: Int64[np.ndarray, " row"]
    reference: Int64[np.ndarray, " reference"]


@dataclass(frozen=True)
class LandmarkComparator:
    """Survival curves of one model from one landmark.

    Attributes:
        name: Name in tables.
        role: As in ``Comparator``.
        survival: Survival of the subjects at risk at the landmark, at each time of its grid.

    Raises:
        ValueError: If the curves are no probabilities.
    """

    name: str
    role: Literal["model", "oracle", "baseline"]
    survival: Float[np.ndarray, "subject horizon"]

    def __post_init__(self) -> None:
        check_probability(self.survival, subjects=len(self.survival))


def from_landmark(comparator: Comparator, landmark: Landmark, tensors: Tensors, rows: HazardRows) -> LandmarkComparator:
    """Return the survival curves of a model after a landmark, from what was known at the landmark.

    The later hazards of a record use later visits, so that they must not be read. The hazard at the landmark is
    extrapolated instead, by a fit to the reference subjects (docs/conventions.md, Landmarks and baselines). At the
    first horizon the curve is that of the model itself. Hazards that are known ahead are used as they are.

    Args:
        comparator: Hazards of the model.
        landmark: The landmark with its subjects.
        tensors: Data of all subjects.
        rows: Subjects of the rows of the hazards.

    Returns:
        The curves on the evaluated subjects at risk.
    """
    steps = len(landmark.grid)
    row, step = _row_and_step(landmark.test, landmark, tensors, rows.evaluated)
    if comparator.known_ahead:
        hazard = comparator.hazard[row[:, None], step[:, None] + np.arange(steps)]
    else:
        assert comparator.reference is not None, "only hazards that are known ahead need no reference"
        reference = landmark.reference
        extrapolation = fit_hazard_extrapolation(
            log_odds(comparator.reference[_row_and_step(reference, landmark, tensors, rows.reference)]),
            step=reference.step,
            event=reference.event,
            steps=steps,
        )
        hazard = extrapolation.hazard(log_odds(comparator.hazard[row, step]), steps=steps)
    return LandmarkComparator(comparator.name, comparator.role, np.cumprod(1 - hazard, axis=1))


def _row_and_step(
    at_risk: AtRisk, landmark: Landmark, tensors: Tensors, members: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the row of hazards of each subject at risk, and its step at the landmark."""
    row = np.searchsorted(members, at_risk.row)
    number = at_risk.visit - tensors.visit_offsets[at_risk.subject]
    return row, number if landmark.unit == "steps" else np.zeros_like(row)
