"""Write predictions part by part to one Parquet or CSV file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from survlstm.inference.predictor import Predictor
from survlstm.utils.files import create_private

# Written to the JSON file beside the predictions, with MEANING_ON_DAYS for a model of the days clock.
MEANING = {
    "history_end": "time of the last visit read, in UTC (in data.source.timezone if that was set in training)",
    "entries": "number of entries read; static codes (data.static) and fused codes (data.values) are not counted",
    "entries_unknown": "number of the entries read entries whose code is not in the vocabulary of the model",
    "hazard": "probability of the event in the step after the last visit read",
    "risk": "probability of the event by the last time of the grid; higher means an earlier event",
    "percentile": "position of the risk among those of the training subjects, 0 to 100; 100 is the highest risk",
    "survival_<h>": "probability of no event by h",
    "curve": "probability of no event by each time of the grid",
}
MEANING_ON_DAYS = {
    "prediction_time": "time from which the days are counted; nothing known later is read",
    "history_age_days": "days from history_end to prediction_time",
    "is_stale": "whether history_age_days is longer than 19 in 20 of the training's, or of its gaps between two visits",
}


def column_meanings(clock: str) -> dict[str, str]:
    """Return the meaning of each column of the predictions of a clock that has one."""
    if clock != "days":
        return MEANING
    return MEANING_ON_DAYS | {name: meaning for name, meaning in MEANING.items() if name != "hazard"}


def table_schema(predictor: Predictor, horizons: Sequence[float], *, per_visit: bool) -> pa.Schema:
    """Make the schema of the file, which is the same for a part without scored subjects.

    Args:
        predictor: the predictor that makes the tables.
        horizons: times at which survival is reported.
        per_visit: whether the tables have one row per visit.

    Returns:
        Names and types of the columns; the metadata hold unit, grid and name of the bundle.
    """
    clock = predictor.bundle.about.clock
    columns = [("subject_id", pa.string())]
    columns += [("visit", pa.int64())] if per_visit else []
    columns += [("landmark", pa.timestamp("s"))] if clock == "landmark" else []
    columns += [("prediction_time", pa.timestamp("s"))] if clock == "days" else []
    columns += [("history_end", pa.timestamp("s"))]
    columns += [("history_age_days", pa.float64()), ("is_stale", pa.bool_())] if clock == "days" else []
    columns += [(name, pa.int64()) for name in ("visits", "entries", "entries_unknown")]
    columns += [("hazard", pa.float64())] if clock == "visit" else []
    columns += [(name, pa.float64()) for name in ("risk", "percentile", *(f"survival_{h:g}" for h in horizons))]
    columns += [("curve", pa.list_(pa.float64()))]
    metadata = {
        "unit": predictor.unit,
        "grid": json.dumps(predictor.grid.tolist()),
        "bundle": predictor.bundle.about.name,
    }
    return pa.schema(columns, metadata=metadata)


class TableWriter(Protocol):
    """Writer of one file, part by part. After an error the file is incomplete and must be removed."""

    def write(self, table: pd.DataFrame) -> None:
        """Append the rows of a part.

        Args:
            table: predictions with the columns of the schema, see ``table_schema``; it may be empty.
        """

    def __enter__(self) -> TableWriter: ...

    def __exit__(self, *ended: object) -> None: ...


class _Parquet:
    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(file, schema)

    def write(self, table: pd.DataFrame) -> None:
        self._writer.write_table(pa.Table.from_pandas(table, schema=self._schema, preserve_index=False))

    def __enter__(self) -> _Parquet:
        return self

    def __exit__(self, *ended: object) -> None:
        self._writer.close()


class _Csv:
    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._names = schema.names
        self._stream = file.open("w", encoding="utf-8", newline="")
        pd.DataFrame(columns=self._names).to_csv(self._stream, index=False)

    def write(self, table: pd.DataFrame) -> None:
        curves = [json.dumps(curve.tolist()) for curve in table["curve"]]
        table.assign(curve=curves)[self._names].to_csv(
            self._stream, index=False, header=False, date_format="%Y-%m-%dT%H:%M:%SZ"
        )

    def __enter__(self) -> _Csv:
        return self

    def __exit__(self, *ended: object) -> None:
        self._stream.close()


def open_writer(file: Path, ending: str, schema: pa.Schema) -> TableWriter:
    """Create a file that only its owner can read, and open it for writing.

    Args:
        file: path of the new file.
        ending: format, .parquet or .csv; ``file`` may be a temporary name with another ending.
        schema: columns of the file, see ``table_schema``.

    Returns:
        The writer, a context manager that closes the file.
    """
    create_private(file)
    return _Parquet(file, schema) if ending == ".parquet" else _Csv(file, schema)
