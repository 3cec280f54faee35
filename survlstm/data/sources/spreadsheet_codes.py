"""Codes that a spreadsheet or a table of floats has rounded or rewritten → warnings with their number."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from jaxtyping import Int32

_POWER = re.compile(r"\d([.,]\d+)?[eE]\+?\d+")
_FLOAT = re.compile(r"\d+\.0+")
# A spreadsheet keeps 15 digits of a number, and writes zeros for the others.
_DIGITS_KEPT = 15


def warn_of_spreadsheet_codes(table: str, names: Iterable[str], code: Int32[np.ndarray, " event"]) -> list[str]:
    """Count codes like 1.24171E+14, like 44054006.0, and long ones that end in zeros; ``code`` numbers ``names``."""
    texts = [str(name).rpartition("/")[2] for name in names]
    is_snomed = [str(name).startswith("SNOMED/") for name in names]
    rows = np.bincount(code, minlength=len(texts))
    kinds = (
        ("read like 1.2E+14, as a spreadsheet writes a long number", [bool(_POWER.fullmatch(text)) for text in texts]),
        (
            "read like 44054006.0, as a table of floats writes a number",
            [bool(_FLOAT.fullmatch(text)) for text in texts],
        ),
        (
            f"have more than {_DIGITS_KEPT} digits and end in zeros, as a spreadsheet rounds a long number",
            [_is_rounded(text, snomed) for text, snomed in zip(texts, is_snomed, strict=True)],
        ),
    )
    return [
        f"{table}: {sum(hits)} codes in {int(rows[np.array(hits)].sum())} rows {what}: they are no codes any more, and "
        "several may have become one. Export the table again without a spreadsheet, or import its CODE as text."
        for what, hits in kinds
        if any(hits)
    ]


def _is_rounded(code: str, is_snomed: bool) -> bool:
    """Whether all digits that a spreadsheet loses are zeros, unless that is how SNOMED's check digit has it."""
    lost = code[_DIGITS_KEPT:]
    return (
        code.isdecimal() and code.isascii() and bool(lost) and not lost.strip("0") and not (is_snomed and _checks(code))
    )


# Verhoeff's check digit, by which every SNOMED identifier ends: the group D5 and its permutations.
_PERMUTATION = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _checks(code: str) -> bool:
    check = 0
    for place, digit in enumerate(reversed(code)):
        number = int(digit)
        for _ in range(place % 8):
            number = _PERMUTATION[number]
        check = _product(check, number)
    return check == 0


def _product(first: int, second: int) -> int:
    """The product in D5: 0 to 4 are rotations, 5 to 9 reflections."""
    rotation = (first + second) % 5 if first < 5 else (first - second) % 5
    return rotation + 5 * ((first < 5) != (second < 5))
