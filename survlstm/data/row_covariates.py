"""Covariates of the baselines at the prediction times of the days clock."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from survlstm.data.code_counts import CountRows, count_codes_so_far
from survlstm.data.known_times import YEAR_SECONDS
from survlstm.data.tensors import Tensors


def rows_with_record(tensors: Tensors, rows: Int64[np.ndarray, " row"]) -> CountRows:
    """Return the numbers of each prediction time, and the codes of the whole record up to its last visit.

    The numbers are the features of the last visit and of the prediction time, and the years since the first visit and
    their square. The years are the time of the landmark, which a model of stacked landmarks has among its covariates.

    Args:
        tensors: Data of all subjects, on the days clock.
        rows: Indices of the rows.

    Returns:
        One row per prediction time.
    """
    last = tensors.last_visit[rows]
    start = tensors.visit_time[tensors.visit_offsets[tensors.row_subject[rows]]]
    years = (tensors.row_time[rows] - start) / np.timedelta64(1, "s") / YEAR_SECONDS
    numbers = np.column_stack([tensors.features[last], tensors.prediction_features[rows], years, years**2])
    return CountRows(numbers, count_codes_so_far(tensors, last).log1p())
