"""Checks on a table's columns → what becomes of every row, counted by reason."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int8, Int32

from survlstm.data.events import TableCount
from survlstm.errors import SourceError


class Fate(IntEnum):
    """Used, left out by design, or unusable; a row has the first that applies."""

    USED = 0
    BOOK_KEEPING = 1
    PATIENT_LEFT_OUT = 2
    NO_PATIENT = 3
    UNKNOWN_PATIENT = 4
    NO_CODE = 5
    NO_DATE = 6
    UNPARSABLE_DATE = 7
    IMPOSSIBLE_DATE = 8
    DEATH_BEFORE_BIRTH = 9


_MALFORMED = "malformed row"
# A patient's defect is counted once, in patients; the rows that go with the patient are no defects of their own.
_LEFT_OUT = {
    Fate.BOOK_KEEPING: "book-keeping (QALY, DALY, QOLS)",
    Fate.PATIENT_LEFT_OUT: "patient left out",
}
_UNUSABLE = {
    Fate.NO_PATIENT: "no patient id",
    Fate.UNKNOWN_PATIENT: "unknown patient",
    Fate.NO_CODE: "no code",
    Fate.NO_DATE: "no date",
    Fate.UNPARSABLE_DATE: "unparsable date",
    Fate.IMPOSSIBLE_DATE: "impossible date",
    Fate.DEATH_BEFORE_BIRTH: "death before birth",
}


class Check(NamedTuple):
    """``hits`` tells which of a column's texts mean ``fate``, and ``rows`` which text each row has.

    Without ``rows`` the hits are row by row.
    """

    fate: Fate
    hits: Bool[np.ndarray, " value"]
    rows: Int32[np.ndarray, " row"] | None = None


def judge_rows(rows: int, checks: Iterable[Check]) -> Int8[np.ndarray, " row"]:
    """The ``Fate`` of every row: that of the first check that hits it."""
    fates = np.zeros(rows, np.int8)
    for check in checks:
        # Nearly every check of a sound export hits no text at all, and then no row is looked at.
        if check.hits.any():
            hits = check.hits if check.rows is None else check.hits[check.rows]
            fates[hits & (fates == Fate.USED)] = check.fate
    return fates


def count_rows(table: str, fates: Int8[np.ndarray, " row"], *, malformed: int) -> TableCount:
    """Count the rows of a table, the malformed ones among those read."""
    counts = np.bincount(fates, minlength=len(Fate))
    left_out = {reason: int(counts[fate]) for fate, reason in _LEFT_OUT.items() if counts[fate]}
    unusable = {_MALFORMED: malformed} if malformed else {}
    unusable |= {reason: int(counts[fate]) for fate, reason in _UNUSABLE.items() if counts[fate]}
    return TableCount(table, len(fates) + malformed, int(counts[Fate.USED]), left_out, unusable)


def count_malformed(table: str, malformed: int) -> TableCount:
    """The malformed rows alone, of a table whose other rows are counted elsewhere."""
    return count_rows(table, np.empty(0, np.int8), malformed=malformed)


def check_unusable_share(count: TableCount, *, limit: float, example: str) -> None:
    """Raise SourceError where more than ``limit`` (0 to 1) of a table's rows are unusable.

    ``example`` shows one date that could not be used, "" where there is none to show.
    """
    unusable = sum(count.unusable.values())
    if unusable <= limit * count.rows_read:
        return
    share = unusable / count.rows_read
    reasons = ", ".join(f"{number} {reason}" for reason, number in count.unusable.items())
    enough = min(1.0, math.ceil(share * 100) / 100)
    raise SourceError(
        f"{count.table}: at most {limit:.3g} of the rows may be unusable; {unusable} of {count.rows_read} are "
        f"({share:.3g}): {reasons}{example and f' (a date reads {example})'}. Mend the export, or accept the loss with "
        f"data.source.max_unusable_share={enough:g}."
    )
