"""Read the OMOP tables of one place, or of a range of its persons, into events."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Int32

from survlstm.data.events import Events, SourceData, StaticCodes, Subjects, TableCount
from survlstm.data.sources.omop.backend import Backend, PersonRange
from survlstm.data.sources.omop.concepts import NO_CONCEPT_PREFIX, Concepts
from survlstm.data.sources.omop.format import DEATH, EVENT_TABLES, PERIODS, PERSON, PERSON_CONCEPTS
from survlstm.data.sources.omop.periods import ObservationPeriods
from survlstm.data.sources.omop.persons import STATIC, PersonRows, read_deaths, read_periods, read_persons
from survlstm.data.sources.omop.row_status import OmopRow, table_count, tally
from survlstm.data.sources.omop.rows import CodedRows, Members, code_rows
from survlstm.data.sources.omop.static import static_names
from survlstm.data.sources.omop.units import unit_names
from survlstm.data.sources.omop.visits import known_visits, number_visits
from survlstm.data.sources.omop.warnings import omop_warnings
from survlstm.data.sources.row_checks import check_unusable_share
from survlstm.data.sources.units import TableUnits, join_units
from survlstm.utils.errors import SourceError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadingSettings:
    """Settings of the reading.

    Attributes:
        tables: Event tables to read; those that are not there are ignored.
        only_last: Whether only the last observation period of a person counts.
        max_unusable_share: Greatest share of unusable rows of a table, 0 to 1.
        ignores_periods: Whether the observation periods limit nothing, because the whole source has none.
    """

    tables: Sequence[str]
    only_last: bool
    max_unusable_share: float
    ignores_periods: bool = False


class _Population(NamedTuple):
    """Subjects, and what was read of the persons.

    Attributes:
        subjects: The subjects; days of birth are estimated where they are missing.
        members: The subjects, and the persons who are none.
        year_only: Whether only the year of birth of a subject is known.
        counts: Counts of person, observation_period and death.
        several_deaths: Persons with several days of death.
        unmapped: Subjects without a concept, by fact.
    """

    subjects: Subjects
    members: Members
    year_only: np.ndarray
    counts: tuple[TableCount, ...]
    several_deaths: int
    unmapped: dict[str, int]


def read_omop(
    backend: Backend, settings: ReadingSettings, concepts: Concepts, persons: PersonRange | None, *, place: str
) -> SourceData:
    """Read the persons and every event table.

    Args:
        backend: The open place of the tables.
        settings: What is read.
        concepts: Concepts that were looked up before; more are added.
        persons: Persons to read; None for all.
        place: What the log calls the place.

    Returns:
        The events, in an order that does not depend on the order of rows.

    Raises:
        SourceError: A table can't be read or lacks a column, too many of its rows are unusable, or no person is usable.
    """
    population = _population(backend, settings, concepts, persons)
    tables = []
    for name in (name for name in EVENT_TABLES if name in settings.tables and backend.columns(name) is not None):
        tables.append(code_rows(backend, EVENT_TABLES[name], population.members, persons))
        check_unusable_share(tables[-1].count, limit=settings.max_unusable_share)
    visits = known_visits(backend, population.members, persons)
    encounter, missing_visits = number_visits(tables, visits)
    code, codes, unknown = _codes(tables, concepts, backend)
    named = unit_names([table.unit_keys for table in tables], concepts, backend)
    units, unit = join_units([TableUnits(table.unit, names) for table, names in zip(tables, named, strict=True)])
    events = Events(
        subjects=population.subjects,
        codes=codes,
        subject=np.concatenate([table.subject for table in tables]),
        code=code,
        time=np.concatenate([table.time for table in tables]),
        encounter=encounter,
        numeric_value=np.concatenate([table.numeric_value for table in tables]),
        day_tolerance=0,
        units=units,
        unit=unit,
    )
    events = replace(_sorted(events), subjects=_with_estimated_births(events, population.year_only))
    counts = (*population.counts, *(table.count for table in tables))
    warnings = omop_warnings(
        counts,
        without_concept={table.count.table: table.without_concept for table in tables},
        unknown_concepts=unknown,
        missing_visits=missing_visits,
        several_deaths=population.several_deaths,
        unmapped=population.unmapped,
        unusable_units={table.count.table: table.unusable_units for table in tables},
        has_periods=population.members.periods is not None,
        has_visits=visits is not None,
    )
    log.info(
        "%s: %d tables, %d rows, %d subjects, %d events",
        place,
        len(counts),
        sum(count.rows_read for count in counts),
        len(events.subjects),
        len(events),
    )
    return SourceData(events, counts, warnings)


def person_limits(backend: Backend, settings: ReadingSettings) -> tuple[np.ndarray, bool]:
    """Return what the parts of a source must agree in.

    Args:
        backend: The open place of the tables.
        settings: What is read.

    Returns:
        The ids of all persons, rising, each once; and whether the observation periods limit anything.
    """
    rows = read_persons(backend, None)
    periods, _, _ = read_periods(backend, rows, None, only_last=settings.only_last)
    named = rows.person_id[~np.isin(rows.status, (OmopRow.HEADER, OmopRow.NO_PERSON))]
    return np.unique(named[named < np.iinfo(np.int64).max]), periods is not None


def _population(
    backend: Backend, settings: ReadingSettings, concepts: Concepts, persons: PersonRange | None
) -> _Population:
    rows = read_persons(backend, persons)
    death, death_status, death_malformed, several = read_deaths(backend, rows, persons)
    periods: ObservationPeriods | None = None
    period_status, period_malformed = np.empty(0, np.int8), 0
    if not settings.ignores_periods:
        periods, period_status, period_malformed = read_periods(backend, rows, persons, only_last=settings.only_last)
    if periods is not None:
        rows.status[(rows.status == OmopRow.USED) & ~periods.has_period] = OmopRow.NO_PERIOD
    counts = [table_count(PERSON, tally(rows.status), malformed=rows.malformed)]
    if backend.columns(PERIODS) is not None and not settings.ignores_periods:
        counts.append(table_count(PERIODS, tally(period_status), malformed=period_malformed))
    if backend.columns(DEATH) is not None:
        counts.append(table_count(DEATH, tally(death_status), malformed=death_malformed))
    for count in counts:
        check_unusable_share(count, limit=settings.max_unusable_share)
    used = np.flatnonzero(rows.status == OmopRow.USED)
    if not len(used) and persons is None:
        reasons = ", ".join(
            f"{number} {reason}" for reason, number in (counts[0].unusable | counts[0].left_out).items()
        )
        raise SourceError(
            f"the table person must hold a usable person; none of {counts[0].rows_read} is ({reasons or 'no row'}). "
            "Every person needs a whole number as person_id, a year of birth or a birth_datetime, and an observation "
            "period if that table has rows"
        )
    return _with_subjects(
        rows,
        used,
        death=death,
        periods=periods,
        counts=tuple(counts),
        several_deaths=several,
        static=_static(rows, used, concepts, backend),
    )


def _with_subjects(
    rows: PersonRows,
    used: np.ndarray,
    *,
    death: np.ndarray,
    periods: ObservationPeriods | None,
    counts: tuple[TableCount, ...],
    several_deaths: int,
    static: tuple[StaticCodes, dict[str, int]],
) -> _Population:
    names = rows.person_id[used].astype(np.str_)
    order = np.argsort(names, kind="stable")
    used = used[order]
    subject = np.full(len(rows.person_id), -1, dtype=np.int32)
    subject[used] = np.arange(len(used))
    until = np.full(len(used), np.datetime64("NaT"), dtype="datetime64[s]")
    if periods is not None:
        until = periods.last_day[used].astype("datetime64[D]").astype("datetime64[s]")
        periods = _of_subjects(periods, subject)
    # Persons whose rows differ stay in the table, so that their entries are known to be left out.
    persons = rows.person_id if len(rows.person_id) else np.zeros(1, np.int64)
    birth = rows.earliest_birth if len(rows.person_id) else np.zeros(1, "datetime64[s]")
    members = Members(persons, subject if len(subject) else np.full(1, -1, np.int32), birth, periods)
    subjects = Subjects(names[order], rows.birth[used], death[used], until, static[0].take(order))
    return _Population(subjects, members, rows.year_only[used], counts, several_deaths, static[1])


def _of_subjects(periods: ObservationPeriods, subject: Int32[np.ndarray, " row"]) -> ObservationPeriods:
    """Return the periods by subject in place of the row of person."""
    shift = np.int64(1) << 32
    owner = subject[periods.start // shift].astype(np.int64)
    kept = np.flatnonzero(owner >= 0)
    moved = [owner[kept] * shift + edge[kept] % shift for edge in (periods.start, periods.end)]
    order = np.argsort(moved[0], kind="stable")
    return replace(periods, start=moved[0][order], end=moved[1][order])


def _static(
    rows: PersonRows, used: np.ndarray, concepts: Concepts, backend: Backend
) -> tuple[StaticCodes, dict[str, int]]:
    """Return the codes of sex, race and ethnicity of the used rows, and how many have no concept, by fact."""
    found = concepts.look_up(backend, np.unique(rows.concept[:, used]).tolist())
    subject, names, unmapped = [], [], {}
    for number, fact in enumerate(STATIC):
        words = rows.source_value[number].take(pa.array(used))
        of_fact = static_names(fact, rows.concept[number][used], words, known=PERSON_CONCEPTS, found=found)
        has_name = of_fact != ""
        subject.append(np.flatnonzero(has_name))
        names.append(of_fact[has_name])
        unmapped[fact] = int((rows.concept[number][used] <= 0).sum())
    codes = StaticCodes.from_rows(np.concatenate(subject), np.concatenate(names), subjects=len(used))
    return codes, unmapped


def _codes(
    tables: Sequence[CodedRows], concepts: Concepts, backend: Backend
) -> tuple[Int32[np.ndarray, " event"], np.ndarray, int]:
    """Return the code of each entry, the codes, and how many entries have a concept that the vocabulary lacks."""
    numbers = [np.unique(table.concept) for table in tables]
    found = concepts.look_up(backend, np.unique(np.concatenate(numbers)[np.concatenate(numbers) > 0]).tolist())
    unknown, names = 0, []
    for table, own in zip(tables, numbers, strict=True):
        system = EVENT_TABLES[table.count.table].source_system
        names.append(
            np.array(
                [
                    f"{system}/{table.source_values[-1 - number]}"
                    if number < 0
                    else found[number].code
                    if number in found
                    else f"{NO_CONCEPT_PREFIX}{number}"
                    for number in own.tolist()
                ],
                dtype=np.str_,
            )
        )
        lacking = np.array([number for number in own.tolist() if number > 0 and number not in found], dtype=np.int64)
        unknown += int(np.isin(table.concept, lacking).sum())
    codes = np.unique(np.concatenate(names))
    code = [
        np.searchsorted(codes, of_table)[np.searchsorted(own, table.concept)].astype(np.int32)
        for table, own, of_table in zip(tables, numbers, names, strict=True)
    ]
    return np.concatenate(code), codes, unknown


def _sorted(events: Events) -> Events:
    """Sort by subject, time, code, visit, value and unit: a server returns rows in no fixed order."""
    by_value = (events.unit, events.numeric_value) if len(events.units) > 1 else (events.numeric_value,)
    order = np.lexsort((*by_value, events.encounter, events.code, events.time, events.subject))
    columns = ("subject", "code", "time", "encounter", "numeric_value", "unit")
    return replace(events, **{name: getattr(events, name)[order] for name in columns})


def _with_estimated_births(events: Events, year_only: np.ndarray) -> Subjects:
    """Move a birth of which only the year is known to the first entry, where that is earlier."""
    birth = events.subjects.birth.copy()
    rows = year_only[events.subject]
    days = events.time[rows].astype("datetime64[D]").astype("datetime64[s]")
    np.minimum.at(birth, events.subject[rows], days)
    return replace(events.subjects, birth=birth)
