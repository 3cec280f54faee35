"""Read the OMOP tables of persons, deaths and observation periods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int8, Int64

from survlstm.data.sources.omop.backend import Backend, PersonRange
from survlstm.data.sources.omop.columns import WholeNumbers, moments, texts, whole_numbers
from survlstm.data.sources.omop.format import (
    DEATH,
    DEATH_COLUMNS,
    PERIOD_COLUMNS,
    PERIODS,
    PERSON,
    PERSON_COLUMNS,
    PERSON_ID,
)
from survlstm.data.sources.omop.periods import ObservationPeriods
from survlstm.data.sources.omop.row_status import OmopRow, status_of_rows
from survlstm.data.sources.omop.tables import ReadTable, read_table
from survlstm.data.sources.timestamps import FIRST_YEAR, LAST_YEAR, ParsedTimes
from survlstm.utils.ragged import repeats_previous

_DAY = np.timedelta64(1, "D")
_NO_ID = np.iinfo(np.int64).max
_BIRTH_FAULTS = (OmopRow.NO_DATE, OmopRow.UNPARSABLE_DATE, OmopRow.IMPOSSIBLE_DATE)
STATIC = ("gender", "race", "ethnicity")


@dataclass
class PersonRows:
    """The rows of the table person; ``status`` changes while the other tables are read.

    Attributes:
        person_id: Id of each row, rising; the largest number where it is missing or no number.
        status: ``OmopRow`` of each row.
        birth: ``datetime64[s]`` [row], midnight of the day of birth, estimated where the day is missing.
        earliest_birth: ``datetime64[s]`` [row], first day on which the person can have been born.
        year_only: Whether only the year of birth is known.
        concept: Concept of the sex, race and ethnicity of each row, [fact, row]; 0 for none.
        source_value: Their source values, one pyarrow array of strings for each.
        malformed: Malformed rows of the table.
    """

    person_id: Int64[np.ndarray, " row"]
    status: Int8[np.ndarray, " row"]
    birth: np.ndarray
    earliest_birth: np.ndarray
    year_only: np.ndarray
    concept: np.ndarray
    source_value: tuple[pa.Array, ...]
    malformed: int

    def find(self, ids: Int64[np.ndarray, " id"]) -> tuple[Int64[np.ndarray, " id"], np.ndarray]:
        """Look up persons.

        Args:
            ids: Person ids.

        Returns:
            The row of each id, and whether the table has it; where it has not, the row means nothing.
        """
        if not len(self.person_id):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
        row = np.minimum(np.searchsorted(self.person_id, ids), len(self.person_id) - 1)
        return row, self.person_id[row] == ids


def read_persons(backend: Backend, persons: PersonRange | None) -> PersonRows:
    """Read the table person.

    A person who is there twice with the same content counts once. One with different contents can't be used.

    Args:
        backend: The open place of the tables.
        persons: Persons to read; None for all.

    Returns:
        The rows, sorted by id. ``survlstm.data.sources.omop.source`` decides later which of them become subjects.

    Raises:
        SourceError: The table can't be read, or lacks the ids or the years of birth.
    """
    either = ("birth_datetime", "year_of_birth")
    table = read_table(backend, PERSON, PERSON_COLUMNS, required=(PERSON_ID,), either=either, persons=persons)
    # Rows without an id come last, where no id can be mistaken for theirs.
    ids = whole_numbers(table.column(PERSON_ID))
    table = table.take(np.argsort(np.where(ids.missing | ids.bad, _NO_ID, ids.value), kind="stable"))
    ids = whole_numbers(table.column(PERSON_ID))
    named = ~(ids.missing | ids.bad)
    number = np.where(named, ids.value, _NO_ID)
    birth, earliest, year_only, fault = _births(table)
    facts = [whole_numbers(table.column(f"{fact}_concept_id")) for fact in STATIC]
    words = tuple(texts(table.column(f"{fact}_source_value")) for fact in STATIC)
    repeated, contradictory = _twice(number, [birth.astype(np.int64), *(fact.value for fact in facts)], words)
    status = status_of_rows(
        table.num_rows,
        [
            (OmopRow.HEADER, is_header(table.column(PERSON_ID))),
            (OmopRow.NO_PERSON, ids.missing),
            (OmopRow.NOT_A_NUMBER, ids.bad | facts[0].bad | facts[1].bad | facts[2].bad),
            (OmopRow.CONTRADICTORY, contradictory & named),
            (OmopRow.REPEATED, repeated & named),
            *((status, fault == status) for status in _BIRTH_FAULTS),
        ],
    )
    concept = np.stack([fact.value for fact in facts])
    return PersonRows(number, status, birth, earliest, year_only, concept, words, table.malformed)


def read_deaths(
    backend: Backend, rows: PersonRows, persons: PersonRange | None
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Read the day of death of each person; of several days the earliest counts.

    A person whose death can't be used is left out, because it is not known when the person died: the status of the
    person's row is changed.

    Args:
        backend: The open place of the tables.
        rows: The persons.
        persons: Persons to read; None for all.

    Returns:
        ``datetime64[s]`` [row of person], NaT for the living; the ``OmopRow`` of each row of the table; the number of
        malformed rows; and the number of persons with several days of death.
    """
    death = np.full(len(rows.person_id), np.datetime64("NaT"), dtype="datetime64[s]")
    if backend.columns(DEATH) is None:
        return death, np.empty(0, np.int8), 0, 0
    table = read_table(backend, DEATH, DEATH_COLUMNS, required=(PERSON_ID,), either=DEATH_COLUMNS[1:], persons=persons)
    ids = whole_numbers(table.column(PERSON_ID))
    time = first_of(moments(table.column("death_datetime")), moments(table.column("death_date")))
    day = time.time.astype("datetime64[D]").astype("datetime64[s]")
    row, known = rows.find(ids.value)
    status = status_of_rows(
        table.num_rows,
        [
            *_identity_checks(table, ids, rows, row, known, unknown=OmopRow.UNKNOWN_PERSON),
            (OmopRow.NO_DATE, time.missing),
            (OmopRow.UNPARSABLE_DATE, time.unparsable),
            (OmopRow.IMPOSSIBLE_DATE, time.impossible),
            (OmopRow.DEATH_BEFORE_BIRTH, day < rows.earliest_birth[row] if len(rows.person_id) else known),
        ],
    )
    bad = np.isin(status, (*_BIRTH_FAULTS, OmopRow.DEATH_BEFORE_BIRTH))
    used = status == OmopRow.USED
    order = np.argsort(day[used], kind="stable")[::-1]
    death[row[used][order]] = day[used][order]
    several = len(np.unique(row[used][day[used] != death[row[used]]]))
    rows.status[row[bad]] = OmopRow.UNUSABLE_DEATH
    return death, status, table.malformed, several


def read_periods(
    backend: Backend, rows: PersonRows, persons: PersonRange | None, *, only_last: bool
) -> tuple[ObservationPeriods | None, np.ndarray, int]:
    """Read the observation periods.

    Args:
        backend: The open place of the tables.
        rows: The persons.
        persons: Persons to read; None for all.
        only_last: Whether only the last period of each person counts.

    Returns:
        The periods of the rows of person, None if there is no table or no usable row in it; the ``OmopRow`` of each row
        of the table; and the number of malformed rows.
    """
    if backend.columns(PERIODS) is None:
        return None, np.empty(0, np.int8), 0
    table = read_table(backend, PERIODS, PERIOD_COLUMNS, required=PERIOD_COLUMNS, persons=persons)
    ids = whole_numbers(table.column(PERSON_ID))
    start, end = (moments(table.column(name)) for name in PERIOD_COLUMNS[1:])
    row, known = rows.find(ids.value)
    first, last = (time.time.astype("datetime64[D]").astype(np.int64) for time in (start, end))
    status = status_of_rows(
        table.num_rows,
        [
            *_identity_checks(table, ids, rows, row, known, unknown=OmopRow.NOT_IN_PERSON),
            (OmopRow.NO_DATE, start.missing | end.missing),
            (OmopRow.UNPARSABLE_DATE, start.unparsable | end.unparsable),
            (OmopRow.IMPOSSIBLE_DATE, start.impossible | end.impossible),
            (OmopRow.ENDS_BEFORE_START, last < first),
        ],
    )
    used = status == OmopRow.USED
    if not used.any() and persons is None:
        return None, status, table.malformed
    periods = ObservationPeriods.merged(
        row[used], first[used], last[used], subjects=len(rows.person_id), only_last=only_last
    )
    return periods, status, table.malformed


def is_header(column: pa.Array) -> np.ndarray:
    """Mark the rows that hold the name of the column, because the header was loaded as a row.

    Args:
        column: The column ``person_id``.
    """
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return np.zeros(len(column), bool)
    lower = pc.utf8_lower(texts(column))
    return pc.equal(lower, PERSON_ID).to_numpy(zero_copy_only=False)


def first_of(moment: ParsedTimes, date: ParsedTimes) -> ParsedTimes:
    """Return the time of each row: that of the column with a time of day, or of the column of days where it is empty.

    Args:
        moment: The column with a time of day.
        date: The column of days.
    """
    use = moment.missing
    return ParsedTimes(*(np.where(use, second, first) for first, second in zip(moment, date, strict=True)))


def _identity_checks(
    table: ReadTable, ids: WholeNumbers, rows: PersonRows, row: np.ndarray, known: np.ndarray, *, unknown: OmopRow
) -> list[tuple[OmopRow, np.ndarray]]:
    """List the checks of the person of each row."""
    left_out = known & (rows.status[row] != OmopRow.USED) if len(rows.status) else known
    return [
        (OmopRow.HEADER, is_header(table.column(PERSON_ID))),
        (OmopRow.NO_PERSON, ids.missing),
        (OmopRow.NOT_A_NUMBER, ids.bad),
        (unknown, ~known),
        (OmopRow.PERSON_LEFT_OUT, left_out),
    ]


def _births(table: ReadTable) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return day of birth, first possible day, whether only the year is known, and the ``OmopRow`` of a fault.

    A day that is missing is estimated as the documentation of the model says: the first of the month, and 15 June where
    the month is missing as well.
    """
    stated = moments(table.column("birth_datetime"))
    year, month, day = (whole_numbers(table.column(f"{unit}_of_birth")) for unit in ("year", "month", "day"))
    year_only = stated.missing & month.missing
    in_range = (year.value >= FIRST_YEAR) & (year.value <= LAST_YEAR)
    in_range &= month.missing | ((month.value >= 1) & (month.value <= 12))
    years = np.where(in_range, year.value, FIRST_YEAR)
    months = ((years - 1970) * 12 + np.where(in_range & ~month.missing, month.value, 1) - 1).astype("datetime64[M]")
    first_of_month = months.astype("datetime64[D]")
    # Without a month, the day of birth is not used.
    days = np.where(month.missing | day.missing, 1, day.value)
    birth = first_of_month + (days - 1) * _DAY
    in_range &= (days >= 1) & (birth < (months + 1).astype("datetime64[D]"))
    june = (years - 1970).astype("datetime64[Y]").astype("datetime64[M]") + 5
    estimated = np.where(year_only, june.astype("datetime64[D]") + 14 * _DAY, birth)
    fault = status_of_rows(
        table.num_rows,
        [
            (OmopRow.UNPARSABLE_DATE, stated.unparsable),
            (OmopRow.IMPOSSIBLE_DATE, stated.impossible),
            (OmopRow.NO_DATE, stated.missing & year.missing),
            (OmopRow.UNPARSABLE_DATE, stated.missing & (year.bad | month.bad | day.bad)),
            (OmopRow.IMPOSSIBLE_DATE, stated.missing & ~in_range),
        ],
    )
    born, first = (
        np.where(stated.missing, day.astype("datetime64[s]"), stated.time)
        .astype("datetime64[D]")
        .astype("datetime64[s]")
        for day in (estimated, birth)
    )
    return born, first, year_only, fault


def _twice(
    ids: Int64[np.ndarray, " row"], numbers: list[np.ndarray], words: tuple[pa.Array, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Mark the rows of sorted ids that repeat the row before, and all rows of an id whose rows differ."""
    repeated = repeats_previous(ids)
    later = np.flatnonzero(repeated)
    differs = np.zeros(len(later), dtype=bool)
    for column in numbers:
        differs |= column[later] != column[later - 1]
    for texts_of in words:
        one, other = (texts_of.take(pa.array(rows)) for rows in (later, later - 1))
        differs |= pc.not_equal(one, other).to_numpy(zero_copy_only=False)
    return repeated, np.isin(ids, ids[later[differs]])
