"""Checks on a table's columns → what becomes of every row, counted by reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int8, Int32

from survlstm.data.events import TableCount
from survlstm.data.sources.csv_table import CsvTable
from survlstm.data.sources.missing_values import is_printable_ascii
from survlstm.utils.content import kind_of_content
from survlstm.utils.errors import SourceError

# A UUID has 36 characters and a SHA-512 digest, the longest usual pseudonym, 128; a SNOMED identifier has 18, a LOINC
# code 7. Longer texts are no identifiers: a spreadsheet that lost a line break, or a whole file in one cell.
LONGEST_ID, LONGEST_CODE = 128, 64
# Control and format characters, and Unicode's own line breaks: two names that look the same would be two.
_CONTROL = r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]"
# No coding system has such codes: the columns of the table are mixed up, and an id or a day would enter a vocabulary.
_NO_CODE = (
    r"^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    r"|\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?)$"
)


class RowStatus(IntEnum):
    """Used, left out by design, or unusable; a row has the first that applies."""

    USED = 0
    BOOK_KEEPING = 1
    PATIENT_LEFT_OUT = 2
    NO_PATIENT = 3
    TOO_LONG = 4
    CONTROL_CHARACTER = 5
    UNKNOWN_PATIENT = 6
    NO_CODE = 7
    NOT_A_CODE = 8
    NO_DATE = 9
    UNPARSABLE_DATE = 10
    IMPOSSIBLE_DATE = 11
    UNUSABLE_DEATH = 12
    DEATH_BEFORE_BIRTH = 13


_MALFORMED = "malformed row"
# A patient's defect is counted once, in patients; the rows that go with the patient are no defects of their own.
_LEFT_OUT = {
    RowStatus.BOOK_KEEPING: "book-keeping (QALY, DALY, QOLS)",
    RowStatus.PATIENT_LEFT_OUT: "patient left out",
}
_UNUSABLE = {
    RowStatus.NO_PATIENT: "no patient id",
    RowStatus.TOO_LONG: f"id longer than {LONGEST_ID} characters, or code longer than {LONGEST_CODE}",
    RowStatus.CONTROL_CHARACTER: "control character in an id or a code",
    RowStatus.UNKNOWN_PATIENT: "unknown patient",
    RowStatus.NO_CODE: "no code",
    RowStatus.NOT_A_CODE: "a UUID or a date in place of a code",
    RowStatus.NO_DATE: "no date",
    RowStatus.UNPARSABLE_DATE: "unparsable date",
    RowStatus.IMPOSSIBLE_DATE: "impossible date",
    RowStatus.UNUSABLE_DEATH: "unparsable or impossible date of death",
    RowStatus.DEATH_BEFORE_BIRTH: "death before birth",
}
# Left out for their date of death: who is left then depends on who died.
BY_DEATH = tuple(_UNUSABLE[fate] for fate in (RowStatus.UNUSABLE_DEATH, RowStatus.DEATH_BEFORE_BIRTH))


class RowCheck(NamedTuple):
    """``hits`` tells which of a column's texts mean ``fate``, and ``rows`` which text each row has.

    Without ``rows`` the hits are row by row.
    """

    fate: RowStatus
    hits: Bool[np.ndarray, " value"]
    rows: Int32[np.ndarray, " row"] | None = None


def name_checks(table: CsvTable, longest: Mapping[str, int]) -> list[RowCheck]:
    """Checks of columns of ids and codes: each text must be printable, and no longer than ``longest`` says."""
    checks = []
    for name, length in longest.items():
        column = table.columns[name]
        checks.append(
            RowCheck(RowStatus.TOO_LONG, _mask(pc.greater(pc.utf8_length(column.values), length)), column.index)
        )
        if not is_printable_ascii(column.values):
            control = _mask(pc.match_substring_regex(column.values, _CONTROL))
            checks.append(RowCheck(RowStatus.CONTROL_CHARACTER, control, column.index))
    return checks


def is_not_a_code(codes: pa.Array) -> Bool[np.ndarray, " value"]:
    """Which texts are a UUID or a date."""
    return _mask(pc.match_substring_regex(codes, _NO_CODE))


def check_rows(rows: int, checks: Iterable[RowCheck]) -> Int8[np.ndarray, " row"]:
    """The ``RowStatus`` of every row: that of the first check that hits it."""
    fates = np.zeros(rows, np.int8)
    for check in checks:
        # Nearly every check of a sound export hits no text at all, and then no row is looked at.
        if check.hits.any():
            hits = check.hits if check.rows is None else check.hits[check.rows]
            fates[hits & (fates == RowStatus.USED)] = check.fate
    return fates


def count_rows(table: str, fates: Int8[np.ndarray, " row"], *, malformed: int) -> TableCount:
    """Count the rows of a table, the malformed ones among those read."""
    counts = np.bincount(fates, minlength=len(RowStatus))
    left_out = {reason: int(counts[fate]) for fate, reason in _LEFT_OUT.items() if counts[fate]}
    unusable = {_MALFORMED: malformed} if malformed else {}
    unusable |= {reason: int(counts[fate]) for fate, reason in _UNUSABLE.items() if counts[fate]}
    return TableCount(table, len(fates) + malformed, int(counts[RowStatus.USED]), left_out, unusable)


def count_malformed(table: str, malformed: int) -> TableCount:
    """The malformed rows alone, of a table whose other rows are counted elsewhere."""
    return count_rows(table, np.empty(0, np.int8), malformed=malformed)


def describe_first_cell(table: CsvTable, column: str, fates: Int8[np.ndarray, " row"], *wrong: RowStatus) -> str:
    """Say where the first row with one of these fates stands, and what kind of content its cell is; "" without one."""
    rows = np.flatnonzero(np.isin(fates, wrong))
    if not len(rows):
        return ""
    cell = table.columns[column].values[int(table.columns[column].index[rows[0]])].as_py()
    spelling = table.parts[0].header.names[column]
    return f"The first is in {table.place(int(rows[0]))}, whose {spelling} is {kind_of_content(cell)}. "


def check_unusable_share(count: TableCount, *, limit: float, example: Callable[[], str] = str) -> None:
    """Raise SourceError where more than ``limit`` (0 to 1) of a table's rows are unusable.

    ``example`` says where the first one stands. Where patients are left out for their date of death the sentence does
    not advise a higher limit: it would select the cohort by its outcome.
    """
    unusable = sum(count.unusable.values())
    if unusable <= limit * count.rows_read:
        return
    share = unusable / count.rows_read
    reasons = ", ".join(f"{number} {reason}" for reason, number in count.unusable.items())
    enough = min(1.0, math.ceil(share * 100) / 100)
    advice = f"Mend the export, or accept the loss with data.source.max_unusable_share={enough:g}."
    if unusable == count.rows_read:
        advice = "Mend the export: no row of the table is left."
    elif sum(count.unusable.get(reason, 0) for reason in BY_DEATH) > limit * count.rows_read:
        advice = (
            "Write DEATHDATE as YYYY-MM-DD and leave it empty for the living. DO NOT raise "
            "data.source.max_unusable_share instead: who is left out would depend on who died, and the cohort would be "
            "selected by its outcome."
        )
    raise SourceError(
        f"{count.table}: at most {limit:.3g} of the rows may be unusable; {unusable} of {count.rows_read} are "
        f"({share:.3g}): {reasons}. {example()}{advice}"
    )


def warn_of_selection_by_death(count: TableCount, *, limit: float = 0.01) -> str | None:
    """A warning where more than ``limit`` of the patients are left out for their date of death; else None."""
    lost = sum(count.unusable.get(reason, 0) for reason in BY_DEATH)
    if lost <= limit * count.rows_read:
        return None
    return (
        f"SELECTED BY OUTCOME: {lost} of {count.rows_read} patients are left out because their date of death can't be "
        "used, so who is left depends on who died, and no rate of death or risk from this cohort is right. Write "
        "DEATHDATE as YYYY-MM-DD and leave it empty for the living."
    )


def _mask(values: pa.BooleanArray) -> Bool[np.ndarray, " value"]:
    return values.to_numpy(zero_copy_only=False)
