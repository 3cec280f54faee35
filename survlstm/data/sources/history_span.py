"""Subjects and the times of their care → a warning where the export keeps only the last years of every history."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64, Int32

from survlstm.data.events import Subjects

_YEAR = np.timedelta64(31_557_600, "s")  # 365.25 days
_YEARS_BACK = 40
_WINDOW = 3
_FEWEST_SUBJECTS = 20
# Exports of ten years measure 0.39 and 0.43 at their cut; the full histories stay above 0.9 everywhere.
_CUT_RATIO = 0.5


def cut_history_warning(subjects: Subjects, subject: Int32[np.ndarray, " event"], time: np.ndarray) -> str | None:
    """Say so where care was recorded from some year before the end of the export on, and hardly before that.

    For every year before the end: the share of living subjects, born by then, with any record in it. A cut stands
    where the three years before it have less than half the share of the three years after it. The year of the cut
    itself is in neither. The dead are not counted: Synthea keeps the last years before their death.
    """
    if len(time) == 0:
        return None
    # One stray date in the future must not move the end, so the last thousandth is not counted.
    end = np.partition(time, -1 - len(time) // 1000)[-1 - len(time) // 1000]
    years_back = ((end - time) // _YEAR).astype(np.int32)
    seen = _years_seen(subjects, subject, years_back)
    age = (end - subjects.birth) // _YEAR
    alive = np.isnat(subjects.death)
    for near in range(1, _YEARS_BACK - 2 * _WINDOW):
        eligible = alive & (age > near + _WINDOW)
        if np.count_nonzero(eligible) < _FEWEST_SUBJECTS:
            return None
        share = seen[eligible].mean(axis=0)
        after, before = _shares_around(share, near)
        if before < _CUT_RATIO * after:
            cut = _steepest_fall(years_back[eligible[subject]], near)
            return _sentence(end, cut, int(np.count_nonzero(eligible)), _shares_around(share, cut))
    return None


def _steepest_fall(years_back: Int32[np.ndarray, " event"], near: int) -> int:
    """The year, of ``near`` and the two before it, with the most records fewer than the year after it."""
    records = np.bincount(years_back[(years_back >= 0) & (years_back < _YEARS_BACK)], minlength=_YEARS_BACK)
    return near + int(np.argmax(-np.diff(records[near - 1 : near + _WINDOW])))


def _sentence(end: np.datetime64, cut: int, subjects: int, shares: tuple[float, float]) -> str:
    after, before = shares
    return (
        # To the month: the day is that of somebody's last entry.
        f"Histories look cut at about {(end - cut * _YEAR).astype('datetime64[M]')}, {cut} years before the end: of "
        f"{subjects} living subjects born long enough before, {after:.0%} have a record in a year after that month and "
        f"{before:.0%} in a year before it. The first record is then no start of care: a time zero, a count of visits "
        "or an exclusion of prevalent cases that reaches back before that month sees only what was still active. "
        "Synthea writes full histories with exporter.years_of_history=0."
    )


def _years_seen(
    subjects: Subjects, subject: Int32[np.ndarray, " event"], years_back: Int32[np.ndarray, " event"]
) -> Bool[np.ndarray, "subject year"]:
    inside = (years_back >= 0) & (years_back < _YEARS_BACK)
    seen = np.zeros((len(subjects), _YEARS_BACK), bool)
    seen[subject[inside], years_back[inside]] = True
    return seen


def _shares_around(share: Float64[np.ndarray, " year"], cut: int) -> tuple[float, float]:
    after = share[max(0, cut - _WINDOW) : cut].mean()
    before = share[cut + 1 : cut + 1 + _WINDOW].mean()
    return float(after), float(before)
