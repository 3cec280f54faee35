"""Fixture: a small MEDS dataset that a test writes shard by shard; what it writes is checked by the package meds."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import meds
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from survlstm.data.events import SourceData
from survlstm.data.sources.meds.source import MedsSource

# subject_id, time or None, code, and optionally the value.
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Dataset:
    """A dataset without shards.

    Attributes:
        folder: Folder of the dataset.
    """

    folder: Path

    def write(self, name: str, rows: list[Row], *, standard: bool = True, **columns: pa.Array) -> Path:
        """Write a shard below data/; further columns are given as arrays, None leaves a column of MEDS out."""
        made = {
            "subject_id": pa.array([row[0] for row in rows], pa.int64()),
            "time": pa.array([_time(row[1]) for row in rows], pa.timestamp("us")),
            "code": pa.array([row[2] for row in rows], pa.string()),
            "numeric_value": pa.array([row[3] if len(row) > 3 else None for row in rows], pa.float32()),
        }
        made |= columns
        table = pa.table({key: value for key, value in made.items() if value is not None})
        if standard:
            meds.DataSchema.validate(table)
        return self.put(name, table)

    def put(self, name: str, table: pa.Table, **options: Any) -> Path:
        path = self.folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, **options)
        return path

    def metadata(self, name: str, content: pa.Table | dict[str, Any] | str) -> Path:
        path = self.folder / "metadata" / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def splits(self, split: dict[int, str]) -> Path:
        table = pa.table({"subject_id": pa.array(list(split), pa.int64()), "split": list(split.values())})
        meds.SubjectSplitSchema.validate(table)
        return self.metadata("subject_splits.parquet", table)

    def source(self, encounter_column: str | None = "auto", max_unusable_share: float = 1.0) -> MedsSource:
        return MedsSource(str(self.folder), encounter_column, max_unusable_share)

    def read(self, encounter_column: str | None = "auto", max_unusable_share: float = 1.0) -> SourceData:
        return self.source(encounter_column, max_unusable_share).read()


def _time(text: str | None) -> datetime.datetime | None:
    return None if text is None else datetime.datetime.fromisoformat(text)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(tmp_path / "dataset")


@pytest.fixture(autouse=True)
def _folder(dataset: Dataset) -> None:
    (dataset.folder / "data").mkdir(parents=True)
