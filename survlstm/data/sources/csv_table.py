"""CSV files, plain or gzipped → the columns asked for by name, whole or a block of rows at a time."""

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

from survlstm.data.sources.csv_header import Field, Header, line_of_row, read_header
from survlstm.data.sources.csv_stream import NOT_UTF8, Utf8Stream, open_bytes
from survlstm.data.sources.missing_values import blank_missing_values
from survlstm.utils.errors import SourceError

_TEXT = pa.dictionary(pa.int32(), pa.string())
# Larger blocks mean fewer dictionaries to merge; 0.5 to 4 MiB differ little, 2 MiB took the least time.
_BLOCK_BYTES = 1 << 21


@dataclass(frozen=True)
class Column:
    """A column's texts and, row by row, which of them stands there: ``values[index]`` is the column.

    Spaces around a text are gone and a word for "missing" (NULL, nan, …) is "", so a text may be there twice.
    ``spelled_missing`` counts the rows with such a word.
    """

    index: Int32[np.ndarray, " row"]
    values: pa.Array
    spelled_missing: int = 0


class TableFile(NamedTuple):
    """One file of a table, and how many rows were read from it."""

    path: Path
    header: Header
    rows: int


class CsvTable(NamedTuple):
    """The columns found, by ``Field.name``; ``malformed`` rows had the wrong number of fields and aren't in them."""

    path: Path
    columns: dict[str, Column]
    rows: int
    malformed: int
    parts: tuple[TableFile, ...] = ()

    def place(self, row: int) -> str:
        """Say in which line of which file a row stands, for a message; reads that file again."""
        for part in self.parts:
            if row < part.rows:
                return f"line {line_of_row(part.path, part.header, row):,} of {part.path.name}"
            row -= part.rows
        return self.path.name


def read_csv_table(paths: Sequence[Path], fields: Sequence[Field]) -> CsvTable:
    """Read the columns of ``fields`` as texts; optional ones that the table lacks are absent from the result.

    A table may stand in several files, which must have the same of these columns. Raises SourceError for a file that is
    empty, cut short, damaged, not UTF-8, not CSV, or without a required column.
    """
    tables = [_read_file(path, fields) for path in paths]
    first = tables[0]
    if len(tables) == 1:
        return first
    for table in tables:
        _refuse_other_columns(first, table)
    columns = {name: _joined([table.columns[name] for table in tables]) for name in first.columns}
    rows, malformed = sum(table.rows for table in tables), sum(table.malformed for table in tables)
    return CsvTable(first.path, columns, rows, malformed, tuple(table.parts[0] for table in tables))


class CsvStream:
    """A CSV table as ``read_csv_table`` reads it, but a block of rows at a time.

    pyarrow reads up to 32 blocks of 2 MiB ahead, so a file of any length takes 64 MiB at most and a few blocks more.
    ``names`` gives the spelling of every field found in the first file; ``malformed`` is complete when all blocks have
    been read.
    """

    def __init__(self, paths: Sequence[Path], fields: Sequence[Field]) -> None:
        self.malformed = 0
        self._fields = fields
        self._headers: list[tuple[Path, Header]] = []
        for path in paths:
            with _sentences(path):
                self._headers.append((path, read_header(path, fields)))
            _refuse_other_names(*self._headers[0], *self._headers[-1])
        self.path, first = self._headers[0]
        self.names, self.seen = first.names, first.seen

    def blocks(self) -> Iterator[pa.RecordBatch]:
        """Rows as texts, in columns named as in the first file; raises SourceError where ``read_csv_table`` would."""
        for path, header in self._headers:
            if header.has_rows:
                yield from self._blocks(path, header)

    def tables(self) -> Iterator[CsvTable]:
        """The same rows, each block a table of its own; none of them counts malformed rows."""
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
        with _sentences(path):
            reader = pa_csv.open_csv(parser.file, **parser.options(pa.string()))
        # A reader's own error, not one of whoever takes the blocks, gets a reader's sentence.
        while (block := self._next(path, reader)) is not None:
            for field in self._fields if parser.stream.is_marked else ():
                if field.name in header.names:
                    texts = block.column(header.names[field.name]).dictionary_encode()
                    _refuse_not_utf8(path, header, field, texts.dictionary, texts.indices.to_numpy(), rows_before=rows)
            rows += block.num_rows
            yield block.rename_columns(list(self.names.values()))
        self.malformed += parser.malformed
        with _sentences(path):
            parser.check(rows)

    def _next(self, path: Path, reader: pa_csv.CSVStreamingReader) -> pa.RecordBatch | None:
        with _sentences(path):
            try:
                return reader.read_next_batch()
            except StopIteration:
                return None


def _read_file(path: Path, fields: Sequence[Field]) -> CsvTable:
    with _sentences(path):
        header = read_header(path, fields)
        if not header.has_rows:
            nothing = Column(np.empty(0, np.int32), pa.array([], pa.string()))
            return CsvTable(path, dict.fromkeys(header.names, nothing), 0, 0, (TableFile(path, header, 0),))
        parser = _Parser(path, header)
        table = pa_csv.read_csv(parser.file, **parser.options(_TEXT)).unify_dictionaries()
        parser.check(table.num_rows)
    asked = [field for field in fields if field.name in header.names]
    columns = {}
    for field in asked:
        column = _column(table[header.names[field.name]], field)
        if parser.stream.is_marked:
            _refuse_not_utf8(path, header, field, column.values, column.index, rows_before=0)
        columns[field.name] = column
    return CsvTable(path, columns, table.num_rows, parser.malformed, (TableFile(path, header, table.num_rows),))


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """What pyarrow says quotes the row it stopped at, so that none of it is passed on."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path.name} {_defect(error)} ({path}).") from None


class _Parser:
    """How pyarrow is to read a file, and what it left unsaid when it has."""

    def __init__(self, path: Path, header: Header) -> None:
        self.malformed = 0
        self._path = path
        self._separator = header.separator
        self._spellings = list(header.names.values())
        self.stream = Utf8Stream(path)
        self.file = pa.PythonFile(self.stream, mode="r")

    def options(self, text: pa.DataType) -> dict[str, Any]:
        return {
            "read_options": pa_csv.ReadOptions(block_size=_BLOCK_BYTES),
            "parse_options": pa_csv.ParseOptions(delimiter=self._separator, invalid_row_handler=self._skip),
            "convert_options": pa_csv.ConvertOptions(
                include_columns=self._spellings, column_types=dict.fromkeys(self._spellings, text)
            ),
        }

    def check(self, rows: int) -> None:
        """Raise SourceError where ``rows``, all that were read, are not all that the file holds."""
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


def _joined(columns: Sequence[Column]) -> Column:
    chunks = [pa.DictionaryArray.from_arrays(pa.array(column.index), column.values) for column in columns]
    unified = pa.chunked_array(chunks).unify_dictionaries()
    index = np.concatenate([chunk.indices.to_numpy() for chunk in unified.chunks])
    return Column(index, unified.chunk(0).dictionary, sum(column.spelled_missing for column in columns))


def _refuse_other_columns(first: CsvTable, table: CsvTable) -> None:
    _refuse_other_names(first.path, first.parts[0].header, table.path, table.parts[0].header)


def _refuse_other_names(first: Path, expected: Header, path: Path, header: Header) -> None:
    differing = sorted(name.upper() for name in set(expected.names) ^ set(header.names))
    if differing:
        raise SourceError(
            f"the files of one table must have the same columns; {first.name} and {path.name} differ in "
            f"{', '.join(differing)}. Export the table again, or read one of them ({path.parent})."
        )


def _refuse_not_utf8(
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
    with io.TextIOWrapper(open_bytes(path), encoding="latin-1") as text:
        lines = sum(1 for line in text if line.strip("\r\n")) - 1
    if lines != rows:
        raise SourceError(
            f"{path.name} must hold one row per line; it has {lines} lines after the header and {rows} rows, so a "
            f"double quote opens that never closes, or a value holds a line break. Remove it ({path})."
        )


def _defect(error: BaseException) -> str:
    """Say what an error of pyarrow means for the person who has the file, in words that hold nothing of the file."""
    message = str(error)
    if "Truncated" in message:
        return "is cut short: its gzip data ends too early. Copy or export it again"
    if "incorrect header check" in message:
        return "must be gzip data, as its name says, and isn't. Name it .csv if it is plain text, or export it again"
    if "inflate failed" in message:
        return "is damaged: its gzip data can't be unpacked. Copy or export it again"
    if isinstance(error, OSError) and error.strerror:
        return f"can't be read; the system says: {error.strerror}. Give survlstm the right to read it, or copy it again"
    return (
        "can't be read as CSV: a row of it can't be split into columns. Look for a double quote that never closes, "
        "or export it again"
    )
