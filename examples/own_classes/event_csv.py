"""A source of one's own: events in one CSV file, and births and deaths in another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from survlstm.data.events import Events, SourceData, Subjects, TableCount
from survlstm.utils.errors import SourceError


@dataclass(frozen=True)
class EventCsvSource:
    """``events.csv`` (subject_id, time, code) and ``subjects.csv`` (subject_id, birth, death) in a folder.

    Attributes:
        path: The folder.
        separator: The separator of the columns.
    """

    path: str
    separator: str = ","

    def files(self) -> list[Path]:
        files = [Path(self.path) / name for name in ("events.csv", "subjects.csv")]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise SourceError(f"data.path must hold events.csv and subjects.csv; {' and '.join(missing)} is not there")
        return files

    def read(self) -> SourceData:
        events, subjects = (self._table(file) for file in self.files())
        subjects = subjects.sort_values("subject_id", ignore_index=True)
        names = subjects["subject_id"].to_numpy(dtype=object)
        times = pd.to_datetime(events["time"], errors="coerce", format="ISO8601")
        usable = times.notna() & (events["code"] != "") & events["subject_id"].isin(names)
        kept = events[usable]
        codes, code = np.unique(kept["code"].to_numpy(dtype=object), return_inverse=True)
        return SourceData(
            Events(
                subjects=Subjects(names, _days(subjects["birth"]), _days(subjects["death"])),
                codes=codes,
                subject=np.searchsorted(names, kept["subject_id"].to_numpy(dtype=object)).astype(np.int32),
                code=code.astype(np.int32),
                time=times[usable].to_numpy(dtype="datetime64[s]"),
                encounter=np.full(len(kept), -1, dtype=np.int32),
                numeric_value=np.full(len(kept), np.nan, dtype=np.float32),
                day_tolerance=0,
            ),
            (
                TableCount("events", len(events), len(kept), {}, {"no time, code or subject": len(events) - len(kept)}),
                TableCount("subjects", len(subjects), len(subjects), {}, {}),
            ),
            warnings=(),
        )

    def _table(self, file: Path) -> pd.DataFrame:
        return pd.read_csv(file, sep=self.separator, dtype=str, keep_default_na=False)


def _days(column: pd.Series) -> np.ndarray:
    """Return midnights; NaT for an empty cell."""
    return (
        pd.to_datetime(column, errors="coerce", format="ISO8601")
        .to_numpy(dtype="datetime64[D]")
        .astype("datetime64[s]")
    )
