"""Read shards one after the other into the columns of their events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow.parquet as pq
from tqdm import tqdm

from survlstm.data.sources.meds.files import MedsFiles, read_errors
from survlstm.data.sources.meds.parts import ShardPart
from survlstm.data.sources.meds.rows import RowCollector
from survlstm.data.sources.meds.shard_rows import OrderCheck, read_rows, row_groups


class CollectedShards(NamedTuple):
    """Rows of some shards.

    Attributes:
        rows: The rows.
        shards: Number of shards.
        apart: Number of shards in which the rows of a subject are not together.
        unsorted: Number of shards in which the rows of a subject are not in order of time.
    """

    rows: RowCollector
    shards: int
    apart: int
    unsorted: int


def read_shards(files: MedsFiles, parts: Sequence[ShardPart], *, quiet: bool) -> CollectedShards:
    """Read the rows of some shards; only the columns of their events are in memory at once.

    Args:
        files: Files of the dataset.
        parts: What is read of each shard.
        quiet: Whether to show no progress bar.

    Raises:
        SourceError: A shard can't be read, or a subject is in two of them.
    """
    total = sum(_rows(files, part) for part in parts)
    rows, order = RowCollector(total), OrderCheck()
    with tqdm(
        total=total, desc="Reading", unit=" rows", unit_scale=True, disable=True if quiet else None, leave=False
    ) as bar:
        for number, part in enumerate(parts):
            for batch in read_rows(files, part.shard, part.ids):
                rows.add(batch, shard=number)
                order.add(batch)
                bar.update(len(batch.subject_id))
            order.end_shard()
            rows.end_shard()
    rows.subjects.refuse_divided()
    return CollectedShards(rows, len(parts), order.apart, order.unsorted)


def _rows(files: MedsFiles, part: ShardPart) -> int:
    with read_errors(files, part.shard.path):
        metadata = pq.read_metadata(part.shard.path)
        return sum(metadata.row_group(group).num_rows for group in row_groups(metadata, part.ids))
