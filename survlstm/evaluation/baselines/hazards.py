"""Baselines with a hazard at every step: life table, record length, and two regressions on the history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float, Float64, Int64

from survlstm.data.code_counts import CountRows, fit_scale
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.evaluation.baselines.boosting import fit_boosted_hazard
from survlstm.survival.covariate_free import covariate_free_hazard
from survlstm.training.regression.history_regression import (
    MOST_FITTED,
    HistoryRows,
    intervals_of,
    rows_at_risk,
    rows_of_labels,
    rows_of_visits,
    shared_history_regression,
    subject_of_visit,
)
from survlstm.training.regression.pooled_logistic import LabelledRows, choose_pooled_logistic
from survlstm.utils.ragged import flat_positions

COVARIATE_FREE = "covariate-free hazard"

Rows: TypeAlias = Int64[np.ndarray, " row"]


@dataclass(frozen=True)
class HazardBaseline:
    """Hazards of a baseline.

    Attributes:
        name: Name in tables.
        hazard: Hazards of the requested rows, in their order.
        known_ahead: Whether the hazards of later steps need no later history. If so, all hazards are numbers; if not,
            those after the last step at risk of a subject are NaN.
    """

    name: str
    hazard: Float[np.ndarray, "row step"]
    known_ahead: bool


@runtime_checkable
class _OfHistory(Protocol):
    """A model of the hazard at one row of the history."""

    def hazard(self, tensors: Tensors, rows: HistoryRows) -> Float64[np.ndarray, "row interval"]: ...


def covariate_free(tensors: Tensors, rows: Rows, steps: int) -> HazardBaseline:
    """Return the life-table hazard of the training rows for every row.

    The C-index is 0.5, because all predictions are tied.

    Args:
        tensors: Data of all subjects.
        rows: Indices of the rows to predict; with one row for each subject, its index.
        steps: Number of steps.

    Returns:
        Hazards, the same for every row.
    """
    training = tensors.rows_of(tensors.members(Split.TRAIN))
    step = tensors.step[training]
    hazard = covariate_free_hazard(
        step,
        tensors.event[training],
        steps=max(steps, int(step.max()) + 1),
        exposure=tensors.exposure[training],
    )[:steps]
    return HazardBaseline(COVARIATE_FREE, np.broadcast_to(hazard, (len(rows), steps)), known_ahead=True)


def record_length(tensors: Tensors, rows: Rows, steps: int) -> HazardBaseline:
    """Fit a logistic hazard on the logarithm of the number of visits so far, and on the interval.

    It is a check for leaks rather than a competitor: it wins where the length of the record knows the outcome. On the
    visit clock every subject has j + 1 visits at step j, so that all predictions are tied and the C-index is 0.5.

    Args:
        tensors: Data of all subjects.
        rows: Indices of the rows to predict.
        steps: Number of steps.

    Returns:
        Hazards of the rows.

    Raises:
        ValueError: If the training rows do not hold both events and survived steps.
    """
    train, val = (rows_at_risk(tensors, part, MOST_FITTED) for part in (Split.TRAIN, Split.VAL))
    covariates = _log_visits(_visits_so_far(tensors, train.rows.visit))
    scale = fit_scale(covariates)
    of_val = scale.design(_log_visits(_visits_so_far(tensors, val.rows.visit)))
    fitted = choose_pooled_logistic(
        LabelledRows(scale.design(covariates), train.periods),
        LabelledRows(of_val, val.periods),
        intervals=intervals_of(tensors),
    )
    visits = tensors.row_visits[rows] if tensors.in_days else 1 + np.arange(steps)
    hazard = fitted.hazard(scale.design(_log_visits(visits)))
    if not tensors.in_days:
        hazard = np.broadcast_to(hazard[:, 0], (len(rows), steps))
    return HazardBaseline("record length", hazard, known_ahead=True)


def logistic_hazard(tensors: Tensors, rows: Rows, steps: int) -> HazardBaseline:
    """Fit a logistic hazard on all features and on counts of the codes of the last visit and of the record so far.

    Args:
        tensors: Data of all subjects.
        rows: Indices of the rows to predict.
        steps: Number of steps.

    Returns:
        Hazards of the rows.

    Raises:
        ValueError: If the training rows do not hold both events and survived steps.
    """
    return _of_history("logistic hazard (history)", shared_history_regression(tensors), tensors, rows, steps)


def boosted_hazard(tensors: Tensors, rows: Rows, steps: int) -> HazardBaseline:
    """Fit gradient-boosted trees to the hazard, on the features and counts of the logistic hazard.

    Args:
        tensors: Data of all subjects.
        rows: Indices of the rows to predict.
        steps: Number of steps.

    Returns:
        Hazards of the rows.

    Raises:
        ValueError: If the training rows do not hold both events and survived steps.
    """
    return _of_history("gradient-boosted hazard", fit_boosted_hazard(tensors), tensors, rows, steps)


def _of_history(name: str, fitted: _OfHistory, tensors: Tensors, rows: Rows, steps: int) -> HazardBaseline:
    if tensors.in_days:
        return HazardBaseline(name, fitted.hazard(tensors, rows_of_labels(tensors, rows)), known_ahead=True)
    number = np.minimum(tensors.step[rows] + 1, steps)
    step = flat_positions(np.zeros_like(number), number)
    hazard = np.full((len(rows), steps), np.nan)
    visits = rows_of_visits(flat_positions(tensors.visit_offsets[rows], number))
    hazard[np.repeat(np.arange(len(rows)), number), step] = fitted.hazard(tensors, visits)[:, 0]
    return HazardBaseline(name, hazard, known_ahead=False)


def _visits_so_far(tensors: Tensors, visit: Rows) -> Rows:
    return visit - tensors.visit_offsets[subject_of_visit(tensors, visit)] + 1


def _log_visits(visits: Rows) -> CountRows:
    from scipy.sparse import csr_array

    return CountRows(np.log(visits)[:, None], csr_array((len(visits), 0)))


HAZARD_BASELINES: dict[str, Callable[[Tensors, Rows, int], HazardBaseline]] = {
    "record_length": record_length,
    "logistic_hazard": logistic_hazard,
    "boosted_hazard": boosted_hazard,
}
