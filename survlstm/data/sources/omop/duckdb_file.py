"""Read the OMOP tables of a DuckDB database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from survlstm.data.sources.omop.backend import NamedTables, PersonRange, quoted
from survlstm.data.sources.omop.duckdb_queries import DuckDb, open_database_file
from survlstm.data.sources.omop.format import ANCESTOR, CONCEPT, PERSON
from survlstm.utils.errors import SourceError


class _Table(NamedTuple):
    relation: str
    columns: dict[str, str]


@contextmanager
def open_duckdb(file: Path, cdm_schema: str | None, vocabulary_schema: str | None) -> Iterator[DuckDbBackend]:
    """Open a DuckDB database for reading.

    Args:
        file: The file.
        cdm_schema: Schema of the tables; None for main.
        vocabulary_schema: Schema of the vocabulary; None for ``cdm_schema``.

    Yields:
        The tables of the schemas.

    Raises:
        SourceError: The file can't be opened, or lacks a schema.
    """
    with open_database_file(file) as database:
        yield DuckDbBackend(file, database, cdm_schema or "main", vocabulary_schema or cdm_schema or "main")


class DuckDbBackend(NamedTables[_Table]):
    """Tables of a DuckDB database; see ``survlstm.data.sources.omop.backend.Backend``.

    Args:
        file: The file.
        database: The open database.
        cdm_schema: Schema of the tables.
        vocabulary_schema: Schema of the vocabulary.
    """

    def __init__(self, file: Path, database: DuckDb, cdm_schema: str, vocabulary_schema: str) -> None:
        super().__init__()
        self._file = file
        self._database = database
        found = database.rows(
            "SELECT table_schema, table_name, column_name FROM information_schema.columns "
            "WHERE table_catalog = current_database() ORDER BY table_schema, table_name, ordinal_position"
        )
        refuse_missing_schema(
            {row[0] for row in found},
            {"cdm_schema": cdm_schema, "vocabulary_schema": vocabulary_schema},
            with_persons=sorted({row[0] for row in found if row[1].lower() == PERSON}),
        )
        for schema, table, column in found:
            is_vocabulary = table.lower() in (CONCEPT, ANCESTOR)
            if schema == (vocabulary_schema if is_vocabulary else cdm_schema):
                relation = f"{quoted(schema)}.{quoted(table)}"
                self._tables.setdefault(table.lower(), _Table(relation, {})).columns[column.lower()] = column

    def stream(
        self, table: str, columns: Sequence[str], *, persons: PersonRange | None = None, distinct: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table in batches."""
        found = self._tables[table]
        yield from self._database.stream(table, found.relation, found.columns, columns, persons, distinct=distinct)

    def files(self, tables: Sequence[str]) -> list[Path]:
        """Return the file, and the log of changes that are not in it yet."""
        log = self._file.with_name(self._file.name + ".wal")
        return [self._file, *([log] if log.exists() else [])]


def refuse_missing_schema(known: set[str], wanted: dict[str, str], *, with_persons: Sequence[str]) -> None:
    """Raise SourceError if a database lacks a schema.

    Args:
        known: Schemas of the database.
        wanted: Schema of each key of ``data.source``.
        with_persons: Schemas that hold a table person, for the message.
    """
    for key, schema in wanted.items():
        if schema not in known:
            where = (
                f"a table person is in {', '.join(with_persons)}" if with_persons else "no schema has a table person"
            )
            raise SourceError(
                f"data.source.{key} must be a schema of the database with tables; found {schema!r}, which has none; "
                f"{where}. Set data.source.{key}"
            )
