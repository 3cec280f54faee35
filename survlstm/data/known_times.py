"""Determine when each entry was known, although some entries bear a time and others only a day.

In Synthea's exports times are in UTC and days are local days of an unknown time zone, so the same moment can have two
dates that differ by one. An entry dated to the day therefore takes the time of its encounter wherever it names one, and
where it does not, comparisons with timed entries allow for ``Events.day_tolerance``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from survlstm.data.events import Events

DAY_SECONDS = 86400
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class KnownTimes:
    """Bounds on the time at which each entry was known, in seconds since 1970 on the clock of the timed entries.

    Attributes:
        earliest: The first second at which the entry can have been known.
        latest: The second by which it was known; visits are built from these.
        day: The calendar day that the entry bears, in days since 1970.
        is_dated: True for an entry dated to the day, False for one with a time of day.
        is_anchored: True for a dated entry that has the time of its encounter. For the other dated entries ``earliest``
            and ``latest`` are the first and last second of their day.
        days_off: For dated entries of an encounter with timed entries, the distance in days to the nearest timed entry
            of that encounter: 0, +1 (dated a day later), -1 (a day earlier), or ``FURTHER``. ``UNTIED`` elsewhere.
    """

    earliest: Int64[np.ndarray, " event"]
    latest: Int64[np.ndarray, " event"]
    day: Int64[np.ndarray, " event"]
    is_dated: Bool[np.ndarray, " event"]
    is_anchored: Bool[np.ndarray, " event"]
    days_off: Int64[np.ndarray, " event"]

    def take(self, kept: Bool[np.ndarray, " event"]) -> KnownTimes:
        """Return the times of the entries where ``kept`` is true."""
        return KnownTimes(
            self.earliest[kept],
            self.latest[kept],
            self.day[kept],
            self.is_dated[kept],
            self.is_anchored[kept],
            self.days_off[kept],
        )


FURTHER, UNTIED = 2, 3


def known_times(events: Events) -> KnownTimes:
    """Bound the time at which each entry was known.

    A time of midnight stands for an entry dated to the day. If such an entry names an encounter that has timed entries
    on the same day, the day after or the day before, in this order of preference, it was known by the last of those.
    Otherwise it was known by the end of its day: at 00:00 it would join the visit of the night before.
    """
    seconds = events.time.astype("datetime64[s]").astype(np.int64)
    day = seconds // DAY_SECONDS
    is_dated = seconds % DAY_SECONDS == 0
    times = KnownTimes(
        earliest=seconds.copy(),
        latest=np.where(is_dated, seconds + DAY_SECONDS - 1, seconds),
        day=day,
        is_dated=is_dated,
        is_anchored=np.zeros(len(seconds), dtype=bool),
        days_off=np.full(len(seconds), UNTIED),
    )
    dated = np.flatnonzero(is_dated & (events.encounter >= 0))
    timed = np.flatnonzero(~is_dated & (events.encounter >= 0))
    if len(dated):
        _anchor(times, events.encounter, dated, timed, may_differ=events.day_tolerance > 0)
    return times


@dataclass(frozen=True)
class RecordLimits:
    """When each subject's record ends: ``moment`` (seconds since 1970) for timed entries, ``day`` for dated ones.

    Entries at the limit or after it lie outside; ``NEVER`` means no limit.
    """

    moment: Int64[np.ndarray, " subject"]
    day: Int64[np.ndarray, " subject"]

    @classmethod
    def none(cls, subjects: int) -> RecordLimits:
        """Return limits that leave nothing out."""
        return cls(np.full(subjects, NEVER), np.full(subjects, NEVER))

    @classmethod
    def from_days(cls, day: np.ndarray, *, tolerance: int) -> RecordLimits:
        """Limit dated entries to the days before ``day`` and timed ones to ``tolerance`` days before its midnight.

        Args:
            day: ``datetime64`` [subject], NaT for no limit.
            tolerance: Days; negative to allow timed entries for as long after the midnight.
        """
        is_limited = ~np.isnat(day)
        number = day.astype("datetime64[D]").astype(np.int64)
        return cls(np.where(is_limited, (number - tolerance) * DAY_SECONDS, NEVER), np.where(is_limited, number, NEVER))

    def lowered(self, times: KnownTimes, subject: np.ndarray, *, tolerance: int) -> RecordLimits:
        """Lower the limits of the subjects to the earliest time at which one of their entries was known.

        Args:
            times: The known times of some entries.
            subject: The subject of each of those entries.
            tolerance: Days between an entry's day and the time at which it can have been known, or the reverse.
        """
        is_free = times.is_dated & ~times.is_anchored
        moment, day = self.moment.copy(), self.day.copy()
        np.minimum.at(moment, subject, times.earliest - np.where(is_free, tolerance * DAY_SECONDS, 0))
        np.minimum.at(day, subject, times.day - np.where(times.is_dated, 0, tolerance))
        return RecordLimits(moment, day)

    def contain(self, times: KnownTimes, subject: np.ndarray) -> Bool[np.ndarray, " event"]:
        """Return True for the entries that were known before their subject's limit.

        A dated entry without an encounter's time is compared by its day, every other entry by its time.
        """
        is_free = times.is_dated & ~times.is_anchored
        return np.where(is_free, times.day < self.day[subject], times.latest < self.moment[subject])


def _anchor(
    times: KnownTimes, encounter: np.ndarray, dated: np.ndarray, timed: np.ndarray, *, may_differ: bool
) -> None:
    """Give the entries ``dated`` the times of the entries ``timed`` of the same encounter.

    With ``may_differ`` an entry can have been known a day before or after the day that it bears.
    """
    is_wanted = np.zeros(int(encounter.max()) + 1, dtype=bool)
    is_wanted[encounter[dated]] = True
    timed = timed[is_wanted[encounter[timed]]]
    if not len(timed):
        return
    keys, place = np.unique(_key(encounter[timed], times.day[timed]), return_inverse=True)
    first, last = np.full(len(keys), NEVER), np.full(len(keys), -NEVER)
    np.minimum.at(first, place, times.latest[timed])
    np.maximum.at(last, place, times.latest[timed])
    has_timed = np.zeros(len(is_wanted), dtype=bool)
    has_timed[encounter[timed]] = True
    times.days_off[dated[has_timed[encounter[dated]]]] = FURTHER
    # The neighbour that is preferred is written last.
    for shift in (-1, 1, 0):
        at, is_there = _find(keys, _key(encounter[dated], times.day[dated] + shift))
        rows = dated[is_there]
        times.latest[rows] = last[at[is_there]]
        times.is_anchored[rows] = True
        times.days_off[rows] = -shift
        times.earliest[rows] = first[at[is_there]]
    for shift in (-1, 0, 1) if may_differ else ():
        at, is_there = _find(keys, _key(encounter[dated], times.day[dated] + shift))
        rows = dated[is_there]
        times.earliest[rows] = np.minimum(times.earliest[rows], first[at[is_there]])


def _key(encounter: np.ndarray, day: np.ndarray) -> Int64[np.ndarray, " row"]:
    """Number the pairs of encounter and day."""
    return (encounter.astype(np.int64) << 32) + day


def _find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each wanted key stands in the sorted ``keys``, and whether it does."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return at, keys[at] == wanted
