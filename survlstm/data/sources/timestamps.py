"""Parse dates and times written as text, and check each of them against the calendar."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int64, UInt8

# Dates of de-identified records are as late as 2205 (MIMIC-IV), and MIMIC-III dates the birth of patients over 89 to
# 300 years before their care.
FIRST_YEAR, LAST_YEAR = 1800, 2300

_FORM = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:?\d{2})?)?$"
_OFFSET = r":\d{2}(?:\.\d+)?(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})$"
_WIDTH_DATE = len("2020-01-31")
_WIDTH = len("2020-01-31T12:34:56")
_WIDTH_UTC = len("2020-01-31T12:34:56Z")


class ParsedTimes(NamedTuple):
    """Parsed times; each NaT has its reason in exactly one of the three masks.

    Attributes:
        time: ``datetime64[s]`` in UTC, NaT where the text can't be used.
        missing: The text is empty.
        unparsable: The text does not have the form 2020-01-31 or 2020-01-31T12:34:56, where a space may replace the T
            and a fraction, Z or an offset such as +01:00 may follow.
        impossible: The text has that form, but there is no such day or time of day, or the year is not in FIRST_YEAR to
            LAST_YEAR.
    """

    time: np.ndarray
    missing: Bool[np.ndarray, " value"]
    unparsable: Bool[np.ndarray, " value"]
    impossible: Bool[np.ndarray, " value"]


def parse_times(texts: pa.Array) -> ParsedTimes:
    """Parse every text separately, so that a wrong text does not affect the others.

    The casts of pyarrow and numpy can't be used, because they stop at the first wrong text, and ``strptime`` reads
    30 February as 1 March.

    Args:
        texts: A pyarrow array of strings without spaces around them.

    Returns:
        The times and the reasons for those that are missing; a date without a time of day means midnight.

    Example:
        >>> parse_times(pa.array(["2020-01-31T12:34:56+01:00", "2020-02-30"])).time.astype(str).tolist()
        ['2020-01-31T11:34:56', 'NaT']
    """
    missing = pc.equal(texts, "").to_numpy(zero_copy_only=False)
    matches = pc.match_substring_regex(texts, _FORM)
    well_formed = matches.to_numpy(zero_copy_only=False)
    seconds, exists = _on_the_calendar(_digits(pc.if_else(matches, texts, "1970-01-01")))
    seconds = seconds - _offset_seconds(texts)
    time = seconds.astype("datetime64[s]")
    years = time.astype("datetime64[Y]").astype(np.int64) + 1970
    usable = well_formed & exists & (years >= FIRST_YEAR) & (years <= LAST_YEAR)
    time[~usable] = np.datetime64("NaT")
    return ParsedTimes(time, missing, ~missing & ~well_formed, well_formed & ~usable)


def has_time_of_day(texts: pa.Array) -> Bool[np.ndarray, " value"]:
    """Mark the texts that are longer than a date.

    Args:
        texts: A pyarrow array of strings, of the forms that ``parse_times`` reads.

    Returns:
        True for each text with a time of day; a text of another form is marked by its length alone.
    """
    return pc.greater(pc.utf8_length(texts), _WIDTH_DATE).to_numpy(zero_copy_only=False)


def to_local(time: np.ndarray, timezone: str, *, is_timed: Bool[np.ndarray, " value"]) -> np.ndarray:
    """Convert times in UTC to the local time of a zone.

    Args:
        time: ``datetime64[s]``, NaT where there is none.
        timezone: An IANA name, as in ``Australia/Melbourne``.
        is_timed: False for days, which are local already.

    Returns:
        ``datetime64[s]``. A time that falls on local midnight is moved by one second, because midnight means that only
        the day is known.
    """
    import pandas as pd

    local = pd.DatetimeIndex(time[is_timed]).tz_localize("UTC").tz_convert(timezone).tz_localize(None)
    converted = local.to_numpy().astype("datetime64[s]")
    is_midnight = converted == converted.astype("datetime64[D]")
    converted[is_midnight] += np.timedelta64(1, "s")
    result = time.copy()
    result[is_timed] = converted
    return result


def _digits(texts: pa.Array) -> UInt8[np.ndarray, "value character"]:
    """Return the first 19 characters of each text as numbers; a date is filled up with zeros, which make midnight."""
    filled = pc.ascii_rpad(pc.utf8_slice_codeunits(texts, 0, _WIDTH), _WIDTH, padding="0")
    buffer = pa.concat_arrays([filled]).cast(pa.binary(_WIDTH)).buffers()[1]
    characters = np.frombuffer(buffer, np.uint8, count=_WIDTH * len(texts)) if len(texts) else np.empty(0, np.uint8)
    return characters.reshape(-1, _WIDTH) - np.uint8(ord("0"))


def _on_the_calendar(
    digits: UInt8[np.ndarray, "value character"],
) -> tuple[Int64[np.ndarray, " value"], Bool[np.ndarray, " value"]]:
    """Return seconds since 1970, and whether the day and the time of day exist."""

    def number(start: int, stop: int) -> np.ndarray:
        total = digits[:, start].astype(np.int64)
        for position in range(start + 1, stop):
            total = total * 10 + digits[:, position]
        return total

    year, month, day = number(0, 4), number(5, 7), number(8, 10)
    hour, minute, second = number(11, 13), number(14, 16), number(17, 19)
    months = (year - 1970) * 12 + month - 1
    first_day = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    days_in_month = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) - first_day
    exists = (month >= 1) & (month <= 12) & (day >= 1) & (day <= days_in_month)
    exists &= (hour < 24) & (minute < 60) & (second < 60)
    return (first_day + day - 1) * 86_400 + hour * 3600 + minute * 60 + second, exists


def _offset_seconds(texts: pa.Array) -> Int64[np.ndarray, " value"]:
    """Return by how many seconds each text's clock is ahead of UTC; 0 for Z and where there is no offset."""
    seconds = np.zeros(len(texts), np.int64)
    if (pc.max(pc.binary_length(texts)).as_py() or 0) <= _WIDTH_UTC:
        return seconds
    ahead = np.flatnonzero(pc.match_substring_regex(texts, _OFFSET).to_numpy(zero_copy_only=False))
    if len(ahead):
        parts = pc.extract_regex(texts.take(pa.array(ahead)), _OFFSET)
        sign = np.where(pc.equal(parts.field("sign"), "-").to_numpy(zero_copy_only=False), -1, 1)
        hours = parts.field("hours").cast(pa.int64()).to_numpy()
        minutes = parts.field("minutes").cast(pa.int64()).to_numpy()
        seconds[ahead] = sign * (hours * 3600 + minutes * 60)
    return seconds
