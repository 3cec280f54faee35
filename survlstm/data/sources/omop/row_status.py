"""Name what happens to the rows of OMOP tables, and count them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

import numpy as np
from jaxtyping import Bool, Int8, Int64

from survlstm.data.events import TableCount


class OmopRow(IntEnum):
    """What happens to a row; a row to which several apply has the one whose check comes first."""

    USED = 0
    HEADER = 1
    REPEATED = 2
    PERSON_LEFT_OUT = 3
    NOT_IN_PERSON = 4
    OUTSIDE = 5
    NO_SOURCE_VALUE = 6
    FREE_TEXT = 7
    NO_PERIOD = 8
    UNUSABLE_DEATH = 9
    NO_PERSON = 10
    NOT_A_NUMBER = 11
    UNKNOWN_PERSON = 12
    NO_DATE = 13
    UNPARSABLE_DATE = 14
    IMPOSSIBLE_DATE = 15
    CONTRADICTORY = 16
    ENDS_BEFORE_START = 17
    DEATH_BEFORE_BIRTH = 18
    TOO_LARGE = 19


LEFT_OUT = {
    OmopRow.HEADER: "the header as a row",
    OmopRow.REPEATED: "repeats another row",
    OmopRow.PERSON_LEFT_OUT: "person left out",
    OmopRow.NOT_IN_PERSON: "person not in the table person",
    OmopRow.OUTSIDE: "outside the observation period",
    OmopRow.NO_SOURCE_VALUE: "concept 0 and no source value",
    OmopRow.FREE_TEXT: "concept 0 and a source value that is no code",
    OmopRow.NO_PERIOD: "no observation period",
    OmopRow.UNUSABLE_DEATH: "the row in death can't be used",
}
UNUSABLE = {
    OmopRow.NO_PERSON: "no person id",
    OmopRow.NOT_A_NUMBER: "text in place of a number",
    OmopRow.UNKNOWN_PERSON: "unknown person",
    OmopRow.NO_DATE: "no date",
    OmopRow.UNPARSABLE_DATE: "unparsable date",
    OmopRow.IMPOSSIBLE_DATE: "impossible date, or before the birth",
    OmopRow.CONTRADICTORY: "several rows for the person that differ",
    OmopRow.ENDS_BEFORE_START: "ends before it starts",
    OmopRow.DEATH_BEFORE_BIRTH: "death before the birth",
    OmopRow.TOO_LARGE: "number beyond single precision",
}


def status_of_rows(rows: int, checks: Iterable[tuple[OmopRow, Bool[np.ndarray, " row"]]]) -> Int8[np.ndarray, " row"]:
    """Return the ``OmopRow`` of every row.

    Args:
        rows: Number of rows.
        checks: Status and mask of each check, in the order in which they count.
    """
    statuses = np.zeros(rows, np.int8)
    for status, hits in checks:
        statuses[hits & (statuses == OmopRow.USED)] = status
    return statuses


def tally(statuses: Int8[np.ndarray, " row"]) -> Int64[np.ndarray, " status"]:
    """Count the rows of each status.

    Args:
        statuses: ``OmopRow`` of every row.
    """
    return np.bincount(statuses, minlength=len(OmopRow))


def table_count(table: str, counts: Int64[np.ndarray, " status"], *, malformed: int) -> TableCount:
    """Make the counts of a table.

    Args:
        table: Name of the table.
        counts: Number of rows of each ``OmopRow``.
        malformed: Rows that were left out before, because they have too many or too few cells.
    """
    left_out = {reason: int(counts[status]) for status, reason in LEFT_OUT.items() if counts[status]}
    unusable = {"malformed row": malformed} if malformed else {}
    unusable |= {reason: int(counts[status]) for status, reason in UNUSABLE.items() if counts[status]}
    return TableCount(table, int(counts.sum()) + malformed, int(counts[OmopRow.USED]), left_out, unusable)
