"""Recognise the usual words for a missing value and replace them by empty cells."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool

# The forms that databases, pandas, R and people write; they are compared in lower case.
MISSING_WORDS = (
    "null",
    "nan",
    "none",
    "na",
    "n/a",
    "<na>",
    "nat",
    "nil",
    "\\n",
    "#n/a",
    "-",
    "--",
    ".",
    "?",
    "(null)",
    "missing",
)
_LONGEST = max(map(len, MISSING_WORDS))
_SPACE, _TILDE = ord(" "), ord("~")


def blank_missing_values(values: pa.Array) -> tuple[pa.Array, Bool[np.ndarray, " value"] | None]:
    """Remove spaces around every text, and replace words for a missing value by "".

    Args:
        values: A pyarrow array of strings.

    Returns:
        The texts in their order, and a mask of those that were such a word; None in place of the mask if none was.

    Example:
        >>> blank_missing_values(pa.array([" e1 ", "NULL", ""]))[0].to_pylist()
        ['e1', '', '']
    """
    lowest, highest = _lowest_and_highest_byte(values)
    if lowest <= _SPACE or highest > _TILDE:
        values = pc.utf8_trim_whitespace(values)
    length = pc.binary_length(values).to_numpy(zero_copy_only=False)
    # Identifiers and times are longer than any such word, so few texts of a column are compared.
    short = np.flatnonzero((length > 0) & (length <= _LONGEST))
    is_word = pc.is_in(pc.utf8_lower(values.take(pa.array(short))), value_set=pa.array(MISSING_WORDS, pa.string()))
    words = short[is_word.to_numpy(zero_copy_only=False)]
    if not len(words):
        return values, None
    mask = np.zeros(len(values), bool)
    mask[words] = True
    return pc.if_else(pa.array(mask), "", values), mask


def is_printable_ascii(values: pa.Array) -> bool:
    """Return True if all texts consist of printable ASCII characters.

    The bytes of the whole array are examined at once, which is faster than a check of each text.

    Args:
        values: A pyarrow array of strings.

    Returns:
        True also if there is no text, or no text has a character.
    """
    lowest, highest = _lowest_and_highest_byte(values)
    return lowest >= _SPACE and highest <= _TILDE


def _lowest_and_highest_byte(values: pa.Array) -> tuple[int, int]:
    """Return the smallest and largest byte of all texts; two printable ones if there is no byte."""
    if not len(values):
        return _TILDE, _TILDE
    _, offsets, data = values.buffers()
    start, stop = np.frombuffer(offsets, np.int32)[[values.offset, values.offset + len(values)]]
    if data is None or start == stop:
        return _TILDE, _TILDE
    texts = np.frombuffer(data, np.uint8)[start:stop]
    return int(texts.min()), int(texts.max())
