"""Notes about implausible dates of a cohort; no prediction depends on them."""

from __future__ import annotations

import datetime
from collections import Counter

import numpy as np

from survlstm.data.visits import Visits

# No record is longer than a life: if one is, a date in it is wrong.
LONGEST_RECORD_YEARS = 120
_YEAR_DAYS = 365.25
# With fewer subjects the end of the data cannot be distinguished from the end of a single record.
FEWEST_SUBJECTS = 20


class RecordEndDays:
    """Number of records that end on each day, the day of the last visit or of the death, whichever is later.

    The last day of the data is the day by which all records end except the last 1 %, and except at least one, so that
    one wrong date does not move it. A record is late if it ends after that day by more than a year and by more than the
    interquartile range of all ends. If dates were shifted subject by subject for de-identification, the records end
    throughout a century, the interquartile range is long, and no record is late.
    """

    def __init__(self) -> None:
        self._days: Counter[int] = Counter()

    def add(self, ends: np.ndarray) -> None:
        """Add the ends of some records to the counts.

        Args:
            ends: time at which each record ends, datetime64; shape (subject,). NaT is not counted.
        """
        days, numbers = np.unique(ends[~np.isnat(ends)].astype("datetime64[D]").astype(np.int64), return_counts=True)
        self._days.update(dict(zip(days.tolist(), numbers.tolist(), strict=True)))

    @property
    def late(self) -> int:
        """Number of late records, see the class; 0 for fewer than ``FEWEST_SUBJECTS`` records."""
        days, records = np.array(sorted(self._days)), self._days.total()
        if records < FEWEST_SUBJECTS:
            return 0
        total = np.cumsum([self._days[day] for day in days.tolist()])

        def day_of(rank: int) -> int:
            return int(days[np.searchsorted(total, rank + 1)])

        middle_half = day_of(3 * records // 4) - day_of(records // 4)
        last = day_of(records - 1 - max(1, records // 100)) + max(_YEAR_DAYS, middle_half)
        return sum(self._days[day] for day in days.tolist() if day > last)

    def after(self, time: np.datetime64) -> int:
        """Count the records that end after the day of a time.

        Args:
            time: a time of that day, datetime64; not NaT.

        Returns:
            Number of records.
        """
        day = int(time.astype("datetime64[D]").astype(np.int64))
        return sum(number for end, number in self._days.items() if end > day)

    def notes(self, *, as_of: np.datetime64 | None, is_landmark: bool) -> tuple[str, ...]:
        """Return sentences about implausible dates. Nothing else in a prediction depends on today's date.

        Args:
            as_of: prediction time; None if every entry is read.
            is_landmark: True on the landmark clock, where ``as_of`` decides whether the landmark is reached.

        Returns:
            The sentences; none if no date is implausible.
        """
        notes = []
        # One day more than today in UTC, because other time zones are ahead of UTC.
        tomorrow = np.datetime64(datetime.datetime.now(datetime.UTC).date(), "D") + np.timedelta64(1, "D")
        if after := self.after(tomorrow):
            notes.append(
                f"the data reach past today: {after:,} of {self._days.total():,} records end after it. Dates may have "
                "been shifted for de-identification, or be wrong; every entry is read unless as_of is set"
            )
        if late := self.late:
            notes.append(
                f"{late:,} of {self._days.total():,} records end more than a year after the last day of the others: a "
                "date in them may be wrong. Check history_end, and correct the dates or set as_of"
            )
        if is_landmark and as_of is not None and as_of > tomorrow and not self.after(as_of - np.timedelta64(1, "D")):
            notes.append(
                "as_of lies in the future and after every record: a subject counts as known to have no further entry "
                "up to then"
            )
        return tuple(notes)


def record_end_times(visits: Visits) -> np.ndarray:
    """Compute the time at which each record ends: the last visit or the day of death, whichever is later.

    Args:
        visits: the visits of all subjects.

    Returns:
        Times, NaT for a subject with neither; datetime64[s], shape (subject,).
    """
    ends = np.full(len(visits.subjects), np.datetime64("NaT"), dtype="datetime64[s]")
    some = visits.visits_per_subject > 0
    ends[some] = visits.visit_time[visits.visit_offsets[1:][some] - 1]
    return np.fmax(ends, visits.subjects.death)


def spans_more_than_a_life(visits: Visits) -> np.ndarray:
    """Find the subjects whose visits lie more than ``LONGEST_RECORD_YEARS`` apart.

    Visits on the day of birth or before are not counted.

    Args:
        visits: the visits of all subjects.

    Returns:
        True for such a subject; shape (subject,), boolean.
    """
    owner = visits.visit_subject
    # Facts that hold from birth on are often dated to the day of birth. A comparison with NaT is False, so that without
    # a date of birth every visit counts.
    later = ~(visits.visit_time < visits.subjects.birth[owner] + np.timedelta64(1, "D"))
    first = np.full(len(visits.subjects), np.iinfo(np.int64).max)
    last = np.full(len(visits.subjects), np.iinfo(np.int64).min)
    seconds = visits.visit_time.astype("datetime64[s]").astype(np.int64)
    np.minimum.at(first, owner[later], seconds[later])
    np.maximum.at(last, owner[later], seconds[later])
    return (first <= last) & ((last - first) / 86400 > LONGEST_RECORD_YEARS * _YEAR_DAYS)
