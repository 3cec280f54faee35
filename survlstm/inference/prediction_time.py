"""The time as of which a prediction is made."""

from __future__ import annotations

import datetime

import numpy as np

from survlstm.data.sources.timestamps import to_local
from survlstm.utils.errors import ConfigError

# A day, a time, or None for everything that is known.
AsOf = str | datetime.date | datetime.datetime | np.datetime64 | None


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
