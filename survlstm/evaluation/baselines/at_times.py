"""Baselines of the days clock: one model for the stacked prediction times of all training subjects.

Every prediction time is a landmark, and the years since the first visit are a covariate (van Houwelingen & Putter 2011,
Dynamic Prediction in Clinical Survival Analysis, chapter 7). Every prediction time has the same weight, see
``survlstm.data.batches.Batches.row_weight``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Float, Int64

from survlstm.data.code_counts import CountScale, fit_scale
from survlstm.data.row_covariates import rows_with_record
from survlstm.data.row_sample import sampled_rows
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.evaluation.baselines.hazards import COVARIATE_FREE, HAZARD_BASELINES, HazardBaseline, covariate_free
from survlstm.evaluation.baselines.landmark import COX, BaselineUnavailable
from survlstm.evaluation.baselines.penalised_cox import CoxRows, choose_cox

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Rows: TypeAlias = Int64[np.ndarray, " row"]
# Rows whose designs are in memory together.
CHUNK = 20_000
# Training rows of a fit.
MOST_FITTED = 30_000


def cox_at_times(tensors: Tensors, rows: Rows, steps: int) -> HazardBaseline:
    """Fit a Cox regression on features, the codes of the whole record so far, and the prediction time.

    Its survival at the ends of the intervals gives the hazards.

    Args:
        tensors: Data of all subjects.
        rows: Indices of the rows to predict.
        steps: Number of intervals.

    Returns:
        Hazards of the rows.

    Raises:
        ValueError: If the training rows have no event, or a fit does not converge.
    """
    train, val = (sampled_rows(tensors, part, MOST_FITTED) for part in (Split.TRAIN, Split.VAL))
    covariates = rows_with_record(tensors, train)
    scale = fit_scale(covariates)

    def cox_rows(of: Rows, design: csr_array) -> CoxRows:
        # Beyond the last edge nothing is predicted, and the proportion of the hazards need not hold.
        return CoxRows(design, np.minimum(tensors.duration_days[of], tensors.edge_days[-1]), tensors.event[of])

    fitted = choose_cox(
        cox_rows(train, scale.design(covariates)), cox_rows(val, scale.design(rows_with_record(tensors, val)))
    )
    ends = tensors.edge_days[1 : steps + 1]
    survival = np.concatenate([fitted.survival(design, ends) for design in _designs(tensors, rows, scale)])
    return HazardBaseline(COX, hazards_of_survival(survival), known_ahead=True)


def hazards_of_survival(survival: Float[np.ndarray, "row step"]) -> Float[np.ndarray, "row step"]:
    """Convert survival at the ends of all intervals to hazards.

    Args:
        survival: Survival, falling along a row.

    Returns:
        Hazards; 1 where the survival before the interval is 0, where the hazard is undefined and never used.
    """
    before = np.column_stack([np.ones(len(survival)), survival[:, :-1]])
    return 1 - np.divide(survival, before, out=np.zeros_like(before), where=before > 0)


def _designs(tensors: Tensors, rows: Rows, scale: CountScale) -> Iterator[csr_array]:
    """Yield the designs of some rows, part by part; one empty design for no rows."""
    for start in range(0, max(len(rows), 1), CHUNK):
        yield scale.design(rows_with_record(tensors, rows[start : start + CHUNK]))


ROW_BASELINES: dict[str, Callable[[Tensors, Rows, int], HazardBaseline]] = {
    COVARIATE_FREE: covariate_free,
    **HAZARD_BASELINES,
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
        return ROW_BASELINES[name](tensors, rows, tensors.steps)
    except ValueError as error:
        raise BaselineUnavailable(str(error)) from error
