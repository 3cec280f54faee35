"""Numbers → columns of text, whole arrays at a time: identifiers, days and times as Synthea writes them."""

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
    """``count`` identifiers that look like UUIDs."""
    digits = np.frombuffer(rng.bytes(16 * count), np.uint8).reshape(count, 16)
    nibbles = np.stack([digits >> 4, digits & 15], axis=2).reshape(count, 32)
    text = np.full((count, UUID_LENGTH), ord("-"), np.uint8)
    places = [place for place in range(UUID_LENGTH) if place not in UUID_DASHES]
    text[:, places] = np.frombuffer(b"0123456789abcdef", np.uint8)[nibbles]
    return _fixed_width(text)


def days(day: np.ndarray) -> pa.Array:
    """Days from 1970-01-01 as ``2014-05-26``."""
    return _fixed_width(_calendar()[_row(day)])


def times(seconds: np.ndarray) -> pa.Array:
    """Seconds from 1970-01-01 as ``2014-05-26T03:53:50Z``."""
    day, second = np.divmod(seconds, SECONDS_PER_DAY)
    text = np.empty((len(seconds), 20), np.uint8)
    text[:, :10] = _calendar()[_row(day)]
    text[:, 10:] = np.frombuffer(b"T00:00:00Z", np.uint8)
    parts = (second // 3600, second // 60 % 60, second % 60)
    for place, part in zip((11, 14, 17), parts, strict=True):
        text[:, place] = ord("0") + part // 10
        text[:, place + 1] = ord("0") + part % 10
    return _fixed_width(text)


def blank_where(empty: np.ndarray, column: pa.Array) -> pa.Array:
    """The column with nothing where ``empty``; the CSV writer leaves missing values out."""
    return pc.if_else(pa.array(~empty), column, pa.scalar(None, pa.string()))


def _fixed_width(text: np.ndarray) -> pa.Array:
    count, width = text.shape
    offsets = np.arange(count + 1, dtype=np.int32) * width
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(text)))


def _row(day: np.ndarray) -> np.ndarray:
    return np.asarray(day, np.int64) - FIRST_DAY.astype(np.int64)


@cache
def _calendar() -> np.ndarray:
    """Every day's ten characters [day, character]: formatting each date once is a hundred times faster."""
    every = np.arange(FIRST_DAY, LAST_DAY).astype("S10")
    return np.frombuffer(every.tobytes(), np.uint8).reshape(len(every), 10)


def where(condition: np.ndarray, this: pa.Array, that: pa.Array) -> pa.Array:
    """``this`` where the condition holds, ``that`` elsewhere."""
    return pc.if_else(pa.array(condition), this, that)
