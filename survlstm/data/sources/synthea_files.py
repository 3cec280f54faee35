"""Find the files of a Synthea CSV export in a folder, by table."""

from __future__ import annotations

import re
import stat
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from survlstm.data.sources.synthea_format import EVENT_TABLES, PATIENTS
from survlstm.utils.errors import SourceError

# Matches conditions.csv, CONDITIONS.CSV.GZ, and parts: conditions-0001.csv, conditions_2.csv, conditions.part3.csv.
_NAME = re.compile(r"(?P<table>[a-z_]+?)(?P<part>[-_. ]?(part[-_ ]?)?(?P<number>\d+))?\.csv(\.gz)?", re.IGNORECASE)
_SUFFIXES = (".csv", ".csv.gz")
# The most names that a message lists.
_SHOWN = 8


class ExportFiles(NamedTuple):
    """The files of an export.

    Attributes:
        files: Files of the patients and of each event table, in the order of ``EVENT_TABLES``; parts by their number.
        notes: One sentence for each table whose files Synthea would name otherwise.
        not_read: Names of the other CSV files without their endings, sorted.
    """

    files: dict[str, tuple[Path, ...]]
    notes: tuple[str, ...]
    not_read: tuple[str, ...]


def find_tables(folder: Path, requested: Sequence[str]) -> ExportFiles:
    """Find the files of the patients and of the requested event tables.

    Names may be in upper or lower case, and a table may be split into numbered parts.

    Args:
        folder: Folder of the export.
        requested: Names of event tables; those that are not in the folder are ignored.

    Returns:
        The files by table, with notes on unusual names and the names of the CSV files that are not read.

    Raises:
        SourceError: The folder can't be read or has no patients or none of the requested tables; or a table is there
            twice, lacks a part, or is not a file.
    """
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "is not there"
        raise SourceError(
            f"data.path must be the folder of a Synthea CSV export; {folder} {state}. Set data.path to the folder that "
            "holds patients.csv."
        )
    entries = _entries(folder)
    by_table: defaultdict[str, list[Path]] = defaultdict(list)
    for path in entries:
        if name := _NAME.fullmatch(path.name):
            by_table[name["table"].lower()].append(path)
    files = {
        table: _files_of(table, by_table[table], folder)
        for table in (PATIENTS, *EVENT_TABLES)
        if table in by_table and (table == PATIENTS or table in requested)
    }
    if PATIENTS not in files:
        raise SourceError(f"{folder} must hold patients.csv or patients.csv.gz; it holds {_describe(folder, entries)}.")
    if len(files) == 1:
        raise SourceError(
            f"{folder} must hold at least one of the event tables {', '.join(requested)} "
            f"(data.source.tables); it holds {_describe(folder, entries)}."
        )
    notes = [note for table, paths in files.items() if (note := _note(table, paths))]
    others = {path.name.split(".")[0] for path in entries if path.name.lower().endswith(_SUFFIXES)}
    read = {path.name.split(".")[0] for paths in files.values() for path in paths}
    return ExportFiles(files, tuple(notes), tuple(sorted(others - read)))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise SourceError(
            f"data.path must be a folder that can be read; the system says of {folder}: {error.strerror}. Give "
            "yourself the right to read it, or copy it."
        ) from None


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _files_of(table: str, paths: list[Path], folder: Path) -> tuple[Path, ...]:
    """Return the one file of a table, or its parts in the order of their numbers."""
    for path in paths:
        if (kind := _kind_if_not_file(path)) is not None:
            # No run goes without the patients.
            other = "" if table == PATIENTS else f", or leave {table} out of data.source.tables"
            raise SourceError(
                f"{folder} must hold {table} as a file; {path.name} is {kind}. Put the file in its place{other}."
            )
    numbers = {path: _number(path) for path in paths}
    whole = [path for path, number in numbers.items() if number is None]
    if len(whole) > 1 or (whole and len(paths) > 1):
        names = " and ".join(path.name for path in paths[:_SHOWN])
        raise SourceError(f"{folder} must hold each table once; {table} is there as {names}: remove all but one.")
    if whole:
        return (whole[0],)
    ordered = sorted(paths, key=lambda path: (numbers[path] or 0, path.name))
    present = [number for path in ordered if (number := numbers[path]) is not None]
    if present[0] > 1 or present != list(range(present[0], present[0] + len(present))):
        raise SourceError(
            f"the parts of a table must be numbered from 0 or 1 on without a gap; {table} has the numbers "
            f"{', '.join(map(str, present[:_SHOWN]))}{' …' if len(present) > _SHOWN else ''} in {folder}. Put the "
            "missing parts there, and keep each part once."
        )
    return tuple(ordered)


def _number(path: Path) -> int | None:
    name = _NAME.fullmatch(path.name)
    return int(name["number"]) if name and name["number"] else None


def _kind_if_not_file(path: Path) -> str | None:
    """Say what a path is that is not a file; None for a regular file or a link to one."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return "a link to nothing" if path.is_symlink() else f"not readable ({error.strerror})"
    if stat.S_ISDIR(mode):
        inside = sum(child.name.lower().endswith(_SUFFIXES) for child in _children(path))
        return f"a folder that holds {inside:,} CSV files"
    if stat.S_ISFIFO(mode):
        return "a pipe, which can't be read twice"
    return None if stat.S_ISREG(mode) else "neither a file nor a folder"


def _note(table: str, paths: tuple[Path, ...]) -> str:
    """Say how the files of a table are named if Synthea would name them otherwise; "" if it would not."""
    if len(paths) > 1:
        return f"{table} is read from {len(paths)} files, {paths[0].name} to {paths[-1].name}"
    exact = {f"{table}{suffix}" for suffix in _SUFFIXES}
    return "" if paths[0].name in exact else f"{paths[0].name} is read as {table}"


def _describe(folder: Path, entries: list[Path]) -> str:
    """List the CSV files of a folder, or the folders in it that are exports themselves."""
    names = [path.name for path in entries if path.name.lower().endswith(_SUFFIXES)]
    if names:
        return _shown(names)
    exports = [child.name for child in entries if child.is_dir() and any(map(_is_patients, _children(child)))]
    if exports:
        return (
            f"no CSV file, but {len(exports)} folders with a patients table: {_shown(exports)}. Set data.path to one "
            f"of them, as in data.path={folder / exports[0]}"
        )
    return "no CSV file"


def _shown(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")


def _is_patients(path: Path) -> bool:
    name = _NAME.fullmatch(path.name)
    return name is not None and name["table"].lower() == PATIENTS
