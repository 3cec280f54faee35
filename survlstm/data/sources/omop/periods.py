"""Observation periods: the spans of time in which the entries of a person are complete."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

# Longer than any number of days since 1970 that a date can have, so that subject and day fit into one sortable number.
_DAYS = np.int64(1) << 32
_MIDDLE = _DAYS // 2


@dataclass(frozen=True)
class ObservationPeriods:
    """Observation periods of all subjects, without overlaps.

    Attributes:
        start: Subject and first day of each period as one number, rising.
        end: Subject and last day of each period, as ``start``.
        last_day: Last day of each subject's last period in days since 1970, [subject]; meaningless without one.
        has_period: Whether a subject has a period.
    """

    start: Int64[np.ndarray, " period"]
    end: Int64[np.ndarray, " period"]
    last_day: Int64[np.ndarray, " subject"]
    has_period: Bool[np.ndarray, " subject"]

    @classmethod
    def merged(
        cls,
        subject: Int64[np.ndarray, " row"],
        first_day: Int64[np.ndarray, " row"],
        last_day: Int64[np.ndarray, " row"],
        *,
        subjects: int,
        only_last: bool,
    ) -> ObservationPeriods:
        """Merge the rows of the table; periods that overlap or follow each other without a gap become one.

        Args:
            subject: Subject of each row.
            first_day: First day of each row, in days since 1970.
            last_day: Last day of each row.
            subjects: Number of subjects.
            only_last: Whether only the last period of each subject counts.

        Returns:
            The periods.
        """
        start, end = _key(subject, first_day), _key(subject, last_day)
        order = np.argsort(start, kind="stable")
        start, end = start[order], end[order]
        # The keys of another subject are further away than any day, so the latest end so far is that of the subject.
        latest = np.maximum.accumulate(end) if len(end) else end
        begins = np.ones(len(start), dtype=bool)
        begins[1:] = start[1:] > latest[:-1] + 1
        firsts = np.flatnonzero(begins)
        start, end = start[firsts], latest[np.append(firsts[1:], len(begins)) - 1] if len(firsts) else end
        owner = start // _DAYS
        is_last = np.ones(len(start), dtype=bool)
        is_last[:-1] = owner[1:] != owner[:-1]
        days, has_period = np.zeros(subjects, np.int64), np.zeros(subjects, dtype=bool)
        days[owner[is_last]] = end[is_last] % _DAYS - _MIDDLE
        has_period[owner] = True
        return cls(start[is_last], end[is_last], days, has_period) if only_last else cls(start, end, days, has_period)

    def contain(self, subject: np.ndarray, day: Int64[np.ndarray, " row"]) -> Bool[np.ndarray, " row"]:
        """Mark the days within a period of their subject.

        Args:
            subject: Subject of each day.
            day: Days since 1970.

        Returns:
            True for each day within a period.
        """
        if not len(self.start):
            return np.zeros(len(day), dtype=bool)
        key = _key(subject, day)
        nearest = np.searchsorted(self.start, key, side="right") - 1
        return (nearest >= 0) & (key <= self.end[nearest])


def _key(subject: np.ndarray, day: Int64[np.ndarray, " row"]) -> Int64[np.ndarray, " row"]:
    return subject.astype(np.int64) * _DAYS + day + _MIDDLE
