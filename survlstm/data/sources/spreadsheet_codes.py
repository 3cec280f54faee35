"""Detect codes that a spreadsheet or a table of floats has rounded or rewritten."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from jaxtyping import Int32

_POWER = re.compile(r"\d([.,]\d+)?[eE]\+?\d+")
_FLOAT = re.compile(r"\d+\.0+")
# A spreadsheet keeps 15 digits of a number and replaces the others by zeros.
_DIGITS_KEPT = 15


def warn_of_spreadsheet_codes(table: str, names: Iterable[str], code: Int32[np.ndarray, " event"]) -> list[str]:
    """Count codes like 1.24171E+14, like 44054006.0, and long ones that end in zeros.

    Args:
        table: Name of the table, for the warnings.
        names: Different codes of the table, with the code system before a slash if it is known: ``SNOMED/44054006``.
        code: Position in ``names`` of the code of each event.

    Returns:
        One warning for each of the three forms that occurs.
    """
    texts = [str(name).rpartition("/")[2] for name in names]
    is_snomed = [str(name).startswith("SNOMED/") for name in names]
    rows = np.bincount(code, minlength=len(texts))
    kinds = (
        ("look like 1.2E+14, as a spreadsheet writes a long number", [bool(_POWER.fullmatch(text)) for text in texts]),
        (
            "look like 44054006.0, as a table of floats writes a number",
            [bool(_FLOAT.fullmatch(text)) for text in texts],
        ),
        (
            f"have more than {_DIGITS_KEPT} digits and end in zeros, as a spreadsheet rounds a long number",
            [_is_rounded(text, snomed) for text, snomed in zip(texts, is_snomed, strict=True)],
        ),
    )
    return [
        f"{table}: {sum(hits)} codes in {int(rows[np.array(hits)].sum())} rows {form}. The original codes are lost, "
        "and different ones may have become the same. Export the table again and do not open it in a spreadsheet, or "
        "import its column CODE as text."
        for form, hits in kinds
        if any(hits)
    ]


def _is_rounded(code: str, is_snomed: bool) -> bool:
    """Return True if all digits that a spreadsheet would lose are zeros, except in a valid SNOMED identifier."""
    lost = code[_DIGITS_KEPT:]
    return (
        code.isdecimal()
        and code.isascii()
        and bool(lost)
        and not lost.strip("0")
        and not (is_snomed and _has_valid_check_digit(code))
    )


# Every SNOMED identifier ends in a check digit by Verhoeff (1969, Error Detecting Decimal Codes): the digits, permuted
# by their position, have the product 0 in the dihedral group D5.
_PERMUTATION = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _has_valid_check_digit(code: str) -> bool:
    check = 0
    for position, digit in enumerate(reversed(code)):
        number = int(digit)
        # The eighth power of the permutation is the identity.
        for _ in range(position % 8):
            number = _PERMUTATION[number]
        check = _product(check, number)
    return check == 0


def _product(first: int, second: int) -> int:
    """Multiply two elements of D5: 0 to 4 are rotations, 5 to 9 reflections."""
    rotation = (first + second) % 5 if first < 5 else (first - second) % 5
    return rotation + 5 * ((first < 5) != (second < 5))
