"""Decide for each row of a table whether it is used, left out or unusable, and count the rows by reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
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

# In characters. A UUID has 36 and a SHA-512 digest, the longest usual pseudonym, 128; a SNOMED identifier has 18, a
# LOINC code 7. A longer text is not an identifier: a spreadsheet has lost a line break, or a whole file is in one cell.
LONGEST_ID, LONGEST_CODE = 128, 64
# Control and format characters, and Unicode's own line breaks. With them, two names that look the same are different.
_CONTROL = r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]"
# No coding system has such codes. They show that the columns of the table are mixed up, and without this check an id or
# a day would enter the vocabulary.
_NO_CODE = (
    r"^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    r"|\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?)$"
)


class RowStatus(IntEnum):
    """What happens to a row: it is used, left out by design, or unusable for one reason.

    A row to which several values apply has the one whose check comes first in the list that ``check_rows`` gets.
    """

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
# A patient's defect is counted once, in the table of patients. The patient's rows in other tables have no defect of
# their own, so they are left out and not unusable.
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
# Reasons that depend on the date of death: the patients who remain are then selected by the outcome.
BY_DEATH = tuple(_UNUSABLE[status] for status in (RowStatus.UNUSABLE_DEATH, RowStatus.DEATH_BEFORE_BIRTH))


class RowCheck(NamedTuple):
    """The rows that get a status, or the texts whose rows get it.

    Attributes:
        status: The status.
        hits: Mask over the different texts of a column, or over the rows where ``rows`` is None.
        rows: Position in ``hits`` of each row's text, from 0; None if ``hits`` is a mask of rows.
    """

    status: RowStatus
    hits: Bool[np.ndarray, " value"]
    rows: Int32[np.ndarray, " row"] | None = None


def name_checks(table: CsvTable, longest: Mapping[str, int]) -> list[RowCheck]:
    """Check that ids and codes are not too long and contain no control characters.

    Args:
        table: The table.
        longest: Greatest number of characters of a text, by the name of each column to check.

    Returns:
        One or two checks for each column.
    """
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
    """Mark the texts that are a UUID, or a date with or without a time of day.

    Args:
        codes: A pyarrow array of strings.

    Returns:
        True for each text that can't be a code, in the order of ``codes``.
    """
    return _mask(pc.match_substring_regex(codes, _NO_CODE))


def check_rows(rows: int, checks: Iterable[RowCheck]) -> Int8[np.ndarray, " row"]:
    """Return the ``RowStatus`` of every row.

    Args:
        rows: Number of rows of the table.
        checks: The checks in the order in which they are applied; a row gets the status of the first that hits it.

    Returns:
        The status of each row as a number; ``RowStatus.USED`` where no check hits.
    """
    statuses = np.zeros(rows, np.int8)
    for check in checks:
        # In a sound export nearly every check hits no text at all, and then the rows need not be examined.
        if check.hits.any():
            hits = check.hits if check.rows is None else check.hits[check.rows]
            statuses[hits & (statuses == RowStatus.USED)] = check.status
    return statuses


def count_rows(table: str, statuses: Int8[np.ndarray, " row"], *, malformed: int) -> TableCount:
    """Count the rows of a table by what happens to them.

    Args:
        table: Name of the table.
        statuses: ``RowStatus`` of every row.
        malformed: Number of malformed rows, which have no status; they count as read and unusable.

    Returns:
        The counts; a reason without rows is absent.
    """
    counts = np.bincount(statuses, minlength=len(RowStatus))
    left_out = {reason: int(counts[status]) for status, reason in _LEFT_OUT.items() if counts[status]}
    unusable = {_MALFORMED: malformed} if malformed else {}
    unusable |= {reason: int(counts[status]) for status, reason in _UNUSABLE.items() if counts[status]}
    return TableCount(table, len(statuses) + malformed, int(counts[RowStatus.USED]), left_out, unusable)


def count_malformed(table: str, malformed: int) -> TableCount:
    """Count only the malformed rows of a table whose other rows are counted elsewhere.

    Args:
        table: Name of the table.
        malformed: Number of malformed rows.

    Returns:
        Counts with ``malformed`` rows read and unusable, and none used.
    """
    return count_rows(table, np.empty(0, np.int8), malformed=malformed)


def describe_first_unusable_row(
    table: CsvTable,
    statuses: Int8[np.ndarray, " row"],
    candidates: Iterable[tuple[str | None, Collection[RowStatus]]],
) -> str:
    """Say where the first unusable row stands, why it is unusable, and what kind of content its cell has.

    The file is read again up to that row, so this is for messages only.

    Args:
        table: The table.
        statuses: ``RowStatus`` of every row.
        candidates: Groups of statuses, each with the column that they are about; None if it may be any of several.
            The first group of which there is a row is described.

    Returns:
        A sentence that ends in a space. It is about the first malformed row if no group has a row, and "" if there is
        no malformed row either.
    """
    for column, wanted in candidates:
        rows = np.flatnonzero(np.isin(statuses, list(wanted)))
        if len(rows):
            first = int(rows[0])
            row = f"The first row with {_UNUSABLE[RowStatus(statuses[first])]!r} is {table.locate_row(first)}"
            if column is None:
                return f"{row}. "
            cell = table.columns[column].values[int(table.columns[column].index[first])].as_py()
            return f"{row}, whose {table.parts[0].header.names[column]} is {kind_of_content(cell)}. "
    place = table.locate_malformed_row() if table.malformed else ""
    return f"The first malformed row is {place}. " if place else ""


def check_unusable_share(count: TableCount, *, limit: float, example: Callable[[], str] = str) -> None:
    """Raise SourceError if too many rows of a table are unusable.

    The message advises a higher limit, unless that would select the cohort by its outcome because patients are left out
    for their date of death.

    Args:
        count: The rows of the table.
        limit: Greatest share of unusable rows, 0 to 1.
        example: Called only if the error is raised; returns a sentence on the first unusable row that ends in a space.

    Raises:
        SourceError: More than ``limit`` of the rows are unusable.
    """
    unusable = sum(count.unusable.values())
    if unusable <= limit * count.rows_read:
        return
    share = unusable / count.rows_read
    reasons = ", ".join(f"{number} {reason}" for reason, number in count.unusable.items())
    enough = min(1.0, math.ceil(share * 100) / 100)
    advice = f"Correct the export, or accept the loss of these rows with data.source.max_unusable_share={enough:g}."
    if unusable == count.rows_read:
        advice = "Correct the export: no row of the table is left."
    elif sum(count.unusable.get(reason, 0) for reason in BY_DEATH) > limit * count.rows_read:
        advice = (
            "Write DEATHDATE as YYYY-MM-DD and leave it empty for the living. DO NOT raise "
            "data.source.max_unusable_share instead: which patients are left out would depend on who died, and the "
            "cohort would be selected by its outcome."
        )
    raise SourceError(
        f"{count.table}: at most {limit:.3g} of the rows may be unusable; {unusable} of {count.rows_read} are "
        f"({share:.3g}): {reasons}. {example()}{advice}"
    )


def warn_of_selection_by_death(count: TableCount, *, limit: float = 0.01) -> str | None:
    """Return a warning if patients are left out for their date of death, else None.

    Args:
        count: The rows of the table of patients.
        limit: Share of the patients, 0 to 1, up to which there is no warning.

    Returns:
        The warning; None if at most ``limit`` of the patients are left out for their date of death.
    """
    lost = sum(count.unusable.get(reason, 0) for reason in BY_DEATH)
    if lost <= limit * count.rows_read:
        return None
    return (
        f"SELECTED BY OUTCOME: {lost} of {count.rows_read} patients are left out because their date of death can't be "
        "used. Which patients remain depends on who died, so every rate of death and every risk from this cohort is "
        "biased. Write DEATHDATE as YYYY-MM-DD and leave it empty for the living."
    )


def _mask(values: pa.BooleanArray) -> Bool[np.ndarray, " value"]:
    return values.to_numpy(zero_copy_only=False)
