"""Read the header of a CSV file: the names of its columns, and the character that separates them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from survlstm.data.sources.csv_stream import open_bytes
from survlstm.data.sources.synthea_columns import SYNTHEA_COLUMNS
from survlstm.utils.content import kinds_of_content, list_known_names
from survlstm.utils.errors import SourceError

_HEAD_BYTES = 1 << 16
# Synthea writes commas; the other separators are those of spreadsheets and databases.
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}

# The first bytes of other kinds of file that people give a .csv name, and what to do about each.
_FOREIGN = (
    (b"\xff\xfe", "UTF-16 text; save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text; save it as UTF-8"),
    (b"%PDF", "a PDF; put the CSV file in its place"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet; unpack it, or save it as CSV"),
    (b"\x1f\x8b", "gzip data; name it .csv.gz, or unpack it once"),
    (b"<", "HTML or XML, often a saved error page; download the CSV file again"),
)


class Field(NamedTuple):
    """A column to read, and the names that it may have in a file.

    Attributes:
        name: Name of the column in this package.
        spellings: Names that a file may give the column, the preferred one first.
        required: True if a file without the column is refused.
        free_text: True if the cells are free text, in which words such as "none" do not mean a missing value.
    """

    name: str
    spellings: tuple[str, ...]
    required: bool = True
    free_text: bool = False


class Header(NamedTuple):
    """The header of one file.

    Attributes:
        names: Spelling in the file of every field that the file has, by ``Field.name``.
        separator: Character between two cells.
        width: Number of columns, also those that are not read.
        notes: One sentence for each way in which the header differs from Synthea's and was read all the same.
        has_rows: True if a line follows the header.
    """

    names: dict[str, str]
    separator: str
    width: int
    notes: tuple[str, ...]
    has_rows: bool


def read_header(path: Path, fields: Sequence[Field]) -> Header:
    """Read the first line that is not blank.

    Columns are also recognised by their name in another case or with spaces around it, and where semicolons, tabs or
    vertical bars separate them.

    Args:
        path: The file, decompressed where its name ends in .gz.
        fields: The columns to look for; other columns are ignored.

    Returns:
        The header; optional columns that the file lacks are absent from its ``names``.

    Raises:
        SourceError: The file is empty, is not UTF-8 text, names a column twice or lacks a required one.
        OSError: The file can't be read or unpacked.
    """
    head = _first_bytes(path)
    lines = head.lstrip(b"\r\n").splitlines()
    text = _decode_header(path, head, lines)
    # pyarrow treats a file that consists of a header without a line break as empty.
    has_rows = len(lines) > 1 or head.endswith((b"\r", b"\n"))
    for separator, word in _SEPARATORS.items():
        cells = _split_line(text, separator) or []
        names = _column_names(path, cells, fields)
        if not _missing_columns(names, fields):
            notes = [f"columns separated by {word}"] if separator != "," else []
            other = [spelling for spelling in names.values() if spelling not in _spellings(fields)]
            if other:
                notes.append(f"{len(other)} column names in another case, or with spaces around them")
            return Header(names, separator, len(cells), tuple(notes), has_rows)
    raise _header_error(path, text, lines, fields)


def line_of_row(path: Path, header: Header, row: int) -> int:
    """Return the number of the line in which a row stands.

    The file is read again up to that line, so this is for messages only.

    Args:
        path: The file.
        header: Its header.
        row: Index of the row, from 0; blank and malformed lines are not counted.

    Returns:
        Number of the line, from 1, the header's line included; 0 if the file has no such row.
    """
    rows = (number for number, is_row in _lines_after_header(path, header) if is_row)
    return next(islice(rows, row, None), 0)


def line_of_malformed_row(path: Path, header: Header) -> int:
    """Return the number of the first line with more or fewer cells than the header.

    The file is read again up to that line, so this is for messages only.

    Args:
        path: The file.
        header: Its header.

    Returns:
        Number of the line, from 1, the header's line included; 0 if there is none.
    """
    return next((number for number, is_row in _lines_after_header(path, header) if not is_row), 0)


def _lines_after_header(path: Path, header: Header) -> Iterator[tuple[int, bool]]:
    """Yield the number of every line after the header that is not blank, and whether it has the header's width."""
    is_header = True
    with io.TextIOWrapper(open_bytes(path), encoding="latin-1", newline=None) as text:
        for number, line in enumerate(text, start=1):
            if is_header or not line.strip("\r\n"):
                is_header = is_header and not line.strip("\r\n")
                continue
            cells = _split_line(line.strip("\r\n"), header.separator)
            yield number, cells is not None and len(cells) == header.width


def _first_bytes(path: Path) -> bytes:
    """Read the first 64 KiB, without a byte order mark."""
    with open_bytes(path) as stream:
        head: bytes = stream.read(_HEAD_BYTES)
    return head.removeprefix(b"\xef\xbb\xbf")


def _decode_header(path: Path, head: bytes, lines: Sequence[bytes]) -> str:
    """Return the first line as text; raise SourceError where the file is empty or of another kind."""
    if not head.strip():
        raise SourceError(f"{path.name} must hold a header and rows; it is empty. Export or copy it again ({path}).")
    for signature, what in _FOREIGN:
        if head.lstrip().startswith(signature):
            raise SourceError(f"{path.name} must be comma-separated UTF-8 text; it is {what} ({path}).")
    if any(byte < 32 and byte != 9 for byte in lines[0]):
        raise SourceError(
            f"{path.name} must be comma-separated UTF-8 text; it is binary data. Put the CSV file there ({path})."
        )
    try:
        return lines[0].decode("utf-8")
    except UnicodeDecodeError:
        raise SourceError(
            f"{path.name} must be comma-separated UTF-8 text; its header holds bytes that are not UTF-8. Save "
            f"it as UTF-8 ({path})."
        ) from None


def _split_line(line: str, separator: str) -> list[str] | None:
    """Split a line into cells; None where its quotes are not balanced or a cell is too long for the csv module."""
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return None


def _column_names(path: Path, cells: Sequence[str], fields: Sequence[Field]) -> dict[str, str]:
    """Return the file's spelling of every field: Synthea's own, else one in another case or with spaces around it."""
    names: dict[str, str] = {}
    for field in fields:
        exact = [spelling for spelling in field.spellings if spelling in cells]
        folded = {spelling.casefold() for spelling in field.spellings}
        matching = exact[:1] or [cell for cell in cells if cell.strip().casefold() in folded]
        if len(matching) > 1 or (matching and cells.count(matching[0]) > 1):
            raise SourceError(
                f"{path.name} must name each column once; its header names {field.spellings[0]} more than once, "
                f"perhaps in another case. Remove or rename the other columns of that name ({path})."
            )
        if matching:
            names[field.name] = matching[0]
    return names


def _missing_columns(names: dict[str, str], fields: Sequence[Field]) -> list[str]:
    return [" or ".join(field.spellings) for field in fields if field.required and field.name not in names]


def _spellings(fields: Sequence[Field]) -> set[str]:
    return {spelling for field in fields for spelling in field.spellings}


def _header_error(path: Path, text: str, lines: Sequence[bytes], fields: Sequence[Field]) -> SourceError:
    """Describe a first line that lacks a column; names that may be a patient's data are only counted by kind."""
    separator = max(_SEPARATORS, key=text.count)
    cells = _split_line(text, separator) or []
    missing = ", ".join(_missing_columns(_column_names(path, cells, fields), fields))
    advice = "Export it again, or rename the columns"
    if not set(cells) & SYNTHEA_COLUMNS:
        second = _split_line(lines[1].decode("utf-8", "replace"), separator) if len(lines) > 1 else None
        if second and not _missing_columns(_column_names(path, second, fields), fields):
            advice = "The second line is the header: remove the line before it"
        else:
            advice = f"The first line looks like a row of data ({kinds_of_content(cells)}): insert the header above it"
    return SourceError(
        f"{path.name} must have the columns of a Synthea CSV export (2019 or later) in its first line; {missing} "
        f"missing, found {list_known_names(cells, SYNTHEA_COLUMNS)}, separated by {_SEPARATORS[separator]}. {advice} "
        f"({path})."
    )
