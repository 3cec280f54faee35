"""Reading of files that name the subjects of a cohort, or any number of prediction times of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from jaxtyping import Bool, Int64

from survlstm.data.known_times import DAY_SECONDS
from survlstm.data.sources.timestamps import has_time_of_day, parse_times, to_local
from survlstm.utils.content import list_known_names
from survlstm.utils.errors import CohortError
from survlstm.utils.ragged import repeats_previous

SUBJECT, TIME = "subject_id", "prediction_time"
# The keys of the config that name such a file, for messages.
COHORT_KEY, TIMES_KEY, TABLE_KEY = "cohort.file", "the file of prediction times", "the table of prediction times"
# Further columns of MEDS label files and of ACES, whose names can be shown: another name may be a value of a patient.
LABEL_COLUMNS = ("boolean_value", "integer_value", "float_value", "categorical_value", "label", "trigger")


@dataclass(frozen=True)
class CohortFile:
    """The subjects that a file names, each once.

    Attributes:
        subject_id: Identifiers as texts, sorted, [row].
        time: ``datetime64[s]`` [row], the prediction times; None if the file has no such column.
        warnings: Sentences on rows and columns that are not used, without values.
    """

    subject_id: np.ndarray
    time: np.ndarray | None
    warnings: tuple[str, ...]

    def find(self, subject_id: np.ndarray) -> tuple[Bool[np.ndarray, " subject"], np.ndarray, tuple[str, ...]]:
        """Find the subjects of a source in the file.

        Args:
            subject_id: Identifiers of the source, [subject].

        Returns:
            Whether each is in the file; its prediction time, ``datetime64[s]`` [subject], NaT without one; and a
            sentence with the number of subjects of the file that the source lacks, if there are any.
        """
        names = subject_id.astype(np.str_)
        index = np.minimum(np.searchsorted(self.subject_id, names), len(self.subject_id) - 1)
        is_named = self.subject_id[index] == names
        time = np.full(len(names), np.datetime64("NaT"), dtype="datetime64[s]")
        if self.time is not None:
            time[is_named] = self.time[index[is_named]]
        absent = len(self.subject_id) - int(is_named.sum())
        sentence = f"subjects of cohort.file that are not in the source: {absent:,} of {len(self.subject_id):,}"
        return is_named, time, (sentence,) if absent else ()


class TimesFile(NamedTuple):
    """The prediction times that a file gives, each row of a subject and a time once.

    Attributes:
        subject_id: Identifiers as texts, sorted, [row].
        time: ``datetime64[s]`` [row], rising within a subject.
        repeated: Number of rows that repeat another one.
        warnings: Sentences on rows and columns that are not used, without values.
    """

    subject_id: np.ndarray
    time: np.ndarray
    repeated: int
    warnings: tuple[str, ...]

    def find_rows(self, subject_id: np.ndarray) -> tuple[Int64[np.ndarray, " found"], np.ndarray, int]:
        """Find the subjects of a source in the file.

        Args:
            subject_id: Identifiers of the source, [subject].

        Returns:
            Index into ``subject_id`` and time of each row whose subject is in the source, and the number of other rows.
        """
        names = subject_id.astype(np.str_)
        if not len(names):
            return np.empty(0, dtype=np.int64), self.time[:0], len(self.time)
        order = np.argsort(names, kind="stable")
        place = np.minimum(np.searchsorted(names, self.subject_id, sorter=order), len(names) - 1)
        is_known = names[order[place]] == self.subject_id
        return order[place][is_known].astype(np.int64), self.time[is_known], int((~is_known).sum())

    def of_subjects(self, subject_id: np.ndarray) -> TimesFile:
        """Select the rows of some subjects.

        Args:
            subject_id: Their identifiers, [subject].
        """
        is_named = np.isin(self.subject_id, subject_id.astype(np.str_))
        return self._replace(subject_id=self.subject_id[is_named], time=self.time[is_named])


def read_times_file(path: str, *, timezone: str | None = None) -> TimesFile:
    """Read a file with the columns ``subject_id`` and ``prediction_time``, any number of rows per subject.

    Args:
        path: As for ``read_cohort_file``.
        timezone: As for ``read_cohort_file``.

    Returns:
        The rows.

    Raises:
        CohortError: If the file can't be read, lacks one of the columns, or has no usable row.
    """
    return _times_of(_read(Path(path).expanduser(), TIMES_KEY), timezone, TIMES_KEY)


def read_times_table(table: pd.DataFrame, *, timezone: str | None = None) -> TimesFile:
    """Read a pandas table with the columns ``subject_id`` and ``prediction_time``, any number of rows per subject.

    Args:
        table: The table. A datetime is a moment, at midnight too; a text without a time of day, and a date, mean the
            last second of that day.
        timezone: As for ``read_cohort_file``.

    Returns:
        The rows.

    Raises:
        CohortError: If the table lacks one of the columns, has a column of another type, or has no usable row.
    """
    names = [str(name) for name in table.columns]
    _refuse_columns(names, TABLE_KEY)
    try:
        columns = {name: pa.array(table[name], from_pandas=True) for name in (SUBJECT, TIME) if name in names}
    # Messages of pyarrow quote values, so that only the kind of the error is shown.
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise CohortError(
            f"{TABLE_KEY} must hold texts or whole numbers as {SUBJECT} and days or times as {TIME}; its columns can't "
            f"be read ({type(error).__name__}). Give each column one type"
        ) from None
    others = {name: pa.nulls(len(table)) for name in names if name not in {SUBJECT, TIME}}
    return _times_of(pa.table(columns | others), timezone, TABLE_KEY)


def _times_of(table: pa.Table, timezone: str | None, key: str) -> TimesFile:
    if TIME not in table.column_names:
        raise CohortError(
            f"{key} must have the columns {SUBJECT} and {TIME}; found "
            f"{list_known_names(table.column_names, (SUBJECT, TIME, *LABEL_COLUMNS))}. Add the column {TIME}"
        )
    usable = _usable_rows(table, timezone, key)
    order = np.lexsort([usable.time, usable.subject])
    subject, time = usable.subject[order], usable.time[order]
    is_repeated = repeats_previous(subject, time)
    warnings = _warnings(table, usable.left_out, key)
    return TimesFile(subject[~is_repeated], time[~is_repeated], int(is_repeated.sum()), warnings)


def read_cohort_file(path: str, *, timezone: str | None = None) -> CohortFile:
    """Read a file with the columns ``subject_id`` and, optionally, ``prediction_time``.

    Other columns are ignored, and a warning says so. Rows without an id or with an unusable time are left out and
    counted, and so are repeated rows.

    Args:
        path: A .csv or .parquet file; ``~`` stands for the home folder.
        timezone: Zone to which times of day are converted, that of the source; None leaves them as they are. A day
            without a time of day means its last second, and is not converted.

    Returns:
        The subjects, each once.

    Raises:
        CohortError: If the file can't be read, lacks ``subject_id``, has no usable row, or has several prediction times
            for a subject.
    """
    table = _read(Path(path).expanduser(), COHORT_KEY)
    usable = _usable_rows(table, timezone, COHORT_KEY)
    subject, first, repeats = np.unique(usable.subject, return_index=True, return_counts=True)
    time = None
    if TIME in table.column_names:
        time = _one_time(usable.time, usable.subject, subject)
    usable.left_out["repeated"] = int(repeats.sum()) - len(first)
    return CohortFile(subject, time, _warnings(table, usable.left_out, COHORT_KEY))


class _UsableRows(NamedTuple):
    """Rows with an id and, if the file has such a column, a time; ``left_out`` counts the others by reason."""

    subject: np.ndarray
    time: np.ndarray
    left_out: dict[str, int]


def _usable_rows(table: pa.Table, timezone: str | None, key: str) -> _UsableRows:
    left_out: dict[str, int] = {}
    names = _texts(table.column(SUBJECT), SUBJECT, key)
    is_usable = pc.not_equal(names, "").to_numpy(zero_copy_only=False)
    left_out["without a subject_id"] = int((~is_usable).sum())
    time = np.full(len(names), np.datetime64("NaT"), dtype="datetime64[s]")
    if TIME in table.column_names:
        time, faults = _times(table.column(TIME), timezone, key)
        for reason, mask in faults.items():
            left_out[reason] = int((mask & is_usable).sum())
        is_usable &= ~np.isnat(time)
    if not is_usable.any():
        raise CohortError(
            f"{key} must name at least one subject; of its {len(names):,} rows none can be used{_listed(left_out)}"
        )
    return _UsableRows(np.array(names.to_pylist(), dtype=np.str_)[is_usable], time[is_usable], left_out)


def _one_time(time: np.ndarray, owner: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """Return the prediction time of each subject, or raise CohortError if a subject has several."""
    index = np.searchsorted(subject, owner)
    earliest = np.full(len(subject), np.datetime64("9999-12-31", "s"))
    latest = np.full(len(subject), np.datetime64("0001-01-01", "s"))
    np.minimum.at(earliest, index, time)
    np.maximum.at(latest, index, time)
    several = int((earliest < latest).sum())
    if several:
        raise CohortError(
            f"cohort.file must hold one prediction_time for each subject; {several:,} of {len(subject):,} subjects "
            "have several. Keep one row of each subject, such as the first"
        )
    return earliest


def _warnings(table: pa.Table, left_out: dict[str, int], key: str) -> tuple[str, ...]:
    number = sum(left_out.values())
    others = [name for name in table.column_names if name not in {SUBJECT, TIME}]
    warnings = [f"{number:,} of {len(table):,} rows of {key} are left out{_listed(left_out)}"] if number else []
    if others:
        warnings.append(
            f"of {key} only {SUBJECT} and {TIME} are read; ignored: {list_known_names(others, LABEL_COLUMNS)}. "
            "The outcome is that of the config"
        )
    return tuple(warnings)


def _listed(left_out: dict[str, int]) -> str:
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in left_out.items() if number)
    return f": {reasons}" if reasons else ""


def _read(path: Path, key: str) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            table = pa.parquet.read_table(path)
        else:
            # Inferred types would change ids such as 007 and dates; a null of either column is an empty text.
            options = pa.csv.ConvertOptions(column_types={SUBJECT: pa.string(), TIME: pa.string()})
            table = pa.csv.read_csv(path, convert_options=options)
    # Messages of pyarrow quote rows, so that only the kind of the error is shown.
    except pa.ArrowException as error:
        raise CohortError(
            f"{key} must be a table in the format of its ending; {path.name} can't be read "
            f"({type(error).__name__}). Write it as CSV with commas and a header, or as parquet"
        ) from None
    except OSError as error:
        raise CohortError(f"{key} must be readable; the system says of {path}: {error.strerror}") from error
    _refuse_columns(table.column_names, key)
    return table


def _refuse_columns(names: Sequence[str], key: str) -> None:
    if list(names).count(SUBJECT) != 1 or list(names).count(TIME) > 1:
        raise CohortError(
            f"{key} must have one column {SUBJECT} and at most one column {TIME}; found "
            f"{list_known_names(names, (SUBJECT, TIME, *LABEL_COLUMNS))}. Rename its columns"
        )


def _texts(column: pa.ChunkedArray, name: str, key: str) -> pa.Array:
    """Return a column of texts or whole numbers as texts; empty for null."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise CohortError(f"{name} of {key} must hold texts or whole numbers; found the type {kind}")
    return _whole(pc.fill_null(column.cast(kind).cast(pa.string()), ""))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _times(column: pa.ChunkedArray, timezone: str | None, key: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the prediction times, NaT where there is none, and the reasons for those."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        is_timed = np.full(len(column), pa.types.is_timestamp(column.type))
        # A time with a zone is stored in UTC.
        time = _whole(column.cast(pa.timestamp("s"), safe=False)).to_numpy(zero_copy_only=False)
        time = time.astype("datetime64[s]")
        faults = {"without a prediction_time": np.isnat(time)}
    else:
        texts = _texts(column, TIME, key)
        parsed = parse_times(texts)
        time, is_timed = parsed.time, has_time_of_day(texts)
        faults = {
            "without a prediction_time": parsed.missing,
            "with a prediction_time that is no day or time": parsed.unparsable | parsed.impossible,
        }
    time = np.where(is_timed, time, time + np.timedelta64(DAY_SECONDS - 1, "s"))
    return (time if timezone is None else to_local(time, timezone, is_timed=is_timed)), faults
