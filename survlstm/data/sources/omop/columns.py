"""Turn Arrow columns of any type into numbers, times and texts, so that every kind of storage gives the same events."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float64, Int64

from survlstm.data.sources.missing_values import blank_missing_values
from survlstm.data.sources.timestamps import FIRST_YEAR, LAST_YEAR, ParsedTimes, parse_times

_WHOLE = r"^[+-]?\d{1,18}(\.0*)?$"
# A word for infinity is a number here, as it is in a column of numbers.
_NUMBER = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?|(?i:inf|infinity))$"
# Beyond it, a double does not hold every whole number.
_LARGEST_EXACT = 2.0**53


class WholeNumbers(NamedTuple):
    """Whole numbers of a column.

    Attributes:
        value: The number of each row; 0 where there is none.
        missing: The row has no value.
        bad: The row has a value that is no whole number.
    """

    value: Int64[np.ndarray, " row"]
    missing: Bool[np.ndarray, " row"]
    bad: Bool[np.ndarray, " row"]


def whole_numbers(column: pa.Array) -> WholeNumbers:
    """Read a column of ids: integers, or floats, decimals and texts that hold integers.

    Args:
        column: A column of any type.

    Returns:
        The numbers, in the order of the rows.

    Example:
        >>> whole_numbers(pa.array([" 7", "8.0", "x", None])).value.tolist()
        [7, 8, 0, 0]
    """
    column = _plain(column)
    kind = column.type
    if pa.types.is_integer(kind):
        missing = _mask(pc.is_null(column))
        # Above the largest int64 an unsigned number is no id.
        bad = (
            _mask(pc.fill_null(pc.greater(column, pa.scalar(2**63 - 1, kind)), False)) if kind == pa.uint64() else None
        )
        bad = np.zeros(len(column), bool) if bad is None else bad
        filled = pc.if_else(pa.array(missing | bad), pa.scalar(0, kind), column)
        return WholeNumbers(filled.cast(pa.int64()).to_numpy(zero_copy_only=False), missing, bad)
    if pa.types.is_floating(kind):
        value = pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False)
        missing = np.isnan(value)
        with np.errstate(invalid="ignore"):
            good = ~missing & (np.abs(value) <= _LARGEST_EXACT) & (value == np.trunc(value))
        return WholeNumbers(np.where(good, value, 0).astype(np.int64), missing, ~missing & ~good)
    words = texts(column)
    missing = _mask(pc.equal(words, ""))
    matches = pc.match_substring_regex(words, _WHOLE)
    digits = pc.replace_substring_regex(pc.if_else(matches, words, "0"), r"\..*$|^\+", "")
    return WholeNumbers(digits.cast(pa.int64()).to_numpy(zero_copy_only=False), missing, ~missing & ~_mask(matches))


def real_numbers(column: pa.Array) -> tuple[Float64[np.ndarray, " row"], Bool[np.ndarray, " row"]]:
    """Read a column of values.

    Args:
        column: A column of any type.

    Returns:
        The number of each row, which may be infinite, NaN where there is none; and the rows with a text that is no
        number.
    """
    column = _plain(column)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        value = pc.fill_null(column.cast(pa.float64(), safe=False), np.nan).to_numpy(zero_copy_only=False)
        return value, np.zeros(len(column), bool)
    words = texts(column)
    matches = pc.match_substring_regex(words, _NUMBER)
    parsed = pc.cast(pc.if_else(matches, words, None), pa.float64())
    value = pc.fill_null(parsed, np.nan).to_numpy(zero_copy_only=False)
    bad = ~_mask(pc.equal(words, "")) & ~_mask(matches)
    return value, bad


def moments(column: pa.Array) -> ParsedTimes:
    """Read a column of days or times; texts have the forms of ``survlstm.data.sources.timestamps.parse_times``.

    Times with a zone are read as UTC.

    Args:
        column: A column of any type.

    Returns:
        The times in seconds, and why some are missing; a number in place of a day can't be parsed.
    """
    column = _plain(column)
    kind = column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        missing = _mask(pc.is_null(column))
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            column = column.cast(pa.timestamp(kind.unit))
        # The conversion of numpy rounds down; that of pyarrow would move times before 1970 forwards.
        time = column.to_numpy(zero_copy_only=False).astype("datetime64[s]")
        years = time.astype("datetime64[Y]").astype(np.int64) + 1970
        impossible = ~missing & ((years < FIRST_YEAR) | (years > LAST_YEAR))
        time[impossible | missing] = np.datetime64("NaT")
        return ParsedTimes(time, missing, np.zeros(len(column), bool), impossible)
    words = texts(column)
    # PostgreSQL writes an offset of whole hours without its minutes.
    words = pc.replace_substring_regex(words, r"(:\d{2}(?:\.\d+)?[+-]\d{2})$", r"\100")
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        nothing = np.full(len(column), np.datetime64("NaT"), dtype="datetime64[s]")
        missing = _mask(pc.equal(words, ""))
        return ParsedTimes(nothing, missing, ~missing, np.zeros(len(column), bool))
    return parse_times(words)


def texts(column: pa.Array) -> pa.Array:
    """Read a column as texts without spaces around them; "" for a missing value and for a word that stands for one.

    Args:
        column: A column of any type; whole numbers are written without a decimal point.

    Returns:
        A pyarrow array of strings without nulls.
    """
    column = _plain(column)
    is_real = pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        # No column of the model holds such values; what they hold is unknown, so that it is no text and no number.
        column = pc.if_else(pc.is_null(column), pa.scalar(None, pa.string()), pa.scalar("(not a text)"))
    words = pc.fill_null(column.cast(pa.string()), "")
    if is_real:
        words = pc.replace_substring_regex(words, r"\.0*$", "")
    return blank_missing_values(words)[0]


def _plain(column: pa.Array) -> pa.Array:
    """Return a column without dictionary and extension type."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    return pa.concat_arrays([column]) if column.offset else column


def _mask(values: pa.BooleanArray) -> Bool[np.ndarray, " row"]:
    return values.to_numpy(zero_copy_only=False)
