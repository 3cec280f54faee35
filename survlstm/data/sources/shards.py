"""A Synthea CSV export of any size → small exports, one after the other in the order of subject ids."""

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
    """``folders`` are exports that ``SyntheaSource`` reads; ``subjects`` is how many usable ones they hold together.

    The subjects of one folder after the other stand in the order of the whole export. Each folder is to be read with
    ``max_unusable_share`` 1, and ``merge_counts`` adds up what became of the rows, ``malformed`` among them:
    rows of the wrong width stand in no folder.
    """

    subjects: int
    folders: tuple[Path, ...]
    malformed: tuple[TableCount, ...]


@contextmanager
def split_into_shards(path: Path, *, tables: Sequence[str], subjects_at_once: int, into: Path) -> Iterator[Shards]:
    """Split the export's patients and ``tables`` into parts of at most ``subjects_at_once`` usable subjects.

    An export that is no larger is its own only part, and nothing is written. Else the parts stand in a folder below
    ``into`` that is gone at the end, and the memory it takes does not grow with the export's events. A row whose
    patient is unknown or can't be used stands in the part where its patient's id would stand, to be counted there.
    Raises SourceError as reading the export does, and where ``into`` has no room.
    """
    files = SyntheaSource(str(path), tables, 1.0).files_by_table()
    patients = code_patients(read_csv_table(files[PATIENTS], PATIENT_FIELDS), max_unusable_share=1.0)
    subjects = len(patients.subjects)
    # The first subject of every part but the first.
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
    """The counts of all parts added up table by table, in the order in which ``SyntheaSource`` gives them."""
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
    return tuple(sums[table] for table in (PATIENTS, *EVENT_TABLES) if table in sums)


def check_unusable_shares(counts: tuple[TableCount, ...], *, limit: float) -> None:
    """Raise SourceError for the first table of which more than ``limit`` (0 to 1) of all rows are unusable."""
    for count in counts:
        check_unusable_share(count, limit=limit)


def _split(name: str, files: Sequence[Path], starts: list[str], folders: Sequence[Path]) -> TableCount:
    """Append every row of a table to the part of its patient; the malformed ones are counted."""
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
        # One part says that the table has no rows.
        _header_only(folders[0] / f"{name}.csv", stream)
    return count_malformed(name, stream.malformed)


def _parts(ids: pa.Array, starts: list[str]) -> Int64[np.ndarray, " row"]:
    """The part of each row's patient, or the part in which a patient of that id would be."""
    encoded = ids.dictionary_encode()
    # As they are read there, without spaces around them.
    names, _ = blank_missing_values(encoded.dictionary)
    parts = np.array([bisect_right(starts, text) for text in names.to_pylist()], dtype=np.int64)
    return parts[encoded.indices.to_numpy()]


def _append(file: Path, rows: pa.RecordBatch) -> None:
    # Opened for each block anew: there may be more parts than files that a process may hold open.
    with open(file, "ab", opener=private_opener) as end:
        if end.tell() == 0:
            end.write(_header(rows.schema.names))
        end.write(_as_csv(rows))


def _as_csv(rows: pa.RecordBatch) -> pa.Buffer:
    # Only texts that need quotes get them: a file with quotes is read twice.
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
    """An export has an event table, so a part whose subjects have no event gets one without rows."""
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
            f"a large export is split in a folder that can be written; {into} can't: {error.strerror}. Set cache_dir"
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
            f"{path} is split into parts below {into}, which must have room for the columns that are read; "
            f"{error.strerror}. Make room there, set cache_dir to a larger disk, or raise subjects_at_once so that the "
            "export is read whole"
        ) from error
