"""The usual words for a missing value → empty cells."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool

# As databases, pandas, R and people write it; compared without regard to case.
WORDS = (
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
_LONGEST = max(map(len, WORDS))
_SPACE, _TILDE = ord(" "), ord("~")


def blank_missing_values(values: pa.Array) -> tuple[pa.Array, Bool[np.ndarray, " value"] | None]:
    """Trim every text and empty those that say "missing"; the mask tells which did, None where none does."""
    lowest, highest = _lowest_and_highest_byte(values)
    if lowest <= _SPACE or highest > _TILDE:
        values = pc.utf8_trim_whitespace(values)
    length = pc.binary_length(values).to_numpy(zero_copy_only=False)
    # Identifiers and times are longer than any such word, so few texts of a column are looked at.
    short = np.flatnonzero((length > 0) & (length <= _LONGEST))
    is_word = pc.is_in(pc.utf8_lower(values.take(pa.array(short))), value_set=pa.array(WORDS, pa.string()))
    words = short[is_word.to_numpy(zero_copy_only=False)]
    if not len(words):
        return values, None
    mask = np.zeros(len(values), bool)
    mask[words] = True
    return pc.if_else(pa.array(mask), "", values), mask


def is_printable_ascii(values: pa.Array) -> bool:
    """Whether all texts are ASCII without control characters: one look at the bytes instead of one at each text."""
    lowest, highest = _lowest_and_highest_byte(values)
    return lowest >= _SPACE and highest <= _TILDE


def _lowest_and_highest_byte(values: pa.Array) -> tuple[int, int]:
    if not len(values):
        return _TILDE, _TILDE
    _, offsets, data = values.buffers()
    start, stop = np.frombuffer(offsets, np.int32)[[values.offset, values.offset + len(values)]]
    if data is None or start == stop:
        return _TILDE, _TILDE
    texts = np.frombuffer(data, np.uint8)[start:stop]
    return int(texts.min()), int(texts.max())
