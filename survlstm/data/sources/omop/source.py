"""The source that reads records in the OMOP common data model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from survlstm.data.events import SourceData
from survlstm.data.source_parts import SourceParts
from survlstm.data.sources.omop.backend import Backend, PersonRange
from survlstm.data.sources.omop.columns import whole_numbers
from survlstm.data.sources.omop.concepts import NO_CONCEPT_PREFIX, Concepts, concept_ids_of, descendants_of
from survlstm.data.sources.omop.format import (
    CONCEPT,
    CONCEPT_COLUMNS,
    DEATH,
    DEATH_COLUMNS,
    EVENT_TABLES,
    PERIOD_COLUMNS,
    PERIODS,
    PERSON,
    PERSON_COLUMNS,
    VISITS,
)
from survlstm.data.sources.omop.places import open_backend, refuse_other_tables
from survlstm.data.sources.omop.reading import ReadingSettings, person_limits, read_omop
from survlstm.utils.data_location import place_name


@dataclass(frozen=True)
class OmopSource:
    """Records in the OMOP common data model (CDM 5.3 or 5.4), in files or in a database.

    Attributes:
        path: A folder of CSV or parquet files, a DuckDB or SQLite database, or the URL of a PostgreSQL database without
            a password.
        tables: Names of the event tables to read; those that are not there are ignored.
        max_unusable_share: Greatest share of a table's rows, 0 to 1, that may be unusable.
        cdm_schema: Schema of a database with the tables; None for the one that the database searches.
        vocabulary_schema: Schema of the vocabulary tables; None for ``cdm_schema``.
        observation_periods: ``last`` keeps the entries within the last observation period of each person, ``all`` those
            within any.
        timeout_seconds: Seconds that a query of a PostgreSQL server may take; None for any number.

    Example:
        >>> source = OmopSource("eunomia.duckdb", ("condition_occurrence", "drug_exposure"), max_unusable_share=0.01)
        >>> events = source.read().events
    """

    path: str
    tables: Sequence[str]
    max_unusable_share: float
    cdm_schema: str | None = None
    vocabulary_schema: str | None = None
    observation_periods: str = "last"
    timeout_seconds: float | None = None

    def files(self) -> list[Path]:
        """Return every file that ``read`` opens; none for a PostgreSQL database.

        Raises:
            SourceError: The place can't be opened, or holds no OMOP tables.
        """
        with self._opened() as backend:
            return backend.files([*self._columns_read(backend)])

    def content(self) -> str:
        """Return a digest of all rows that are read, computed by the server; "" where files hold them.

        Raises:
            SourceError: The database can't be read.
        """
        with self._opened() as backend:
            return " ".join(backend.digest(table, columns) for table, columns in self._columns_read(backend).items())

    def read(self) -> SourceData:
        """Read the tables, code their rows and count what happens to each row.

        Raises:
            SourceError: The place or a table can't be read, or too many rows are unusable.
        """
        with self._opened() as backend:
            return read_omop(backend, self._settings(), Concepts(), None, place=place_name(self.path))

    @contextmanager
    def parts(self, *, subjects_at_once: int, into: Path) -> Iterator[SourceParts]:
        """Divide the source into ranges of person ids, which are read from the same tables one after the other.

        Args:
            subjects_at_once: Greatest number of persons of a part.
            into: Not used, because nothing is written.

        Yields:
            The parts, in the order of person ids as numbers.

        Raises:
            SourceError: The tables can't be read.
        """
        with self._opened() as backend:
            ids, limited = person_limits(backend, self._settings())
            if len(ids) <= subjects_at_once:
                yield SourceParts([self._whole()], len(ids))
                return
            concepts = Concepts()
            concepts.look_up(backend, [*self._concepts_used(backend), *self._units_used(backend)])
        starts: list[int | None] = [None, *ids[subjects_at_once::subjects_at_once].tolist(), None]
        ranges = [PersonRange(first, stop) for first, stop in pairwise(starts)]
        yield SourceParts(
            [_OmopPart(self, persons, concepts, ignores_periods=not limited) for persons in ranges], len(ids)
        )

    def descriptions(self) -> dict[str, str]:
        """Return the name of each concept that occurs, by its code.

        Raises:
            SourceError: The tables can't be read.
        """
        with self._opened() as backend:
            found = Concepts().look_up(backend, self._concepts_used(backend))
        return {concept.code: concept.name for concept in found.values() if concept.name}

    def descendants(self, codes: Sequence[str]) -> frozenset[str]:
        """Return the codes, and the code of every concept below one of them in concept_ancestor.

        Args:
            codes: Codes such as ``SNOMED/44054006``, or ``OMOP/201826`` for a concept by its id.

        Raises:
            SourceError: The vocabulary can't be read, or has no concept_ancestor.
        """
        with self._opened() as backend:
            ids = {number for numbers in concept_ids_of(backend, set(codes)).values() for number in numbers}
            below = descendants_of(backend, ids)
            named = Concepts().look_up(backend, below)
        unnamed = {f"{NO_CONCEPT_PREFIX}{number}" for number in below - named.keys()}
        return frozenset(codes) | {concept.code for concept in named.values()} | unnamed

    def _whole(self) -> OmopSource:
        settings = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return OmopSource(**(settings | {"max_unusable_share": 1.0}))

    def _settings(self) -> ReadingSettings:
        return ReadingSettings(self.tables, self.observation_periods == "last", self.max_unusable_share)

    def _opened(self) -> AbstractContextManager[Backend]:
        return _opened(self)

    def _columns_read(self, backend: Backend) -> dict[str, tuple[str, ...]]:
        """Return the columns of each table that ``read`` reads, as far as they are there."""
        wanted = {
            PERSON: PERSON_COLUMNS,
            PERIODS: PERIOD_COLUMNS,
            DEATH: DEATH_COLUMNS,
            VISITS: EVENT_TABLES[VISITS].columns,
            **{name: EVENT_TABLES[name].columns for name in EVENT_TABLES if name in self.tables},
            CONCEPT: CONCEPT_COLUMNS,
        }
        there = {table: backend.columns(table) for table in wanted}
        return {
            table: tuple(name for name in columns if name in names) or tuple(names)
            for table, columns in wanted.items()
            if (names := there[table]) is not None
        }

    def _concepts_used(self, backend: Backend) -> list[int]:
        """Return the concepts of all entries and persons."""
        wanted = [(EVENT_TABLES[name].name, EVENT_TABLES[name].concept) for name in EVENT_TABLES if name in self.tables]
        wanted += [(PERSON, column) for column in PERSON_COLUMNS if column.endswith("_concept_id")]
        return _distinct_concepts(backend, wanted)

    def _units_used(self, backend: Backend) -> list[int]:
        """Return the concepts of the units of all values."""
        measured = [EVENT_TABLES[name] for name in EVENT_TABLES if name in self.tables and EVENT_TABLES[name].number]
        return _distinct_concepts(backend, [(table.name, table.unit) for table in measured])


@dataclass(frozen=True)
class _OmopPart:
    """The persons of a source within a range of ids; the protocol is that of a source.

    Attributes:
        whole: The source.
        persons: The range.
        concepts: Concepts that were looked up for all parts.
        ignores_periods: Whether the whole source has no observation periods.
    """

    whole: OmopSource
    persons: PersonRange
    concepts: Concepts = field(repr=False)
    ignores_periods: bool

    def files(self) -> list[Path]:
        """Return the files of the whole source."""
        return self.whole.files()

    def read(self) -> SourceData:
        """Read the persons of the range; unusable rows are judged over all parts."""
        settings: Any = self.whole._settings()
        settings = ReadingSettings(settings.tables, settings.only_last, 1.0, self.ignores_periods)
        with self.whole._opened() as backend:
            return read_omop(backend, settings, self.concepts, self.persons, place=place_name(self.whole.path))


@contextmanager
def _opened(source: OmopSource) -> Iterator[Backend]:
    with open_backend(
        source.path,
        cdm_schema=source.cdm_schema,
        vocabulary_schema=source.vocabulary_schema,
        timeout_seconds=source.timeout_seconds,
    ) as backend:
        wanted = [name for name in EVENT_TABLES if name in source.tables]
        refuse_other_tables(backend, place=place_name(source.path), wanted=wanted)
        yield backend


def _distinct_concepts(backend: Backend, wanted: Sequence[tuple[str, str]]) -> list[int]:
    """Return the distinct concepts of columns, each given with its table, as far as they are there."""
    found: set[int] = set()
    for table, column in tqdm(wanted, desc="Listing concepts", disable=None, leave=False):
        if column in (backend.columns(table) or ()):
            for batch in backend.stream(table, [column], distinct=True):
                found.update(np.unique(whole_numbers(batch.column(0)).value).tolist())
    return sorted(number for number in found if number > 0)
