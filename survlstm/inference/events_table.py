"""Read and check a pandas table of events with the columns of MEDS."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Int32, Int64

from survlstm.data.encounters import split_shared_encounters
from survlstm.data.events import Events, StaticCodes, Subjects
from survlstm.data.known_times import DAY_SECONDS
from survlstm.data.sources.meds.names import BIRTH, DEATH, OBSERVED_UNTIL, is_kind
from survlstm.data.sources.missing_values import MISSING_WORDS, blank_missing_values
from survlstm.data.sources.spreadsheet_codes import warn_of_spreadsheet_codes
from survlstm.data.sources.synthea_columns import SYNTHEA_COLUMNS
from survlstm.data.sources.timestamps import FIRST_YEAR, LAST_YEAR, parse_times, to_local
from survlstm.data.sources.units import LONGEST_UNIT
from survlstm.utils.content import list_known_names
from survlstm.utils.errors import SourceError

REQUIRED, OPTIONAL = ("subject_id", "time", "code"), ("numeric_value", "unit", "encounter_id")
# Column names that a message may show: those of MEDS and of Synthea. Any other may be patient data, for example if the
# table was read with its first row as the header.
SHOWN_COLUMNS = frozenset({*OPTIONAL, "text_value", "codes", "values", "units", "birth", "table"} | SYNTHEA_COLUMNS)
# NumPy stores the texts of an array at the width of the longest one, so that one long text would fill the memory.
LONGEST = {"subject_id": 200, "code": 1000, "unit": LONGEST_UNIT}


class EventsTable(NamedTuple):
    """Events read from a table.

    Attributes:
        events: the entries with their subjects, codes and times.
        notes: sentences about rows and columns that were not read.
    """

    events: Events
    notes: tuple[str, ...]


def read_events_table(
    table: pd.DataFrame, *, timezone: str | None = None, day_tolerance: int | None = None
) -> EventsTable:
    """Read a table of events with the columns of MEDS.

    Args:
        table: one row per entry with these columns; others are left out with a note:

            - subject_id: text or whole number;
            - time: datetime64, or a text as in 2020-01-31T12:34:56. A time with a zone is converted to UTC. A day alone
              is an entry dated to that day. A row without a time is a static fact of the subject, such as its sex;
            - code: text. A row with MEDS_BIRTH or MEDS_DEATH, also with a suffix as in MEDS_DEATH//HOSPITAL, gives the
              day of birth or of death, one with SURVLSTM_OBSERVED_UNTIL the last day of observation;
            - numeric_value (optional): number or missing;
            - unit (optional): text, the unit of numeric_value; missing for no unit. Without a number it is not read;
            - encounter_id (optional): text, unique within a subject. Without this column the entries of one day make
              one visit.
        timezone: zone to which times are converted from UTC, as in training; None for UTC.
        day_tolerance: as in ``Events``; None for 0 with a ``timezone`` and 1 without.

    Returns:
        The entries, with births and deaths as days of their subjects and static facts as their static codes, and the
        notes.

    Raises:
        SourceError: a column is missing, or a row cannot be read. The message holds the number of the first such row,
            never its content.

    Example:
        >>> table = pd.DataFrame({"subject_id": ["a"], "time": ["2020-01-31"], "code": ["SNOMED/44054006"]})
        >>> read_events_table(table).notes
        ('no column encounter_id: entries of one day make one visit',)
    """
    table = _checked(table)
    time = _times(table["time"], "time")
    if timezone is not None:
        # A time at midnight stands for a day and is not converted; NaT, a static fact, is not either.
        time = to_local(time, timezone, is_timed=time.astype(np.int64) % DAY_SECONDS != 0)
    names, subject = _texts(table, "subject_id")
    code_names, code = _texts(table, "code")
    is_birth, is_death, is_end = (_is_kind(code_names, kind)[code] for kind in (BIRTH, DEATH, OBSERVED_UNTIL))
    is_static = np.isnat(time) & ~is_birth & ~is_death & ~is_end
    born = _days(time, subject, is_birth, subjects=len(names), kind=BIRTH)
    died = _days(time, subject, is_death, subjects=len(names), kind=DEATH)
    until = _days(time, subject, is_end, subjects=len(names), kind=OBSERVED_UNTIL)
    kept = ~is_static & ~is_birth & ~is_death & ~is_end
    present, number = np.unique(code[kept], return_inverse=True)
    codes, number = code_names[present].astype(np.str_), number.astype(np.int32)
    # An encounter_id is unique only within a subject: the same id in two subjects names two encounters.
    encounter, _ = split_shared_encounters(subject[kept].astype(np.int32), _encounters(table)[kept])
    static = StaticCodes.from_rows(subject[is_static], code_names[code[is_static]], subjects=len(names))
    value = _numbers(table)
    units, unit = _units(table, is_number=~np.isnan(value) & kept)
    events = Events(
        subjects=Subjects(names.astype(np.str_), born, died, until, static),
        codes=codes,
        subject=subject[kept].astype(np.int32),
        code=number,
        time=time[kept],
        encounter=encounter,
        numeric_value=value[kept],
        day_tolerance=int(timezone is None) if day_tolerance is None else day_tolerance,
        units=units,
        unit=unit[kept],
    )
    notes = [*_notes(table), *warn_of_spreadsheet_codes("events", codes, number)]
    return EventsTable(events, tuple(notes))


def name_encounters(table: pd.DataFrame, column: str | None) -> pd.DataFrame:
    """Give the column of encounters the name that ``read_events_table`` reads, as in the source of the training.

    Args:
        table: a table of events.
        column: name of the column with the encounters; None for none.

    Returns:
        The table with this column as encounter_id; without encounter_id if ``column`` is None; the table itself if it
        lacks the column.
    """
    if column is None:
        return table.drop(columns="encounter_id", errors="ignore")
    if column == "encounter_id" or column not in table.columns:
        return table
    return table.drop(columns="encounter_id", errors="ignore").rename(columns={column: "encounter_id"})


def _is_kind(names: np.ndarray, kind: str) -> Bool[np.ndarray, " name"]:
    """Return which codes are ``kind``, alone or with the suffix that MEDS allows."""
    return np.array([is_kind(name, kind) for name in names], dtype=bool)


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    if not isinstance(table, pd.DataFrame):
        raise SourceError(f"events must be a pandas DataFrame; found {type(table).__name__}")
    missing = [name for name in REQUIRED if name not in table.columns]
    if missing:
        present = list_known_names(list(map(str, table.columns)), (*REQUIRED, *SHOWN_COLUMNS))
        raise SourceError(
            f"events must have the columns {', '.join(REQUIRED)} (and may have {', '.join(OPTIONAL)}), as in MEDS; "
            f"{', '.join(missing)} missing, found {present}. Rename the columns"
        )
    twice = [name for name in (*REQUIRED, *OPTIONAL) if list(table.columns).count(name) > 1]
    if twice:
        raise SourceError(f"events must name each column once; found {', '.join(twice)} more than once. Remove one")
    if not len(table):
        raise SourceError("events must hold at least one row; found none")
    return table


def _texts(table: pd.DataFrame, name: str) -> tuple[np.ndarray, Int64[np.ndarray, " row"]]:
    """Return the distinct ids or codes of a column as sorted texts, and the index of each row's text among them.

    Whole numbers are written without a decimal point.
    """
    column = table[name].astype(object)
    empty = column.isna() | (column.astype(str).str.strip() == "")
    _refuse(empty, f"events must have a {name} in every row")
    return _printable_texts(column, name)


def _printable_texts(column: pd.Series, name: str) -> tuple[np.ndarray, Int64[np.ndarray, " row"]]:
    """Return what ``_texts`` does, of a column of objects without missing values."""
    # pandas turns whole numbers into floats if another row of the column is empty.
    is_float = column.map(lambda value: isinstance(value, float | np.floating))
    numbers = column.where(is_float, 0).astype(np.float64)
    _refuse((numbers % 1 != 0) | (numbers.abs() >= 2**53), f"events must have whole numbers or texts as {name}")
    column = column.where(~is_float, numbers.astype(np.int64))
    texts, number = _numbered(column.astype(str).str.strip())
    order = np.argsort(texts)
    names, index = texts[order], np.argsort(order)[number]
    unfit = np.array([len(text) > LONGEST[name] or not text.isprintable() for text in names], dtype=bool)
    _refuse(
        pd.Series(unfit[index]), f"events must have printable text of at most {LONGEST[name]:,} characters as {name}"
    )
    return names, index


def _times(column: pd.Series, name: str) -> np.ndarray:
    """Parse a column of times to datetime64[s] in UTC, NaT if missing; SourceError for text that is not a time."""
    if isinstance(column.dtype, pd.ArrowDtype) and pa.types.is_timestamp(column.dtype.pyarrow_dtype):
        column = pa.chunked_array(column.array.__arrow_array__()).to_pandas().set_axis(column.index)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    must = (
        f"events must have a {name} as in 2020-01-31 or 2020-01-31T12:34:56Z, of the years {FIRST_YEAR} to {LAST_YEAR}"
    )
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        times: np.ndarray = column.to_numpy().astype("datetime64[s]")
        year = times.astype("datetime64[Y]").astype(np.int64) + 1970
        _refuse(pd.Series(~np.isnat(times) & ((year < FIRST_YEAR) | (year > LAST_YEAR))), must)
        return times
    given = column.notna()
    texts = [value.isoformat() if hasattr(value, "isoformat") else str(value) for value in column[given]]
    # A time is ASCII. Other texts are replaced, because pyarrow rejects a text with half of a surrogate pair.
    texts = [text if text.isascii() else "no time" for text in texts]
    parsed = parse_times(blank_missing_values(pa.array(texts, pa.string()))[0])
    bad = pd.Series(False, index=column.index)
    bad[given] = parsed.unparsable | parsed.impossible
    _refuse(bad, must)
    time = np.full(len(column), np.datetime64("NaT"), dtype="datetime64[s]")
    time[given.to_numpy()] = parsed.time
    return time


def _refuse(bad: pd.Series, must: str) -> None:
    """Raise SourceError if any row is bad, with their number and the first one, but never with their content."""
    rows = np.flatnonzero(bad.to_numpy())
    if len(rows):
        raise SourceError(
            f"{must}; {len(rows)} of {len(bad)} rows have none that can be read, the first is row {rows[0] + 1}. "
            "Correct or remove these rows"
        )


def _days(time: np.ndarray, subject: np.ndarray, is_kind: np.ndarray, *, subjects: int, kind: str) -> np.ndarray:
    """Return midnight of each subject's day of birth or death, NaT without one.

    Raises:
        SourceError: a subject has two different days.
    """
    dated = is_kind & ~np.isnat(time)
    day = time[dated].astype("datetime64[D]").astype("datetime64[s]").astype(np.int64)
    low, high = np.full(subjects, np.iinfo(np.int64).max), np.full(subjects, np.iinfo(np.int64).min)
    np.minimum.at(low, subject[dated], day)
    np.maximum.at(high, subject[dated], day)
    known = low <= high
    differ = int((low[known] != high[known]).sum())
    if differ:
        raise SourceError(f"a subject must have one day of {kind}; {differ} subjects have several. Remove all but one")
    return np.where(known, low, np.iinfo(np.int64).min).astype("datetime64[s]")


def _encounters(table: pd.DataFrame) -> np.ndarray:
    """Return the index of each row's encounter, -1 for a row without an encounter."""
    if "encounter_id" not in table.columns:
        return np.full(len(table), -1, dtype=np.int32)
    column = table["encounter_id"]
    # A word for a missing value is not an id; it would put unrelated entries into one encounter.
    named = column.notna() & ~column.astype(str).str.strip().str.lower().isin({"", *MISSING_WORDS})
    _, number = _numbered(text if is_named else None for text, is_named in zip(column.astype(str), named, strict=True))
    return number.astype(np.int32)


def _numbered(texts: Iterable[str | None]) -> tuple[np.ndarray, Int64[np.ndarray, " row"]]:
    """Return the distinct texts in order of appearance, and the index of each row's text; -1 for None.

    ``pandas.factorize`` ends a text at its first NUL character and would treat different texts as one; pyarrow rejects
    half of a surrogate pair.
    """
    numbers: dict[str, int] = {}
    index = [-1 if text is None else numbers.setdefault(text, len(numbers)) for text in texts]
    return np.array(list(numbers), dtype=object), np.array(index, dtype=np.int64)


def _numbers(table: pd.DataFrame) -> np.ndarray:
    if "numeric_value" not in table.columns:
        return np.full(len(table), np.nan, dtype=np.float32)
    values = pd.to_numeric(table["numeric_value"], errors="coerce")
    is_number = values.notna() & (values.astype(np.float64).abs() <= np.finfo(np.float32).max)
    _refuse(
        ~is_number & table["numeric_value"].notna(),
        "events must have a number of single precision (up to 3.4e38) or nothing as numeric_value",
    )
    return values.to_numpy(dtype=np.float32, na_value=np.nan)


def _units(table: pd.DataFrame, *, is_number: Bool[np.ndarray, " row"]) -> tuple[np.ndarray, Int32[np.ndarray, " row"]]:
    """Return the distinct units as sorted texts, "" first, and the index of each row's unit; 0 without a number."""
    if "unit" not in table.columns:
        return np.array([""]), np.zeros(len(table), dtype=np.int32)
    column = table["unit"].astype(object)
    missing = column.isna() | column.astype(str).str.strip().str.lower().isin({"", *MISSING_WORDS})
    is_text = column.map(lambda unit: isinstance(unit, str | int | float | np.integer | np.floating))
    is_given = ~missing & is_number
    _refuse(is_given & ~is_text, "events must have a text or nothing as unit")
    names, number = _printable_texts(column.where(is_given, ""), "unit")
    if names[0] != "":
        names, number = np.concatenate([[""], names]), number + 1
    return names.astype(np.str_), number.astype(np.int32)


def _notes(table: pd.DataFrame) -> list[str]:
    others = [str(name) for name in table.columns if name not in {*REQUIRED, *OPTIONAL}]
    notes = []
    if others:
        notes.append(f"columns not read: {list_known_names(others, SHOWN_COLUMNS)}")
    if "encounter_id" not in table.columns:
        notes.append("no column encounter_id: entries of one day make one visit")
    return notes
