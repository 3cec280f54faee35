"""Read the OMOP tables of a SQLite database, with Python's own module."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pyarrow as pa

from survlstm.data.sources.omop.backend import BATCH_ROWS, NamedTables, PersonRange, quoted
from survlstm.data.sources.omop.format import PERSON_ID
from survlstm.utils.errors import SourceError


class _Table(NamedTuple):
    name: str
    columns: dict[str, str]


@contextmanager
def open_sqlite(file: Path) -> Iterator[SqliteBackend]:
    """Open a SQLite database for reading.

    Args:
        file: The file.

    Yields:
        The tables of the database.

    Raises:
        SourceError: The file can't be opened.
    """
    with closing(_connect(file)) as connection:
        yield SqliteBackend(file, connection)


class SqliteBackend(NamedTables[_Table]):
    """Tables of a SQLite database; see ``survlstm.data.sources.omop.backend.Backend``.

    A column of SQLite may hold values of several types, which are then read as texts. OHDSI's tools store days and
    times in SQLite as numbers of seconds since 1970; these are read as times.

    Args:
        file: The file.
        connection: The open database.
    """

    def __init__(self, file: Path, connection: sqlite3.Connection) -> None:
        super().__init__()
        self._file = file
        self._connection = connection
        names = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
        for (name,) in names:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({quoted(name)})")]
            self._tables[name.lower()] = _Table(name, {column.lower(): column for column in columns})

    def stream(
        self, table: str, columns: Sequence[str], *, persons: PersonRange | None = None, distinct: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table in batches."""
        found = self._tables[table]
        chosen = ", ".join(_expression(name, quoted(found.columns[name])) for name in columns)
        where = ""
        if persons is not None:
            where = f" WHERE {persons.condition(f'CAST({quoted(found.columns[PERSON_ID])} AS INTEGER)')}"
        try:
            rows = self._connection.execute(
                f"SELECT {'DISTINCT ' if distinct else ''}{chosen} FROM {quoted(found.name)}{where}"
            )
            while batch := rows.fetchmany(BATCH_ROWS):
                cells = zip(*batch, strict=True)
                yield pa.RecordBatch.from_arrays([_array(values) for values in cells], names=list(columns))
        except sqlite3.Error as error:
            raise SourceError(
                f"the table {table} must be readable; {self._file.name} {_why(error)} ({self._file})"
            ) from None

    def files(self, tables: Sequence[str]) -> list[Path]:
        """Return the file, and the log of changes that are not in it yet."""
        log = self._file.with_name(self._file.name + "-wal")
        return [self._file, *([log] if log.exists() and log.stat().st_size else [])]


def _connect(file: Path) -> sqlite3.Connection:
    # A database with a write-ahead log in a folder that can't be written opens only as immutable.
    error: sqlite3.Error | None = None
    for option in ("mode=ro", "mode=ro&immutable=1"):
        try:
            connection = sqlite3.connect(f"file:{quote(str(file.absolute()))}?{option}", uri=True)
        except sqlite3.Error as failed:
            error = failed
            continue
        connection.text_factory = lambda cell: cell.decode("utf-8", errors="replace")
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return connection
        except sqlite3.Error as failed:
            connection.close()
            error = failed
    assert error is not None, "the loop ends with a connection or with an error"
    raise SourceError(f"data.path must be a SQLite database that can be read; {file} {_why(error)}") from None


def _expression(name: str, column: str) -> str:
    if not name.endswith(("_date", "_datetime")):
        return column
    return f"CASE WHEN typeof({column}) IN ('integer', 'real') THEN datetime({column}, 'unixepoch') ELSE {column} END"


def _array(values: Sequence[Any]) -> pa.Array:
    kinds = {type(value) for value in values} - {type(None)}
    if len(kinds) > 1 or bytes in kinds:
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return pa.array(values, {int: pa.int64(), float: pa.float64()}.get(next(iter(kinds), str), pa.string()))


def _why(error: sqlite3.Error) -> str:
    """Say what an error means, without its text."""
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    causes = {
        "SQLITE_BUSY": "is locked by another process. Close that process, or copy the file",
        "SQLITE_LOCKED": "is locked by another process. Close that process, or copy the file",
        "SQLITE_NOTADB": "is damaged, encrypted, or no SQLite database. Copy or export it again",
        "SQLITE_CORRUPT": "is damaged. Copy or export it again",
        "SQLITE_CANTOPEN": "can't be opened. Give yourself the right to read it and its folder",
        "SQLITE_PERM": "can't be opened. Give yourself the right to read it and its folder",
    }
    return next((text for code, text in causes.items() if name.startswith(code)), f"can't be read ({name})")
