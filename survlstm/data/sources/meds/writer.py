"""Write records as a MEDS dataset, one shard per part of the source."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from survlstm.data.events import Events, SourceData
from survlstm.data.sources.meds.names import (
    BIRTH,
    CODE,
    CODES_FILE,
    DATA,
    DATASET_FILE,
    DAY_TOLERANCE_KEY,
    DEATH,
    DESCRIPTION,
    FORMAT,
    FORMAT_KEY,
    HELD_OUT,
    METADATA,
    OBSERVED_UNTIL,
    PARENTS,
    SOURCE_SUBJECT,
    SOURCE_SUBJECTS_FILE,
    SPLIT,
    SPLITS_FILE,
    SUBJECT,
    SURVLSTM_FILE,
    TIME,
    TRAIN,
    TUNING,
    UNIT,
    VALUE,
)
from survlstm.data.split import Split
from survlstm.utils.errors import SourceError
from survlstm.utils.version import __version__

MEDS_VERSION = "0.4.0"
ENCOUNTER = "encounter_id"
SPLIT_NAMES = {Split.TRAIN: TRAIN, Split.VAL: TUNING, Split.TEST: HELD_OUT}
# The order of the columns is that of the standard; encounter_id and unit are extensions.
SCHEMA = pa.schema(
    [
        pa.field(SUBJECT, pa.int64(), nullable=False),
        pa.field(TIME, pa.timestamp("us")),
        pa.field(CODE, pa.string(), nullable=False),
        pa.field(VALUE, pa.float32()),
        pa.field(ENCOUNTER, pa.int64()),
        pa.field(UNIT, pa.string()),
    ]
)
# Whole numbers below this limit are their own ids. Other ids get a number from here to 2**63.
FIRST_HASHED = 2**62


def meds_subject_id(name: str) -> int:
    """Return the number of a subject in a MEDS dataset.

    Args:
        name: Id of the subject in its source.

    Returns:
        ``name`` itself, if it is a whole number from 0 to 2**62 - 1 without leading zeros; otherwise a hash of the id
        (BLAKE2b) from 2**62 to 2**63 - 1, which is the same in every dataset.
    """
    if name.isascii() and name.isdigit() and (name == "0" or name[0] != "0") and int(name) < FIRST_HASHED:
        return int(name)
    return FIRST_HASHED + int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") % FIRST_HASHED


@dataclass
class MedsWriter:
    """Writer of a MEDS dataset; each call of ``add`` writes a shard.

    Values and units are read back as they are. The reason why an event has no number (``Events.value_fault``) has no
    place in the standard and is not written; such an event is read back as one without a value.

    Attributes:
        folder: Folder of the dataset, which exists and is empty.
        subjects: Number of subjects written.
        events: Number of rows with a code that is an event, without births, deaths and static codes.
        without_rows: Number of subjects that have no row, because the source knows nothing of them but their id.
    """

    folder: Path
    subjects: int = 0
    events: int = 0
    without_rows: int = 0
    _shards: int = 0
    _encounters: int = 0
    _day_tolerance: int = 0
    _ids: list[Int64[np.ndarray, " subject"]] = field(default_factory=list)
    _names: list[np.ndarray] = field(default_factory=list)
    _splits: list[np.ndarray] = field(default_factory=list)
    _codes: set[str] = field(default_factory=set)

    def add(self, reading: SourceData) -> None:
        """Write the records of some subjects as the next shard.

        Rows are sorted by subject and time; within a subject, rows without a time come first.

        Args:
            reading: Records of subjects that no earlier call had.

        Raises:
            OSError: The shard can't be written.
        """
        events = reading.events
        ids = np.array([meds_subject_id(str(name)) for name in events.subjects.subject_id], dtype=np.int64)
        table = _rows(events, ids, first_encounter=self._encounters)
        self._encounters += int(events.encounter.max(initial=-1)) + 1
        path = self.folder / DATA / f"{self._shards:06d}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table, path, compression="zstd")
        self._codes.update(table[CODE].unique().to_pylist())
        self._shards += 1
        self._day_tolerance = max(self._day_tolerance, events.day_tolerance)
        self.subjects += len(ids)
        self.events += len(events)
        self.without_rows += len(ids) - len(np.unique(table[SUBJECT].to_numpy()))
        self._ids.append(ids)
        self._names.append(events.subjects.subject_id.astype(np.str_))
        if reading.split is not None:
            self._splits.append(reading.split)

    def finish(self, *, dataset_name: str, descriptions: Mapping[str, str], parents: Mapping[str, list[str]]) -> None:
        """Write the files below ``metadata``.

        Args:
            dataset_name: Name of the dataset.
            descriptions: Description by code; those of other codes are not written.
            parents: Codes directly above a code, by code.

        Raises:
            SourceError: No subject was written, or two subjects have the same number.
            OSError: A file can't be written.
        """
        if not self.subjects:
            raise SourceError("a dataset needs at least one subject; the source has none. Check data.path")
        ids, names = np.concatenate(self._ids), np.concatenate(self._names)
        equal = len(ids) - len(np.unique(ids))
        if equal:
            raise SourceError(
                f"every subject must get a number of its own; {equal} of {len(ids):,} got that of another subject, "
                "because an id occurs in two parts of the source or two ids have the same hash. Rename these subjects"
            )
        metadata = self.folder / METADATA
        metadata.mkdir(exist_ok=True)
        _write_json(metadata / DATASET_FILE, _dataset(dataset_name))
        _write_json(metadata / SURVLSTM_FILE, {FORMAT_KEY: FORMAT, DAY_TOLERANCE_KEY: self._day_tolerance})
        codes = sorted(self._codes)
        table = {
            CODE: pa.array(codes, pa.string()),
            DESCRIPTION: pa.array([descriptions.get(code) for code in codes], pa.string()),
            PARENTS: pa.array([parents.get(code) for code in codes], pa.list_(pa.string())),
        }
        pq.write_table(pa.table(table), metadata / CODES_FILE)
        if not np.array_equal(ids.astype(np.str_), names):
            known = {SUBJECT: pa.array(ids), SOURCE_SUBJECT: pa.array(names.tolist(), pa.string())}
            pq.write_table(pa.table(known), metadata / SOURCE_SUBJECTS_FILE)
        if self._splits:
            split = np.concatenate(self._splits)
            listed = split >= 0
            named = pa.array([SPLIT_NAMES[Split(part)] for part in split[listed]], pa.string())
            pq.write_table(pa.table({SUBJECT: pa.array(ids[listed]), SPLIT: named}), metadata / SPLITS_FILE)


def _write_json(path: Path, value: dict[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _dataset(name: str) -> dict[str, object]:
    """Return the content of ``dataset.json``."""
    return {
        "dataset_name": name,
        "etl_name": "survlstm convert",
        "etl_version": __version__,
        "meds_version": MEDS_VERSION,
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "other_extension_columns": [ENCOUNTER, UNIT],
    }


def _rows(events: Events, ids: Int64[np.ndarray, " subject"], *, first_encounter: int) -> pa.Table:
    """Return the rows of a shard: events, births, deaths, ends of observation and static codes.

    An event without a unit has null as its unit. Faults of values are not written: such a value is null.

    Args:
        events: Events of the shard's subjects.
        ids: Number of each subject in the dataset.
        first_encounter: Number of the shard's first encounter in the dataset.
    """
    subjects = events.subjects
    owner = np.repeat(np.arange(len(subjects)), subjects.static.per_subject)
    never = np.full(len(owner), np.datetime64("NaT"), dtype="datetime64[s]")
    single = [_known(days) for days in (subjects.birth, subjects.death, subjects.observed_until)]
    codes: list[list[str]] = [events.codes.tolist(), [BIRTH], [DEATH], [OBSERVED_UNTIL], subjects.static.codes.tolist()]
    starts = np.cumsum([0, *(len(names) for names in codes)])
    subject = np.concatenate([events.subject, *(of for of, _ in single), owner])
    time = np.concatenate([events.time, *(when for _, when in single), never])
    kind = [events.code, *(np.zeros(len(of), dtype=np.int32) for of, _ in single), subjects.static.code]
    code = np.concatenate([number + start for number, start in zip(kind, starts, strict=False)])
    others = len(subject) - len(events)
    value = np.concatenate([events.numeric_value, np.full(others, np.nan, dtype=np.float32)])
    encounter = np.concatenate([events.encounter.astype(np.int64), np.full(others, -1)])
    unit = np.concatenate([events.unit, np.zeros(others, dtype=np.int32)])
    # NaT sorts last in numpy; as the smallest integer, it comes first.
    order = np.lexsort([code, time.astype(np.int64), ids[subject]])
    names = pa.array([name for part in codes for name in part], pa.string())
    columns = [
        pa.array(ids[subject][order]),
        pa.array(time[order].astype("datetime64[us]")),
        names.take(pa.array(code[order])),
        pa.array(value[order], mask=np.isnan(value[order])),
        pa.array(encounter[order] + first_encounter, mask=encounter[order] < 0),
        pa.array(events.units.tolist(), pa.string()).take(pa.array(unit[order], mask=unit[order] == 0)),
    ]
    return pa.table(columns, schema=SCHEMA)


def _known(days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the subjects that have a day, and the day of each."""
    known = np.flatnonzero(~np.isnat(days))
    return known, days[known]
