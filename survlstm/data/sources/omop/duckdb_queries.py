"""Run the queries of DuckDB that the reader of OMOP needs, and turn its errors into sentences without data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from survlstm.data.sources.omop.backend import BATCH_ROWS, EXTRA, PersonRange, quoted
from survlstm.data.sources.omop.format import PERSON_ID
from survlstm.utils.errors import ConfigError, SourceError

# The engine must neither write into the working folder nor fetch an extension.
_SETTINGS = ("temp_directory = ''", "autoinstall_known_extensions = false", "enable_progress_bar = false")


def duckdb_module() -> Any:
    """Import duckdb.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise ConfigError(f"data=omop needs duckdb: {EXTRA}") from error
    return duckdb


@contextmanager
def open_memory() -> Iterator[DuckDb]:
    """Open an empty database in memory, to read files with."""
    connection = duckdb_module().connect(":memory:")
    try:
        yield DuckDb(connection)
    finally:
        connection.close()


@contextmanager
def open_database_file(file: Path) -> Iterator[DuckDb]:
    """Open a DuckDB file for reading; nothing is written, so that it may lie on a read-only medium.

    Raises:
        SourceError: The file can't be opened.
    """
    duckdb = duckdb_module()
    try:
        connection = duckdb.connect(str(file), read_only=True)
    except duckdb.Error as error:
        raise SourceError(f"data.path must be a DuckDB database that can be read; {file} {_why(error)}") from None
    try:
        yield DuckDb(connection)
    finally:
        connection.close()


class DuckDb:
    """A connection whose errors are sentences.

    Args:
        connection: An open connection of duckdb.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        for setting in _SETTINGS:
            connection.execute(f"SET {setting}")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return all rows of a query about names."""
        return self._connection.execute(query).fetchall()

    def columns_of(self, table: str, relation: str) -> list[str]:
        """Return the names of the columns of a relation.

        Raises:
            SourceError: It can't be read.
        """
        with _sentences(table):
            return [row[0] for row in self.rows(f"DESCRIBE SELECT * FROM {relation}")]

    def stream(
        self,
        table: str,
        relation: str,
        spelling: Mapping[str, str],
        columns: Sequence[str],
        persons: PersonRange | None,
        *,
        distinct: bool,
    ) -> Iterator[pa.RecordBatch]:
        """Yield columns of a relation in batches, as ``Backend.stream`` describes them.

        Args:
            table: Name of the table, for messages.
            relation: SQL of the table.
            spelling: The relation's own name of each column.
            columns: Columns to read.
            persons: Persons to read; None for all.
            distinct: Whether equal rows are read once.

        Raises:
            SourceError: The rows can't be read.
        """
        chosen = ", ".join(f"{quoted(spelling[name])} AS {quoted(name)}" for name in columns)
        where = ""
        if persons is not None:
            number = f"TRY_CAST({quoted(spelling[PERSON_ID])} AS BIGINT)"
            where = f" WHERE {persons.condition(number)}"
        with _sentences(table):
            query = f"SELECT {'DISTINCT ' if distinct else ''}{chosen} FROM {relation}{where}"
            yield from self._connection.sql(query).to_arrow_reader(BATCH_ROWS)

    def rejected_rows(self) -> int:
        """Return how many rows of the last CSV file that was read were left out, and forget them."""
        tables = {row[0] for row in self.rows("SELECT table_name FROM duckdb_tables()")}
        if "reject_errors" not in tables:
            return 0
        # A row can have several errors.
        (count,) = self.rows("SELECT count(DISTINCT (file_id, line)) FROM reject_errors")[0]
        self._connection.execute("DROP TABLE reject_errors; DROP TABLE reject_scans")
        return int(count)


@contextmanager
def _sentences(table: str) -> Iterator[None]:
    """Replace errors of DuckDB and Arrow, which quote cells."""
    try:
        yield
    except (duckdb_module().Error, pa.ArrowException, OSError) as error:
        raise SourceError(f"the table {table} must be readable; it {_why(error)}") from None


def _why(error: BaseException) -> str:
    """Say what an error means, without its text, which may quote a cell."""
    text = str(error)
    found = next((sentence for words, sentence in _CAUSES if words in text), None)
    return found or f"can't be read (DuckDB: {type(error).__name__}). Copy or export it again"


_CAUSES = (
    ("Conflicting lock", "is open for writing in another process. Close that process, or copy the file"),
    ("Could not set lock", "is open for writing in another process. Close that process, or copy the file"),
    ("version number", "was written by another version of DuckDB. Export it with the version that is installed"),
    ("not a valid DuckDB", "is damaged, or no DuckDB database. Copy or export it again"),
    ("Permission denied", "may not be read by you. Give yourself the right to read it"),
    ("Out of Memory", "does not fit into memory. Read fewer tables (data.source.tables)"),
    ("No magic bytes", "is not parquet, as its name says, or is cut short. Copy or export it again"),
    ("GZIP", "is damaged: its gzip data can't be unpacked. Copy or export it again"),
    ("quoted", "has a double quote that is not closed. Close it, or export the table again"),
)
