"""Read the first line of a CSV file: which columns it names, and what separates them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from survlstm.data.sources.csv_stream import open_bytes
from survlstm.data.sources.synthea_columns import SYNTHEA_COLUMNS
from survlstm.utils.content import kinds_of_content, list_known_names
from survlstm.utils.errors import SourceError

_HEAD_BYTES = 1 << 16
# The first is Synthea's; the others are those of spreadsheets and databases.
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}

_FOREIGN = (
    (b"\xff\xfe", "UTF-16 text; save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text; save it as UTF-8"),
    (b"%PDF", "a PDF; put the CSV file in its place"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet; unpack it, or save it as CSV"),
    (b"\x1f\x8b", "gzip data; name it .csv.gz, or unpack it once"),
    (b"<", "HTML or XML, often a saved error page; download the CSV file again"),
)


class Field(NamedTuple):
    """A column by its name here and the spellings a file may use for it, the preferred one first.

    In a ``free_text`` words for "missing" are words.
    """

    name: str
    spellings: tuple[str, ...]
    required: bool = True
    free_text: bool = False


class Header(NamedTuple):
    """``names`` gives the spelling in the file of every field found, ``width`` how many columns a row has.

    ``seen`` says what was read although Synthea writes it otherwise; ``has_rows`` whether a line follows.
    """

    names: dict[str, str]
    separator: str
    width: int
    seen: tuple[str, ...]
    has_rows: bool


def read_header(path: Path, fields: Sequence[Field]) -> Header:
    """Read the first line; a column is also found by its name in another case, and behind ``;``, tabs or ``|``.

    Raises SourceError for a file that is empty, no UTF-8 text, or without a required column.
    """
    head = _head(path)
    lines = head.lstrip(b"\r\n").splitlines()
    text = _text(path, head, lines)
    # pyarrow takes a header without a line break for an empty file.
    has_rows = len(lines) > 1 or head.endswith((b"\r", b"\n"))
    for separator, word in _SEPARATORS.items():
        cells = _cells(text, separator) or []
        names = _column_names(path, cells, fields)
        if not _missing(names, fields):
            seen = [f"columns separated by {word}"] if separator != "," else []
            other = [spelling for spelling in names.values() if spelling not in _spellings(fields)]
            if other:
                seen.append(f"{len(other)} column names in another case, or with spaces around them")
            return Header(names, separator, len(cells), tuple(seen), has_rows)
    raise _no_header(path, text, lines, fields)


def line_of_row(path: Path, header: Header, row: int) -> int:
    """Return the number of the line that holds data row ``row``; blank and malformed lines are no rows.

    Rows count from 0, lines from 1, the header among them. Reads the file up to there: for messages only.
    """
    rows_before, is_header = 0, True
    with io.TextIOWrapper(open_bytes(path), encoding="latin-1", newline=None) as text:
        for number, line in enumerate(text, start=1):
            if is_header or not line.strip("\r\n"):
                is_header = is_header and not line.strip("\r\n")
                continue
            cells = _cells(line.strip("\r\n"), header.separator)
            if cells is None or len(cells) != header.width:
                continue
            if rows_before == row:
                return number
            rows_before += 1
    return 0


def _head(path: Path) -> bytes:
    with open_bytes(path) as stream:
        head: bytes = stream.read(_HEAD_BYTES)
    return head.removeprefix(b"\xef\xbb\xbf")


def _text(path: Path, head: bytes, lines: Sequence[bytes]) -> str:
    """The first line as text; SourceError where the file is empty or of another kind."""
    if not head.strip():
        raise SourceError(f"{path.name} must hold a header and rows; it is empty. Export or copy it again ({path}).")
    for signature, what in _FOREIGN:
        if head.lstrip().startswith(signature):
            raise SourceError(f"{path.name} must be comma-separated UTF-8 text; it is {what} ({path}).")
    if any(byte < 32 and byte != 9 for byte in lines[0]):
        raise SourceError(f"{path.name} must be comma-separated UTF-8 text; it is binary data ({path}).")
    try:
        return lines[0].decode("utf-8")
    except UnicodeDecodeError:
        raise SourceError(
            f"{path.name} must be comma-separated UTF-8 text; its header isn't: it holds bytes that are not UTF-8. "
            f"Save it as UTF-8 ({path})."
        ) from None


def _cells(line: str, separator: str) -> list[str] | None:
    """The cells of a line; None where its quotes can't be told apart."""
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return None


def _column_names(path: Path, cells: Sequence[str], fields: Sequence[Field]) -> dict[str, str]:
    """The spelling of every field found: as Synthea writes it, else in another case or with spaces around it."""
    found: dict[str, str] = {}
    for field in fields:
        exact = [spelling for spelling in field.spellings if spelling in cells]
        like = {spelling.casefold() for spelling in field.spellings}
        alike = exact[:1] or [cell for cell in cells if cell.strip().casefold() in like]
        if len(alike) > 1 or (alike and cells.count(alike[0]) > 1):
            raise SourceError(
                f"{path.name} must name each column once; {field.spellings[0]} stands there twice ({path})."
            )
        if alike:
            found[field.name] = alike[0]
    return found


def _missing(names: dict[str, str], fields: Sequence[Field]) -> list[str]:
    return [" or ".join(field.spellings) for field in fields if field.required and field.name not in names]


def _spellings(fields: Sequence[Field]) -> set[str]:
    return {spelling for field in fields for spelling in field.spellings}


def _no_header(path: Path, text: str, lines: Sequence[bytes], fields: Sequence[Field]) -> SourceError:
    """What to say of a first line that lacks a column: names that may be a patient's data are counted by kind only."""
    separator = max(_SEPARATORS, key=text.count)
    cells = _cells(text, separator) or []
    missing = ", ".join(_missing(_column_names(path, cells, fields), fields))
    advice = "Export it again, or rename the columns"
    if not set(cells) & SYNTHEA_COLUMNS:
        second = _cells(lines[1].decode("utf-8", "replace"), separator) if len(lines) > 1 else None
        if second and not _missing(_column_names(path, second, fields), fields):
            advice = "The header stands in line 2: remove the line before it"
        else:
            advice = f"The line looks like a row of data ({kinds_of_content(cells)}): put the header line before it"
    return SourceError(
        f"{path.name} must have the columns of a Synthea CSV export (2019 or later) in its first line; {missing} "
        f"missing, found {list_known_names(cells, SYNTHEA_COLUMNS)}, separated by {_SEPARATORS[separator]}. {advice} "
        f"({path})."
    )
