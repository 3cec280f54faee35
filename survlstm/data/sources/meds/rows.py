"""Collect the rows of a MEDS dataset: events, static codes, and days of birth, death and the end of observation."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int8, Int32, Int64

from survlstm.data.events import ValueFault
from survlstm.data.known_times import DAY_SECONDS
from survlstm.data.sources.meds.numbering import (
    LONGEST_CODE,
    CodeKind,
    CodeNumbers,
    EncounterNumbers,
    SubjectNumbers,
    UnitNumbers,
)
from survlstm.data.sources.meds.shard_rows import RawRows
from survlstm.data.sources.timestamps import FIRST_YEAR, LAST_YEAR
from survlstm.utils.errors import SourceError

_FIRST = int(np.datetime64(f"{FIRST_YEAR}-01-01", "s").astype(np.int64))
_AFTER_LAST = int(np.datetime64(f"{LAST_YEAR + 1}-01-01", "s").astype(np.int64))


class RowUse(IntEnum):
    """What a row becomes, or why it is unusable; the values from ``NO_SUBJECT`` on are defects."""

    EVENT = 0
    STATIC = 1
    DAY = 2
    NO_SUBJECT = 3
    NO_CODE = 4
    TOO_LONG = 5
    UNPRINTABLE = 6
    NOT_A_CODE = 7
    UNDATED_DAY = 8
    IMPOSSIBLE_TIME = 9


UNUSABLE = {
    RowUse.NO_SUBJECT: "no subject_id",
    RowUse.NO_CODE: "no code",
    RowUse.TOO_LONG: f"code longer than {LONGEST_CODE:,} characters",
    RowUse.UNPRINTABLE: "control character in a code, or a code that is not UTF-8",
    RowUse.NOT_A_CODE: "a UUID or a date in place of a code",
    RowUse.UNDATED_DAY: "birth, death or end of observation without a time",
    RowUse.IMPOSSIBLE_TIME: f"time outside the years {FIRST_YEAR} to {LAST_YEAR}",
}
# Use of a row with a sound time and subject, by the kind of its code.
_BY_KIND = np.array(
    [
        RowUse.EVENT,
        RowUse.DAY,
        RowUse.DAY,
        RowUse.DAY,
        RowUse.NO_CODE,
        RowUse.TOO_LONG,
        RowUse.UNPRINTABLE,
        RowUse.NOT_A_CODE,
    ],
    dtype=np.int8,
)


class EventColumns(NamedTuple):
    """Columns of the events; subjects, codes, encounters and units are numbered in the order of reading.

    Attributes:
        subject: Number of the subject.
        code: Number of the code.
        time: ``datetime64[s]``.
        encounter: Number of the encounter, -1 for none.
        value: Value, NaN for none.
        unit: Number of the unit, 0 for none.
        fault: ``ValueFault``; ``TEXT`` for every event with a text and no number.
    """

    subject: Int32[np.ndarray, " event"]
    code: Int32[np.ndarray, " event"]
    time: np.ndarray
    encounter: Int32[np.ndarray, " event"]
    value: np.ndarray
    unit: Int32[np.ndarray, " event"]
    fault: Int8[np.ndarray, " event"]


EVENT_TYPES = (np.int32, np.int32, "datetime64[s]", np.int32, np.float32, np.int32, np.int8)


class DayRows(NamedTuple):
    """Rows that give a day of their subject.

    Attributes:
        subject: Number of the subject.
        kind: ``CodeKind.BIRTH``, ``DEATH`` or ``OBSERVED_UNTIL``.
        day: Day in days since 1970.
    """

    subject: Int32[np.ndarray, " row"]
    kind: Int8[np.ndarray, " row"]
    day: Int64[np.ndarray, " row"]


class RowCollector:
    """Rows that were read so far; only these compact columns grow with the dataset.

    Attributes:
        subjects: Numbers of the subjects.
        codes: Numbers of the codes.
        units: Numbers of the units.
        uses: Number of rows of each ``RowUse``.
        infinite: Number of events whose value was infinite and became NaN.
        unusable_units: Number of values whose text in the column of units can't be one.
        texts: Number of events with a text and no number.

    Args:
        most: Greatest number of rows. Memory is reserved for so many events, and used as they come.
    """

    def __init__(self, most: int) -> None:
        self.subjects = SubjectNumbers()
        self.codes = CodeNumbers()
        self.uses: Int64[np.ndarray, " use"] = np.zeros(len(RowUse), dtype=np.int64)
        self.units = UnitNumbers()
        self.infinite = self.unusable_units = self.texts = 0
        self._encounters = EncounterNumbers()
        self._length = 0
        self._events = _reserve(most)
        self._static: list[tuple[np.ndarray, np.ndarray]] = []
        self._days: list[DayRows] = []
        self._undatable: list[np.ndarray] = []

    def add(self, rows: RawRows, *, shard: int) -> None:
        """Add a batch.

        Args:
            rows: The rows.
            shard: Number of the shard that they are in.
        """
        code = self.codes.number(rows)
        kind = self.codes.kinds[code]
        use = _uses(rows, kind)
        self.uses += np.bincount(use, minlength=len(RowUse))
        subject = np.full(len(use), -1, dtype=np.int32)
        subject[rows.has_subject] = self.subjects.number(rows.subject_id[rows.has_subject], shard=shard)
        encounter = self._encounters.number(rows, subject)
        is_event = use == RowUse.EVENT
        start, stop = self._length, self._length + int(np.count_nonzero(is_event))
        self._length = stop
        time = rows.seconds.astype("datetime64[s]")
        for column, batch in zip(self._events, (subject, code, time, encounter), strict=False):
            column[start:stop] = batch[is_event]
        self._add_values(rows, is_event, slice(start, stop))
        is_static, is_day = use == RowUse.STATIC, use == RowUse.DAY
        self._static.append((subject[is_static], code[is_static]))
        self._days.append(DayRows(subject[is_day], kind[is_day], rows.seconds[is_day] // DAY_SECONDS))
        is_undatable = (kind == CodeKind.DEATH) & ((use == RowUse.UNDATED_DAY) | (use == RowUse.IMPOSSIBLE_TIME))
        self._undatable.append(subject[is_undatable])

    def _add_values(self, rows: RawRows, is_event: Bool[np.ndarray, " row"], place: slice) -> None:
        """Add value, unit and fault of the events; units and faults that stay 0 are not written and take no memory."""
        value = rows.value[is_event]
        is_infinite = np.isinf(value)
        value[is_infinite] = np.nan
        self._events.value[place] = value
        infinite = int(np.count_nonzero(is_infinite))
        if infinite:
            self.infinite += infinite
            self._events.fault[place][is_infinite] = ValueFault.INFINITE
        if rows.has_text is not None:
            is_text = rows.has_text[is_event] & np.isnan(value) & ~is_infinite
            self.texts += int(np.count_nonzero(is_text))
            self._events.fault[place][is_text] = ValueFault.TEXT
        if rows.unit is not None:
            unit = self.units.number(rows)[is_event]
            unit[np.isnan(value)] = 0
            self.unusable_units += int(np.count_nonzero(unit < 0))
            self._events.unit[place] = np.maximum(unit, 0)

    def end_shard(self) -> None:
        """Forget what is needed for the rows of one shard only."""
        self._encounters.end_shard()

    def events(self) -> EventColumns:
        """Return the columns of all events, not copied."""
        return EventColumns(*(column[: self._length] for column in self._events))

    def static(self) -> tuple[Int32[np.ndarray, " static"], Int32[np.ndarray, " static"]]:
        """Return the subject and the code of each static row."""
        if not self._static:
            return np.empty(0, np.int32), np.empty(0, np.int32)
        subject, code = zip(*self._static, strict=True)
        return np.concatenate(subject), np.concatenate(code)

    def days(self) -> DayRows:
        """Return the rows that give a day of their subject."""
        if not self._days:
            return DayRows(np.empty(0, np.int32), np.empty(0, np.int8), np.empty(0, np.int64))
        return DayRows(*(np.concatenate(column) for column in zip(*self._days, strict=True)))

    def undatable_deaths(self) -> Int32[np.ndarray, " row"]:
        """Return the subject of each death without a usable time; -1 for one without a subject."""
        return np.concatenate(self._undatable) if self._undatable else np.empty(0, np.int32)


def _reserve(rows: int) -> EventColumns:
    try:
        # The system gives pages of zeros when they are first written.
        return EventColumns(*(np.zeros(rows, dtype=kind) for kind in EVENT_TYPES))
    except (MemoryError, ValueError):
        raise SourceError(
            f"the events must fit into memory, which {rows:,} rows do not. Use a computer with more memory, or fewer "
            "shards"
        ) from None


def _uses(rows: RawRows, kind: Int8[np.ndarray, " row"]) -> Int8[np.ndarray, " row"]:
    use = _BY_KIND[kind]
    is_outside = rows.has_time & ((rows.seconds < _FIRST) | (rows.seconds >= _AFTER_LAST))
    is_sound = use <= RowUse.DAY
    use[~rows.has_time & (use == RowUse.EVENT)] = RowUse.STATIC
    use[~rows.has_time & (use == RowUse.DAY)] = RowUse.UNDATED_DAY
    use[is_outside & is_sound] = RowUse.IMPOSSIBLE_TIME
    use[~rows.has_subject] = RowUse.NO_SUBJECT
    return use


def subject_days(rows: DayRows, kind: CodeKind, *, subjects: int) -> tuple[np.ndarray, Bool[np.ndarray, " subject"]]:
    """Return the earliest day of a kind of each subject, and which subjects have several days of it.

    Args:
        rows: Rows that give a day.
        kind: Kind of the day.
        subjects: Number of subjects.

    Returns:
        ``datetime64[s]`` [subject], midnight of the day, NaT without one; and a mask of the subjects.
    """
    is_kind = rows.kind == kind
    subject, day = rows.subject[is_kind], rows.day[is_kind]
    none = np.iinfo(np.int64).max
    low, high = np.full(subjects, none), np.full(subjects, -none)
    np.minimum.at(low, subject, day)
    np.maximum.at(high, subject, day)
    midnight = (np.where(low == none, 0, low) * DAY_SECONDS).astype("datetime64[s]")
    midnight[low == none] = np.datetime64("NaT")
    return midnight, (low != none) & (low != high)
