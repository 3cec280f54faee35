"""Read a folder of Synthea's CSV export into subjects, coded events and counts of rows."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int32

from survlstm.data.encounters import split_shared_encounters
from survlstm.data.events import Events, SourceData, Subjects
from survlstm.data.sources.csv_table import CsvTable, read_csv_table
from survlstm.data.sources.encounter_checks import day_disagreements, shared_encounters, unmatched_encounters
from survlstm.data.sources.history_span import cut_history_warning
from survlstm.data.sources.row_checks import warn_of_selection_by_death
from survlstm.data.sources.synthea_files import ExportFiles, find_tables
from survlstm.data.sources.synthea_format import EVENT_TABLES, PATIENT_FIELDS, PATIENTS
from survlstm.data.sources.synthea_patients import CodedPatients, code_patients
from survlstm.data.sources.synthea_rows import CodedRows, code_rows
from survlstm.data.sources.units import join_units
from survlstm.utils.errors import SourceError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SyntheaSource:
    """A Synthea CSV export in a folder.

    Rows after a death and repeated rows are kept; only the simulator's book-keeping is left out.

    Attributes:
        path: The folder; ``~`` stands for the home folder.
        tables: Names of the event tables to read; those that the export lacks are ignored.
        max_unusable_share: Greatest share of a table's rows, 0 to 1, that may be unusable.
        timezone: IANA name of the zone in which Synthea ran. Synthea writes times in UTC and days as days of that zone;
            with a name, times are converted to it. None leaves times in UTC, and a day may then differ by one from the
            day of the time of the same moment.

    Example:
        >>> source = SyntheaSource("export", ("encounters", "conditions"), max_unusable_share=0.01)
        >>> events = source.read().events
    """

    path: str
    tables: Sequence[str]
    max_unusable_share: float
    timezone: str | None = None

    def files(self) -> list[Path]:
        """Return every file that ``read`` opens, sorted by path.

        Raises:
            SourceError: The folder isn't an export, or ``tables`` names an unknown table.
        """
        return sorted(path for paths in self.files_by_table().values() for path in paths)

    def files_by_table(self) -> dict[str, tuple[Path, ...]]:
        """Return the files of the patients and of each event table to read, in the order of ``EVENT_TABLES``.

        Raises:
            SourceError: The folder isn't an export, or ``tables`` names an unknown table.
        """
        return self._find_tables().files

    def _find_tables(self) -> ExportFiles:
        _check_names(self.tables)
        return find_tables(Path(self.path).expanduser(), self.tables)

    def read(self) -> SourceData:
        """Read the tables, code their rows and count what happens to each row.

        Raises:
            SourceError: A file can't be read, or too many of its rows are unusable.
        """
        export = self._find_tables()
        files = dict(export.files)
        for note in export.notes:
            log.info("%s: %s", self.path, note)
        if export.not_read:
            log.info("%s: tables not read: %s", self.path, ", ".join(export.not_read))
        patient_table = read_csv_table(files.pop(PATIENTS), PATIENT_FIELDS)
        _log_notes(patient_table)
        patients = code_patients(patient_table, max_unusable_share=self.max_unusable_share)
        for note in patients.notes:
            log.info("%s: %s", patient_table.path.name, note)

        def read_table(name: str) -> CodedRows:
            event_table = EVENT_TABLES[name]
            table = read_csv_table(files[name], event_table.fields)
            _log_notes(table)
            return code_rows(
                table, event_table, patients, max_unusable_share=self.max_unusable_share, timezone=self.timezone
            )

        # The largest file first: one core decompresses it while the others read the small ones.
        order = sorted(files, key=lambda name: -sum(path.stat().st_size for path in files[name]))
        with ThreadPoolExecutor(max_workers=min(len(order), os.cpu_count() or 1)) as pool:
            coded = dict(zip(order, pool.map(read_table, order), strict=True))
        return self._source_data(patients, [coded[name] for name in files])

    def _source_data(self, patients: CodedPatients, tables: list[CodedRows]) -> SourceData:
        """Join the tables, and collect the warnings about the whole export."""
        events, shared = _join(patients.subjects, tables, day_tolerance=1 if self.timezone is None else 0)
        counts = (patients.count, *(table.count for table in tables))
        warnings = [*patients.warnings, *(sentence for table in tables for sentence in table.warnings)]
        # The span of a history is that of its encounters, or that of all events where no encounter was read.
        visits = [table for table in tables if table.count.table == "encounters" and table.count.rows_used] or tables
        subject = np.concatenate([table.subject for table in visits])
        cut = cut_history_warning(patients.subjects, subject, np.concatenate([table.time for table in visits]))
        warnings += [cut] if cut else []
        warnings += unmatched_encounters(tables) + shared_encounters(shared)
        warnings += day_disagreements(events, timezone=self.timezone)
        warnings += [
            sentence for sentence in (warn_of_selection_by_death(patients.count), _late_deaths(events)) if sentence
        ]
        log.info(
            "%s: %d tables, %d rows, %d subjects, %d events",
            self.path,
            len(counts),
            sum(count.rows_read for count in counts),
            len(patients.subjects),
            len(events),
        )
        return SourceData(events, counts, tuple(warnings))


def _join(subjects: Subjects, tables: list[CodedRows], *, day_tolerance: int) -> tuple[Events, int]:
    """Return the events of all tables, and how many encounter ids are used by more than one patient."""
    codes = np.unique(np.concatenate([table.code_names for table in tables]))
    code = [np.searchsorted(codes, table.code_names).astype(np.int32)[table.code] for table in tables]
    subject = np.concatenate([table.subject for table in tables])
    encounter, shared = split_shared_encounters(subject, _encounter_numbers(tables))
    units, unit = join_units([table.units for table in tables])
    events = Events(
        subjects=subjects,
        codes=codes,
        subject=subject,
        code=np.concatenate(code),
        time=np.concatenate([table.time for table in tables]),
        encounter=encounter,
        numeric_value=np.concatenate([table.numeric_value for table in tables]),
        day_tolerance=day_tolerance,
        units=units,
        unit=unit,
        value_fault=np.concatenate([table.value_fault for table in tables]),
    )
    return events, shared


def _encounter_numbers(tables: list[CodedRows]) -> Int32[np.ndarray, " event"]:
    """Number the encounters of all tables together, from 0; -1 means that a row names none."""
    # Without tables that have no rows: the encoding drops their chunks, and chunks and tables would no longer match.
    tables = [table for table in tables if len(table.encounter_names)]
    if not tables:
        return np.empty(0, np.int32)
    encoded = pa.chunked_array([table.encounter_names for table in tables]).dictionary_encode()
    names = encoded.chunk(0).dictionary
    numbers = np.arange(len(names), dtype=np.int32)
    none = pc.index(names, "").as_py()
    if none >= 0:
        numbers[none:] -= 1
        numbers[none] = -1
    return np.concatenate(
        [numbers[part.indices.to_numpy()][table.encounter] for part, table in zip(encoded.chunks, tables, strict=True)]
    )


def _check_names(tables: Sequence[str]) -> None:
    for name in tables:
        if name not in EVENT_TABLES:
            nearest = get_close_matches(name, EVENT_TABLES, n=1, cutoff=0.0)[0]
            raise SourceError(
                f"data.source.tables must name event tables of Synthea ({', '.join(EVENT_TABLES)}); found {name!r}, "
                f"the nearest is {nearest}."
            )


def _log_notes(table: CsvTable) -> None:
    """Log how headers differ from Synthea's, and how many words for a missing value each column has."""
    for part in table.parts:
        for note in part.header.notes:
            log.info("%s: %s", part.path.name, note)
    for name, column in table.columns.items():
        if column.spelled_missing:
            log.info(
                "%s: %s cells of %s hold a word for a missing value (NULL, NaN, NA or the like) and are read as empty",
                table.path.name,
                f"{column.spelled_missing:,}",
                table.parts[0].header.names[name],
            )


def _late_deaths(events: Events) -> str | None:
    """Return a warning if a death is dated after the last entry, as where a spreadsheet changed 1929 into 2029."""
    if not len(events):
        return None
    # Days are local and times are in UTC: east of Greenwich a death can be dated to the day after the last entry.
    late = int((events.subjects.death > events.time.max() + np.timedelta64(1, "D")).sum())
    if not late:
        return None
    return (
        f"patients: {late} {'death is' if late == 1 else 'deaths are'} dated after the last entry of the export. A "
        "spreadsheet may have read the year 29 as 2029. Check the column DEATHDATE."
    )
