"""One event table's columns → coded rows, every row used or counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float32, Int32

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
    describe_first_cell,
    is_not_a_code,
    name_checks,
)
from survlstm.data.sources.spreadsheet_codes import warn_of_spreadsheet_codes
from survlstm.data.sources.synthea_format import BOOK_KEEPING, EventTable, code_system_name
from survlstm.data.sources.synthea_patients import CodedPatients
from survlstm.data.sources.timestamps import ParsedTimes, has_time_of_day, parse_times, to_local

# Event times are UTC and birth dates local: east of Greenwich a newborn's first visit has the day before its birth.
_ZONE_SLACK = np.timedelta64(1, "D")
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?$"


@dataclass(frozen=True)
class CodedRows:
    """The rows of one table that are used; ``code`` and ``encounter`` number this table's own names.

    The encounter named "" stands for none.
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


def code_rows(
    table: CsvTable, kind: EventTable, patients: CodedPatients, *, max_unusable_share: float, timezone: str | None
) -> CodedRows:
    """Code the usable rows, with times in ``timezone`` (None: in UTC).

    Raises SourceError where more than ``max_unusable_share`` of the rows are unusable.
    """
    subjects, times, encounters = (table.columns[name] for name in ("subject", "time", "encounter"))
    subject = _subject_numbers(subjects.values, patients)[subjects.index]
    moments = parse_times(times.values)
    if timezone is not None:
        moments = moments._replace(time=to_local(moments.time, timezone, is_timed=has_time_of_day(times.values)))
    time = moments.time[times.index]
    before_birth = time < patients.subjects.birth[subject] - _ZONE_SLACK
    fates = check_rows(table.rows, _checks(table, patients, moments, before_birth))
    count = count_rows(kind.name, fates, malformed=table.malformed)

    def example() -> str:
        return describe_first_cell(table, "time", fates, RowStatus.UNPARSABLE_DATE, RowStatus.IMPOSSIBLE_DATE)

    check_unusable_share(count, limit=max_unusable_share, example=example)

    kept = slice(None) if count.rows_used == table.rows else np.flatnonzero(fates == RowStatus.USED)
    code, code_names, strange_systems = number_codes(table, kind, kept)
    numeric_value, no_number = _numeric_values(table, kept)
    warnings = []
    if table.rows + table.malformed == 0:
        warnings.append(f"{table.path.name} has a header and no rows.")
    if strange_systems:
        warnings.append(f"{kind.name}: {strange_systems} rows have an unknown SYSTEM and were read as {kind.system}.")
    if no_number:
        warnings.append(f"{kind.name}: {no_number} rows of TYPE numeric have no number in VALUE.")
    warnings += warn_of_spreadsheet_codes(kind.name, code_names, code)
    return CodedRows(
        count,
        tuple(warnings),
        subject[kept],
        time[kept],
        code,
        code_names.astype(np.str_),
        encounters.index[kept],
        encounters.values,
        numeric_value,
    )


def _subject_numbers(ids: pa.Array, patients: CodedPatients) -> Int32[np.ndarray, " value"]:
    return pc.fill_null(pc.index_in(ids, value_set=patients.ids), -1).to_numpy(zero_copy_only=False)


def _mask(values: pa.BooleanArray) -> Bool[np.ndarray, " value"]:
    return values.to_numpy(zero_copy_only=False)


def _checks(table: CsvTable, patients: CodedPatients, moments: ParsedTimes, before_birth: np.ndarray) -> list[RowCheck]:
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
    table: CsvTable, kind: EventTable, kept: slice | np.ndarray
) -> tuple[Int32[np.ndarray, " event"], np.ndarray, int]:
    """The kept rows' codes, the names that they number, and how many rows have a SYSTEM unknown here."""
    codes = table.columns["code"]
    texts, pair = codes.values.to_pylist(), codes.index[kept]
    systems, strange = [""], 0
    if "system" in table.columns:
        column = table.columns["system"]
        known = [code_system_name(text) for text in column.values.to_pylist()]
        systems = sorted({name or "" for name in known})
        number = np.array([systems.index(name or "") for name in known], np.int32)
        stated = column.index[kept]
        strange = int(np.count_nonzero(np.array([name is None for name in known], bool)[stated]))
        # A pair of system and code gets one number, so that the rows are never looked at as text.
        pair = number[stated] * np.int32(len(texts)) + pair
    present = np.zeros(len(systems) * len(texts), bool)
    present[pair] = True
    used = np.flatnonzero(present)
    names = [kind.code_name(texts[code % len(texts)], systems[code // len(texts)]) for code in used.tolist()]
    numbering = (np.cumsum(present) - 1).astype(np.int32)
    # Objects: in numpy's own texts each takes as much room as the longest, which may be anything here.
    return numbering[pair], np.array(names, dtype=object), strange


def _numeric_values(table: CsvTable, kept: slice | np.ndarray) -> tuple[Float32[np.ndarray, " event"], int]:
    """VALUE as a number where TYPE says numeric, or where there is no TYPE; and how many of TYPE numeric have none."""
    if "value" not in table.columns:
        return np.full(len(table.columns["code"].index[kept]), np.nan, np.float32), 0
    values = table.columns["value"]
    is_number = pc.match_substring_regex(values.values, _NUMBER)
    parsed = pc.cast(pc.if_else(is_number, values.values, None), pa.float64())
    with np.errstate(over="ignore"):
        numbers = pc.fill_null(parsed, np.nan).to_numpy(zero_copy_only=False).astype(np.float32)
    numbers[np.isinf(numbers)] = np.nan
    numeric_value = numbers[values.index[kept]]
    if "type" not in table.columns:
        return numeric_value, 0
    types = table.columns["type"]
    is_numeric = _mask(pc.equal(types.values, "numeric"))[types.index[kept]]
    numeric_value[~is_numeric] = np.nan
    return numeric_value, int(np.count_nonzero(is_numeric) - np.count_nonzero(~np.isnan(numeric_value)))
