"""Text columns of identifiers, days and times in the format of Synthea, made from whole arrays at once."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from survlstm.simulation.schedule import SECONDS_PER_DAY

FIRST_DAY = np.datetime64("1800-01-01", "D")
LAST_DAY = np.datetime64("2301-01-01", "D")
UUID_LENGTH = 36
UUID_DASHES = (8, 13, 18, 23)


def uuids(rng: np.random.Generator, count: int) -> pa.Array:
    """Draw identifiers in the format of UUIDs.

    Args:
        rng: random generator of the chunk; 16 bytes are drawn per identifier.
        count: number of identifiers.

    Returns:
        Strings of 36 characters: lower-case hexadecimal digits and four dashes.
    """
    digits = np.frombuffer(rng.bytes(16 * count), np.uint8).reshape(count, 16)
    nibbles = np.stack([digits >> 4, digits & 15], axis=2).reshape(count, 32)
    text = np.full((count, UUID_LENGTH), ord("-"), np.uint8)
    digit_columns = [column for column in range(UUID_LENGTH) if column not in UUID_DASHES]
    text[:, digit_columns] = np.frombuffer(b"0123456789abcdef", np.uint8)[nibbles]
    return _fixed_width(text)


def days(day: np.ndarray) -> pa.Array:
    """Format days as dates, such as ``2014-05-26``.

    Args:
        day: days since 1970-01-01, from 1800 to 2300; any numeric dtype, fractions are cut off.

    Returns:
        Strings of 10 characters.
    """
    return _fixed_width(_calendar()[_row(day)])


def times(seconds: np.ndarray) -> pa.Array:
    """Format seconds as UTC times, such as ``2014-05-26T03:53:50Z``.

    Args:
        seconds: seconds since 1970-01-01T00:00:00Z, from 1800 to 2300; integer.

    Returns:
        Strings of 20 characters.
    """
    day, second = np.divmod(seconds, SECONDS_PER_DAY)
    text = np.empty((len(seconds), 20), np.uint8)
    text[:, :10] = _calendar()[_row(day)]
    text[:, 10:] = np.frombuffer(b"T00:00:00Z", np.uint8)
    parts = (second // 3600, second // 60 % 60, second % 60)
    for column, part in zip((11, 14, 17), parts, strict=True):
        text[:, column] = ord("0") + part // 10
        text[:, column + 1] = ord("0") + part % 10
    return _fixed_width(text)


def blank_where(empty: np.ndarray, column: pa.Array) -> pa.Array:
    """Replace values by missing ones, which the CSV writer leaves blank.

    Args:
        empty: True where the value is to be blank; boolean.
        column: column of strings.

    Returns:
        The column with missing values.
    """
    return pc.if_else(pa.array(~empty), column, pa.scalar(None, pa.string()))


def _fixed_width(text: np.ndarray) -> pa.Array:
    count, width = text.shape
    offsets = np.arange(count + 1, dtype=np.int32) * width
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(text)))


def _row(day: np.ndarray) -> np.ndarray:
    return np.asarray(day, np.int64) - FIRST_DAY.astype(np.int64)


@cache
def _calendar() -> np.ndarray:
    """Return the ten characters of every date [day, character].

    Looking dates up in this table is a hundred times faster than formatting the date of every row.
    """
    every = np.arange(FIRST_DAY, LAST_DAY).astype("S10")
    return np.frombuffer(every.tobytes(), np.uint8).reshape(len(every), 10)


def where(condition: np.ndarray, this: pa.Array, that: pa.Array) -> pa.Array:
    """Choose between two columns row by row.

    Args:
        condition: boolean, one entry per row.
        this: column whose value is used where the condition is True.
        that: column whose value is used elsewhere.

    Returns:
        The combined column.
    """
    return pc.if_else(pa.array(condition), this, that)
