"""Read a folder of CSV or parquet files as OMOP tables, with DuckDB."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from survlstm.data.sources.omop.backend import PersonRange, literal
from survlstm.data.sources.omop.duckdb_queries import DuckDb, open_memory
from survlstm.data.sources.omop.format import KNOWN_TABLES
from survlstm.utils.errors import SourceError

_FILE = re.compile(r"^(?P<table>[A-Za-z_]+)\.(?P<kind>csv|tsv|parquet)(\.gz)?$", re.IGNORECASE)


class _Table(NamedTuple):
    """Files of one table.

    Attributes:
        files: Its files in the order of their names.
        columns: Spelling of each column in the files, by its name in lower case.
        relation: SQL that reads the files.
    """

    files: tuple[Path, ...]
    columns: dict[str, str]
    relation: str


@contextmanager
def open_folder(folder: Path) -> Iterator[FolderBackend]:
    """Open a folder of files, or of folders with files, that are named after their tables.

    Args:
        folder: The folder.

    Yields:
        The tables of the folder.

    Raises:
        SourceError: The folder can't be listed, a table is there twice, or duckdb is not installed.
    """
    with open_memory() as database:
        yield FolderBackend(folder, database)


class FolderBackend:
    """Tables in CSV or parquet files; see ``survlstm.data.sources.omop.backend.Backend``.

    Args:
        folder: The folder.
        database: A DuckDB database in memory.
    """

    def __init__(self, folder: Path, database: DuckDb) -> None:
        self._database = database
        self._found = _find_files(folder)
        self._tables: dict[str, _Table] = {}
        self._malformed: dict[str, int] = {}

    @property
    def tables(self) -> list[str]:
        """Names of all tables."""
        return list(self._found)

    def columns(self, table: str) -> tuple[str, ...] | None:
        """Return the columns of a table, or None if there is no such table."""
        return tuple(self._table(table).columns) if table in self._found else None

    def stream(
        self, table: str, columns: Sequence[str], *, persons: PersonRange | None = None, distinct: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table in batches."""
        found = self._table(table)
        yield from self._database.stream(table, found.relation, found.columns, columns, persons, distinct=distinct)
        self._malformed[table] = self._database.rejected_rows()

    def malformed(self, table: str) -> int:
        """Return how many rows the last reading of a table left out for their number of cells."""
        return self._malformed.get(table, 0)

    def files(self, tables: Sequence[str]) -> list[Path]:
        """Return the files of those of the tables that exist."""
        return [file for table in tables for file in self._found.get(table, ())]

    def digest(self, table: str, columns: Sequence[str]) -> str:
        """Return "", because the files are the content."""
        return ""

    def _table(self, name: str) -> _Table:
        if name not in self._tables:
            files = self._found[name]
            read = _parquet if files[0].suffix.lower() == ".parquet" else _csv
            self._tables[name] = read(self._database, name, files)
        return self._tables[name]


def _find_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return the files of each table; a folder that is named after a table holds files of that table."""
    found: dict[str, list[Path]] = {}
    try:
        for path in sorted(folder.iterdir()):
            if path.is_dir() and path.name.lower() in KNOWN_TABLES:
                inner = [file for file in sorted(path.iterdir()) if _kind(file.name)]
                if inner:
                    found.setdefault(path.name.lower(), []).extend(inner)
            elif path.is_file() and (matched := _FILE.match(path.name)):
                found.setdefault(matched["table"].lower(), []).append(path)
    except OSError as error:
        raise SourceError(
            f"data.path must be a folder that can be read; the system says of {folder}: {error.strerror}"
        ) from error
    for table, files in found.items():
        in_folder = {file.parent for file in files}
        kinds = {_kind(file.name) for file in files}
        if len(in_folder) > 1 or len(kinds) > 1 or (len(files) > 1 and files[0].parent == folder):
            raise SourceError(
                f"each table must be there once; {table} is in {len(files)} files ({files[0].name}, {files[1].name}). "
                f"Leave only one of them in {folder}"
            )
    return {table: tuple(files) for table, files in found.items()}


def _kind(name: str) -> str:
    matched = re.search(r"\.(csv|tsv|parquet)(\.gz)?$", name.lower())
    return "" if matched is None else "parquet" if matched[1] == "parquet" else "csv"


def _parquet(database: DuckDb, table: str, files: tuple[Path, ...]) -> _Table:
    # Parts of a table may be written with different types, such as an empty column as integers.
    relation = f"read_parquet([{_list(files)}], union_by_name = true)"
    names = database.columns_of(table, relation)
    return _Table(files, {name.lower(): name for name in names}, relation)


def _csv(database: DuckDb, table: str, files: tuple[Path, ...]) -> _Table:
    headers = {_header_line(file) for file in files}
    if len(headers) > 1:
        raise SourceError(
            f"the files of one table must have the same columns; those of {table} have {len(headers)} different "
            f"headers. Export the table again ({files[0].parent})"
        )
    line = headers.pop()
    separator = "\t" if line.count("\t") > line.count(",") else ","
    # Files of the vocabulary, from Athena, are separated by tabs and have unpaired quotes inside their texts.
    quote = "" if separator == "\t" and '"' not in line else '"'
    names = next(csv.reader([line], delimiter=separator), [])
    unique = [name if name not in names[:number] else f"{name} {number}" for number, name in enumerate(names)]
    if not line.strip():
        raise SourceError(f"{files[0].name} must begin with the names of its columns; its first line is empty")
    structure = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in unique)
    relation = (
        f"read_csv([{_list(files)}], columns = {{{structure}}}, auto_detect = false, header = true, "
        f"delim = {literal(separator)}, quote = {literal(quote)}, escape = {literal(quote)}, "
        "store_rejects = true, rejects_limit = 0, strict_mode = true)"
    )
    return _Table(files, {name.strip().lower(): name for name in unique}, relation)


def _header_line(file: Path) -> str:
    try:
        with gzip.open(file, "rb") if file.suffix.lower() == ".gz" else file.open("rb") as stream:
            return stream.readline().decode("utf-8-sig", errors="replace").rstrip("\r\n")
    except (OSError, EOFError, zlib.error) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else "its gzip data are damaged"
        raise SourceError(f"every file of data.path must be readable; of {file.name}: {said} ({file})") from error


def _list(files: Sequence[Path]) -> str:
    return ", ".join(literal(str(file)) for file in files)
