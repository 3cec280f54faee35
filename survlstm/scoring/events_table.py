"""A pandas table of events with MEDS columns → Events, every row read, told or refused."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from survlstm.data.encounters import split_shared_encounters
from survlstm.data.events import Events, Subjects
from survlstm.data.known_times import DAY_SECONDS
from survlstm.data.sources.timestamps import parse_times, to_local
from survlstm.errors import SourceError

REQUIRED, OPTIONAL = ("subject_id", "time", "code"), ("numeric_value", "encounter_id")
BIRTH, DEATH = "MEDS_BIRTH", "MEDS_DEATH"


class EventsTable(NamedTuple):
    """The events, and sentences about what of the table is not among them."""

    events: Events
    notes: tuple[str, ...]


def read_events_table(table: pd.DataFrame, *, timezone: str | None = None) -> EventsTable:
    """MEDS columns: subject_id, time, code, maybe numeric_value and encounter_id; others are told and passed over.

    A time is a datetime64 (one with a zone is taken to UTC) or a text as in 2020-01-31T12:34:56; a day alone stands for
    an entry of that day. With ``timezone`` times are then converted from UTC to that zone, as in training. Rows of code
    MEDS_BIRTH and MEDS_DEATH give the day of birth and of death; a row without a time is a static fact, left out and
    told. SourceError names the first row that can't be read.
    """
    table = _checked(table)
    time = _times(table["time"], "time")
    if timezone is not None:
        # Midnight and NaT stay what they are: a day, and a static fact.
        time = to_local(time, timezone, is_timed=time.astype(np.int64) % DAY_SECONDS != 0)
    subject_id = _texts(table, "subject_id")
    code = _texts(table, "code")
    names, subject = np.unique(subject_id, return_inverse=True)
    is_static = np.isnat(time) & (code != BIRTH) & (code != DEATH)
    days = {name: _days(time, subject, code == name, subjects=len(names), what=name) for name in (BIRTH, DEATH)}
    kept = ~is_static & (code != BIRTH) & (code != DEATH)
    codes, number = np.unique(code[kept], return_inverse=True)
    # An encounter_id is unique within a subject only.
    encounter, _ = split_shared_encounters(subject[kept].astype(np.int32), _encounters(table)[kept])
    events = Events(
        subjects=Subjects(names, days[BIRTH], days[DEATH]),
        codes=codes,
        subject=subject[kept].astype(np.int32),
        code=number.astype(np.int32),
        time=time[kept],
        encounter=encounter,
        numeric_value=_numbers(table)[kept],
        day_tolerance=1 if timezone is None else 0,
    )
    return EventsTable(events, tuple(_notes(table, int(is_static.sum()))))


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    if not isinstance(table, pd.DataFrame):
        raise SourceError(f"events must be a pandas DataFrame; found {type(table).__name__}")
    missing = [name for name in REQUIRED if name not in table.columns]
    if missing:
        found = ", ".join(str(name) for name in table.columns)[:400] or "none"
        raise SourceError(
            f"events must have the columns {', '.join(REQUIRED)} (and may have {', '.join(OPTIONAL)}), as in MEDS; "
            f"{', '.join(missing)} missing, found {found}. Rename the columns"
        )
    twice = sorted({str(name) for name in table.columns[table.columns.duplicated()]})
    if twice:
        raise SourceError(f"events must name each column once; {', '.join(twice)} stands there twice")
    if not len(table):
        raise SourceError("events must hold at least one row; found none")
    return table


def _texts(table: pd.DataFrame, name: str) -> np.ndarray:
    """Ids and codes as texts; whole numbers without a decimal point."""
    column = table[name].astype(object)
    empty = column.isna() | (column.astype(str).str.strip() == "")
    _refuse(empty, f"events must have a {name} in every row")
    # An id that is a number has been a float on its way, where another row had none.
    is_float = column.map(lambda value: isinstance(value, float | np.floating))
    numbers = column.where(is_float, 0).astype(np.float64)
    _refuse((numbers % 1 != 0) | (numbers.abs() >= 2**53), f"events must have whole numbers or texts as {name}")
    column = column.where(~is_float, numbers.astype(np.int64))
    return column.astype(str).str.strip().to_numpy(dtype=np.str_)


def _times(column: pd.Series, name: str) -> np.ndarray:
    """datetime64[s] in UTC, NaT where there is none; SourceError for what is no time."""
    if isinstance(column.dtype, pd.ArrowDtype) and pa.types.is_timestamp(column.dtype.pyarrow_dtype):
        column = pa.chunked_array(column.array.__arrow_array__()).to_pandas().set_axis(column.index)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return column.to_numpy().astype("datetime64[s]")
    given = column.notna()
    texts = [value.isoformat() if hasattr(value, "isoformat") else str(value) for value in column[given]]
    parsed = parse_times(pa.array([text.strip() for text in texts], pa.string()))
    bad = pd.Series(False, index=column.index)
    bad[given] = parsed.unparsable | parsed.impossible
    _refuse(bad, f"events must have a {name} as in 2020-01-31 or 2020-01-31T12:34:56Z")
    time = np.full(len(column), np.datetime64("NaT"), dtype="datetime64[s]")
    time[given.to_numpy()] = parsed.time
    return time


def _refuse(bad: pd.Series, must: str) -> None:
    """SourceError with how many rows and the first: never what stands in them."""
    rows = np.flatnonzero(bad.to_numpy())
    if len(rows):
        raise SourceError(
            f"{must}; {len(rows)} of {len(bad)} rows have none that can be read, the first is row {rows[0] + 1}"
        )


def _days(time: np.ndarray, subject: np.ndarray, here: np.ndarray, *, subjects: int, what: str) -> np.ndarray:
    """Midnight of each subject's day; NaT where there is none. SourceError where a subject has two days."""
    here = here & ~np.isnat(time)
    day = time[here].astype("datetime64[D]").astype("datetime64[s]").astype(np.int64)
    low, high = np.full(subjects, np.iinfo(np.int64).max), np.full(subjects, np.iinfo(np.int64).min)
    np.minimum.at(low, subject[here], day)
    np.maximum.at(high, subject[here], day)
    known = low <= high
    differ = int((low[known] != high[known]).sum())
    if differ:
        raise SourceError(f"a subject must have one day of {what}; {differ} subjects have several. Remove all but one")
    return np.where(known, low, np.iinfo(np.int64).min).astype("datetime64[s]")


def _encounters(table: pd.DataFrame) -> np.ndarray:
    """A number for each encounter, -1 where none is named."""
    if "encounter_id" not in table.columns:
        return np.full(len(table), -1, dtype=np.int32)
    column = table["encounter_id"]
    named = column.notna() & (column.astype(str).str.strip() != "")
    number, _ = pd.factorize(column.astype(str).where(named))
    return number.astype(np.int32)


def _numbers(table: pd.DataFrame) -> np.ndarray:
    if "numeric_value" not in table.columns:
        return np.full(len(table), np.nan, dtype=np.float32)
    values = pd.to_numeric(table["numeric_value"], errors="coerce")
    _refuse(values.isna() & table["numeric_value"].notna(), "events must have a number or nothing as numeric_value")
    return values.to_numpy(dtype=np.float32, na_value=np.nan)


def _notes(table: pd.DataFrame, static: int) -> list[str]:
    others = [str(name) for name in table.columns if name not in {*REQUIRED, *OPTIONAL}]
    notes = []
    if others:
        notes.append(f"columns passed over: {', '.join(others)[:200]}")
    if static:
        notes.append(f"{static} rows without a time are static facts, which the model does not read")
    if "encounter_id" not in table.columns:
        notes.append("no column encounter_id: entries of one day make one visit")
    return notes
