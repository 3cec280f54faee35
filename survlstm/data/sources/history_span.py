"""Detect an export that keeps only the last years of every history."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64, Int32

from survlstm.data.events import Subjects

_YEAR = np.timedelta64(31_557_600, "s")  # 365.25 days
# Years before the end of the export that are looked at, and years that are compared on either side of a possible cut.
_YEARS_BACK = 40
_WINDOW = 3
_FEWEST_SUBJECTS = 20
# The ratio of the shares before and after a cut. It is 0.39 and 0.43 in two exports of ten years, and above 0.9
# everywhere in full histories.
_CUT_RATIO = 0.5


def cut_history_warning(subjects: Subjects, subject: Int32[np.ndarray, " event"], time: np.ndarray) -> str | None:
    """Return a warning if most subjects have records only from some year on.

    For every year before the end of the export, the share of living subjects born by then who have a record in that
    year is computed. Histories are cut at a year if the share of the three years before it is less than half of the
    share of the three years after it. The year itself belongs to neither. Subjects who died are not counted, because
    Synthea keeps the last years before a death.

    Args:
        subjects: The subjects of the export.
        subject: Index into ``subjects`` of each record.
        time: ``datetime64[s]`` of each record, in the same order.

    Returns:
        The warning, with the month of the cut; None if there is no cut, or if fewer than 20 subjects can be compared.
    """
    if len(time) == 0:
        return None
    # The latest 0.1 % of the times are ignored, so that a single wrong date in the future does not move the end.
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
            return _warning(end, cut, int(np.count_nonzero(eligible)), _shares_around(share, cut))
    return None


def _steepest_fall(years_back: Int32[np.ndarray, " event"], near: int) -> int:
    """Return which of the years ``near`` to ``near`` + 2 has the largest fall in records from the year after it."""
    records = np.bincount(years_back[(years_back >= 0) & (years_back < _YEARS_BACK)], minlength=_YEARS_BACK)
    return near + int(np.argmax(-np.diff(records[near - 1 : near + _WINDOW])))


def _warning(end: np.datetime64, cut: int, subjects: int, shares: tuple[float, float]) -> str:
    after, before = shares
    return (
        # Only the month is shown, because the day is that of a single subject's last entry.
        f"Histories look cut at about {(end - cut * _YEAR).astype('datetime64[M]')}, {cut} years before the end: of "
        f"{subjects} living subjects born long enough before, {after:.0%} have a record in a year after that month and "
        f"{before:.0%} in a year before it. The first record of a subject is then not the start of its care: a time "
        "zero, a number of visits or an exclusion of prevalent cases that depends on earlier records sees only what "
        "was still active in that month. Subjects who died can have more records before it; a landmark or a prediction "
        "time there then tells who died. Set exporter.years_of_history=0 in Synthea to export full histories."
    )


def _years_seen(
    subjects: Subjects, subject: Int32[np.ndarray, " event"], years_back: Int32[np.ndarray, " event"]
) -> Bool[np.ndarray, "subject year"]:
    """Mark the years, counted back from the end, in which each subject has a record."""
    inside = (years_back >= 0) & (years_back < _YEARS_BACK)
    seen = np.zeros((len(subjects), _YEARS_BACK), bool)
    seen[subject[inside], years_back[inside]] = True
    return seen


def _shares_around(share: Float64[np.ndarray, " year"], cut: int) -> tuple[float, float]:
    """Return the mean share of the three years after the year ``cut``, and of the three years before it."""
    after = share[max(0, cut - _WINDOW) : cut].mean()
    before = share[cut + 1 : cut + 1 + _WINDOW].mean()
    return float(after), float(before)
