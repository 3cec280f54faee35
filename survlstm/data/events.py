"""Event tables that every source produces and every later stage reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32


@dataclass(frozen=True)
class Subjects:
    """Subjects of a source or a cohort, sorted by ``subject_id``.

    Other tables refer to a subject by its index into these arrays.

    Attributes:
        subject_id: Identifiers as texts, [subject].
        birth: ``datetime64[s]`` [subject], midnight of the day of birth; NaT if unknown.
        death: ``datetime64[s]`` [subject], midnight of the day of death; NaT for the living.
    """

    subject_id: np.ndarray
    birth: np.ndarray
    death: np.ndarray

    def __len__(self) -> int:
        return len(self.subject_id)


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
    """

    subjects: Subjects
    codes: np.ndarray
    subject: Int32[np.ndarray, " event"]
    code: Int32[np.ndarray, " event"]
    time: np.ndarray
    encounter: Int32[np.ndarray, " event"]
    numeric_value: Float32[np.ndarray, " event"]
    day_tolerance: int = 1

    def __len__(self) -> int:
        return len(self.subject)


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


@dataclass(frozen=True)
class SourceData:
    """Result of reading a source.

    Attributes:
        events: All usable events.
        tables: Row counts, one entry per table.
        warnings: Sentences for the log and the report.
    """

    events: Events
    tables: tuple[TableCount, ...]
    warnings: tuple[str, ...]
