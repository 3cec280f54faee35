"""Test randomly changed exports: rows are used or counted, errors are SourceErrors, and no message quotes a cell."""

from __future__ import annotations

import logging
import random
import traceback
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from survlstm.data.events import SourceData
from survlstm.data.sources.descriptions import read_descriptions
from survlstm.data.sources.row_checks import LONGEST_CODE, LONGEST_ID
from survlstm.data.sources.shards import merge_counts, split_into_shards
from survlstm.data.sources.synthea import SyntheaSource
from survlstm.data.sources.synthea_format import EVENT_TABLES
from survlstm.utils.errors import SourceError
from tests.sentinels import BREAKS, leaked, plant, planted_table

ALL = tuple(EVENT_TABLES)
TABLES = ("patients", "encounters", "conditions", "observations")
ROWS = 12
# Bytes that people, spreadsheets, databases and damaged disks write into a cell or between two cells.
PIECES = [
    b"", b" ", b"\t", b",", b";", b'"', b'""', b"'", b"\n", b"\r\n", b"\r", b"\0", b"\x1a", b"\xff", b"\xc3",
    b"\xc3\xa9", b"\xef\xbb\xbf", b"\xef\xb7\x90", b"\xe2\x80\xa8", b"\xf0\x9f\x98\x80", b"NULL", b"NaN", b"N/A", b"-",
    b"0", b"1.5E+14", b"44054006.0", b"9" * 18, b"x" * 70, b"x" * 200, b"9999-99-99", b"2020-02-30", b"31/12/2020",
    b"2301-01-01", b"1970-01-01T00:00:00+99:99", b"12:30", b"e0000001-91aa-47c1-8d3e-5f60718293a4", b"Id", b"CODE",
]  # fmt: skip


def splice(content: bytes, chance: random.Random) -> bytes:
    """Insert one of ``PIECES`` between two bytes, or replace a cell or a few bytes by it."""
    start = chance.randrange(len(content) + 1)
    stop = start + chance.choice([0, 0, 1, 5, 40])
    if chance.random() < 0.4:
        # Replace the whole cell.
        start = content.rfind(b",", 0, start) + 1
        stop = next(
            (position for position in range(start, len(content)) if content[position : position + 1] in b",\n"),
            len(content),
        )
    return content[:start] + chance.choice(PIECES) + content[stop:]


def shuffle_lines(content: bytes, chance: random.Random) -> bytes:
    """Remove, repeat or move lines, including the header."""
    lines = content.splitlines(keepends=True)
    for _ in range(chance.randrange(1, 4)):
        if lines:
            line = lines.pop(chance.randrange(len(lines)))
            for _ in range(chance.randrange(3)):
                lines.insert(chance.randrange(len(lines) + 1), line)
    return b"".join(lines)


def cut(content: bytes, chance: random.Random) -> bytes:
    """Keep only the bytes up to a random position."""
    return content[: chance.randrange(len(content) + 1)]


def mutate(folder: Path, chance: random.Random) -> None:
    """Make one to six changes to one or two tables."""
    for table in chance.sample(TABLES, chance.choice([1, 1, 2])):
        path = folder / f"{table}.csv"
        if chance.random() < 0.3:
            BREAKS[chance.choice(list(BREAKS))](path, planted_table(table, rows=ROWS))
        if not path.is_file():
            continue
        content = path.read_bytes()
        for _ in range(chance.randrange(1, 7)):
            content = chance.choices([splice, shuffle_lines, cut], weights=[8, 3, 1])[0](content, chance)
        path.write_bytes(content)


def lines_after_the_header(folder: Path, table: str) -> int | None:
    """Return how many rows a file must give; None if it contains quotes or is not at its usual path."""
    path = folder / f"{table}.csv"
    if not path.is_file() or b'"' in (content := path.read_bytes()):
        return None
    return sum(1 for line in content.splitlines() if line) - 1


def check_reading(reading: SourceData, folder: Path) -> None:
    """Assert what holds for every export that was read: rows add up, ids and codes are short and printable."""
    patients, *tables = reading.tables
    for count in reading.tables:
        assert count.rows_read == count.rows_used + sum(count.left_out.values()) + sum(count.unusable.values())
        assert all(rows > 0 for rows in (*count.left_out.values(), *count.unusable.values()))
        expected = lines_after_the_header(folder, count.table)
        assert expected is None or count.rows_read == expected, count.table
    events = reading.events
    assert len(events.subjects) == patients.rows_used > 0
    assert len(events) == sum(count.rows_used for count in tables)
    assert np.array_equal(events.subjects.subject_id, np.unique(events.subjects.subject_id))
    assert max(map(len, events.subjects.subject_id)) <= LONGEST_ID
    names = [*events.codes.tolist(), *events.subjects.subject_id.tolist()]
    assert not {unicodedata.category(letter) for name in names for letter in name} & {"Cc", "Cf", "Zl", "Zp"}
    assert max((len(name.partition("/")[2]) for name in events.codes.tolist()), default=0) <= LONGEST_CODE
    assert not np.isnat(events.time).any()


def read_in_parts(folder: Path, into: Path):
    with split_into_shards(folder, tables=ALL, subjects_at_once=5, into=into) as cut:
        return merge_counts(
            [cut.malformed, *(SyntheaSource(str(part), ALL, 1.0).read().tables for part in cut.folders)]
        )


def fuzz_once(seed: int, folder: Path, caplog) -> bool:
    """Mutate and read one export; return True if it was read and False if it was refused."""
    caplog.set_level(logging.DEBUG)
    chance = random.Random(seed)
    cells = plant(folder, tables=TABLES, rows=ROWS)
    mutate(folder, chance)
    messages, reading = [], None
    try:
        reading = SyntheaSource(str(folder), ALL, 1.0).read()
        messages += [*reading.warnings, *map(str, reading.tables)]
    except SourceError as error:
        messages += traceback.format_exception(error)
    if reading is not None:
        check_reading(reading, folder)
        assert read_in_parts(folder, folder / "parts") == reading.tables
    try:
        list(read_descriptions(folder, ALL))
        SyntheaSource(str(folder), ALL, 0.0).read()
    except SourceError as error:
        messages += traceback.format_exception(error)
    assert leaked("".join(messages) + caplog.text, cells) == []
    caplog.clear()
    return reading is not None


def fuzz(seeds: range, tmp_path: Path, caplog) -> int:
    """Run ``fuzz_once`` for every seed, and return how many exports were read."""
    read = 0
    for seed in seeds:
        try:
            read += fuzz_once(seed, tmp_path / str(seed), caplog)
        except BaseException:
            pytest.fail(f"seed {seed}\n{traceback.format_exc()}")
    return read


def test_mutated_exports(tmp_path, caplog):
    read = fuzz(range(60), tmp_path, caplog)
    assert 15 <= read <= 50


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 5000, 500))
def test_many_mutated_exports(tmp_path, caplog, start):
    fuzz(range(start, start + 500), tmp_path, caplog)
