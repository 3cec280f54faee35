"""Baselines that are fitted to the training subjects at risk at one landmark."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from survlstm.data.code_counts import fit_scale, rows_at_landmark
from survlstm.data.tensors import Tensors
from survlstm.evaluation.baselines.penalised_cox import CoxRows, choose_cox
from survlstm.evaluation.baselines.pycox_models import (
    DesignMatrices,
    GridLabels,
    deephit_survival,
    logistic_hazard_survival,
)
from survlstm.evaluation.landmarks import AtRisk, Landmark

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Name in tables of the Cox regression on every clock.
COX = "Cox (elastic net)"

Fit: TypeAlias = Callable[[Landmark, Tensors, int], Float[np.ndarray, "subject horizon"]]

# Training subjects at risk without which nothing is fitted.
FEWEST_SUBJECTS = 10


class BaselineUnavailable(ValueError):
    """A baseline cannot be fitted to the subjects of a landmark; the message gives the reason."""


def cox(landmark: Landmark, tensors: Tensors, seed: int) -> Float[np.ndarray, "subject horizon"]:
    """Fit a Cox regression, a ridge or an elastic net, on all follow-up after a landmark.

    Args:
        landmark: The landmark with its subjects.
        tensors: Data of all subjects.
        seed: Not used; the fit is deterministic.

    Returns:
        Survival of the test subjects at the grid of the landmark.

    Raises:
        BaselineUnavailable: If the training or the validation subjects have no event.
        ValueError: If a fit does not converge.
    """
    _check_events(landmark.train.event, landmark.val.event, until="")
    train, val, test = _sparse_designs(landmark, tensors)
    fitted = choose_cox(
        CoxRows(train, landmark.train.duration, landmark.train.event),
        CoxRows(val, landmark.val.duration, landmark.val.event),
    )
    return fitted.survival(test, landmark.grid)


def pycox_logistic_hazard(landmark: Landmark, tensors: Tensors, seed: int) -> Float[np.ndarray, "subject horizon"]:
    """Fit pycox's LogisticHazard, a small network with a hazard for each step.

    Args:
        landmark: The landmark with its subjects.
        tensors: Data of all subjects.
        seed: Seed of weights, batches and dropout.

    Returns:
        Survival of the test subjects at the grid of the landmark.

    Raises:
        BaselineUnavailable: If the training or the validation subjects have no event within the grid.
    """
    train, val = _labels(landmark)
    return logistic_hazard_survival(_designs(landmark, tensors), train, val, seed=seed)


def deephit(landmark: Landmark, tensors: Tensors, seed: int) -> Float[np.ndarray, "subject horizon"]:
    """Fit pycox's DeepHit, a small network with an event probability for each step.

    Args:
        landmark: The landmark with its subjects.
        tensors: Data of all subjects.
        seed: Seed of weights, batches and dropout.

    Returns:
        Survival of the test subjects at the grid of the landmark.

    Raises:
        BaselineUnavailable: If the training or the validation subjects have no event within the grid.
    """
    train, val = _labels(landmark)
    return deephit_survival(_designs(landmark, tensors), train, val, seed=seed)


def _sparse_designs(landmark: Landmark, tensors: Tensors) -> list[csr_array]:
    """Return the designs of the training, the validation and the test subjects."""
    rows = [
        rows_at_landmark(tensors, part.subject, part.visit) for part in (landmark.train, landmark.val, landmark.test)
    ]
    scale = fit_scale(rows[0])
    return [scale.design(part) for part in rows]


def _designs(landmark: Landmark, tensors: Tensors) -> DesignMatrices:
    return DesignMatrices(*(design.toarray().astype(np.float32) for design in _sparse_designs(landmark, tensors)))


def _labels(landmark: Landmark) -> tuple[GridLabels, GridLabels]:
    train, val = (_grid_labels(part, len(landmark.grid)) for part in (landmark.train, landmark.val))
    until = f" within {landmark.grid[-1]:g} {landmark.unit}"
    _check_events(train.event, val.event, until=until)
    if train.step.max() < len(landmark.grid) - 1:
        raise BaselineUnavailable(f"none of {len(train.step)} training subjects is followed to the last step{until}")
    return train, val


def _grid_labels(part: AtRisk, steps: int) -> GridLabels:
    """Return labels on the grid; a subject at risk after its end counts as censored in the last step, as in pycox."""
    return GridLabels(np.minimum(part.step, steps - 1), part.event & (part.step < steps), steps)


def _check_events(train: Bool[np.ndarray, " train"], val: Bool[np.ndarray, " val"], *, until: str) -> None:
    if len(train) < FEWEST_SUBJECTS or not train.any() or not val.any():
        raise BaselineUnavailable(
            f"it needs events of training subjects for the fit and of validation subjects for the choice of penalty "
            f"or epoch, after the landmark{until}; found {train.sum()} among {len(train)} and {val.sum()} among "
            f"{len(val)} at risk, and {FEWEST_SUBJECTS} training subjects are needed"
        )


LANDMARK_BASELINES: dict[str, tuple[str, Fit]] = {
    "cox": (COX, cox),
    "pycox_logistic_hazard": ("pycox LogisticHazard", pycox_logistic_hazard),
    "deephit": ("DeepHit", deephit),
}
