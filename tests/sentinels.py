"""Write exports whose cells are all recognisable, and break their tables, to find messages that quote a cell."""

from __future__ import annotations

import csv
import gzip
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from survlstm.simulation.synthea_csv import HEADERS

TABLES = tuple(HEADERS)
# Cells that are not recognisable: without these values no row would be usable, and no other defect would be found.
TYPES = {"TYPE": "numeric", "SYSTEM": "SNOMED-CT"}
# Columns of dates.
DAYS = ("BIRTHDATE", "DEATHDATE", "START", "STOP", "DATE")


def _cell(table: str, column: str, row: int) -> str:
    """Return a text that occurs in no other column and, except for codes, in no other row."""
    number = TABLES.index(table)
    if column in DAYS:
        year = {"BIRTHDATE": 1931, "DEATHDATE": 2031}.get(column, 1977 + row)
        return f"{year}-{number + 1:02d}-{17 + DAYS.index(column)}"
    if column in ("CODE", "REASONCODE"):
        return f"73918{number}00{int(column == 'CODE')}"
    if column in ("Id", "PATIENT", "ENCOUNTER"):
        is_patient = column == "PATIENT" or (table == "patients" and column == "Id")
        # An encounter's id is a UUID, as Synthea writes it.
        return f"zqpatient{row:03d}" if is_patient else f"e{row:07x}-91aa-47c1-8d3e-5f60718293a4"
    return TYPES.get(column) or (f"{row}7.391{number}" if column == "VALUE" else f"zq{table}{column}{row:03d}".lower())


@dataclass(frozen=True)
class Table:
    """A table of an export.

    Attributes:
        name: Name of the table.
        rows: Cells of the header and of each row.
    """

    name: str
    rows: tuple[tuple[str, ...], ...]

    def text(self, separator: str = ",") -> str:
        """Return the table as the text of a CSV file."""
        return "".join(separator.join(row) + "\n" for row in self.rows)

    def column(self, *names: str) -> int | None:
        """Return the index of the first of these columns that the table has; None if it has none of them."""
        return next((self.rows[0].index(name) for name in names if name in self.rows[0]), None)


def planted_table(name: str, *, rows: int) -> Table:
    """Return a table with all columns of Synthea and one row for each of ``rows`` patients."""
    header = tuple(HEADERS[name].split(","))
    return Table(name, (header, *(tuple(_cell(name, column, row) for column in header) for row in range(rows))))


def plant(folder: Path, *, tables: Sequence[str] = TABLES, rows: int = 6) -> set[str]:
    """Write tables to a folder, and return every text that no message may contain."""
    folder.mkdir(parents=True, exist_ok=True)
    cells: set[str] = set()
    for name in tables:
        table = planted_table(name, rows=rows)
        (folder / f"{name}.csv").write_text(table.text(), encoding="utf-8")
        cells |= {cell for row in table.rows[1:] for cell in row}
    return cells - set(TYPES.values())


def leaked(text: str, cells: set[str]) -> list[str]:
    """Return the cells that a text contains, sorted."""
    return sorted(cell for cell in cells if cell in text)


# Changes the file of a table; the second argument is the table as it was written.
Breaks = Callable[[Path, Table], None]


def _rewritten(change: Callable[[list[list[str]]], object]) -> Breaks:
    """Apply ``change`` to the cells of the table, and write the table again."""

    def breaks(path: Path, table: Table) -> None:
        rows = [list(row) for row in table.rows]
        change(rows)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        path.write_text(text.getvalue(), encoding="utf-8")

    return breaks


def _bytes(change: Callable[[bytes], bytes]) -> Breaks:
    """Apply ``change`` to the bytes of the file."""
    return lambda path, table: path.write_bytes(change(table.text().encode())) and None


def _swapped(*pair: tuple[str, ...]) -> Breaks:
    """Exchange the names of two columns, each given by the names that it may have."""

    def change(rows: list[list[str]]) -> None:
        header = Table("", (tuple(rows[0]),))
        one, other = (header.column(*names) for names in pair)
        if one is not None and other is not None:
            rows[0][one], rows[0][other] = rows[0][other], rows[0][one]

    return _rewritten(change)


def _set(rows: list[list[str]], column: int, value: str) -> None:
    for row in rows[1:]:
        row[column] = value


def _replaced_by(make: Callable[[Path], None]) -> Breaks:
    """Delete the file, and make something else in its place."""

    def breaks(path: Path, table: Table) -> None:
        path.unlink()
        make(path)

    return breaks


def _renamed(path: Path, name: str) -> None:
    path.rename(path.with_name(name))


TIME, PATIENT, NAME = ("BIRTHDATE", "START", "DATE"), ("PATIENT", "Id"), ("LAST", "DESCRIPTION")
BREAKS: dict[str, Breaks] = {
    "sound": _rewritten(lambda rows: None),
    "no header": _rewritten(lambda rows: rows.pop(0)),
    "a row before the header": _rewritten(lambda rows: rows.insert(0, rows.pop(1))),
    "a row for a header, the header at the end": _rewritten(lambda rows: rows.append(rows.pop(0))),
    "time and name swapped": _swapped(TIME, NAME),
    "time and SSN swapped": _swapped(TIME, ("SSN", "CODE")),
    "time and patient swapped": _swapped(TIME, PATIENT),
    "death and SSN swapped": _swapped(("DEATHDATE", "STOP"), ("SSN", "PATIENT")),
    "code and patient swapped": _swapped(("CODE", "LAST"), PATIENT),
    "code and encounter swapped": _swapped(("CODE",), ("ENCOUNTER", "Id")),
    "code and stop swapped": _swapped(("CODE",), ("STOP", "DATE")),
    "description and encounter swapped": _swapped(("DESCRIPTION",), ("ENCOUNTER", "Id")),
    "every row twice": _rewritten(lambda rows: rows.extend(rows[1:])),
    "a column missing": _rewritten(lambda rows: [row.pop(1) for row in rows]),
    "the last column missing in all rows": _rewritten(lambda rows: [row.pop() for row in rows[1:]]),
    "a column too many in all rows": _rewritten(lambda rows: [row.append(row[0]) for row in rows[1:]]),
    "a header of one row": _rewritten(lambda rows: rows.__setitem__(slice(None), [rows[1]])),
    "times that are none": _rewritten(lambda rows: [row.__setitem__(slice(None), row[::-1]) for row in rows[1:]]),
    "NULL everywhere": _rewritten(lambda rows: [_set(rows, column, "NULL") for column in range(len(rows[0]))]),
    "a row of the wrong width that is not UTF-8": _bytes(lambda text: text + text.splitlines()[1] + b",\xe9\n"),
    "a cell that is not UTF-8": _bytes(lambda text: text.replace(b"zqpatient001", b"zqpatient001\xe9")),
    "cut in the middle": _bytes(lambda text: text[: len(text) * 2 // 3]),
    "a quote that never closes": _bytes(lambda text: text.replace(b"zqpatient002", b'"zqpatient002')),
    "a line break in quotes": _bytes(lambda text: text.replace(b"zqpatient002", b'"zqpatient002\n"')),
    "quotes in the header": _bytes(lambda text: text.replace(b",", b'","', 1)),
    "NUL bytes": _bytes(lambda text: text.replace(b"zq", b"zq\0")),
    "UTF-16": _bytes(lambda text: text.decode().encode("utf-16")),
    "gzip named .csv": _bytes(gzip.compress),
    "semicolons": _bytes(lambda text: text.replace(b",", b";")),
    "blanks for commas": _bytes(lambda text: text.replace(b",", b" ")),
    "one line": _bytes(lambda text: text.replace(b"\n", b",")),
    "a long cell": _bytes(lambda text: text.replace(b"zqpatient001", b"zqpatient001" * 20_000)),
    "empty": _bytes(lambda text: b""),
    "a folder": _replaced_by(lambda path: path.mkdir()),
    "a link to nothing": _replaced_by(lambda path: path.symlink_to("nowhere")),
    "a pipe": _replaced_by(os.mkfifo),
    "absent": _replaced_by(lambda path: None),
    "part 2 alone": lambda path, table: _renamed(path, f"{table.name}-2.csv"),
    "gzip that is none": lambda path, table: _renamed(path, f"{table.name}.csv.gz"),
    "capitals": lambda path, table: _renamed(path, f"{table.name.upper()}.CSV"),
}
