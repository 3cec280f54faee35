"""Write and read predictions.parquet: one row per subject and step, or per prediction time on the days clock."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from survlstm.data.tensors import Tensors
from survlstm.runs.days_predictions import COLUMNS as DAYS_COLUMNS
from survlstm.runs.days_predictions import days_table, fault_of_days
from survlstm.training.prediction import Predictions
from survlstm.utils.errors import CheckpointError
from survlstm.utils.files import create_private

COLUMNS = {
    "subject_id": "string",
    "split": "string",
    "step": "int32",
    "hazard": "double",
    "survival": "double",
    "last_step": "int32",
    "event": "bool",
}


def write_predictions(path: Path, predictions: Predictions, subject_id: np.ndarray, *, split: str, clock: str) -> None:
    """Write the predictions of a split; only their owner can read the file, which holds ids of subjects.

    Columns are described in docs/running.md. ``step`` counts as in docs/conventions.md; ``last_step`` and ``event`` are
    the label. On the visit clock a subject has rows up to its last step at risk, on the landmark clock one per
    interval.

    Args:
        path: The file to write, which replaces one that is there.
        predictions: Labels and predictions of the subjects of a split; a step without a hazard has no row.
        subject_id: Ids of the subjects of all splits, by their row in the tensors; shape (subject,).
        split: Name of the split, for its column.
        clock: ``visit`` or ``landmark``, kept in the metadata of the file.
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
    _write(path, pa.table(columns).replace_schema_metadata({"survlstm.clock": clock}))


def write_days_predictions(
    path: Path, predictions: Predictions, tensors: Tensors, *, split: str, rules: Sequence[str]
) -> None:
    """Write the predictions of a split on the days clock; only their owner can read the file.

    Columns are those of ``survlstm.runs.days_predictions``. The file also holds the ends of the intervals.

    Args:
        path: The file to write, which replaces one that is there.
        predictions: Labels and predictions of the rows of a split.
        tensors: Data of all subjects.
        split: Name of the split, for its column.
        rules: Rules of ``evaluation.times`` as texts, in their order.
    """
    table = days_table(predictions, tensors, split=split, rules=rules)
    edges = json.dumps(tensors.edge_days.tolist())
    _write(path, table.replace_schema_metadata({"survlstm.clock": "days", "survlstm.edge_days": edges}))


def _write(path: Path, table: pa.Table) -> None:
    create_private(path)
    # Checksums detect a changed byte, which would be read as another hazard.
    pq.write_table(table, path, write_page_checksum=True)


def read_predictions(path: Path) -> pd.DataFrame:
    """Read predictions.parquet, with its clock in ``attrs``.

    Args:
        path: The file.

    Returns:
        A table with ``COLUMNS``, one row per subject and step, in the order of the file. ``attrs["clock"]`` is
        ``visit`` or ``landmark``. If it is ``days``, the columns are those of ``survlstm.runs.days_predictions``, there
        is one row per subject and prediction time, and ``attrs["edge_days"]`` lists 0 and the end of each interval.

    Raises:
        CheckpointError: If the file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise CheckpointError(f"a finished run must hold {path.name}; found none in {path.parent}. Name a finished run")
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        metadata = table.schema.metadata or {}
        clock = metadata.get(b"survlstm.clock", b"").decode(errors="replace")
        edge_days = _edges(metadata.get(b"survlstm.edge_days")) if clock == "days" else []
        # Foreign metadata could change how pandas reads the table.
        table = table.replace_schema_metadata(None)
        wrong = _fault(table, clock, edge_days)
        frame = table.to_pandas()
    # Errors of Arrow, and of Python for invalid names or texts.
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        # The messages of these errors may quote an id, so only their type is shown.
        raise CheckpointError(
            f"{path} must hold the predictions of a finished run; it can't be read ({type(error).__name__}). Judge the "
            "run again"
        ) from None
    if wrong:
        raise CheckpointError(f"{path} must hold predictions as survlstm writes them; {wrong}. Judge the run again")
    frame.attrs["clock"] = clock
    if clock == "days":
        frame.attrs["edge_days"] = edge_days
    return frame


def _edges(stored: bytes | None) -> list[float]:
    edges = json.loads(stored or b"")
    if not isinstance(edges, list) or not all(type(edge) is float for edge in edges):
        raise ValueError("the edges must be numbers")
    return edges


def _fault(table: pa.Table, clock: str, edge_days: list[float]) -> str | None:
    """Return what is wrong with a table of predictions; None if it is valid."""
    found = {name: str(table.schema.field(name).type) for name in table.column_names}
    expected_columns = DAYS_COLUMNS if clock == "days" else COLUMNS
    if found != expected_columns:
        return f"the columns must be {expected_columns}; found {str(found)[:300]}"
    if clock not in {"visit", "landmark", "days"}:
        return f"their clock must be visit, landmark or days; found {clock!r}"
    nulls = sum(column.null_count for column in table.columns)
    if nulls or not table.num_rows:
        return f"every row must be whole and there must be some; found {nulls} empty fields in {table.num_rows} rows"
    frame = table.to_pandas()
    return fault_of_days(frame, edge_days) if clock == "days" else _fault_of_steps(frame, clock)


def _fault_of_steps(frame: pd.DataFrame, clock: str) -> str | None:
    for name, figures in (("hazards", frame["hazard"]), ("survival", frame["survival"])):
        outside = int((~figures.between(0, 1)).sum())
        if outside:
            return f"{name} must lie within 0..1; {outside} of {len(frame)} do not"
    subject = frame.groupby("subject_id", sort=False)
    number = subject["step"].transform("size")
    expected = frame["last_step"] + 1 if clock == "visit" else number.max()
    torn = (frame["step"] != subject.cumcount()) | (number != expected) | (frame["last_step"] >= number)
    several = bool((subject[["last_step", "event", "split"]].nunique() > 1).to_numpy().any())
    if torn.any() or several:
        return (
            f"each subject must have steps 0, 1, 2, … and one label; {int(torn.sum())} of {len(frame)} rows do not fit"
        )
    return None
