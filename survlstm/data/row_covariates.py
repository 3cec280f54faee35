"""Covariates of the baselines at the prediction times of the days clock."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from survlstm.data.code_counts import CountRows, count_codes, count_codes_so_far
from survlstm.data.known_times import YEAR_SECONDS
from survlstm.data.tensors import Tensors

Rows = Int64[np.ndarray, " row"]


def rows_with_last_visit(tensors: Tensors, rows: Rows) -> CountRows:
    """Return the numbers of each prediction time, and the codes of its last visit.

    Args:
        tensors: Data of all subjects, on the days clock.
        rows: Indices of the rows.

    Returns:
        One row per prediction time.
    """
    last = tensors.last_visit[rows]
    return CountRows(_numbers(tensors, rows), count_codes(tensors, last, last).log1p())


def rows_with_record(tensors: Tensors, rows: Rows) -> CountRows:
    """Return the numbers of each prediction time, and the codes of the whole record up to its last visit.

    Args:
        tensors: Data of all subjects, on the days clock.
        rows: Indices of the rows.

    Returns:
        One row per prediction time.
    """
    return CountRows(_numbers(tensors, rows), count_codes_so_far(tensors, tensors.last_visit[rows]).log1p())


def _numbers(tensors: Tensors, rows: Rows) -> Float64[np.ndarray, "row number"]:
    """Return the features of the last visit and of the prediction time, and the years since the start.

    The years are the time of the landmark, which a model of stacked landmarks has among its covariates.
    """
    last, subject = tensors.last_visit[rows], tensors.row_subject[rows]
    start = tensors.visit_time[tensors.visit_offsets[subject]]
    years = (tensors.row_time[rows] - start) / np.timedelta64(1, "s") / YEAR_SECONDS
    return np.column_stack(
        [
            tensors.features[last],
            tensors.prediction_features[rows],
            years,
            years**2,
        ]
    )
