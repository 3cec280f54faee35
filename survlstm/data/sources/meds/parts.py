"""Division of a MEDS dataset into groups of shards and ranges of subjects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from survlstm.data.events import TableCount
from survlstm.data.sources.meds.files import MedsFiles
from survlstm.data.sources.meds.names import DATA
from survlstm.data.sources.meds.numbering import SubjectNumbers
from survlstm.data.sources.meds.rows import UNUSABLE, RowUse
from survlstm.data.sources.meds.schema import ShardColumns
from survlstm.data.sources.meds.shard_rows import IdRange, read_ids


class ShardPart(NamedTuple):
    """What is read of a shard.

    Attributes:
        shard: The shard.
        ids: Subjects that are read; None reads every row, those without a subject included.
    """

    shard: ShardColumns
    ids: IdRange | None


@dataclass(frozen=True)
class ScannedIds:
    """The subjects of each shard.

    Attributes:
        by_shard: Ids of the subjects of each shard, int64, sorted.
        without: Number of rows without a subject.
    """

    by_shard: tuple[np.ndarray, ...]
    without: int

    def all_ids(self) -> Int64[np.ndarray, " subject"]:
        """Return the ids of all subjects."""
        return np.concatenate(self.by_shard)

    def uncounted(self) -> tuple[TableCount, ...]:
        """Return the count of the rows that belong to no part, because they have no subject."""
        if not self.without:
            return ()
        return (TableCount(DATA, self.without, 0, {}, {UNUSABLE[RowUse.NO_SUBJECT]: self.without}),)


def scan_ids(files: MedsFiles, shards: Sequence[ShardColumns]) -> ScannedIds:
    """Read the ids of the subjects of every shard, and nothing else.

    Args:
        files: Files of the dataset.
        shards: How the shards are read.

    Raises:
        SourceError: A shard can't be read, or a subject is in two shards.
    """
    numbers = SubjectNumbers()
    by_shard = []
    without = 0
    for number, shard in enumerate(shards):
        found = [np.empty(0, np.int64)]
        for ids, nulls, _ in read_ids(files, shard):
            found.append(ids)
            without += nulls
        by_shard.append(np.unique(np.concatenate(found)))
        numbers.number(by_shard[-1], shard=number)
    numbers.refuse_divided()
    return ScannedIds(tuple(by_shard), without)


def divide(shards: Sequence[ShardColumns], scan: ScannedIds, *, subjects_at_once: int) -> list[list[ShardPart]]:
    """Group small shards, and divide large ones into ranges of subjects.

    Args:
        shards: How the shards are read.
        scan: Subjects of each shard.
        subjects_at_once: Greatest number of subjects of a part.

    Returns:
        The parts in the order of the shards; each subject is in one of them. Shards without a subject are in none.
    """
    parts: list[list[ShardPart]] = []
    room = 0
    for shard, ids in zip(shards, scan.by_shard, strict=True):
        if len(ids) > subjects_at_once:
            ranges = [ids[start : start + subjects_at_once] for start in range(0, len(ids), subjects_at_once)]
            parts += [[ShardPart(shard, IdRange(int(some[0]), int(some[-1])))] for some in ranges]
            room = subjects_at_once - len(ranges[-1])
        elif len(ids):
            whole = ShardPart(shard, IdRange(int(ids[0]), int(ids[-1])))
            if len(ids) <= room:
                parts[-1].append(whole)
            else:
                parts.append([whole])
                room = subjects_at_once
            room -= len(ids)
    return parts
