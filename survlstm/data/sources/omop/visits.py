"""Number the visits that entries name, and count the entries whose visit is not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64

from survlstm.data.sources.omop.backend import Backend, PersonRange
from survlstm.data.sources.omop.columns import whole_numbers
from survlstm.data.sources.omop.format import PERSON_ID, VISITS
from survlstm.data.sources.omop.rows import NO_VISIT, CodedRows, Members
from survlstm.data.sources.omop.tables import stream_table

VISIT_ID = "visit_occurrence_id"


class KnownVisits(NamedTuple):
    """Visits of the table of visits.

    Attributes:
        subject: Subject of each visit.
        visit: Id of each visit.
    """

    subject: Int32[np.ndarray, " visit"]
    visit: Int64[np.ndarray, " visit"]


def known_visits(backend: Backend, members: Members, persons: PersonRange | None) -> KnownVisits | None:
    """Read which visits each subject has.

    Args:
        backend: The open place of the tables.
        members: The subjects.
        persons: Persons to read; None for all.

    Returns:
        The visits; None if there is no table of visits.

    Raises:
        SourceError: The table can't be read, or lacks a column.
    """
    if backend.columns(VISITS) is None:
        return None
    found = [(np.empty(0, np.int32), np.empty(0, np.int64))]
    columns = (PERSON_ID, VISIT_ID)
    for block in stream_table(backend, VISITS, columns, required=columns, persons=persons):
        ids, visits = (whole_numbers(block.column(name)) for name in columns)
        person = np.minimum(np.searchsorted(members.person_id, ids.value), len(members.person_id) - 1)
        subject = np.where(members.person_id[person] == ids.value, members.subject[person], -1)
        usable = (subject >= 0) & ~(ids.missing | ids.bad | visits.missing | visits.bad)
        found.append((subject[usable].astype(np.int32), visits.value[usable]))
    return KnownVisits(*(np.concatenate(column) for column in zip(*found, strict=True)))


def number_visits(
    tables: Sequence[CodedRows], known: KnownVisits | None
) -> tuple[Int32[np.ndarray, " event"], dict[str, tuple[int, int]]]:
    """Give each pair of subject and visit that entries name a number.

    Args:
        tables: The used rows of every table that was read.
        known: Visits of the table of visits; None if there is none, and then every named visit counts.

    Returns:
        The visit of each entry, table after table, -1 for none; and by table the number of entries whose visit is not
        there, with the number of entries that name one.
    """
    subject = np.concatenate([table.subject for table in tables])
    visit = np.concatenate([table.visit for table in tables])
    number = np.full(len(visit), -1, dtype=np.int32)
    named = visit != NO_VISIT
    is_there = named if known is None else named & _is_among(subject, visit, known)
    ids, index = np.unique(visit[is_there], return_inverse=True)
    # One integer for each pair, so that a visit belongs to one subject.
    pairs = subject[is_there].astype(np.int64) * max(len(ids), 1) + index
    number[is_there] = np.unique(pairs, return_inverse=True)[1]
    ends = np.cumsum([len(table.visit) for table in tables])
    missing = {}
    for table, end in zip(tables, ends, strict=True):
        rows = slice(int(end) - len(table.visit), int(end))
        missing[table.count.table] = (int((named & ~is_there)[rows].sum()), int(named[rows].sum()))
    return number, missing


def _is_among(subject: np.ndarray, visit: np.ndarray, known: KnownVisits) -> np.ndarray:
    ids = np.unique(known.visit)
    if not len(ids):
        return np.zeros(len(visit), dtype=bool)
    position = np.minimum(np.searchsorted(ids, visit), len(ids) - 1)
    pairs = known.subject.astype(np.int64) * len(ids) + np.searchsorted(ids, known.visit)
    return (ids[position] == visit) & np.isin(subject.astype(np.int64) * len(ids) + position, pairs)
