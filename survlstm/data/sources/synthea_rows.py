"""Turn the columns of one event table into coded rows, and count every row that is not used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float32, Int8, Int32

from survlstm.data.events import TableCount
from survlstm.data.sources.csv_table import CsvTable
from survlstm.data.sources.row_checks import (
    LONGEST_CODE,
    LONGEST_ID,
    RowCheck,
    RowStatus,
    check_rows,
    check_unusable_share,
    count_rows,
    describe_first_unusable_row,
    is_not_a_code,
    name_checks,
)
from survlstm.data.sources.spreadsheet_codes import warn_of_spreadsheet_codes
from survlstm.data.sources.synthea_format import BOOK_KEEPING, CODE_SYSTEMS, EventTable, code_system_name
from survlstm.data.sources.synthea_patients import CodedPatients
from survlstm.data.sources.synthea_values import read_values
from survlstm.data.sources.timestamps import ParsedTimes, has_time_of_day, parse_times, to_local
from survlstm.data.sources.units import TableUnits

# Event times are in UTC and birth dates are local days: east of Greenwich, the first visit of a newborn can be dated to
# the day before its birth.
_ZONE_SLACK = np.timedelta64(1, "D")
# What a message describes first: the dates, because their form is what an export most often gets wrong.
_COLUMNS_AT_FAULT = (
    ("time", (RowStatus.UNPARSABLE_DATE, RowStatus.IMPOSSIBLE_DATE)),
    ("time", (RowStatus.NO_DATE,)),
    ("subject", (RowStatus.UNKNOWN_PATIENT, RowStatus.NO_PATIENT)),
    ("code", (RowStatus.NOT_A_CODE, RowStatus.NO_CODE)),
    (None, (RowStatus.TOO_LONG, RowStatus.CONTROL_CHARACTER)),
)


@dataclass(frozen=True)
class CodedRows:
    """The used rows of one event table.

    Attributes:
        count: The rows of the table by what happened to them.
        warnings: Sentences for the user.
        subject: Index of the patient among the subjects [event].
        time: ``datetime64[s]`` [event], in UTC or in the zone that was given.
        code: Index into ``code_names`` [event].
        code_names: Different codes of this table, such as ``SNOMED/44054006``.
        encounter: Index into ``encounter_names`` [event].
        encounter_names: Different encounter ids of this table, a pyarrow array of strings; "" means no encounter.
        numeric_value: The value of an observation [event], NaN where there is none.
        units: Units of the values; "" for a row without a number.
        value_fault: ``survlstm.data.events.ValueFault`` [event].
    """

    count: TableCount
    warnings: tuple[str, ...]
    subject: Int32[np.ndarray, " event"]
    time: np.ndarray
    code: Int32[np.ndarray, " event"]
    code_names: np.ndarray
    encounter: Int32[np.ndarray, " event"]
    encounter_names: pa.Array
    numeric_value: Float32[np.ndarray, " event"]
    units: TableUnits
    value_fault: Int8[np.ndarray, " event"]


def code_rows(
    table: CsvTable,
    event_table: EventTable,
    patients: CodedPatients,
    *,
    max_unusable_share: float,
    timezone: str | None,
) -> CodedRows:
    """Check and code the rows of an event table.

    Args:
        table: The columns, by the names in ``event_table.fields``.
        event_table: What is known of this table: its name, columns and code system.
        patients: The patients of the export.
        max_unusable_share: Greatest share of unusable rows, 0 to 1.
        timezone: IANA name of the zone to which times are converted; None leaves them in UTC.

    Returns:
        The used rows in the order of the table, the counts of all rows, and warnings.

    Raises:
        SourceError: More than ``max_unusable_share`` of the rows are unusable.
    """
    subjects, times, encounters = (table.columns[name] for name in ("subject", "time", "encounter"))
    subject = _subject_numbers(subjects.values, patients)[subjects.index]
    moments = parse_times(times.values)
    if timezone is not None:
        moments = moments._replace(time=to_local(moments.time, timezone, is_timed=has_time_of_day(times.values)))
    time = moments.time[times.index]
    before_birth = time < patients.subjects.birth[subject] - _ZONE_SLACK
    statuses = check_rows(table.rows, _checks(table, patients, moments, before_birth))
    count = count_rows(event_table.name, statuses, malformed=table.malformed)

    def example() -> str:
        return describe_first_unusable_row(table, statuses, _COLUMNS_AT_FAULT)

    check_unusable_share(count, limit=max_unusable_share, example=example)

    kept = slice(None) if count.rows_used == table.rows else np.flatnonzero(statuses == RowStatus.USED)
    code, code_names, unknown_systems = number_codes(table, event_table, kept)
    values = read_values(table, event_table.name, kept, code)
    warnings = []
    if table.rows + table.malformed == 0:
        warnings.append(f"{table.path.name} has a header and no rows.")
    if unknown_systems:
        warnings.append(
            f"{event_table.name}: {unknown_systems} rows have an unknown SYSTEM and were read as {event_table.system}. "
            f"Known systems are {', '.join(CODE_SYSTEMS)}."
        )
    warnings += values.warnings
    warnings += warn_of_spreadsheet_codes(event_table.name, code_names, code)
    return CodedRows(
        count,
        tuple(warnings),
        subject[kept],
        time[kept],
        code,
        code_names.astype(np.str_),
        encounters.index[kept],
        encounters.values,
        values.number,
        values.units,
        values.fault,
    )


def _subject_numbers(ids: pa.Array, patients: CodedPatients) -> Int32[np.ndarray, " value"]:
    """Return the index of each id among the subjects, -1 for others."""
    return pc.fill_null(pc.index_in(ids, value_set=patients.ids), -1).to_numpy(zero_copy_only=False)


def _mask(values: pa.BooleanArray) -> Bool[np.ndarray, " value"]:
    return values.to_numpy(zero_copy_only=False)


def _checks(table: CsvTable, patients: CodedPatients, moments: ParsedTimes, before_birth: np.ndarray) -> list[RowCheck]:
    """List the checks of an event table; a row gets the status of the first that hits it."""
    subjects, codes, times = (table.columns[name] for name in ("subject", "code", "time"))
    book_keeping = pa.array(sorted(BOOK_KEEPING), pa.string())
    left_out = _mask(pc.is_in(subjects.values, value_set=patients.left_out))
    return [
        RowCheck(RowStatus.BOOK_KEEPING, _mask(pc.is_in(codes.values, value_set=book_keeping)), codes.index),
        RowCheck(RowStatus.PATIENT_LEFT_OUT, left_out, subjects.index),
        RowCheck(RowStatus.NO_PATIENT, _mask(pc.equal(subjects.values, "")), subjects.index),
        *name_checks(table, {"subject": LONGEST_ID, "encounter": LONGEST_ID, "code": LONGEST_CODE}),
        RowCheck(RowStatus.UNKNOWN_PATIENT, _subject_numbers(subjects.values, patients) < 0, subjects.index),
        RowCheck(RowStatus.NO_CODE, _mask(pc.equal(codes.values, "")), codes.index),
        RowCheck(RowStatus.NOT_A_CODE, is_not_a_code(codes.values), codes.index),
        RowCheck(RowStatus.NO_DATE, moments.missing, times.index),
        RowCheck(RowStatus.UNPARSABLE_DATE, moments.unparsable, times.index),
        RowCheck(RowStatus.IMPOSSIBLE_DATE, moments.impossible, times.index),
        RowCheck(RowStatus.IMPOSSIBLE_DATE, before_birth),
    ]


def number_codes(
    table: CsvTable, event_table: EventTable, kept: slice | np.ndarray
) -> tuple[Int32[np.ndarray, " event"], np.ndarray, int]:
    """Give the codes of a table numbers and names.

    Args:
        table: The columns ``code`` and, if the table has it, ``system``.
        event_table: What is known of this table.
        kept: The rows to use, as an index of the rows.

    Returns:
        The code of each kept row as an index into the names; the names that occur, such as ``SNOMED/44054006``; and the
        number of kept rows whose SYSTEM is unknown.
    """
    codes = table.columns["code"]
    texts, pair = codes.values.to_pylist(), codes.index[kept]
    systems, unknown = [""], 0
    if "system" in table.columns:
        column = table.columns["system"]
        known = [code_system_name(text) for text in column.values.to_pylist()]
        systems = sorted({name or "" for name in known})
        number = np.array([systems.index(name or "") for name in known], np.int32)
        stated = column.index[kept]
        unknown = int(np.count_nonzero(np.array([name is None for name in known], bool)[stated]))
        # A pair of system and code gets one number, so that the rows need not be compared as texts.
        pair = number[stated] * np.int32(len(texts)) + pair
    present = np.zeros(len(systems) * len(texts), bool)
    present[pair] = True
    used = np.flatnonzero(present)
    names = [event_table.code_name(texts[code % len(texts)], systems[code // len(texts)]) for code in used.tolist()]
    numbering = (np.cumsum(present) - 1).astype(np.int32)
    # An array of objects: in numpy's own type for texts each takes as much memory as the longest, whatever its length.
    return numbering[pair], np.array(names, dtype=object), unknown
