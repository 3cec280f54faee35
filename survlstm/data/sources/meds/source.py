"""Read a MEDS dataset into subjects, coded events and counts of rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from survlstm.data.events import SourceData
from survlstm.data.source_parts import SourceParts
from survlstm.data.sources.meds.assemble import source_data
from survlstm.data.sources.meds.files import MedsFiles, find_dataset
from survlstm.data.sources.meds.metadata import read_code_descriptions, read_descendants, read_names, read_parents
from survlstm.data.sources.meds.names import AUTO
from survlstm.data.sources.meds.parts import ShardPart, divide, scan_ids
from survlstm.data.sources.meds.read import read_shards
from survlstm.data.sources.meds.schema import check_shards
from survlstm.data.sources.row_checks import check_unusable_share
from survlstm.utils.errors import SourceError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MedsSource:
    """A dataset of MEDS 0.4 (Medical Event Data Standard) in a folder.

    - Every row with a time and a code is an event; its subject, code, time and value are those of the row. A time at
      midnight stands for a day. The unit of a value is the text in the column ``unit``, if there is one. Further
      columns are not read.
    - The texts in ``text_value`` are not read, only whether a row has one: a text without a number is a fault of the
      value (``ValueFault.TEXT``) if another event of its code has a number, among the subjects that are read at once.
    - ``MEDS_BIRTH`` and ``MEDS_DEATH``, alone or with a suffix as in ``MEDS_DEATH//HOSPITAL``, give the days of birth
      and death, ``SURVLSTM_OBSERVED_UNTIL`` the last day of observation. They are no events. Of several days of death
      or of the end of observation the earliest counts, so that nothing from after one of them is used. With several
      days of birth the birth is unknown, because none of them can be preferred. These subjects are counted in a
      warning.
    - A row without a time is a static code of its subject.
    - Unusable rows are left out and counted: without a subject or a code, with a code that can't be one, with a time
      outside the years that are read, or a birth, a death or an end of observation without a time. An infinite value
      becomes NaN with ``ValueFault.INFINITE``; the row is kept and counted in a warning.
    - A subject whose death has no usable time, or is dated before the birth, is left out with all rows, because it is
      not known when it died; a warning counts these subjects.
    - In the table of counts, rows that give a day of their subject and static rows are used rows, as events are.
    - Rows after a death and repeated rows are kept.

    ``metadata/`` may hold a split of the subjects, descriptions and parents of the codes, and two files that only
    survlstm writes: ``survlstm.json`` (``Events.day_tolerance``; 0 without it) and ``source_subjects.parquet`` (the
    ids of the subjects in the source from which the dataset was converted).

    Attributes:
        path: The folder; ``~`` stands for the home folder.
        encounter_column: Column with the encounter of a row, as whole number or text; ``auto`` takes the first of
            encounter_id, visit_id, hadm_id and visit_occurrence_id that is there, None reads none. Encounters of
            different subjects are different, whatever their ids.
        max_unusable_share: Greatest share of the rows, 0 to 1, that may be unusable.

    Example:
        >>> events = MedsSource("dataset").read().events
    """

    path: str
    encounter_column: str | None = AUTO
    max_unusable_share: float = 0.01

    def files(self) -> list[Path]:
        """Return the shards and the files of ``metadata/`` that are read, sorted by path.

        Raises:
            SourceError: The folder is not a MEDS dataset.
        """
        return self._files().all()

    def _files(self) -> MedsFiles:
        return find_dataset(Path(self.path).expanduser())

    def read(self) -> SourceData:
        """Read all shards, and count what happens to each row.

        Raises:
            SourceError: The dataset can't be read, holds no event or a subject in two shards, or too many of its rows
                are unusable.
        """
        files = self._files()
        shards = check_shards(files, encounter_column=self.encounter_column)
        collected = read_shards(files, [ShardPart(shard, None) for shard in shards], quiet=False)
        data = source_data(files, collected)
        (count,) = data.tables
        check_unusable_share(count, limit=self.max_unusable_share)
        if not len(data.events):
            raise SourceError(
                f"a MEDS dataset must hold an event, a row with a time and a code other than those of births and "
                f"deaths; {self.path} holds none in {count.rows_read:,} rows. Set data.path to another dataset."
            )
        log.info(
            "%s: %d shards, %d rows, %d subjects, %d events",
            self.path,
            len(shards),
            count.rows_read,
            len(data.events.subjects),
            len(data.events),
        )
        return data

    def descriptions(self) -> dict[str, str]:
        """Return the descriptions of ``metadata/codes.parquet`` by code; empty if there are none.

        Raises:
            SourceError: The file can't be read.
        """
        return read_code_descriptions(self._files())

    def descendants(self, codes: Sequence[str]) -> frozenset[str]:
        """Return the codes and every code below one of them, by ``parent_codes`` of ``metadata/codes.parquet``.

        Args:
            codes: Codes as in ``Events.codes``, or parents that occur in no row.

        Raises:
            SourceError: The file can't be read, or the dataset names no parents.
        """
        return read_descendants(self._files(), codes)

    def parents(self) -> dict[str, list[str]]:
        """Return the codes directly above each code, by ``parent_codes`` of ``metadata/codes.parquet``.

        Raises:
            SourceError: The file can't be read.
        """
        return read_parents(self._files()) or {}

    def subject_ids(self) -> frozenset[str]:
        """Return the ids of all subjects, without reading their events.

        Raises:
            SourceError: The dataset can't be read.
        """
        files = self._files()
        scan = scan_ids(files, check_shards(files, encounter_column=self.encounter_column))
        return frozenset(read_names(files, scan.all_ids()).tolist())

    @contextmanager
    def parts(self, *, subjects_at_once: int, into: Path) -> Iterator[SourceParts]:
        """Divide the dataset into groups of shards, and large shards into ranges of subjects.

        Args:
            subjects_at_once: Greatest number of subjects of a part.
            into: Not used, because nothing is written.

        Yields:
            The parts in the order of the shards. Rows without a subject belong to none.

        Raises:
            SourceError: The dataset can't be read, or a subject is in two shards.
        """
        files = self._files()
        shards = check_shards(files, encounter_column=self.encounter_column)
        scan = scan_ids(files, shards)
        groups = divide(shards, scan, subjects_at_once=subjects_at_once)
        parts = [MedsPart(files, tuple(group), quiet=len(groups) > 1) for group in groups]
        yield SourceParts(parts, len(scan.all_ids()), scan.uncounted())


@dataclass(frozen=True)
class MedsPart:
    """Some subjects of a MEDS dataset; a source.

    Attributes:
        dataset: Files of the dataset.
        shards: What is read of each shard.
        quiet: Whether reading shows no progress bar.
    """

    dataset: MedsFiles
    shards: tuple[ShardPart, ...]
    quiet: bool

    def files(self) -> list[Path]:
        """Return the shards that are read and the files of ``metadata/``."""
        return self.dataset._replace(shards=tuple(part.shard.path for part in self.shards)).all()

    def read(self) -> SourceData:
        """Read the subjects of this part; there may be no event.

        Raises:
            SourceError: A shard can't be read.
        """
        collected = read_shards(self.dataset, self.shards, quiet=self.quiet)
        return source_data(self.dataset, collected)
