"""Summarise the prediction times that a model of the days clock was trained at."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64

from survlstm.data.prepared_data import PreparedData
from survlstm.data.split import Split
from survlstm.data.targets import days_between
from survlstm.data.tensors import Tensors
from survlstm.utils.formatting import format_subjects
from survlstm.utils.ragged import flat_positions

# Share of the training rows, or of the gaps between visits, with a fresher record than a stale one.
FRESH = 0.95


def stale_days(tensors: Tensors) -> float:
    """Compute the age of the newest entry beyond which a record is stale.

    Args:
        tensors: data of the run, on the days clock.

    Returns:
        The 95 % quantile of the days from the last visit to a training row, or that of the days between two visits of a
        training subject, whichever is larger; rounded to three significant digits.
    """
    found = (_days_since_last_visit(tensors), _days_between_visits(tensors))
    return float(f"{max(float(np.quantile(days, FRESH)) if len(days) else 0.0 for days in found):.3g}")


def prediction_times_summary(prepared: PreparedData, times: str) -> dict[str, Any]:
    """Summarise the training rows for cohort.json.

    Args:
        prepared: data of the run, with the splits of the training, on the days clock.
        times: the rules of the prediction times in words.

    Returns:
        The part ``prediction_times`` of ``TrainingCohort``. Counts of fewer than ten rows are suppressed.
    """
    tensors, counts = prepared.tensors, prepared.flow.prediction_times
    assert counts is not None, "prepared on the days clock"
    members = tensors.members(Split.TRAIN)
    rows = tensors.rows_of(members)
    gaps = _days_between_visits(tensors)
    return {
        "times": times,
        "rows": len(rows),
        "subjects": len(members),
        "rows_with_event": int(tensors.event[rows].sum()),
        "rows_per_subject": spread_of(np.unique(tensors.row_subject[rows], return_counts=True)[1]),
        "days_since_last_visit": spread_of(_days_since_last_visit(tensors)),
        "days_between_visits": spread_of(gaps) if len(gaps) else None,
        "left_out": [
            {"reason": reason, "rows": format_subjects(number)} for reason, number in counts.left_out.items() if number
        ],
    }


def spread_of(values: np.ndarray) -> dict[str, float]:
    """Return the quartiles of some values.

    Args:
        values: at least one number; shape (value,).
    """
    names = ("quartile_1", "median", "quartile_3")
    return dict(zip(names, np.quantile(values, (0.25, 0.5, 0.75)).tolist(), strict=True))


def _days_since_last_visit(tensors: Tensors) -> Float64[np.ndarray, " row"]:
    rows = tensors.rows_of(tensors.members(Split.TRAIN))
    return days_between(tensors.visit_time[tensors.last_visit[rows]], tensors.row_time[rows])


def _days_between_visits(tensors: Tensors) -> Float64[np.ndarray, " gap"]:
    members = tensors.members(Split.TRAIN)
    first, number = tensors.visit_offsets[members], tensors.visits_per_subject[members]
    later = flat_positions(first + 1, number - 1)
    return days_between(tensors.visit_time[later - 1], tensors.visit_time[later])
