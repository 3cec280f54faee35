"""Event tables → one value that every source produces and every later stage reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32


@dataclass(frozen=True)
class Subjects:
    """The people of a cohort, sorted by ``subject_id``; an index into these arrays is a subject's number.

    ``birth`` and ``death`` are ``datetime64[s]`` [subject], midnight of the day; ``death`` is NaT for the living.
    """

    subject_id: np.ndarray
    birth: np.ndarray
    death: np.ndarray

    def __len__(self) -> int:
        return len(self.subject_id)


@dataclass(frozen=True)
class Events:
    """Coded events in no particular order: MEDS' columns, dictionary-encoded.

    ``subject`` numbers ``subjects``; ``code`` numbers ``codes`` (strings such as ``SNOMED/44054006``, sorted);
    ``time`` is ``datetime64[s]``, midnight where the export gives a date only; ``encounter`` numbers the encounters
    named in the export, each of one subject, -1 where there is none; ``numeric_value`` is NaN where the event has none.
    ``day_tolerance`` says by how many days an entry dated to the day can differ from a timed entry of the same moment:
    1 where timed entries are in UTC and days are local days of an unknown zone, 0 where both are of one clock.
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
    """What became of one table's rows: ``rows_read`` = ``rows_used`` + all of ``left_out`` and ``unusable``.

    ``left_out`` counts rows that have no defect of their own (book-keeping, or their patient is left out);
    ``unusable`` counts defects by reason, and they alone count towards the share at which a run stops.
    """

    table: str
    rows_read: int
    rows_used: int
    left_out: dict[str, int]
    unusable: dict[str, int]


@dataclass(frozen=True)
class SourceData:
    """What a source returns: the events, the count of every table, and the sentences worth a warning."""

    events: Events
    tables: tuple[TableCount, ...]
    warnings: tuple[str, ...]
