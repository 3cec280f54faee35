"""Write and read predictions.parquet, with one row per subject and step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

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
    table = pa.table(columns).replace_schema_metadata({"survlstm.clock": clock})
    create_private(path)
    # Checksums detect a changed byte, which would be read as another hazard.
    pq.write_table(table, path, write_page_checksum=True)


def read_predictions(path: Path) -> pd.DataFrame:
    """Read predictions.parquet, with its clock in ``attrs``.

    Args:
        path: The file.

    Returns:
        A table with ``COLUMNS``, one row per subject and step, in the order of the file. ``attrs["clock"]`` is
        ``visit`` or ``landmark``.

    Raises:
        CheckpointError: If the file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise CheckpointError(f"a finished run must hold {path.name}; found none in {path.parent}. Name a finished run")
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        clock = (table.schema.metadata or {}).get(b"survlstm.clock", b"").decode(errors="replace")
        # Foreign metadata could change how pandas reads the table.
        table = table.replace_schema_metadata(None)
        wrong = _fault(table, clock)
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
    return frame


def _fault(table: pa.Table, clock: str) -> str | None:
    """Return what is wrong with a table of predictions; None if it is valid."""
    found = {name: str(table.schema.field(name).type) for name in table.column_names}
    if found != COLUMNS:
        return f"the columns must be {COLUMNS}; found {str(found)[:300]}"
    if clock not in {"visit", "landmark"}:
        return f"their clock must be visit or landmark; found {clock!r}"
    nulls = sum(column.null_count for column in table.columns)
    if nulls or not table.num_rows:
        return f"every row must be whole and there must be some; found {nulls} empty fields in {table.num_rows} rows"
    frame = table.to_pandas()
    for name, figures in (("hazards", frame["hazard"]), ("survival", frame["survival"])):
        outside = int((~figures.between(0, 1)).sum())
        if outside:
            return f"{name} must lie within 0..1; {outside} of {len(frame)} do not"
    subject = frame.groupby("subject_id", sort=False)
    number = subject["step"].transform("size")
    expected = frame["last_step"] + 1 if clock == "visit" else number.max()
    torn = (frame["step"] != subject.cumcount()) | (number != expected) | (frame["last_step"] >= number)
    several = subject[["last_step", "event", "split"]].nunique().max(axis=None) > 1
    if torn.any() or several:
        return (
            f"each subject must have steps 0, 1, 2, … and one label; {int(torn.sum())} of {len(frame)} rows do not fit"
        )
    return None
