"""Predictions ↔ predictions.parquet: one row per subject and step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from survlstm.errors import CheckpointError
from survlstm.training.prediction import Predictions

COLUMNS = ("subject_id", "split", "step", "hazard", "survival", "last_step", "event")


def write_predictions(path: Path, predictions: Predictions, subject_id: np.ndarray, *, split: str, clock: str) -> None:
    """``step`` counts as survlstm.survival.steps says; ``last_step`` and ``event`` are the subject's label.

    On the visit clock a subject has rows up to its last at-risk step, on the landmark clock one for every interval.
    """
    row, step = np.nonzero(~np.isnan(predictions.hazard))
    columns = {
        "subject_id": subject_id[predictions.subject][row],
        "split": np.full(len(row), split),
        "step": step.astype(np.int32),
        "hazard": predictions.hazard[row, step],
        "survival": predictions.survival[row, step],
        "last_step": predictions.step[row].astype(np.int32),
        "event": predictions.event[row],
    }
    table = pa.table(columns).replace_schema_metadata({"survlstm.clock": clock})
    pq.write_table(table, path)


def read_predictions(path: Path) -> pd.DataFrame:
    """The table as it was written, its clock in ``attrs``; CheckpointError where it is missing or something else."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise CheckpointError(
            f"{path} must hold the predictions of a finished run; it can't be read ({error}). Train again"
        ) from error
    if tuple(table.column_names) != COLUMNS:
        raise CheckpointError(f"{path} must have the columns {', '.join(COLUMNS)}; found {table.column_names}")
    frame = table.to_pandas()
    frame.attrs["clock"] = (table.schema.metadata or {}).get(b"survlstm.clock", b"visit").decode()
    return frame
