"""The protocol of a baseline of the user's own, and its results as those of the shipped baselines."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int64

from survlstm.data.tensors import Tensors
from survlstm.evaluation.baselines.hazards import HazardBaseline
from survlstm.evaluation.landmarks import Landmark
from survlstm.survival.follow_up import check_probability
from survlstm.utils.errors import first_line


@runtime_checkable
class Baseline(Protocol):
    """Protocol of a baseline: an entry of ``evaluation.baselines`` names any class that fulfils it.

    The constructor is called with the settings of the entry as keyword arguments. Beside ``name``, a baseline has one
    or both of these methods; one that raises an error is left out, and the report says so::

        hazards(tensors, subjects, steps)   hazards at every step, for the tables at every step and from landmarks
        survival(landmark, tensors, seed)   survival from one landmark, for the tables of that landmark; without it
                                            the hazards at the landmark are extrapolated

    ``hazards`` gets the data of all subjects (``survlstm.data.tensors.Tensors``), the indices of the subjects to
    predict (on the days clock those of the rows) and the number of steps. It fits on ``tensors.members(Split.TRAIN)``
    and returns the hazards as an array [subject, step]. On the visit clock the hazard of step j may depend on visits
    0 … j only, and hazards after the last visit of a subject are NaN; on the landmark clock and the days clock all are
    known at time zero.

    ``survival`` gets a landmark (``survlstm.evaluation.landmarks.Landmark``), fits on the subjects of
    ``landmark.train``, chooses on those of ``landmark.val`` and returns the survival of those of ``landmark.test`` at
    the times of ``landmark.grid`` as an array [subject, horizon]. ``seed`` is the seed of the run.

    Attributes:
        name: Name in tables.
    """

    name: str


class InvalidBaselineError(ValueError):
    """A baseline of the user's own raised an error, or returned no probabilities; the message begins with its name."""


def hazards_of(
    baseline: Baseline, tensors: Tensors, subjects: Int64[np.ndarray, " subject"], steps: int
) -> HazardBaseline:
    """Fit a baseline of the user's own and check its hazards.

    Args:
        baseline: A baseline with a method ``hazards``.
        tensors: Data of all subjects.
        subjects: Indices of the subjects to predict.
        steps: Number of steps.

    Returns:
        Its hazards.

    Raises:
        InvalidBaselineError: The baseline raised an error, or returned something else than hazards.
    """
    found = _array(baseline, "hazards", tensors, subjects, steps)
    known_ahead = tensors.in_days
    last = np.full(len(subjects), steps - 1) if known_ahead else np.minimum(tensors.step[subjects], steps - 1)
    known = np.arange(steps) <= last[:, None]
    if found.shape != known.shape:
        raise InvalidBaselineError(
            f"{baseline.name}: hazards must be [subject, step], {known.shape}; found {found.shape}"
        )
    if not (np.isfinite(found[known]).all() and ((found[known] >= 0) & (found[known] <= 1)).all()):
        raise InvalidBaselineError(
            f"{baseline.name}: hazards must be within 0..1 up to the last step at risk of each subject"
        )
    return HazardBaseline(baseline.name, np.where(known, found, np.nan), known_ahead)


def survival_of(
    baseline: Baseline, landmark: Landmark, tensors: Tensors, seed: int
) -> Float[np.ndarray, "subject horizon"]:
    """Fit a baseline of the user's own at a landmark and check its survival.

    Args:
        baseline: A baseline with a method ``survival``.
        landmark: The landmark with its subjects.
        tensors: Data of all subjects.
        seed: Seed of the run.

    Returns:
        Its survival curves.

    Raises:
        InvalidBaselineError: The baseline raised an error, or returned something else than survival curves.
    """
    found = _array(baseline, "survival", landmark, tensors, seed)
    if found.shape != (len(landmark.test.subject), len(landmark.grid)):
        expected = (len(landmark.test.subject), len(landmark.grid))
        raise InvalidBaselineError(
            f"{baseline.name}: survival must be [subject, horizon], {expected}; found {found.shape}"
        )
    try:
        check_probability(found, subjects=len(found))
    except ValueError as error:
        raise InvalidBaselineError(f"{baseline.name}: {error}") from error
    return found


def _array(baseline: Baseline, method: str, *arguments: object) -> Float[np.ndarray, "row column"]:
    try:
        return np.asarray(getattr(baseline, method)(*arguments), dtype=np.float64)
    # Somebody else's code may raise anything, and one baseline must not end the evaluation of all others.
    except Exception as error:
        why = first_line(error, with_type=True, at_most=300)
        raise InvalidBaselineError(f"{baseline.name}: {method} raised {why}") from error
