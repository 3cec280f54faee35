"""Split a Synthea CSV export of any size into small exports, in the order of subject ids."""

from __future__ import annotations

import logging
import shutil
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from jaxtyping import Int64
from tqdm import tqdm

from survlstm.data.events import TableCount
from survlstm.data.sources.csv_table import CsvStream, read_csv_table
from survlstm.data.sources.missing_values import blank_missing_values
from survlstm.data.sources.row_checks import check_unusable_share, count_malformed
from survlstm.data.sources.synthea import SyntheaSource
from survlstm.data.sources.synthea_format import EVENT_TABLES, PATIENT_FIELDS, PATIENTS
from survlstm.data.sources.synthea_patients import code_patients
from survlstm.utils.errors import SourceError
from survlstm.utils.files import PRIVATE_FOLDER, file_lock, is_locked, private_opener

log = logging.getLogger(__name__)

PARTS, LOCK = "parts-of-an-export-", ".lock"


class Shards(NamedTuple):
    """The parts of an export.

    Read each folder with ``max_unusable_share`` 1, merge the counts of all parts and ``malformed`` with
    ``merge_counts``, and check the result with ``check_unusable_shares``.

    Attributes:
        subjects: Number of usable subjects of the whole export.
        folders: Folders that ``SyntheaSource`` can read. The subjects of one after the other have the order of the
            whole export.
        malformed: Malformed rows of each table that has some; no folder contains them.
    """

    subjects: int
    folders: tuple[Path, ...]
    malformed: tuple[TableCount, ...]


@contextmanager
def split_into_shards(path: Path, *, tables: Sequence[str], subjects_at_once: int, into: Path) -> Iterator[Shards]:
    """Split an export into parts that can be read one after the other.

    An export that is small enough is its own only part, and nothing is written. Otherwise the parts are written to a
    temporary folder that is removed at the end, and memory does not grow with the number of events. A row whose patient
    is unknown or can't be used is written to the part in which a patient of that id would be, and is counted there.

    Args:
        path: Folder of the export.
        tables: Names of the event tables to split; those that the export lacks are ignored.
        subjects_at_once: Greatest number of usable subjects of a part.
        into: Folder in which the temporary folder is created.

    Yields:
        The parts, in the order of subject ids.

    Raises:
        SourceError: The export can't be read, or ``into`` can't be written or is full.

    Example:
        >>> with split_into_shards(path, tables=tables, subjects_at_once=1000, into=cache) as shards:
        ...     counts = [SyntheaSource(str(part), tables, 1.0).read().tables for part in shards.folders]
        ...     merged = merge_counts([*counts, shards.malformed])
    """
    files = SyntheaSource(str(path), tables, 1.0).files_by_table()
    patients = code_patients(read_csv_table(files[PATIENTS], PATIENT_FIELDS), max_unusable_share=1.0)
    subjects = len(patients.subjects)
    # The id of the first subject of every part except the first part.
    starts = patients.subjects.subject_id[subjects_at_once::subjects_at_once].tolist()
    del patients
    if not starts:
        yield Shards(subjects, (path,), ())
        return
    log.info("%s: %d subjects are split into %d parts", path, subjects, len(starts) + 1)
    with _folder(into) as folder:
        folders = tuple(folder / f"{number:06d}" for number in range(len(starts) + 1))
        with _room(path, into):
            for part in folders:
                part.mkdir(mode=PRIVATE_FOLDER)
            malformed = [_split(name, files[name], starts, folders) for name in files]
            _fill_empty(folders, files)
        yield Shards(subjects, folders, tuple(count for count in malformed if count.rows_read))


def merge_counts(counts: Iterable[tuple[TableCount, ...]]) -> tuple[TableCount, ...]:
    """Add up the counts of all parts for each table.

    Args:
        counts: The counts of the tables of each part.

    Returns:
        One sum per table: Synthea's in the order in which ``SyntheaSource`` returns them, then others as they appear.
    """
    sums: dict[str, TableCount] = {}
    for count in (count for part in counts for count in part):
        before = sums.get(count.table, TableCount(count.table, 0, 0, {}, {}))
        sums[count.table] = TableCount(
            count.table,
            before.rows_read + count.rows_read,
            before.rows_used + count.rows_used,
            dict(Counter(before.left_out) + Counter(count.left_out)),
            dict(Counter(before.unusable) + Counter(count.unusable)),
        )
    order = dict.fromkeys([*(table for table in (PATIENTS, *EVENT_TABLES) if table in sums), *sums])
    return tuple(sums[table] for table in order)


def check_unusable_shares(counts: tuple[TableCount, ...], *, limit: float) -> None:
    """Raise SourceError for the first table with too many unusable rows.

    Args:
        counts: The rows of each table.
        limit: Greatest share of unusable rows of a table, 0 to 1.

    Raises:
        SourceError: More than ``limit`` of the rows of a table are unusable.
    """
    for count in counts:
        check_unusable_share(count, limit=limit)


def _split(name: str, files: Sequence[Path], starts: list[str], folders: Sequence[Path]) -> TableCount:
    """Append every row of a table to the part of its patient, and count the malformed rows."""
    fields = PATIENT_FIELDS if name == PATIENTS else EVENT_TABLES[name].fields
    stream = CsvStream(files, fields)
    rows = 0
    for block in tqdm(stream.blocks(), desc=f"Splitting {name}", unit=" blocks", disable=None, leave=False):
        rows += block.num_rows
        part = _parts(block.column(stream.names["subject"]), starts)
        order = np.argsort(part, kind="stable")
        numbers, first = np.unique(part[order], return_index=True)
        by_part = block.take(pa.array(order))
        for number, start, stop in zip(numbers.tolist(), first, [*first[1:], len(order)], strict=True):
            _append(folders[number] / f"{name}.csv", by_part.slice(start, stop - start))
    if rows + stream.malformed == 0:
        # Only the first part has the empty table, so that its warning appears once.
        _header_only(folders[0] / f"{name}.csv", stream)
    return count_malformed(name, stream.malformed)


def _parts(ids: pa.Array, starts: list[str]) -> Int64[np.ndarray, " row"]:
    """Return the index of the part of each row's patient, or of the part in which a patient of that id would be."""
    encoded = ids.dictionary_encode()
    # Ids are compared as the reader of the parts sees them, without spaces around them.
    names, _ = blank_missing_values(encoded.dictionary)
    parts = np.array([bisect_right(starts, text) for text in names.to_pylist()], dtype=np.int64)
    return parts[encoded.indices.to_numpy()]


def _append(file: Path, rows: pa.RecordBatch) -> None:
    # The file is opened for each block, because there may be more parts than files that a process may keep open.
    with open(file, "ab", opener=private_opener) as end:
        if end.tell() == 0:
            end.write(_header(rows.schema.names))
        end.write(_as_csv(rows))


def _as_csv(rows: pa.RecordBatch) -> pa.Buffer:
    # Quotes are written only where a text needs them, because a file with quotes is read twice.
    for quoting in ("none", "all_valid"):
        text = pa.BufferOutputStream()
        try:
            pa_csv.write_csv(rows, text, pa_csv.WriteOptions(include_header=False, quoting_style=quoting))
            break
        except pa.ArrowInvalid:
            if quoting != "none":
                raise
    return text.getvalue()


def _header(names: Iterable[str]) -> bytes:
    return (",".join(names) + "\n").encode()


def _header_only(file: Path, stream: CsvStream) -> None:
    with open(file, "wb", opener=private_opener) as whole:
        whole.write(_header(stream.names.values()))


def _fill_empty(folders: Sequence[Path], files: dict[str, tuple[Path, ...]]) -> None:
    """Write a table without rows to each part that has no event table, because an export must have one."""
    tables = [name for name in files if name != PATIENTS]
    stream = CsvStream(files[tables[0]], EVENT_TABLES[tables[0]].fields)
    for folder in folders:
        if not any((folder / f"{table}.csv").exists() for table in tables):
            _header_only(folder / f"{tables[0]}.csv", stream)


@contextmanager
def _folder(into: Path) -> Iterator[Path]:
    try:
        into.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(into)
        folder = tempfile.TemporaryDirectory(prefix=PARTS, dir=into)
    except OSError as error:
        raise SourceError(
            f"a large export is split in a folder that can be written; {into} can't: {error.strerror}. Set cache_dir "
            "to a folder that you may write"
        ) from error
    with folder as name, file_lock(Path(name) / LOCK):
        yield Path(name)


def _remove_abandoned(into: Path) -> None:
    """Remove the parts that killed processes have left: they hold records, and nobody else would remove them."""
    for folder in into.glob(f"{PARTS}*"):
        # Without a lock file, or without locks, it may be in use.
        with suppress(OSError):
            if not is_locked(folder / LOCK):
                shutil.rmtree(folder)
                log.warning("removed %s, which a run that was killed had left", folder)


@contextmanager
def _room(path: Path, into: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(
            f"{path} is split into parts below {into}, which must have room for the columns that are read; the system "
            f"says: {error.strerror}. Make room there, set cache_dir to a folder on a larger disk, or raise "
            "subjects_at_once so that the export is not split"
        ) from error
