"""When the records of a cohort end → what is worth a note about their dates; no prediction depends on it."""

from __future__ import annotations

import datetime
from collections import Counter

import numpy as np

from survlstm.data.visits import Visits

# Nobody's record is longer: one of its dates is wrong.
LONGEST_RECORD_YEARS = 120
_YEAR_DAYS = 365.25
# Of fewer subjects the end of the data can't be told from the end of one of them.
FEWEST_SUBJECTS = 20


class RecordEndDays:
    """How many records end on each day: that of a subject's last visit, or of its death where that is later.

    The data's last day is the one by which all but 1 % of the records end, at least one of them left out, so that one
    wrong date does not move it. Records that end more than a year after it, and further than the middle half of the
    records are apart, are called late. Where dates were shifted subject by subject for de-identification the records
    end all over a century, and none is late.
    """

    def __init__(self) -> None:
        self._days: Counter[int] = Counter()

    def add(self, ends: np.ndarray) -> None:
        """Count the records that end at ``ends``, datetime64 [subject]; NaT for one without visits."""
        days, numbers = np.unique(ends[~np.isnat(ends)].astype("datetime64[D]").astype(np.int64), return_counts=True)
        self._days.update(dict(zip(days.tolist(), numbers.tolist(), strict=True)))

    @property
    def late(self) -> int:
        """How many records end long after the data's last day."""
        days, number = np.array(sorted(self._days)), self._days.total()
        if number < FEWEST_SUBJECTS:
            return 0
        total = np.cumsum([self._days[day] for day in days.tolist()])

        def day_of(rank: int) -> int:
            return int(days[np.searchsorted(total, rank + 1)])

        middle_half = day_of(3 * number // 4) - day_of(number // 4)
        last = day_of(number - 1 - max(1, number // 100)) + max(_YEAR_DAYS, middle_half)
        return sum(self._days[day] for day in days.tolist() if day > last)

    def after(self, time: np.datetime64) -> int:
        """How many records end after the day of ``time``."""
        day = int(time.astype("datetime64[D]").astype(np.int64))
        return sum(number for end, number in self._days.items() if end > day)

    def notes(self, *, as_of: np.datetime64 | None, is_landmark: bool) -> tuple[str, ...]:
        """Say what is odd about the dates. Today's date decides on these sentences, and on nothing else."""
        said = []
        # A day more: somewhere it is tomorrow already.
        tomorrow = np.datetime64(datetime.datetime.now(datetime.UTC).date(), "D") + np.timedelta64(1, "D")
        if after := self.after(tomorrow):
            said.append(
                f"the data reach past today: {after:,} of {self._days.total():,} records end after it. Dates may have "
                "been shifted for de-identification, or be wrong; every entry is read where no as_of is set"
            )
        if late := self.late:
            said.append(
                f"{late:,} of {self._days.total():,} records end more than a year after the last day of the others: a "
                "date of theirs may be wrong. Look at history_end, and mend the dates or set as_of"
            )
        if is_landmark and as_of is not None and as_of > tomorrow and not self.after(as_of - np.timedelta64(1, "D")):
            said.append(
                "as_of lies in the future and after every record: a subject without an entry up to it counts as known "
                "to have had none"
            )
        return tuple(said)


def record_end_times(visits: Visits) -> np.ndarray:
    """datetime64[s] [subject]: the last visit or the day of death, whichever is later; NaT where there is neither."""
    ends = np.full(len(visits.subjects), np.datetime64("NaT"), dtype="datetime64[s]")
    some = visits.visits_per_subject > 0
    ends[some] = visits.visit_time[visits.visit_offsets[1:][some] - 1]
    return np.fmax(ends, visits.subjects.death)


def spans_more_than_a_life(visits: Visits) -> np.ndarray:
    """bool [subject]: visits lie further apart than a life is long; those on the day of birth are not looked at."""
    owner = visits.visit_subject
    # Facts that hold from birth on are often dated to it. A comparison with NaT is false.
    later = ~(visits.visit_time < visits.subjects.birth[owner] + np.timedelta64(1, "D"))
    first = np.full(len(visits.subjects), np.iinfo(np.int64).max)
    last = np.full(len(visits.subjects), np.iinfo(np.int64).min)
    seconds = visits.visit_time.astype("datetime64[s]").astype(np.int64)
    np.minimum.at(first, owner[later], seconds[later])
    np.maximum.at(last, owner[later], seconds[later])
    return (first <= last) & ((last - first) / 86400 > LONGEST_RECORD_YEARS * _YEAR_DAYS)
