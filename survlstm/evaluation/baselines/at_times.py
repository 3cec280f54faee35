"""Baselines of the days clock: one model for the stacked prediction times of all training subjects.

Every prediction time is a landmark, and the years since the first visit are a covariate (van Houwelingen & Putter 2011,
Dynamic Prediction in Clinical Survival Analysis, chapter 7). Every prediction time has the same weight, see
``survlstm.data.batches.Batches.row_weight``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int64

from survlstm.data.code_counts import CountRows, CountScale, fit_scale
from survlstm.data.row_covariates import rows_with_last_visit, rows_with_record
from survlstm.data.row_sample import sampled_rows
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.evaluation.baselines.hazards import COVARIATE_FREE, INTERVAL_WEIGHT, HazardBaseline
from survlstm.evaluation.baselines.landmark import BaselineUnavailable
from survlstm.evaluation.baselines.ridge_cox import CoxRows, choose_ridge_cox
from survlstm.survival.covariate_free import covariate_free_hazard
from survlstm.survival.pooled_logistic import (
    LabelledRows,
    PersonPeriods,
    fit_pooled_logistic,
    person_periods,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Rows = Int64[np.ndarray, " row"]
Covariates = Callable[[Tensors, Rows], CountRows]
# Rows whose designs are in memory together.
CHUNK = 20_000
# Training rows of a fit.
MOST_FITTED = 30_000


def covariate_free_at_times(tensors: Tensors, rows: Rows) -> HazardBaseline:
    """Return the life-table hazard of the training rows for every row.

    Args:
        tensors: Data of all subjects.
        rows: Indices of the rows to predict.

    Returns:
        Hazards, the same for every row.
    """
    training = tensors.rows_of(tensors.members(Split.TRAIN))
    hazard = covariate_free_hazard(
        tensors.step[training],
        tensors.event[training],
        steps=tensors.steps,
        exposure=tensors.exposure[training],
    )
    return HazardBaseline(COVARIATE_FREE, np.broadcast_to(hazard, (len(rows), tensors.steps)), known_ahead=True)


def record_length_at_times(tensors: Tensors, rows: Rows) -> HazardBaseline:
    """Fit a logistic hazard on the interval and the logarithm of the number of visits so far.

    Args:
        tensors: Data of all subjects.
        rows: Indices of the rows to predict.

    Returns:
        Hazards of the rows.
    """
    return HazardBaseline("record length", _logistic(tensors, rows, _record_length), known_ahead=True)


def logistic_hazard_at_times(tensors: Tensors, rows: Rows) -> HazardBaseline:
    """Fit a logistic hazard on codes and features of the last visit, counts so far, and the prediction time.

    Args:
        tensors: Data of all subjects.
        rows: Indices of the rows to predict.

    Returns:
        Hazards of the rows.
    """
    hazard = _logistic(tensors, rows, rows_with_last_visit)
    return HazardBaseline("logistic hazard (last visit, counts)", hazard, known_ahead=True)


def cox_at_times(tensors: Tensors, rows: Rows) -> HazardBaseline:
    """Fit a ridge Cox regression on features, the codes of the whole record so far, and the prediction time.

    Its survival at the ends of the intervals gives the hazards.

    Args:
        tensors: Data of all subjects.
        rows: Indices of the rows to predict.

    Returns:
        Hazards of the rows.

    Raises:
        ValueError: If the training rows have no event, or the fit does not converge.
    """
    train, val = (sampled_rows(tensors, part, MOST_FITTED) for part in (Split.TRAIN, Split.VAL))
    covariates = rows_with_record(tensors, train)
    scale = fit_scale(covariates)

    def cox_rows(of: Rows, design: csr_array) -> CoxRows:
        # Beyond the last edge nothing is predicted, and the proportion of the hazards need not hold.
        return CoxRows(design, np.minimum(tensors.duration_days[of], tensors.edge_days[-1]), tensors.event[of])

    fitted = choose_ridge_cox(
        cox_rows(train, scale.design(covariates)), cox_rows(val, scale.design(rows_with_record(tensors, val)))
    )
    ends = tensors.edge_days[1:]
    survival = np.concatenate(
        [fitted.survival(design, ends) for design in _designs(tensors, rows, rows_with_record, scale)]
    )
    return HazardBaseline("Cox (ridge)", hazards_of_survival(survival), known_ahead=True)


def hazards_of_survival(survival: Float[np.ndarray, "row step"]) -> Float[np.ndarray, "row step"]:
    """Convert survival at the ends of all intervals to hazards.

    Args:
        survival: Survival, falling along a row.

    Returns:
        Hazards; 1 where the survival before the interval is 0, where the hazard is undefined and never used.
    """
    before = np.column_stack([np.ones(len(survival)), survival[:, :-1]])
    return 1 - np.divide(survival, before, out=np.zeros_like(before), where=before > 0)


def _record_length(tensors: Tensors, rows: Rows) -> CountRows:
    from scipy.sparse import csr_array

    return CountRows(np.log(tensors.row_visits[rows])[:, None], csr_array((len(rows), 0)))


def _logistic(tensors: Tensors, rows: Rows, covariates: Covariates) -> Float[np.ndarray, "row step"]:
    train, val = (sampled_rows(tensors, part, MOST_FITTED) for part in (Split.TRAIN, Split.VAL))
    training = covariates(tensors, train)
    scale = fit_scale(training)
    designs = scale.design(training), scale.design(covariates(tensors, val))
    labelled = [_labelled(tensors, of, design) for of, design in zip((train, val), designs, strict=True)]
    width = labelled[0].design.shape[1]
    fitted = fit_pooled_logistic(*labelled, widths=sorted({width - len(scale.kept), width}))
    parts = []
    for design in _designs(tensors, rows, covariates, scale):
        number = np.repeat(np.arange(design.shape[0]), tensors.steps)
        interval = np.tile(np.arange(tensors.steps), design.shape[0])
        hazard = fitted.hazard(_with_intervals(design, number, interval, tensors.steps))
        parts.append(hazard.reshape(-1, tensors.steps))
    return np.concatenate(parts)


def _labelled(tensors: Tensors, rows: Rows, design: csr_array) -> LabelledRows:
    periods: PersonPeriods = person_periods(
        tensors.step[rows],
        tensors.event[rows],
        exposure=tensors.exposure[rows],
        intervals=tensors.steps,
    )
    stacked = _with_intervals(design, periods.row, periods.interval, tensors.steps)
    return LabelledRows(stacked, periods.event, periods.weight)


def _with_intervals(design: csr_array, row: np.ndarray, interval: np.ndarray, steps: int) -> csr_array:
    """Return the rows of a design, with an indicator column for each interval before its columns."""
    from scipy.sparse import csr_array, hstack

    weight = np.full(len(row), INTERVAL_WEIGHT)
    indicator = csr_array((weight, (np.arange(len(row)), interval)), shape=(len(row), steps))
    return hstack([indicator, design[row]], format="csr")


def _designs(tensors: Tensors, rows: Rows, covariates: Covariates, scale: CountScale) -> Iterator[csr_array]:
    """Yield the designs of some rows, part by part; one empty design for no rows."""
    for start in range(0, max(len(rows), 1), CHUNK):
        yield scale.design(covariates(tensors, rows[start : start + CHUNK]))


ROW_BASELINES: dict[str, Callable[[Tensors, Rows], HazardBaseline]] = {
    COVARIATE_FREE: covariate_free_at_times,
    "record_length": record_length_at_times,
    "logistic_hazard": logistic_hazard_at_times,
    "cox": cox_at_times,
}


def fit_at_times(name: str, tensors: Tensors, rows: Rows) -> HazardBaseline:
    """Fit a shipped baseline to the training rows of the days clock.

    Args:
        name: Name of the baseline in ``evaluation.baselines``, or ``COVARIATE_FREE``.
        tensors: Data of all subjects.
        rows: Indices of the rows to predict.

    Returns:
        Hazards of the rows.

    Raises:
        BaselineUnavailable: If the baseline is one of a single landmark, or can't be fitted.
    """
    if name not in ROW_BASELINES:
        raise BaselineUnavailable("it is fitted at a single landmark, not to many prediction times of a subject")
    try:
        return ROW_BASELINES[name](tensors, rows)
    except ValueError as error:
        raise BaselineUnavailable(str(error)) from error
