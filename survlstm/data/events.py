"""Event tables that every source produces and every later stage reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from jaxtyping import Float32, Int, Int8, Int32, Int64

from survlstm.utils.ragged import flat_positions


@dataclass(frozen=True)
class StaticCodes:
    """Codes of facts without a time, such as the sex, as ragged arrays.

    Subject ``s`` has the codes from ``offsets[s]`` to ``offsets[s+1]``.

    Attributes:
        codes: Distinct codes as texts, such as ``GENDER//F``, sorted, [static_code].
        offsets: First entry of each subject in ``code``, and the number of entries at the end.
        code: Index into ``codes`` of each entry, rising within a subject; no code twice.
    """

    codes: np.ndarray
    offsets: Int64[np.ndarray, " subject_offset"]
    code: Int32[np.ndarray, " static"]

    @classmethod
    def none(cls, subjects: int) -> StaticCodes:
        """Return the static codes of subjects that have none.

        Args:
            subjects: Number of subjects.
        """
        return cls(np.empty(0, dtype=np.str_), np.zeros(subjects + 1, dtype=np.int64), np.empty(0, dtype=np.int32))

    @classmethod
    def from_rows(cls, subject: Int[np.ndarray, " row"], names: np.ndarray, *, subjects: int) -> StaticCodes:
        """Collect static codes from rows in any order; repeated rows count once.

        Args:
            subject: Index of the subject of each row.
            names: Code of each row, as text, [row].
            subjects: Number of subjects.
        """
        codes, code = np.unique(names.astype(np.str_), return_inverse=True)
        pairs = np.unique(subject.astype(np.int64) * max(len(codes), 1) + code)
        sizes = np.bincount(pairs // max(len(codes), 1), minlength=subjects)
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return cls(codes, offsets, (pairs % max(len(codes), 1)).astype(np.int32))

    @property
    def per_subject(self) -> Int64[np.ndarray, " subject"]:
        """Number of codes of each subject."""
        return np.diff(self.offsets)

    def take(self, subject: Int[np.ndarray, " kept"]) -> StaticCodes:
        """Select some subjects; ``codes`` stays the same.

        Args:
            subject: Indices of the subjects, in the order of the result.
        """
        sizes = self.per_subject[subject]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return StaticCodes(self.codes, offsets, self.code[flat_positions(self.offsets[subject], sizes)])


@dataclass(frozen=True)
class Subjects:
    """Subjects of a source or a cohort, sorted by ``subject_id``.

    Other tables refer to a subject by its index into these arrays.

    Attributes:
        subject_id: Identifiers as texts, [subject].
        birth: ``datetime64[s]`` [subject], midnight of the day of birth; NaT if unknown.
        death: ``datetime64[s]`` [subject], midnight of the day of death; NaT for the living.
        observed_until: ``datetime64[s]`` [subject], midnight of the last day of observation, where the source states
            it; NaT where follow-up ends with the last visit. None stands for NaT everywhere.
        static: Codes without a time. None stands for no code at all.
    """

    subject_id: np.ndarray
    birth: np.ndarray
    death: np.ndarray
    observed_until: np.ndarray = None  # type: ignore[assignment]
    static: StaticCodes = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.observed_until is None:
            never = np.full(len(self.subject_id), np.datetime64("NaT"), dtype="datetime64[s]")
            object.__setattr__(self, "observed_until", never)
        if self.static is None:
            object.__setattr__(self, "static", StaticCodes.none(len(self.subject_id)))

    def __len__(self) -> int:
        return len(self.subject_id)

    def take(self, subject: Int[np.ndarray, " kept"]) -> Subjects:
        """Select some subjects.

        Args:
            subject: Indices of the subjects, in the order of the result.
        """
        return Subjects(
            self.subject_id[subject],
            self.birth[subject],
            self.death[subject],
            self.observed_until[subject],
            self.static.take(subject),
        )


class ValueFault(IntEnum):
    """Why an entry with a value has no number."""

    NONE = 0
    TEXT = 1
    INFINITE = 2


@dataclass(frozen=True)
class Events:
    """Coded events in any order: the columns of MEDS (Medical Event Data Standard), dictionary-encoded.

    Attributes:
        subjects: The subjects that the events belong to.
        codes: Distinct codes as texts, such as ``SNOMED/44054006``, sorted, [code].
        subject: Index into ``subjects``.
        code: Index into ``codes``.
        time: ``datetime64[s]`` [event]; midnight for an entry that the export dates to the day only.
        encounter: Number of the encounter that the export names, -1 if it names none. An encounter belongs to one
            subject.
        numeric_value: Value of the event, such as a laboratory result; NaN if it has none.
        day_tolerance: Days by which an entry dated to the day can differ from a timed entry of the same moment: 1 if
            timed entries are in UTC and days are local days of an unknown zone, 0 if both follow the same clock.
        units: Distinct units of values as texts, such as ``mg/dL``, [unit]; the first is "", which stands for no unit.
            None stands for "" alone.
        unit: Index into ``units``. None stands for 0 everywhere.
        value_fault: ``ValueFault`` of each event. None stands for 0 everywhere.
    """

    subjects: Subjects
    codes: np.ndarray
    subject: Int32[np.ndarray, " event"]
    code: Int32[np.ndarray, " event"]
    time: np.ndarray
    encounter: Int32[np.ndarray, " event"]
    numeric_value: Float32[np.ndarray, " event"]
    day_tolerance: int = 1
    units: np.ndarray = None  # type: ignore[assignment]
    unit: Int32[np.ndarray, " event"] = None  # type: ignore[assignment]
    value_fault: Int8[np.ndarray, " event"] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        fill_values(self, len(self.subject))

    def __len__(self) -> int:
        return len(self.subject)


def fill_values(entries: object, number: int) -> None:
    """Set the fields ``units``, ``unit`` and ``value_fault`` of a frozen dataclass that are None.

    Args:
        entries: The events, or the visits with their entries.
        number: Number of entries.
    """
    empty = {
        "units": np.array([""]),
        "unit": np.zeros(number, dtype=np.int32),
        "value_fault": np.zeros(number, dtype=np.int8),
    }
    for name, values in empty.items():
        if getattr(entries, name) is None:
            object.__setattr__(entries, name, values)


@dataclass(frozen=True)
class TableCount:
    """Number of rows of one table by what was done with them.

    ``rows_read`` equals ``rows_used`` plus all counts in ``left_out`` and ``unusable``.

    Attributes:
        table: Name of the table.
        rows_read: Rows in the file.
        rows_used: Rows that became events.
        left_out: Rows without a defect of their own that are not used, by reason: book-keeping, or rows of a patient
            who is left out.
        unusable: Rows with a defect, by reason. These alone count towards the share at which a run stops.
    """

    table: str
    rows_read: int
    rows_used: int
    left_out: dict[str, int]
    unusable: dict[str, int]

    @property
    def sentence(self) -> str:
        """The counts in words, for a log."""
        why = "; ".join(f"{reason} {rows:,}" for reason, rows in {**self.left_out, **self.unusable}.items() if rows)
        return f"{self.table}: {self.rows_read:,} rows read, {self.rows_used:,} used{why and f' ({why})'}"


@dataclass(frozen=True)
class SourceData:
    """Result of reading a source.

    Attributes:
        events: All usable events.
        tables: Row counts, one entry per table.
        warnings: Sentences for the log and the report.
        split: ``survlstm.data.split.Split`` of each subject as the dataset assigns it, -1 for a subject that it does
            not list; None if the dataset has no split of its own.
    """

    events: Events
    tables: tuple[TableCount, ...]
    warnings: tuple[str, ...]
    split: Int8[np.ndarray, " subject"] | None = None
