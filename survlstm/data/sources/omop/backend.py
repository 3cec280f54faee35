"""The protocol of a place where OMOP tables lie, and the choice of the class that reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import pyarrow as pa

from survlstm.data.sources.omop.format import KNOWN_TABLES, PERSON
from survlstm.utils.content import list_known_names
from survlstm.utils.data_location import is_database_url, refuse_password
from survlstm.utils.errors import ConfigError, SourceError

EXTRA = "pip install 'survlstm[omop]'"
# Rows of a batch; a batch of ten columns then takes a few MiB.
BATCH_ROWS = 65_536


class PersonRange(NamedTuple):
    """A range of person ids.

    Attributes:
        first: Smallest id; None for the first range, which also has the rows whose id is missing or no number.
        stop: Id at which the next range begins; None for the last range.
    """

    first: int | None
    stop: int | None

    def condition(self, expression: str) -> str:
        """Return the condition of SQL that selects the rows of the range.

        Args:
            expression: SQL whose value is the id as a number, or NULL.
        """
        if self.stop is None:
            return "TRUE" if self.first is None else f"{expression} >= {self.first}"
        if self.first is None:
            return f"({expression} < {self.stop} OR {expression} IS NULL)"
        return f"{expression} >= {self.first} AND {expression} < {self.stop}"


@runtime_checkable
class Backend(Protocol):
    """Tables at one place. Names of tables and columns are in lower case here, whatever the place has."""

    @property
    def tables(self) -> list[str]:
        """Names of all tables."""

    def columns(self, table: str) -> tuple[str, ...] | None:
        """Return the columns of a table, or None if there is no such table."""

    def stream(
        self, table: str, columns: Sequence[str], *, persons: PersonRange | None = None, distinct: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table in batches.

        Args:
            table: A table that exists.
            columns: Columns that it has, with which the batches are named.
            persons: The rows to read, by ``person_id``; None for all.
            distinct: Whether equal rows are read once.

        Raises:
            SourceError: The table can't be read.
        """

    def malformed(self, table: str) -> int:
        """Return how many rows of a file were left out because they have too many or too few cells."""

    def files(self, tables: Sequence[str]) -> list[Path]:
        """Return the files of those of the tables that exist."""

    def digest(self, table: str, columns: Sequence[str]) -> str:
        """Return a digest of these columns; "" where the files are the content."""


def open_backend(
    path: str, *, cdm_schema: str | None, vocabulary_schema: str | None, timeout_seconds: float | None
) -> AbstractContextManager[Backend]:
    """Open the place where the tables lie; it is closed at the end of the context.

    Args:
        path: A folder, a file, or the URL of a PostgreSQL database.
        cdm_schema: Schema of the tables; None for the one that the database searches.
        vocabulary_schema: Schema of the vocabulary tables; None for ``cdm_schema``.
        timeout_seconds: Seconds that a query of a server may take; None for any number.

    Raises:
        SourceError: The place is none of these, or can't be opened.
        ConfigError: The place holds a password, or a package is not installed.
    """
    try:
        refuse_password(path)
    except ValueError as error:
        raise ConfigError(f"data.path {error}") from None
    if is_database_url(path):
        from survlstm.data.sources.omop.postgresql import open_postgresql

        return open_postgresql(path, cdm_schema, vocabulary_schema, timeout_seconds=timeout_seconds)
    place = Path(path).expanduser()
    if place.is_dir():
        from survlstm.data.sources.omop.folder import open_folder

        return open_folder(place)
    if _begins(place, 0, b"SQLite format 3\0"):
        from survlstm.data.sources.omop.sqlite import open_sqlite

        return open_sqlite(place)
    if _begins(place, 8, b"DUCK"):
        from survlstm.data.sources.omop.duckdb_file import open_duckdb

        return open_duckdb(place, cdm_schema, vocabulary_schema)
    raise SourceError(
        f"data.path must be a folder of CSV or parquet files, a DuckDB or SQLite database, or "
        f"postgresql://user@host/database; {place} is a file of another kind. Set data.path to the folder or to "
        "the database"
    )


def refuse_other_tables(backend: Backend, *, place: str, wanted: Sequence[str]) -> None:
    """Raise SourceError if there is no table of persons or none of the event tables.

    Args:
        backend: The open place.
        place: What the message calls the place.
        wanted: Event tables that are to be read.
    """
    has_events = any(backend.columns(table) is not None for table in wanted)
    if backend.columns(PERSON) is not None and has_events:
        return
    has_persons = backend.columns(PERSON) is not None
    lacking = f"none of {', '.join(wanted)}" if has_persons else "no person" if has_events else "neither"
    shown = list_known_names(sorted(backend.tables), KNOWN_TABLES)
    raise SourceError(
        f"{place} must hold the OMOP table person and an event table such as condition_occurrence; found {lacking}, "
        f"among its tables ({shown}). Set data.path to the place of the OMOP tables, and data.source.cdm_schema to "
        "their schema in a database"
    )


def quoted(name: str) -> str:
    """Quote an identifier of SQL.

    Args:
        name: A name of a table, a column or a schema.
    """
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text of SQL.

    Args:
        text: A text of the config, or the path of a file.
    """
    return "'" + text.replace("'", "''") + "'"


def _begins(file: Path, offset: int, magic: bytes) -> bool:
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            return stream.read(len(magic)) == magic
    except OSError as error:
        raise SourceError(
            f"data.path must be a folder or a file that can be read; the system says of {file}: {error.strerror}"
        ) from error
