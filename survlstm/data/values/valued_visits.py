"""Visits with the fused codes of their values, the columns of values, and counts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from survlstm.data.added_codes import append_codes
from survlstm.data.values.apply import fused_codes, value_columns
from survlstm.data.values.counts import ValueCounts, count_values
from survlstm.data.values.measures import FittedValues
from survlstm.data.visits import Visits


class ValuedVisits(NamedTuple):
    """Visits of which the values are used.

    Attributes:
        visits: The visits, with fused codes after the entries of each.
        fused: Number of fused codes of each visit.
        columns: Columns of values, see ``value_columns``.
        counts: Counts of the values; None if values are not used.
    """

    visits: Visits
    fused: Int64[np.ndarray, " visit"]
    columns: Float32[np.ndarray, "visit column"]
    counts: ValueCounts | None


def use_values(visits: Visits, fitted: FittedValues | None) -> ValuedVisits:
    """Add fused codes to visits, compute the columns of their values, and count them.

    Args:
        visits: Visits of any subjects, with the entries of their records only.
        fitted: The measures; None does not use values.
    """
    if fitted is None:
        number = len(visits.visit_time)
        return ValuedVisits(visits, np.zeros(number, dtype=np.int64), np.empty((number, 0), dtype=np.float32), None)
    measure = fitted.find(visits)
    fused = fused_codes(visits, fitted, measure)
    return ValuedVisits(
        append_codes(visits, fused.names, fused.code, per_visit=fused.per_visit),
        fused.per_visit,
        value_columns(visits, fitted, measure),
        count_values(visits, fitted, measure),
    )
