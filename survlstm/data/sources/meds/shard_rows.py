"""Read the rows of a shard batch by batch, and check their order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool, Float32, Int, Int64

from survlstm.data.sources.meds.files import MedsFiles, read_errors
from survlstm.data.sources.meds.names import CODE, SUBJECT, TEXT, TIME, UNIT, VALUE
from survlstm.data.sources.meds.schema import ShardColumns, is_text
from survlstm.utils.errors import SourceError

# Rows held at once: some tens of megabytes, whatever the size of a row group.
BATCH_ROWS = 1 << 18
# Columns that are read with a dictionary, because their texts repeat.
_ENCODED = (CODE, UNIT)
# Texts of values that repeat take few bytes a row in the file and are read with a dictionary. Others are read as they
# are, which is three times as fast as finding those that are equal, in batches of so many bytes.
_REPEATED_BYTES, _TEXT_BYTES = 8, 1 << 24


class IdRange(NamedTuple):
    """A range of subject ids.

    Attributes:
        first: Smallest id.
        last: Greatest id.
    """

    first: int
    last: int


class RawRows(NamedTuple):
    """A batch of rows as a shard has them.

    Attributes:
        subject_id: Id of each row's subject; 0 where it is null.
        has_subject: Whether the id is given.
        seconds: Time in seconds since 1970, fractions cut off; 0 where it is null.
        has_time: Whether the time is given.
        code: Index into ``codes`` of each row's code, -1 where it is null.
        codes: Distinct codes of the batch as bytes, a pyarrow array: a parquet file's texts may be no valid UTF-8.
        value: Value of each row, NaN where it is null.
        encounter: Encounter of each row, a pyarrow array; None if the shard names none.
        unit: Index into ``units`` of each row's unit, -1 where it is null; None if the shard names none.
        units: Distinct units of the batch as bytes; None if the shard names none.
        has_text: Whether a row has a text as its value, which is not kept; None if no row of the shard has.
    """

    subject_id: Int64[np.ndarray, " row"]
    has_subject: Bool[np.ndarray, " row"]
    seconds: Int64[np.ndarray, " row"]
    has_time: Bool[np.ndarray, " row"]
    code: Int[np.ndarray, " row"]
    codes: pa.Array
    value: Float32[np.ndarray, " row"]
    encounter: pa.Array | None
    unit: Int[np.ndarray, " row"] | None = None
    units: pa.Array | None = None
    has_text: Bool[np.ndarray, " row"] | None = None


def read_batches(files: MedsFiles, path: Path, columns: list[str], groups: IdRange | None) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of some columns of a parquet file.

    Args:
        files: Files of the dataset.
        path: The file.
        columns: Names of the columns.
        groups: Row groups without a subject in this range are skipped; None reads all.

    Raises:
        SourceError: The file can't be read.
    """
    with read_errors(files, path):
        encoded, rows_at_once = [name for name in columns if name in _ENCODED], BATCH_ROWS
        if TEXT in columns:
            size = _bytes_per_row(pq.read_metadata(path), TEXT)
            encoded += [TEXT] if size <= _REPEATED_BYTES else []
            rows_at_once = min(BATCH_ROWS, max(1, int(_TEXT_BYTES / max(size, _REPEATED_BYTES))))
        opened = pq.ParquetFile(path, read_dictionary=encoded)
    with opened:
        with read_errors(files, path):
            chosen = row_groups(opened.metadata, groups)
            batches = opened.iter_batches(rows_at_once, row_groups=chosen, columns=columns)
        while True:
            with read_errors(files, path):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def read_rows(files: MedsFiles, shard: ShardColumns, ids: IdRange | None) -> Iterator[RawRows]:
    """Yield the rows of a shard.

    Args:
        files: Files of the dataset.
        shard: How the shard is read.
        ids: Rows of other subjects, and those without one, are left out; None yields all rows.

    Raises:
        SourceError: The shard can't be read.
    """
    for batch in read_batches(files, shard.path, shard.names, ids):
        with read_errors(files, shard.path):
            rows = _raw_rows(files, batch, shard)
        if ids is not None:
            rows = _select(rows, rows.has_subject & (rows.subject_id >= ids.first) & (rows.subject_id <= ids.last))
        if len(rows.subject_id):
            yield rows


def read_ids(files: MedsFiles, shard: ShardColumns) -> Iterator[tuple[Int64[np.ndarray, " run"], int, int]]:
    """Yield the ids of the subjects of a shard, without reading its other columns.

    Args:
        files: Files of the dataset.
        shard: How the shard is read.

    Yields:
        For each batch the distinct ids, the number of rows without an id, and the number of rows.
    """
    for batch in read_batches(files, shard.path, [SUBJECT], None):
        with read_errors(files, shard.path):
            ids, given = _integers(files, batch.column(0), shard)
        yield distinct(ids[given]), int(np.count_nonzero(~given)), len(ids)


def distinct(values: np.ndarray) -> np.ndarray:
    """Return the distinct values, sorted; fast if equal values are neighbours.

    Args:
        values: Values in any order.
    """
    return np.unique(values[run_starts(values)])


def run_starts(values: np.ndarray) -> Int64[np.ndarray, " run"]:
    """Return the first position of each run of equal values.

    Args:
        values: Values in any order.
    """
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if len(values) else np.empty(0, np.int64)


class OrderCheck:
    """Counts shards in which the rows of a subject are not together, or not in order of time.

    MEDS asks for this order, which nothing here depends on.
    """

    def __init__(self) -> None:
        self.apart = 0
        self.unsorted = 0
        self._begin()

    def _begin(self) -> None:
        self._seen: set[int] = set()
        self._last: tuple[int, int] | None = None
        self._is_apart = self._is_unsorted = False

    def add(self, rows: RawRows) -> None:
        """Check a batch, which follows the one before in the same shard.

        Args:
            rows: The rows of the batch.
        """
        # A fact without a time comes first.
        time = np.where(rows.has_time, rows.seconds, np.iinfo(np.int64).min)
        subject = rows.subject_id
        if self._last is not None:
            subject, time = (
                np.concatenate([[one], all_]) for one, all_ in zip(self._last, (subject, time), strict=True)
            )
        starts = run_starts(subject)
        self._is_unsorted |= bool(((subject[1:] == subject[:-1]) & (time[1:] < time[:-1])).any())
        runs = subject[starts].tolist()
        # The first run continues the last one of the batch before.
        new = runs if self._last is None else runs[1:]
        self._is_apart |= len(set(new)) < len(new) or not self._seen.isdisjoint(new)
        self._seen.update(runs)
        self._last = (int(subject[-1]), int(time[-1]))

    def end_shard(self) -> None:
        """Count the shard whose batches were added."""
        self.apart += self._is_apart
        self.unsorted += self._is_unsorted
        self._begin()


def row_groups(metadata: pq.FileMetaData, ids: IdRange | None) -> list[int]:
    """Return the numbers of the row groups that can hold a subject of the range.

    Args:
        metadata: Metadata of a parquet file.
        ids: The range; None for all.
    """
    chosen = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = [group.column(index) for index in range(group.num_columns)]
        found = next((column.statistics for column in columns if column.path_in_schema == SUBJECT), None)
        is_outside = (
            ids is not None
            and found is not None
            and found.has_min_max
            and (found.max < ids.first or found.min > ids.last)
        )
        if not is_outside:
            chosen.append(number)
    return chosen


def _bytes_per_row(metadata: pq.FileMetaData, name: str) -> float:
    """Return the size of a column in the row group in which its rows take most bytes."""
    sizes = [0.0]
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        chunks = (group.column(index) for index in range(group.num_columns))
        sizes += [
            chunk.total_uncompressed_size / max(group.num_rows, 1) for chunk in chunks if chunk.path_in_schema == name
        ]
    return max(sizes)


def _raw_rows(files: MedsFiles, batch: pa.RecordBatch, shard: ShardColumns) -> RawRows:
    ids, has_subject = _integers(files, batch.column(SUBJECT), shard)
    ticks, has_time = _ticks(batch.column(TIME))
    code, codes = _encoded(batch.column(CODE))
    unit, units = _encoded(batch.column(UNIT)) if shard.has_units else (None, None)
    value = np.full(batch.num_rows, np.nan, np.float32)
    if shard.has_values:
        # Whole numbers become floats; a value beyond float32 becomes infinite and is counted as such.
        value = batch.column(VALUE).cast(pa.float64()).to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            value = value.astype(np.float32)
    return RawRows(
        subject_id=ids,
        has_subject=has_subject,
        seconds=ticks // shard.per_second,
        has_time=has_time,
        code=code,
        codes=codes,
        value=value,
        encounter=batch.column(shard.encounter) if shard.encounter else None,
        unit=unit,
        units=units,
        has_text=_has_text(batch.column(TEXT)) if shard.has_texts else None,
    )


def _encoded(column: pa.Array) -> tuple[Int64[np.ndarray, " row"], pa.Array]:
    """Return the index of each row's text, -1 for none, and the distinct texts as bytes."""
    column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return _indices(column), column.dictionary.cast(pa.large_string()).cast(pa.large_binary())


def _indices(column: pa.DictionaryArray) -> Int64[np.ndarray, " row"]:
    return column.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)


def _has_text(column: pa.Array) -> Bool[np.ndarray, " row"]:
    if pa.types.is_dictionary(column.type):
        # The last entry is that of a row without a text, whose index is -1.
        return np.append(_has_text(column.dictionary), False)[_indices(column)]
    given = column.is_valid()
    if is_text(column.type) or pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        given = pc.fill_null(pc.greater(pc.binary_length(column.cast(pa.large_binary())), 0), False)
    return given.to_numpy(zero_copy_only=False)


def _select(rows: RawRows, kept: Bool[np.ndarray, " row"]) -> RawRows:
    if kept.all():
        return rows
    return rows._replace(
        subject_id=rows.subject_id[kept],
        has_subject=rows.has_subject[kept],
        seconds=rows.seconds[kept],
        has_time=rows.has_time[kept],
        code=rows.code[kept],
        value=rows.value[kept],
        encounter=None if rows.encounter is None else rows.encounter.filter(pa.array(kept)),
        unit=None if rows.unit is None else rows.unit[kept],
        has_text=None if rows.has_text is None else rows.has_text[kept],
    )


def _integers(files: MedsFiles, column: pa.Array, shard: ShardColumns) -> tuple[np.ndarray, Bool[np.ndarray, " row"]]:
    given = column.is_valid().to_numpy(zero_copy_only=False)
    try:
        return column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), given
    except pa.ArrowInvalid:
        raise SourceError(
            f"{files.shown(shard.path)} must have ids that fit into int64 as {SUBJECT}; some are greater. Number the "
            "subjects again."
        ) from None


def _ticks(column: pa.Array) -> tuple[Int64[np.ndarray, " row"], Bool[np.ndarray, " row"]]:
    given = column.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_null(column.type):
        return np.zeros(len(column), np.int64), given
    return column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), given
