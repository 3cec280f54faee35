"""Time at which each entry was known, for exports in which some entries have a time and others only a day.

In Synthea's exports times are in UTC and days are local days of an unknown time zone, so the same moment can have two
dates that differ by one day. An entry dated to the day therefore takes the time of its encounter if it names one with
a timed entry within a day. Otherwise comparisons with timed entries allow for ``Events.day_tolerance``. See
``docs/conventions.md``, section "Dates and times".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from survlstm.data.events import Events

DAY_SECONDS = 86400
YEAR_SECONDS = 365.25 * DAY_SECONDS
# The limit of a record without a limit.
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class KnownTimes:
    """Bounds on the time at which each entry was known, in seconds since 1970 on the clock of the timed entries.

    Attributes:
        earliest: First second at which the entry can have been known.
        latest: Second by which the entry was known; visits are built from these.
        day: Calendar day of the entry, in days since 1970.
        is_dated: True for an entry dated to the day, False for one with a time of day.
        is_anchored: True for a dated entry that has the time of its encounter. For the other dated entries ``earliest``
            and ``latest`` are the first and last second of their day.
        days_off: For dated entries of an encounter with timed entries, the distance in days to the nearest timed entry
            of that encounter: 0, +1 (dated a day later), -1 (a day earlier), or ``FURTHER``. ``UNTIED`` for all other
            entries.
    """

    earliest: Int64[np.ndarray, " event"]
    latest: Int64[np.ndarray, " event"]
    day: Int64[np.ndarray, " event"]
    is_dated: Bool[np.ndarray, " event"]
    is_anchored: Bool[np.ndarray, " event"]
    days_off: Int64[np.ndarray, " event"]

    def take(self, kept: Bool[np.ndarray, " event"]) -> KnownTimes:
        """Select the times of the entries for which ``kept`` is true.

        Args:
            kept: Mask of the entries to keep.

        Returns:
            Times of these entries, in their order.
        """
        return KnownTimes(
            self.earliest[kept],
            self.latest[kept],
            self.day[kept],
            self.is_dated[kept],
            self.is_anchored[kept],
            self.days_off[kept],
        )


# Values of ``days_off``: more than a day from every timed entry of the encounter; no timed entry to compare with.
FURTHER, UNTIED = 2, 3


def known_times(events: Events) -> KnownTimes:
    """Bound the time at which each entry was known.

    A time of midnight marks an entry dated to the day. If such an entry names an encounter that has timed entries on
    the same day, the day after or the day before, in this order of preference, it was known by the last of those.
    Otherwise it was known by the end of its day: placed at 00:00, it would join the visit of the night before.

    Args:
        events: Events with ``time`` in any order.

    Returns:
        Bounds for each event, in the order of ``events``.
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
    """End of each subject's record; entries at the limit or after it lie outside.

    Attributes:
        moment: Limit of timed entries, in seconds since 1970; ``NEVER`` for no limit.
        day: Limit of dated entries, in days since 1970; ``NEVER`` for no limit.
    """

    moment: Int64[np.ndarray, " subject"]
    day: Int64[np.ndarray, " subject"]

    @classmethod
    def none(cls, subjects: int) -> RecordLimits:
        """Create limits that leave nothing out, for this number of subjects.

        Args:
            subjects: Number of subjects.

        Returns:
            Limits that are ``NEVER`` for every subject.
        """
        return cls(np.full(subjects, NEVER), np.full(subjects, NEVER))

    @classmethod
    def from_days(cls, day: np.ndarray, *, tolerance: int) -> RecordLimits:
        """Limit dated entries to the days before ``day`` and timed ones to ``tolerance`` days before its midnight.

        Args:
            day: ``datetime64`` [subject], NaT for no limit.
            tolerance: Days before the midnight of ``day``; a negative number moves the limit of timed entries to days
                after that midnight.

        Returns:
            Limits of the subjects, in the order of ``day``.
        """
        is_limited = ~np.isnat(day)
        number = day.astype("datetime64[D]").astype(np.int64)
        return cls(np.where(is_limited, (number - tolerance) * DAY_SECONDS, NEVER), np.where(is_limited, number, NEVER))

    def lowered(self, times: KnownTimes, subject: np.ndarray, *, tolerance: int) -> RecordLimits:
        """Lower the limits of the subjects to the earliest time at which one of their entries was known.

        Args:
            times: Known times of some entries.
            subject: Subject of each of those entries.
            tolerance: Days by which a day and a time of the same moment can differ, in either direction.

        Returns:
            New limits; none of them is later than before.
        """
        is_free = times.is_dated & ~times.is_anchored
        moment, day = self.moment.copy(), self.day.copy()
        np.minimum.at(moment, subject, times.earliest - np.where(is_free, tolerance * DAY_SECONDS, 0))
        np.minimum.at(day, subject, times.day - np.where(times.is_dated, 0, tolerance))
        return RecordLimits(moment, day)

    def contain(self, times: KnownTimes, subject: np.ndarray) -> Bool[np.ndarray, " event"]:
        """Mark the entries that were known before the limit of their subject.

        A dated entry without the time of an encounter is compared by its day, every other entry by its time.

        Args:
            times: Known times of the entries.
            subject: Subject of each entry.

        Returns:
            True for each entry before the limit, in the order of ``times``.
        """
        is_free = times.is_dated & ~times.is_anchored
        return np.where(is_free, times.day < self.day[subject], times.latest < self.moment[subject])


def _anchor(
    times: KnownTimes, encounter: np.ndarray, dated: np.ndarray, timed: np.ndarray, *, may_differ: bool
) -> None:
    """Give dated entries the times of the timed entries of the same encounter, in place.

    Args:
        times: Known times of all entries; changed in place.
        encounter: Encounter of each entry.
        dated: Positions of the dated entries that name an encounter.
        timed: Positions of the timed entries that name an encounter.
        may_differ: Whether an entry can have been known a day before or after its own day.
    """
    has_dated = np.zeros(int(encounter.max()) + 1, dtype=bool)
    has_dated[encounter[dated]] = True
    timed = timed[has_dated[encounter[timed]]]
    if not len(timed):
        return
    # First and last timed entry of each pair of encounter and day.
    keys, key_index = np.unique(_key(encounter[timed], times.day[timed]), return_inverse=True)
    first, last = np.full(len(keys), NEVER), np.full(len(keys), -NEVER)
    np.minimum.at(first, key_index, times.latest[timed])
    np.maximum.at(last, key_index, times.latest[timed])
    has_timed = np.zeros(len(has_dated), dtype=bool)
    has_timed[encounter[timed]] = True
    times.days_off[dated[has_timed[encounter[dated]]]] = FURTHER
    # Later assignments overwrite earlier ones, so the preferred day comes last: the same day, then the day after.
    for shift in (-1, 1, 0):
        index, has_key = _find(keys, _key(encounter[dated], times.day[dated] + shift))
        rows = dated[has_key]
        times.latest[rows] = last[index[has_key]]
        times.is_anchored[rows] = True
        times.days_off[rows] = -shift
        times.earliest[rows] = first[index[has_key]]
    # Without knowledge of the time zone, an entry can have been known with any timed entry within a day of its own day.
    for shift in (-1, 0, 1) if may_differ else ():
        index, has_key = _find(keys, _key(encounter[dated], times.day[dated] + shift))
        rows = dated[has_key]
        times.earliest[rows] = np.minimum(times.earliest[rows], first[index[has_key]])


def _key(encounter: np.ndarray, day: np.ndarray) -> Int64[np.ndarray, " row"]:
    """Combine encounter and day into one integer that orders by encounter, then day."""
    return (encounter.astype(np.int64) << 32) + day


def _find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Look up keys in the sorted ``keys``.

    Returns:
        The index of each wanted key in ``keys``, and whether it is there; where it is not, the index means nothing.
    """
    index = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return index, keys[index] == wanted
