"""Predictions, part after part → one file, Parquet or CSV, whose columns are always the same."""

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

MEANING = {
    "history_end": "time of the last visit that was read, in UTC (or in data.source.timezone, if training set it)",
    "entries_unknown": "entries read whose code the model does not know, among entries",
    "hazard": "probability of the event in the step after that visit",
    "risk": "probability of the event by the last time of the grid; higher = sooner",
    "percentile": "0 to 100: the share of the training subjects with a lower risk",
    "survival_<h>": "probability of no event by h",
    "curve": "probability of no event by each time of the grid",
}


def table_schema(predictor: Predictor, horizons: Sequence[float], *, per_visit: bool) -> pa.Schema:
    """The table's columns: parts without a subject have them too."""
    is_landmark = predictor.bundle.about.clock == "landmark"
    columns = [("subject_id", pa.string())]
    columns += [("visit", pa.int64())] if per_visit else []
    columns += [("landmark", pa.timestamp("s"))] if is_landmark else []
    columns += [("history_end", pa.timestamp("s"))]
    columns += [(name, pa.int64()) for name in ("visits", "entries", "entries_unknown")]
    columns += [] if is_landmark else [("hazard", pa.float64())]
    columns += [(name, pa.float64()) for name in ("risk", "percentile", *(f"survival_{h:g}" for h in horizons))]
    columns += [("curve", pa.list_(pa.float64()))]
    facts = {"unit": predictor.unit, "grid": json.dumps(predictor.grid.tolist()), "bundle": predictor.bundle.about.name}
    return pa.schema(columns, metadata=facts)


class TableWriter(Protocol):
    """Takes the table of one part after the other; a file that is left by an error is not whole."""

    def write(self, table: pd.DataFrame) -> None:
        """Append the rows of a part."""

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
    """A file to append parts to, which its owner alone can read; ``ending`` is .parquet or .csv."""
    create_private(file)
    return _Parquet(file, schema) if ending == ".parquet" else _Csv(file, schema)
