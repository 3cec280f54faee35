"""The time, or the times, as of which predictions are made."""

from __future__ import annotations

import datetime
import os
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from survlstm.data.cohort_file import TimesFile, read_times_file, read_times_table
from survlstm.data.sources.timestamps import to_local
from survlstm.utils.errors import ConfigError
from survlstm.utils.time_rules import FILE_ENDINGS

LAST = "last"
Moment = str | datetime.date | datetime.datetime | np.datetime64
Table = pd.DataFrame | TimesFile | os.PathLike[str]
# A day, a time, or None for everything that is known; on the days clock also "last", a table, or the path of one.
AsOf = Moment | Table | None


class AskedTimes(NamedTuple):
    """The prediction times that are asked of a model of the days clock.

    Attributes:
        kind: *last* (the last visit), *every_visit*, *at* (one time for all subjects) or *table*.
        until: entries that were not known by then are ignored; None to read every entry.
        table: the rows of a table; None for the other kinds.
    """

    kind: Literal["last", "every_visit", "at", "table"]
    until: np.datetime64 | None = None
    table: TimesFile | None = None

    @property
    def words(self) -> str:
        """The times in words, for notes."""
        return {
            "last": "the last visit of each subject",
            "every_visit": "every visit",
            "at": "one time for all subjects",
            "table": "the times of a table",
        }[self.kind]


def parse_asked_times(as_of: AsOf, *, per_visit: bool, timezone: str | None = None) -> AskedTimes:
    """Convert ``as_of`` and ``per_visit`` to the prediction times of a model of the days clock.

    Args:
        as_of: None or ``"last"`` for the last visit; a day or a time, see ``parse_as_of``; or several times: a pandas
            table or the path of a .csv or .parquet file with subject_id and prediction_time.
        per_visit: if True, predict at every visit, with ``as_of`` a day or a time at those up to then.
        timezone: zone to which times are converted; None for UTC.

    Returns:
        The prediction times.

    Raises:
        ConfigError: ``as_of`` is none of these, or ``per_visit`` is set together with a table.
        CohortError: the table cannot be read.
    """
    if is_table(as_of):
        if per_visit:
            raise ConfigError(
                "one of per_visit and a table of prediction times must say when predictions are made; found both. "
                "Leave out per_visit, or set as_of to a day"
            )
        return AskedTimes("table", table=_read_table(as_of, timezone))
    until = None if _is_last(as_of) else parse_as_of(as_of, timezone=timezone)
    if per_visit:
        return AskedTimes("every_visit", until)
    return AskedTimes("last") if until is None else AskedTimes("at", until)


def parse_as_of(as_of: AsOf, *, timezone: str | None = None) -> np.datetime64 | None:
    """Convert a prediction time to datetime64[s].

    Args:
        as_of: a day as in 2020-01-31, which means its last second, or a time. A time is in UTC unless it states an
            offset. None is returned as it is.
        timezone: zone to which a time is converted; None for UTC. A day is not converted.

    Returns:
        The prediction time in UTC, or in ``timezone`` where that is given; None if ``as_of`` is None.

    Raises:
        ConfigError: ``as_of`` is neither a day nor a time.
    """
    if as_of is None:
        return None
    try:
        text = as_of.isoformat() if isinstance(as_of, datetime.date) else str(as_of)
        parsed = datetime.datetime.fromisoformat(text)
        if parsed.tzinfo is not None:
            parsed = parsed.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"as_of must be a day or a time, as in 2020-01-31 or 2020-01-31T12:00; found {as_of!r}"
        ) from error
    time = np.datetime64(parsed, "s")
    is_day = len(text) <= len("2020-01-31")
    if is_day:
        return time + np.timedelta64(86399, "s")
    return time if timezone is None else to_local(np.array([time]), timezone, is_timed=np.ones(1, dtype=bool))[0]


def parse_one_as_of(as_of: AsOf, *, clock: str, timezone: str | None = None) -> np.datetime64 | None:
    """Convert ``as_of`` where it is one time for all subjects, on the clocks of visits and of landmarks.

    Args:
        as_of: None, a day or a time; on the visit clock also ``"last"``, which means the same as None.
        clock: clock of the model.
        timezone: see ``parse_as_of``.

    Returns:
        The time after which entries are ignored; None to read every entry.

    Raises:
        ConfigError: ``as_of`` is a table, or ``"last"`` on the landmark clock, or no time.
    """
    if is_table(as_of):
        raise ConfigError(
            f"several prediction times need a model of the days clock (clock=days); this one is of the {clock} clock. "
            "Set as_of to a day or a time, or train with clock=days"
        )
    if not _is_last(as_of):
        return parse_as_of(as_of, timezone=timezone)
    if clock == "landmark":
        raise ConfigError(
            "as_of=last needs a model of the days clock or the visit clock; this one predicts at its landmark. Leave "
            "out as_of, or train with clock=days"
        )
    return None


def is_table(as_of: AsOf) -> bool:
    """Return whether ``as_of`` holds several prediction times: a table, or the path of one."""
    if isinstance(as_of, str):
        return as_of.endswith(FILE_ENDINGS)
    return isinstance(as_of, pd.DataFrame | TimesFile | os.PathLike)


def _is_last(as_of: AsOf) -> bool:
    return isinstance(as_of, str) and as_of == LAST


def _read_table(as_of: AsOf, timezone: str | None) -> TimesFile:
    if isinstance(as_of, TimesFile):
        return as_of
    if isinstance(as_of, pd.DataFrame):
        return read_times_table(as_of, timezone=timezone)
    return read_times_file(str(as_of), timezone=timezone)
