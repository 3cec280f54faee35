"""Shared by the scripts that write a table of a study as a MEDS dataset: times, events and the folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from survlstm.data.events import Events, SourceData, Subjects
from survlstm.data.sources.meds.writer import MedsWriter
from survlstm.utils.files import atomic_folder

# Time zero of every subject, because the tables have times since the start of the study only.
START = np.datetime64("2000-01-01T08:00:00", "s")
DAY_SECONDS = 86400


def days_after_start(days: pd.Series | np.ndarray) -> np.ndarray:
    """Return the times that many days after time zero.

    Args:
        days: Days, not necessarily whole ones; NaN if unknown.

    Returns:
        ``datetime64[s]``, in the order of ``days``; NaT where they are unknown.
    """
    days = np.asarray(days, dtype=float)
    known = np.isfinite(days)
    seconds = np.round(np.where(known, days, 0) * DAY_SECONDS).astype("timedelta64[s]")
    return np.where(known, START + seconds, np.datetime64("NaT", "s"))


def as_day(time: np.ndarray) -> np.ndarray:
    """Return the beginning of the day of each time, as births, deaths and ends of observation are stored."""
    return time.astype("datetime64[D]").astype("datetime64[s]")


def events_of_rows(rows: pd.DataFrame, subjects: Subjects) -> Events:
    """Return the events of a table with one row per event.

    Args:
        rows: The columns ``subject`` (index of the subject), ``days`` after time zero, ``encounter`` (-1 for none),
            ``code`` and ``value`` (NaN for none).
        subjects: The subjects.
    """
    codes, code = np.unique(rows["code"].to_numpy(dtype=np.str_), return_inverse=True)
    return Events(
        subjects,
        codes=codes,
        subject=rows["subject"].to_numpy(dtype=np.int32),
        code=code.astype(np.int32),
        time=days_after_start(rows["days"]),
        encounter=rows["encounter"].to_numpy(dtype=np.int32),
        numeric_value=rows["value"].to_numpy(dtype=np.float32),
        day_tolerance=0,
    )


def write_dataset(events: Events, output: Path, *, name: str) -> MedsWriter:
    """Write events as a MEDS dataset; the folder appears when it is whole.

    Args:
        events: The events of all subjects.
        output: The folder, new or empty.
        name: Name of the dataset.

    Returns:
        The writer, with its counts.
    """
    with atomic_folder(output) as folder:
        folder.mkdir()
        writer = MedsWriter(folder)
        writer.add(SourceData(events, (), ()))
        writer.finish(dataset_name=name, descriptions={}, parents={})
    return writer
