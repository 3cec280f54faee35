"""Visits whose entries have values, from rows that are written out in a test."""

from __future__ import annotations

import numpy as np

from survlstm.data.events import Events, Subjects
from survlstm.data.visits import Visits, group_visits

# (subject, day, code, value or None, unit)
Row = tuple[int, int, str, float | None, str]


def events_of_rows(rows: list[Row], faults: dict[int, int] | None = None) -> Events:
    """Return the events of rows, one per row.

    Args:
        rows: The rows.
        faults: ``ValueFault`` by the number of a row.
    """
    subjects = max(row[0] for row in rows) + 1
    codes, code = np.unique([row[2] for row in rows], return_inverse=True)
    units, unit = np.unique(["", *(row[4] for row in rows)], return_inverse=True)
    fault = np.zeros(len(rows), dtype=np.int8)
    for row, kind in (faults or {}).items():
        fault[row] = kind
    never = np.full(subjects, np.datetime64("NaT"), dtype="datetime64[s]")
    return Events(
        subjects=Subjects(np.array([f"{number:03d}" for number in range(subjects)]), never, never),
        codes=codes,
        subject=np.array([row[0] for row in rows], dtype=np.int32),
        code=code.astype(np.int32),
        time=np.array([np.datetime64("2020-01-01T12:00:00", "s") + np.timedelta64(row[1], "D") for row in rows]),
        encounter=np.full(len(rows), -1, dtype=np.int32),
        numeric_value=np.array([np.nan if row[3] is None else row[3] for row in rows], dtype=np.float32),
        units=units,
        unit=unit[1:].astype(np.int32),
        value_fault=fault,
    )


def visits_of(rows: list[Row], faults: dict[int, int] | None = None) -> Visits:
    """Return visits of rows, one per subject and day.

    Args:
        rows: The rows.
        faults: ``ValueFault`` by the number of a row.
    """
    return group_visits(events_of_rows(rows, faults), grouping="same_day", window_hours=24.0)[0]
