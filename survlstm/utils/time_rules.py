"""The texts that name prediction times in a config, as in ``clock.times=every_days:90``."""

from __future__ import annotations

import datetime
from typing import NamedTuple

FILE_ENDINGS = (".csv", ".parquet")
EXAMPLES = (
    "visit:10, every_visit, day:365, every_days:90, as_of:2015-01-31, last, or a .csv or .parquet file with "
    "subject_id and prediction_time"
)
# The longest record that is expected, in days.
MOST_DAYS = 150 * 366


class TimeSpec(NamedTuple):
    """A rule that gives each subject its prediction times.

    Attributes:
        kind: *visit* (a visit number), *every_visit*, *day* (days after the first visit), *every_days*, *as_of* (a
            calendar day), *last* (the last visit), or *file*.
        text: The rule as in the config.
        number: The visit number, or the days; 0 for the other kinds.
        place: The day as YYYY-MM-DD, or the path of the file; empty for the other kinds.
    """

    kind: str
    text: str
    number: float = 0.0
    place: str = ""


def parse_times(text: str) -> TimeSpec:
    """Convert a text of ``clock.times`` or ``evaluation.times``.

    Args:
        text: As in ``every_days:90``.

    Returns:
        The rule.

    Raises:
        ValueError: If the text names no prediction times.

    Example:
        >>> parse_times("every_days:90").number
        90.0
    """
    kind, _, argument = text.partition(":")
    if text in {"every_visit", "last"}:
        return TimeSpec(text, text)
    if text.endswith(FILE_ENDINGS):
        return TimeSpec("file", text, place=text)
    try:
        if kind == "visit" and argument.isdecimal():
            return TimeSpec(kind, text, number=float(int(argument)))
        if kind in {"day", "every_days"}:
            days = float(argument)
            if (0 < days <= MOST_DAYS) or (kind == "day" and days == 0):
                return TimeSpec(kind, text, number=days)
        if kind == "as_of":
            return TimeSpec(kind, text, place=datetime.date.fromisoformat(argument).isoformat())
    except ValueError:
        pass
    raise ValueError(f"prediction times must read like one of {EXAMPLES}; found {text!r}")
