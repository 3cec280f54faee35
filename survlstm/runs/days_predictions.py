"""Table of predictions on the days clock, with one row per subject and prediction time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from survlstm.data.tensors import Tensors
from survlstm.training.prediction import Predictions

# ``kind`` of the prediction times to train on; that of the others is the text of their rule.
TRAINED_KIND = "trained"
COLUMNS = {
    "subject_id": "string",
    "split": "string",
    "prediction_time": "timestamp[ms]",
    "kind": "string",
    "visits": "int32",
    "duration_days": "double",
    "last_step": "int32",
    "event": "bool",
    "exposure": "double",
    "hazard": "list<element: double>",
    "survival": "list<element: double>",
}


def days_table(predictions: Predictions, tensors: Tensors, *, split: str, rules: Sequence[str]) -> pa.Table:
    """Make the table of the predictions of a split.

    Args:
        predictions: Labels and predictions of the rows of the split.
        tensors: Data of all subjects, on the days clock.
        split: Name of the split.
        rules: Rules of ``evaluation.times`` as texts, in their order.

    Returns:
        A table with ``COLUMNS``; ``hazard`` and ``survival`` hold one value for each interval.
    """
    row = predictions.row
    kinds = np.array([TRAINED_KIND, *rules], dtype=object)
    intervals = predictions.hazard.shape[1]

    def lists(values: np.ndarray) -> pa.Array:
        offsets = pa.array(np.arange(len(values) + 1, dtype=np.int32) * intervals)
        kind = pa.list_(pa.field("element", pa.float64()))
        return pa.ListArray.from_arrays(offsets, pa.array(values.ravel()), type=kind)

    return pa.table(
        {
            "subject_id": pa.array(tensors.subject_id[predictions.subject].astype(object), pa.string()),
            "split": np.full(len(row), split),
            "prediction_time": pa.array(tensors.row_time[row].astype("datetime64[ms]")),
            "kind": pa.array(kinds[tensors.row_kind[row]], pa.string()),
            "visits": tensors.row_visits[row].astype(np.int32),
            "duration_days": tensors.duration_days[row],
            "last_step": predictions.step.astype(np.int32),
            "event": predictions.event,
            "exposure": tensors.exposure[row],
            "hazard": lists(predictions.hazard),
            "survival": lists(predictions.survival),
        }
    )


def fault_of_days(frame: pd.DataFrame, edge_days: Sequence[float]) -> str | None:
    """Return what is wrong with a table of predictions of the days clock; None if it is valid.

    Args:
        frame: Table with ``COLUMNS``, without an empty field and with at least one row.
        edge_days: 0, then the end of each interval.
    """
    edges, intervals = np.asarray(edge_days, dtype=np.float64), len(edge_days) - 1
    if intervals < 1 or edges[0] != 0 or not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        return "edge_days must rise from 0"
    for name in ("hazard", "survival"):
        short = int((frame[name].map(len) != intervals).sum())
        if short:
            return f"{name} must have one value for each of {intervals} intervals; {short} of {len(frame)} rows do not"
        outside = int((~((matrix_of(frame[name]) >= 0) & (matrix_of(frame[name]) <= 1))).sum())
        if outside:
            return f"{name} must lie within 0..1; {outside} values do not"
    step, event, exposure = (frame[name].to_numpy() for name in ("last_step", "event", "exposure"))
    valid = (step >= np.where(event, 0, -1)) & (step < intervals) & (exposure >= 0) & (exposure < 1)
    valid &= (exposure == 0) | (~event & (step + 1 < intervals))
    repeated = frame.duplicated(["subject_id", "kind", "prediction_time"]).to_numpy()
    torn = int((~valid | repeated).sum())
    if torn or frame["split"].nunique() > 1:
        return (
            "each prediction time of a kind must occur once in a subject, with a label within the intervals and in one "
            f"split; {torn} of {len(frame)} rows do not fit"
        )
    return None


def matrix_of(values: pd.Series) -> np.ndarray:
    """Return the lists of a column of a valid table as an array, [row, interval].

    Args:
        values: The column ``hazard`` or ``survival``.
    """
    return np.stack(values.to_list())
