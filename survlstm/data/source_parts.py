"""Division of a source into parts that fit into memory and are read one after the other."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from survlstm.data.events import SourceData, TableCount
from survlstm.data.sources.protocol import Source
from survlstm.data.sources.shards import split_into_shards
from survlstm.data.sources.synthea import SyntheaSource

# The logger above those of all sources.
_SOURCES_LOG = logging.getLogger("survlstm.data.sources")


@dataclass(frozen=True)
class SourceParts:
    """The parts of a source; no subject is in two of them.

    Attributes:
        parts: Sources to read one after the other. None of them refuses a table for its share of unusable rows, because
            the share of the whole counts.
        subjects: Number of subjects of all parts; None if it is not known before they are read.
        uncounted: Counts of rows that belong to no part.
    """

    parts: Sequence[Source]
    subjects: int | None
    uncounted: tuple[TableCount, ...] = ()

    def read(self, part: Source) -> SourceData:
        """Read a part; the counts that a source logs are silenced if it is one of many.

        Args:
            part: One of ``parts``.

        Raises:
            SourceError: The records can't be read.
        """
        level = _SOURCES_LOG.level
        if len(self.parts) > 1:
            _SOURCES_LOG.setLevel(logging.WARNING)
        try:
            return part.read()
        finally:
            _SOURCES_LOG.setLevel(level)


@runtime_checkable
class DivisibleSource(Protocol):
    """A source that can be read in parts: the optional method of ``survlstm.data.sources.protocol.Source``."""

    def parts(self, *, subjects_at_once: int, into: Path) -> AbstractContextManager[SourceParts]:
        """Divide the source into parts.

        Args:
            subjects_at_once: Greatest number of subjects of a part.
            into: Folder for temporary files, which are removed at the end.
        """


@contextmanager
def open_parts(source: Source, *, subjects_at_once: int, into: Path) -> Iterator[SourceParts]:
    """Divide a source into parts; one that can't be divided is its own only part.

    Args:
        source: The source.
        subjects_at_once: Greatest number of subjects of a part.
        into: Folder for temporary files, which are removed at the end.

    Yields:
        The parts.

    Raises:
        SourceError: The records can't be read, or ``into`` can't be written or is full.
    """
    if isinstance(source, SyntheaSource):
        with split_into_shards(
            Path(source.path).expanduser(), tables=source.tables, subjects_at_once=subjects_at_once, into=into
        ) as cut:
            parts = [SyntheaSource(str(folder), source.tables, 1.0, source.timezone) for folder in cut.folders]
            yield SourceParts(parts, cut.subjects, cut.malformed)
    elif isinstance(source, DivisibleSource):
        with source.parts(subjects_at_once=subjects_at_once, into=into) as divided:
            yield divided
    else:
        yield SourceParts([source], None)
