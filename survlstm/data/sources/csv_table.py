"""Read named columns of CSV files, plain or gzipped, at once or a block of rows at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from jaxtyping import Int32

from survlstm.data.sources.csv_header import Field, Header, line_of_malformed_row, line_of_row, read_header
from survlstm.data.sources.csv_stream import NOT_UTF8, Utf8Stream, open_bytes
from survlstm.data.sources.missing_values import blank_missing_values
from survlstm.utils.errors import SourceError

_TEXT = pa.dictionary(pa.int32(), pa.string())
# Larger blocks mean fewer dictionaries to merge. Sizes from 0.5 to 4 MiB differ little; 2 MiB took the least time.
_BLOCK_BYTES = 1 << 21


@dataclass(frozen=True)
class Column:
    """A column of text, dictionary-encoded: ``values[index]`` is the column.

    Spaces around a text are removed, and a word for a missing value (NULL, nan, …) is replaced by "", so ``values`` may
    contain a text more than once.

    Attributes:
        index: Position in ``values`` of the text of each row, from 0.
        values: Texts that occur in the column, a pyarrow array of strings.
        spelled_missing: Number of rows whose cell was a word for a missing value.
    """

    index: Int32[np.ndarray, " row"]
    values: pa.Array
    spelled_missing: int = 0


class TableFile(NamedTuple):
    """One file of a table.

    Attributes:
        path: The file.
        header: Its header.
        rows: Number of rows that were read from it, without malformed ones.
        malformed: Number of rows that were left out because they have more or fewer cells than the header.
    """

    path: Path
    header: Header
    rows: int
    malformed: int


class CsvTable(NamedTuple):
    """A table that was read from one or more files.

    Attributes:
        path: The first file of the table.
        columns: The columns that the table has, by ``Field.name``.
        rows: Number of rows of each column.
        malformed: Number of rows that are in no column because they have more or fewer cells than the header.
        parts: The files of the table, in the order of their rows; empty for a block of a stream.
    """

    path: Path
    columns: dict[str, Column]
    rows: int
    malformed: int
    parts: tuple[TableFile, ...] = ()

    def locate_row(self, row: int) -> str:
        """Name the line and the file in which a row stands, for a message; the file is read again.

        Args:
            row: Index of the row in the columns, from 0.

        Returns:
            Words such as "line 1,204 of patients.csv"; only the name of the first file if no part has the row.
        """
        for part in self.parts:
            if row < part.rows:
                return f"line {line_of_row(part.path, part.header, row):,} of {part.path.name}"
            row -= part.rows
        return self.path.name

    def locate_malformed_row(self) -> str:
        """Name the line and the file of the first malformed row, for a message; "" if it isn't found.

        The file is read again up to that line.
        """
        for part in self.parts:
            if part.malformed and (line := line_of_malformed_row(part.path, part.header)):
                return f"line {line:,} of {part.path.name}, which must have {part.header.width} cells as its header has"
        return ""


def read_csv_table(paths: Sequence[Path], fields: Sequence[Field]) -> CsvTable:
    """Read the columns of a table as texts.

    Args:
        paths: The files of the table, in the order of their rows. They must have the same of these columns.
        fields: The columns to read.

    Returns:
        The table; optional columns that it lacks are absent.

    Raises:
        SourceError: A file is empty, cut short, damaged, not UTF-8, not CSV, or lacks a required column.

    Example:
        >>> table = read_csv_table([Path("patients.csv")], PATIENT_FIELDS)
        >>> births = table.columns["birth"]
        >>> births.values.take(births.index)
    """
    tables = [_read_file(path, fields) for path in paths]
    first = tables[0]
    if len(tables) == 1:
        return first
    for table in tables:
        _check_same_columns(first, table)
    columns = {name: _concatenated([table.columns[name] for table in tables]) for name in first.columns}
    rows, malformed = sum(table.rows for table in tables), sum(table.malformed for table in tables)
    return CsvTable(first.path, columns, rows, malformed, tuple(table.parts[0] for table in tables))


class CsvStream:
    """Read a CSV table as ``read_csv_table`` does, but a block of rows at a time.

    pyarrow reads up to 32 blocks of 2 MiB ahead, so a file of any length takes at most 64 MiB and a few blocks more.

    Args:
        paths: The files of the table, in the order of their rows; only their headers are read at first.
        fields: The columns to read.

    Attributes:
        path: The first file of the table.
        names: Spelling in the first file of every field that the table has, by ``Field.name``.
        notes: ``Header.notes`` of the first file.
        malformed: Number of rows with more or fewer cells than the header; complete when all blocks have been read.

    Raises:
        SourceError: A file can't be read, or lacks a required column.
    """

    def __init__(self, paths: Sequence[Path], fields: Sequence[Field]) -> None:
        self.malformed = 0
        self._fields = fields
        self._headers: list[tuple[Path, Header]] = []
        for path in paths:
            with _readable_errors(path):
                self._headers.append((path, read_header(path, fields)))
            _check_same_names(*self._headers[0], *self._headers[-1])
        self.path, first = self._headers[0]
        self.names, self.notes = first.names, first.notes

    def blocks(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows as texts, in columns that are named as in the first file.

        Raises:
            SourceError: Where ``read_csv_table`` would raise it.
        """
        for path, header in self._headers:
            if header.has_rows:
                yield from self._blocks(path, header)

    def tables(self) -> Iterator[CsvTable]:
        """Yield each block as a table; malformed rows are counted in ``malformed`` of the stream only."""
        for block in self.blocks():
            columns = {
                field.name: _column(pa.chunked_array([block.column(self.names[field.name]).dictionary_encode()]), field)
                for field in self._fields
                if field.name in self.names
            }
            yield CsvTable(self.path, columns, block.num_rows, 0)

    def _blocks(self, path: Path, header: Header) -> Iterator[pa.RecordBatch]:
        rows = 0
        parser = _Parser(path, header)
        with _readable_errors(path):
            reader = pa_csv.open_csv(parser.file, **parser.options(pa.string()))
        # Only the reader's errors are translated; an error that the caller raises between two blocks passes unchanged.
        while (block := self._next(path, reader)) is not None:
            for field in self._fields if parser.stream.is_marked else ():
                if field.name in header.names:
                    texts = block.column(header.names[field.name]).dictionary_encode()
                    _check_utf8(path, header, field, texts.dictionary, texts.indices.to_numpy(), rows_before=rows)
            rows += block.num_rows
            yield block.rename_columns(list(self.names.values()))
        self.malformed += parser.malformed
        with _readable_errors(path):
            parser.check(rows)

    def _next(self, path: Path, reader: pa_csv.CSVStreamingReader) -> pa.RecordBatch | None:
        with _readable_errors(path):
            try:
                return reader.read_next_batch()
            except StopIteration:
                return None


def _read_file(path: Path, fields: Sequence[Field]) -> CsvTable:
    with _readable_errors(path):
        header = read_header(path, fields)
        if not header.has_rows:
            empty = Column(np.empty(0, np.int32), pa.array([], pa.string()))
            return CsvTable(path, dict.fromkeys(header.names, empty), 0, 0, (TableFile(path, header, 0, 0),))
        parser = _Parser(path, header)
        table = pa_csv.read_csv(parser.file, **parser.options(_TEXT)).unify_dictionaries()
        parser.check(table.num_rows)
    columns = {}
    for field in (field for field in fields if field.name in header.names):
        column = _column(table[header.names[field.name]], field)
        if parser.stream.is_marked:
            _check_utf8(path, header, field, column.values, column.index, rows_before=0)
        columns[field.name] = column
    part = TableFile(path, header, table.num_rows, parser.malformed)
    return CsvTable(path, columns, part.rows, part.malformed, (part,))


@contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    """Turn errors of the system and of pyarrow into SourceError.

    A message of pyarrow quotes the row at which it stopped, so no part of it is passed on.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path.name} {_describe_error(error)} ({path}).") from None


class _Parser:
    """Options with which pyarrow reads one file, and the checks that it does not make itself."""

    def __init__(self, path: Path, header: Header) -> None:
        self.malformed = 0
        self._path = path
        self._separator = header.separator
        self._spellings = list(header.names.values())
        self.stream = Utf8Stream(path)
        self.file = pa.PythonFile(self.stream, mode="r")

    def options(self, text: pa.DataType) -> dict[str, Any]:
        """Return the arguments of pyarrow's reader; ``text`` is the type of every column."""
        return {
            "read_options": pa_csv.ReadOptions(block_size=_BLOCK_BYTES),
            "parse_options": pa_csv.ParseOptions(delimiter=self._separator, invalid_row_handler=self._skip),
            "convert_options": pa_csv.ConvertOptions(
                include_columns=self._spellings, column_types=dict.fromkeys(self._spellings, text)
            ),
        }

    def check(self, rows: int) -> None:
        """Raise SourceError where ``rows``, the number of rows that were read, is not the number of lines."""
        if self.stream.quote_seen:
            _check_one_row_per_line(self._path, rows + self.malformed)

    def _skip(self, _row: pa_csv.InvalidRow) -> str:
        self.malformed += 1
        return "skip"


def _column(chunks: pa.ChunkedArray, field: Field) -> Column:
    if chunks.num_chunks == 0:
        return Column(np.empty(0, np.int32), pa.array([], pa.string()))
    indices = [chunk.indices.to_numpy() for chunk in chunks.chunks]
    index, values = np.concatenate(indices), chunks.chunk(0).dictionary
    if field.free_text:
        return Column(index, values)
    values, spelled = blank_missing_values(values)
    return Column(index, values, 0 if spelled is None else int(np.count_nonzero(spelled[index])))


def _concatenated(columns: Sequence[Column]) -> Column:
    chunks = [pa.DictionaryArray.from_arrays(pa.array(column.index), column.values) for column in columns]
    unified = pa.chunked_array(chunks).unify_dictionaries()
    index = np.concatenate([chunk.indices.to_numpy() for chunk in unified.chunks])
    return Column(index, unified.chunk(0).dictionary, sum(column.spelled_missing for column in columns))


def _check_same_columns(first: CsvTable, table: CsvTable) -> None:
    _check_same_names(first.path, first.parts[0].header, table.path, table.parts[0].header)


def _check_same_names(first: Path, expected: Header, path: Path, header: Header) -> None:
    differing = sorted(name.upper() for name in set(expected.names) ^ set(header.names))
    if differing:
        raise SourceError(
            f"the files of one table must have the same columns; {first.name} and {path.name} differ in "
            f"{', '.join(differing)}. Export the table again, or keep only one of these files ({path.parent})."
        )


def _check_utf8(
    path: Path, header: Header, field: Field, values: pa.Array, index: np.ndarray, *, rows_before: int
) -> None:
    marked = np.array([NOT_UTF8 in text for text in values.to_pylist()], bool)
    if marked[index].any():
        rows = np.flatnonzero(marked[index])
        line = line_of_row(path, header, rows_before + int(rows[0]))
        raise SourceError(
            f"{path.name} must be UTF-8 text and isn't: column {field.spellings[0]} holds bytes that are not UTF-8 in "
            f"{len(rows):,} rows, the first in line {line:,}. Save it as UTF-8 ({path})."
        )


def _check_one_row_per_line(path: Path, rows: int) -> None:
    lines, first_unbalanced = -1, 0
    with io.TextIOWrapper(open_bytes(path), encoding="latin-1") as text:
        for number, line in enumerate(text, start=1):
            lines += bool(line.strip("\r\n"))
            # A quote that is closed in its own line leaves an even number of them.
            if not first_unbalanced and line.count('"') % 2:
                first_unbalanced = number
    if lines != rows:
        place = f", first in line {first_unbalanced:,}" if first_unbalanced else ""
        raise SourceError(
            f"{path.name} must hold one row per line; it has {lines} lines after the header and {rows} rows: a double "
            f"quote is opened and not closed in its line{place}. Close or remove the quote, or remove the line break "
            f"inside the quotes ({path})."
        )


def _describe_error(error: BaseException) -> str:
    """Say what an error of pyarrow or of the system means and what to do, without quoting the file."""
    message = str(error)
    if "Truncated" in message:
        return "is cut short: its gzip data ends too early. Copy or export it again"
    if "incorrect header check" in message:
        return "must be gzip data, as its name says, and isn't. Name it .csv if it is plain text, or export it again"
    if "inflate failed" in message:
        return "is damaged: its gzip data can't be unpacked. Copy or export it again"
    if isinstance(error, OSError) and error.strerror:
        return f"can't be read; the system says: {error.strerror}. Give yourself the right to read it, or copy it again"
    return (
        "can't be read as CSV: one of its rows can't be split into columns. Look for a double quote that is not "
        "closed, or export it again"
    )
