"""CSV file, plain or gzipped → the columns asked for by name, whole or a block of rows at a time."""

from __future__ import annotations

import csv
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

from survlstm.errors import SourceError

_TEXT = pa.dictionary(pa.int32(), pa.string())
_HEAD_BYTES = 1 << 16
# Larger blocks mean fewer dictionaries to merge; 0.5 to 4 MiB differ little, 2 MiB took the least time.
_BLOCK_BYTES = 1 << 21

_FOREIGN = (
    (b"\xff\xfe", "UTF-16 text; save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text; save it as UTF-8"),
    (b"%PDF", "a PDF; put the CSV file in its place"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet; unpack it, or save it as CSV"),
    (b"\x1f\x8b", "gzip data; name it .csv.gz, or unpack it once"),
    (b"<", "HTML or XML, often a saved error page; download the CSV file again"),
)


class Field(NamedTuple):
    """A column by its name here and the spellings a file may use for it, the preferred one first."""

    name: str
    spellings: tuple[str, ...]
    required: bool = True


@dataclass(frozen=True)
class Column:
    """A column's distinct texts and, row by row, which of them stands there: ``values[index]`` is the column."""

    index: Int32[np.ndarray, " row"]
    values: pa.Array


class CsvTable(NamedTuple):
    """The columns found, by ``Field.name``; ``malformed`` rows had the wrong number of fields and aren't in them."""

    path: Path
    columns: dict[str, Column]
    rows: int
    malformed: int


def read_csv_table(path: Path, fields: Sequence[Field]) -> CsvTable:
    """Read the columns of ``fields`` as texts; optional ones that the file lacks are absent from the result.

    Raises SourceError for a file that is empty, cut short, damaged, not UTF-8, not CSV, or without a required column.
    """
    with _sentences(path):
        names, has_rows = _open(path, fields)
        if not has_rows:
            nothing = Column(np.empty(0, np.int32), pa.array([], pa.string()))
            return CsvTable(path, dict.fromkeys(names, nothing), 0, 0)
        parser = _Parser(path, names)
        table = pa_csv.read_csv(parser.file, **parser.options(_TEXT)).unify_dictionaries()
        parser.check(table.num_rows)
        columns = {name: _column(table[spelling]) for name, spelling in names.items()}
        return CsvTable(path, columns, table.num_rows, parser.malformed)


class CsvStream:
    """A CSV file as ``read_csv_table`` reads it, but a block of rows at a time.

    pyarrow reads up to 32 blocks of 2 MiB ahead, so a file of any length takes 64 MiB at most and a few blocks more.
    ``names`` gives the spelling of every field found; ``malformed`` is complete when all blocks have been read.
    """

    def __init__(self, path: Path, fields: Sequence[Field]) -> None:
        self.path = path
        self.malformed = 0
        with _sentences(path):
            self.names, self._has_rows = _open(path, fields)

    def blocks(self) -> Iterator[pa.RecordBatch]:
        """Rows as texts, in columns named as in the file; raises SourceError where ``read_csv_table`` would."""
        if not self._has_rows:
            return
        rows = 0
        with _sentences(self.path):
            parser = _Parser(self.path, self.names)
            reader = pa_csv.open_csv(parser.file, **parser.options(pa.string()))
        # A reader's own error, not one of whoever takes the blocks, gets a reader's sentence.
        while (block := self._next(reader)) is not None:
            rows += block.num_rows
            yield block
        self.malformed = parser.malformed
        with _sentences(self.path):
            parser.check(rows)

    def tables(self) -> Iterator[CsvTable]:
        """The same rows, each block a table of its own; none of them counts malformed rows."""
        for block in self.blocks():
            columns = {
                name: _column(pa.chunked_array([block.column(spelling).dictionary_encode()]))
                for name, spelling in self.names.items()
            }
            yield CsvTable(self.path, columns, block.num_rows, 0)

    def _next(self, reader: pa_csv.CSVStreamingReader) -> pa.RecordBatch | None:
        with _sentences(self.path):
            try:
                return reader.read_next_batch()
            except StopIteration:
                return None


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        raise SourceError(f"{path.name} {_defect(str(error))} ({path}).") from error


def _open(path: Path, fields: Sequence[Field]) -> tuple[dict[str, str], bool]:
    """The spelling of every field found, and whether there is a line after the header."""
    head = _head(path)
    names = _column_names(path, _header(path, head), fields)
    # pyarrow takes a header without a line break for an empty file.
    return names, len(head.lstrip(b"\r\n").splitlines()) > 1 or head.endswith((b"\r", b"\n"))


class _Parser:
    """How pyarrow is to read a file, and what it left unsaid when it has."""

    def __init__(self, path: Path, names: dict[str, str]) -> None:
        self.malformed = 0
        self._path = path
        self._spellings = list(names.values())
        self._stream = _WatchedStream(path)
        self.file = pa.PythonFile(self._stream, mode="r")

    def options(self, text: pa.DataType) -> dict[str, Any]:
        return {
            "read_options": pa_csv.ReadOptions(block_size=_BLOCK_BYTES),
            "parse_options": pa_csv.ParseOptions(invalid_row_handler=self._skip),
            "convert_options": pa_csv.ConvertOptions(
                include_columns=self._spellings, column_types=dict.fromkeys(self._spellings, text)
            ),
        }

    def check(self, rows: int) -> None:
        """Raise SourceError where ``rows``, all that were read, are not all that the file holds."""
        if self._stream.quote_seen:
            _check_one_row_per_line(self._path, rows + self.malformed)

    def _skip(self, _row: pa_csv.InvalidRow) -> str:
        self.malformed += 1
        return "skip"


def _column(chunks: pa.ChunkedArray) -> Column:
    if chunks.num_chunks == 0:
        return Column(np.empty(0, np.int32), pa.array([], pa.string()))
    indices = [chunk.indices.to_numpy() for chunk in chunks.chunks]
    return Column(np.concatenate(indices), chunks.chunk(0).dictionary)


class _WatchedStream:
    """The file's decompressed bytes, remembering whether a double quote was among them.

    A quote that never closes makes the parser swallow every line up to the next quote without a word. Synthea writes
    no quotes, so a search for one costs next to nothing, and only a file that has some pays for counting its lines.
    """

    def __init__(self, path: Path) -> None:
        self._stream = pa.input_stream(str(path))
        self.quote_seen = False

    @property
    def closed(self) -> bool:
        return self._stream.closed

    def read(self, size: int = -1) -> bytes:
        block: bytes = self._stream.read(size)
        self.quote_seen = self.quote_seen or b'"' in block
        return block

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._stream.close()


def _check_one_row_per_line(path: Path, rows: int) -> None:
    with io.TextIOWrapper(pa.input_stream(str(path)), encoding="latin-1") as text:
        lines = sum(1 for line in text if line.strip()) - 1
    if lines != rows:
        raise SourceError(
            f"{path.name} must hold one row per line; it has {lines} lines after the header and {rows} rows, so a "
            f"double quote opens that never closes, or a value holds a line break. Remove it ({path})."
        )


def _head(path: Path) -> bytes:
    with pa.input_stream(str(path)) as stream:
        head: bytes = stream.read(_HEAD_BYTES)
    return head.removeprefix(b"\xef\xbb\xbf")


def _header(path: Path, head: bytes) -> list[str]:
    if not head.strip():
        raise SourceError(f"{path.name} must hold a header and rows; it is empty. Export or copy it again ({path}).")
    for signature, what in _FOREIGN:
        if head.lstrip().startswith(signature):
            raise SourceError(f"{path.name} must be comma-separated UTF-8 text; it is {what} ({path}).")
    line = head.lstrip(b"\r\n").splitlines()[0]
    if any(byte < 32 and byte != 9 for byte in line):
        raise SourceError(f"{path.name} must be comma-separated UTF-8 text; it is binary data ({path}).")
    try:
        return next(csv.reader([line.decode("utf-8")]))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(
            f"{path.name} must be comma-separated UTF-8 text; its header isn't: {error}. Save it as UTF-8 ({path})."
        ) from error


def _column_names(path: Path, header: list[str], fields: Sequence[Field]) -> dict[str, str]:
    found: dict[str, str] = {}
    for field in fields:
        spelling = next((text for text in field.spellings if text in header), None)
        if spelling is not None:
            found[field.name] = spelling
    missing = [" or ".join(field.spellings) for field in fields if field.required and field.name not in found]
    if missing:
        raise SourceError(
            f"{path.name} must have the columns of a Synthea CSV export (2019 or later); {', '.join(missing)} missing, "
            f"found {', '.join(header)[:400]}. Export it again, or rename the columns ({path})."
        )
    twice = [spelling for spelling in found.values() if header.count(spelling) > 1]
    if twice:
        raise SourceError(f"{path.name} must name each column once; {', '.join(twice)} stands there twice ({path}).")
    return found


def _defect(message: str) -> str:
    """Say what pyarrow's message means for the person who has the file."""
    if "Truncated" in message:
        return "is cut short: its gzip data ends too early. Copy or export it again"
    if "incorrect header check" in message:
        return "must be gzip data, as its name says, and isn't. Name it .csv if it is plain text, or export it again"
    if "inflate failed" in message:
        return f"is damaged: {message}. Copy or export it again"
    if "UTF8" in message:
        return f"must be UTF-8 text and isn't: {message}. Save it as UTF-8"
    return f"can't be read as CSV: {message}. Export it again"
