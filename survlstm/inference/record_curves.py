"""Survival and cumulative hazard along records, looking back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64


class RecordCurves(NamedTuple):
    """Survival and cumulative hazard along the records of several subjects.

    Column j is step j (``docs/conventions.md``, Steps): on the visit clock the step after visit j, on the landmark
    clock interval j after the landmark. Values after the end of a record are NaN.

    Attributes:
        subject_id: ids of the subjects, one per row.
        survival: probability of no event in steps 0 … j; shape (subject, step).
        cumulative_hazard: sum of the hazards of steps 0 … j; shape (subject, step).
    """

    subject_id: tuple[str, ...]
    survival: Float64[np.ndarray, "subject step"]
    cumulative_hazard: Float64[np.ndarray, "subject step"]
