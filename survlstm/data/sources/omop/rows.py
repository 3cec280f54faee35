"""Turn the rows of an OMOP event table into coded entries, and count every row that is not used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float32, Int32, Int64

from survlstm.data.events import TableCount
from survlstm.data.sources.omop.backend import Backend, PersonRange
from survlstm.data.sources.omop.columns import moments, real_numbers, texts, whole_numbers
from survlstm.data.sources.omop.concepts import are_codes
from survlstm.data.sources.omop.format import PERSON_ID, EventTable
from survlstm.data.sources.omop.periods import ObservationPeriods
from survlstm.data.sources.omop.persons import first_of, is_header
from survlstm.data.sources.omop.row_status import OmopRow, status_of_rows, table_count, tally
from survlstm.data.sources.omop.tables import ReadTable, malformed_rows, stream_table
from survlstm.data.sources.omop.units import UnitKeys

# The visit of a row that names none.
NO_VISIT = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Members:
    """The subjects, and the persons who are none.

    Attributes:
        person_id: Ids of all persons, rising.
        subject: Index of each person among the subjects, -1 for one who is left out.
        earliest_birth: ``datetime64[s]`` [person], first day on which the person can have been born.
        periods: Observation periods of the subjects; None for no limits.
    """

    person_id: Int64[np.ndarray, " person"]
    subject: Int32[np.ndarray, " person"]
    earliest_birth: np.ndarray
    periods: ObservationPeriods | None


@dataclass(frozen=True)
class CodedRows:
    """The used rows of one event table.

    Attributes:
        count: The rows of the table by what happened to them.
        subject: Index of each row's subject.
        time: ``datetime64[s]`` [event].
        concept: Concept of each row; -1 - n for the source value n.
        source_values: Source values of rows without a concept.
        visit: Visit that each row names, ``NO_VISIT`` for none.
        numeric_value: Value of each row, NaN for none.
        unit: Index into ``unit_keys`` of each row; 0 for a row without a number or a unit.
        unit_keys: Units: the id of a concept, or a source value; the first is "", which stands for none.
        unusable_units: Number of values with a unit that can't be read, which they are read without.
    """

    count: TableCount
    subject: Int32[np.ndarray, " event"]
    time: np.ndarray
    concept: Int64[np.ndarray, " event"]
    source_values: list[str]
    visit: Int64[np.ndarray, " event"]
    numeric_value: Float32[np.ndarray, " event"]
    unit: Int32[np.ndarray, " event"]
    unit_keys: list[int | str]
    unusable_units: int

    @property
    def without_concept(self) -> int:
        """Number of used rows whose code is a source value."""
        return int((self.concept < 0).sum())


def code_rows(backend: Backend, table: EventTable, members: Members, persons: PersonRange | None) -> CodedRows:
    """Read an event table in batches.

    Args:
        backend: The open place of the tables.
        table: A table that exists.
        members: The subjects.
        persons: Persons to read; None for all.

    Returns:
        The used rows and the counts of all rows.

    Raises:
        SourceError: The table can't be read, or lacks a column.
    """
    counts = tally(np.empty(0, np.int8))
    parts: list[tuple[np.ndarray, ...]] = []
    numbers: dict[str, int] = {}
    units = UnitKeys()
    for block in stream_table(
        backend,
        table.name,
        table.columns,
        required=(PERSON_ID, table.concept),
        either=(table.date, table.moment),
        persons=persons,
    ):
        status, columns = _code_block(block, table, members, numbers)
        counts += tally(status)
        used = status == OmopRow.USED
        unit = units.number(block, table, np.where(used, columns[-1], np.nan))
        parts.append(tuple(column[used] for column in (*columns, unit)))
    empty = (np.empty(0, np.int32), np.empty(0, "datetime64[s]"), np.empty(0, np.int64), np.empty(0, np.int64))
    parts.append((*empty, np.empty(0, np.float32), np.empty(0, np.int32)))
    subject, time, concept, visit, value, unit = (np.concatenate(column) for column in zip(*parts, strict=True))
    count = table_count(table.name, counts, malformed=malformed_rows(backend, table.name, persons))
    return CodedRows(
        count, subject, time, concept, list(numbers), visit, value, unit, units.keys, unusable_units=units.unusable
    )


def _code_block(
    block: ReadTable, table: EventTable, members: Members, numbers: dict[str, int]
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Return the ``OmopRow`` of each row, and subject, time, concept, visit and value of each."""
    ids, concepts, visits = (
        whole_numbers(block.column(name)) for name in (PERSON_ID, table.concept, "visit_occurrence_id")
    )
    number, no_number = real_numbers(block.column(table.number))
    with np.errstate(over="ignore"):
        value = number.astype(np.float32)
    moment = first_of(moments(block.column(table.moment)), moments(block.column(table.date)))
    person = np.minimum(np.searchsorted(members.person_id, ids.value), len(members.person_id) - 1)
    known = members.person_id[person] == ids.value
    subject = members.subject[person]
    concept, no_source, free_text = _with_source_values(block, table, concepts.value, numbers)
    day = moment.time.astype("datetime64[D]").astype(np.int64)
    inside = np.ones(len(day), bool) if members.periods is None else members.periods.contain(subject, day)
    status = status_of_rows(
        block.num_rows,
        [
            (OmopRow.HEADER, is_header(block.column(PERSON_ID))),
            (OmopRow.NO_PERSON, ids.missing),
            (OmopRow.NOT_A_NUMBER, ids.bad),
            (OmopRow.UNKNOWN_PERSON, ~known),
            (OmopRow.PERSON_LEFT_OUT, subject < 0),
            (OmopRow.NOT_A_NUMBER, concepts.bad | visits.bad | no_number),
            (OmopRow.TOO_LARGE, np.isinf(value)),
            (OmopRow.NO_DATE, moment.missing),
            (OmopRow.UNPARSABLE_DATE, moment.unparsable),
            (OmopRow.IMPOSSIBLE_DATE, moment.impossible | (moment.time < members.earliest_birth[person])),
            (OmopRow.OUTSIDE, ~inside),
            (OmopRow.NO_SOURCE_VALUE, no_source),
            (OmopRow.FREE_TEXT, free_text),
        ],
    )
    visit = np.where(visits.missing, NO_VISIT, visits.value)
    return status, (subject, moment.time, concept, visit, value)


def _with_source_values(
    block: ReadTable, table: EventTable, concept: Int64[np.ndarray, " row"], numbers: dict[str, int]
) -> tuple[Int64[np.ndarray, " row"], np.ndarray, np.ndarray]:
    """Replace concept 0 by the number of the source value; mark the rows without one, and those with a free text."""
    unmapped = np.flatnonzero(concept <= 0)
    no_source, free_text = np.zeros(len(concept), bool), np.zeros(len(concept), bool)
    if not len(unmapped):
        return concept, no_source, free_text
    encoded = texts(block.column(table.source_value).take(pa.array(unmapped))).dictionary_encode()
    words, index = encoded.dictionary, encoded.indices.to_numpy()
    is_code, is_empty = are_codes(words), pc.equal(words, "").to_numpy(zero_copy_only=False)
    # A word that is no code is never stored, not even as a number's name.
    pairs = zip(words.to_pylist(), is_code, strict=True)
    number = [numbers.setdefault(word, len(numbers)) if good else 0 for word, good in pairs]
    replaced = concept.copy()
    replaced[unmapped] = -1 - np.array(number, dtype=np.int64)[index]
    no_source[unmapped] = is_empty[index]
    free_text[unmapped] = ~(is_empty | is_code)[index]
    return replaced, no_source, free_text
