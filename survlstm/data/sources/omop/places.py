"""Open the place where OMOP tables lie with the class that reads it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from survlstm.data.sources.omop.backend import Backend
from survlstm.data.sources.omop.format import KNOWN_TABLES, PERSON
from survlstm.utils.content import list_known_names
from survlstm.utils.data_location import is_database_url, refuse_password
from survlstm.utils.errors import ConfigError, SourceError


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


def _begins(file: Path, offset: int, magic: bytes) -> bool:
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            return stream.read(len(magic)) == magic
    except OSError as error:
        raise SourceError(
            f"data.path must be a folder or a file that can be read; the system says of {file}: {error.strerror}"
        ) from error
