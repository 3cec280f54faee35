"""The protocol of a source of records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from survlstm.data.events import SourceData


@runtime_checkable
class Source(Protocol):
    """Protocol of a source, a swap point: ``data.source`` of the config names any class that fulfils it.

    The constructor is called with keyword arguments only: ``path`` (str, ``data.path`` of the config) and the settings
    of the config's section ``data.source``. It reads nothing.

    A source returns every coded event of every subject, as ``survlstm.data.events`` describes them; what a model may
    see of them is decided later. Rows that can't be used are left out and counted, never corrected.

    These parts are optional:

    - a setting ``timezone`` (str or None), the IANA name of the zone to which the source converts times;
    - a setting ``max_unusable_share`` (float), which ``survlstm predict`` can raise;
    - a method ``descriptions() -> dict[str, str]``, a text for each code, for pages and bundles;
    - a method ``descendants(codes: Sequence[str]) -> frozenset[str]``, the codes and all codes below them in the
      source's hierarchy, for rules of ``cohort.include`` and ``cohort.exclude``;
    - a method ``parents() -> dict[str, list[str]]``, the codes directly above each code, for ``survlstm convert``;
    - a method ``content() -> str``, a digest of records that are in no file, such as those of a database server;
    - a method ``subject_ids() -> Iterable[str]``, the ids of all subjects, if that is faster than ``read``;
    - a method ``parts``, see ``survlstm.data.source_parts.DivisibleSource``.
    """

    def files(self) -> list[Path]:
        """Return every file that ``read`` opens.

        Their content is part of the fingerprint of prepared data, so that a changed file is read again.
        """

    def read(self) -> SourceData:
        """Read the events and count every row of every table.

        Returns:
            Events: subjects sorted by ``subject_id``; codes as texts, such as ``SYSTEM/CODE``, sorted; one entry per
            event, in any order. Tables: one count per table. Warnings: sentences for the log and the report, without
            values of a patient.

        Raises:
            SourceError: The records can't be read; the message says what must hold, what was found and what to change.
        """


@runtime_checkable
class SourceWithContent(Protocol):
    """A source whose records are not, or not all, in files: an optional part of ``Source``."""

    def content(self) -> str:
        """Return a digest that changes whenever a record changes; it is part of the fingerprint of prepared data.

        Raises:
            SourceError: The records can't be read.
        """


@runtime_checkable
class SourceWithHierarchy(Protocol):
    """A source that knows which codes are below others: an optional part of ``Source``."""

    def descendants(self, codes: Sequence[str]) -> frozenset[str]:
        """Return the codes and every code below one of them.

        Args:
            codes: Codes as in ``Events.codes``.

        Raises:
            SourceError: The hierarchy can't be read, or there is none.
        """


@runtime_checkable
class SourceWithParents(Protocol):
    """A source that knows the codes directly above others: an optional part of ``Source``."""

    def parents(self) -> dict[str, list[str]]:
        """Return the codes directly above each code; codes without any are absent."""
