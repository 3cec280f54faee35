"""Detect a calendar year before which a row tells the outcome, because the export kept more of those with the event."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from survlstm.data.features import DAY_SECONDS, DAYS_PER_YEAR
from survlstm.data.tensors import Tensors
from survlstm.utils.ragged import flat_positions

# Edges of the groups within which the same rate is expected, in years.
AGE_EDGES = np.arange(10, 100, 10)
RECORD_EDGES = np.array([1, 3, 10])
# Fewest subjects on either side of a year, and fewest of them with the event.
FEWEST_SUBJECTS, FEWEST_WITH_EVENT = 20, 10
# A smaller standard error is a rounding error: all subjects of a side then have the same ratio of observed to expected
# events, which does not show how much it varies.
LEAST_STANDARD_ERROR = 1e-9


class TimesAtRisk(NamedTuple):
    """Times at risk, one for each label that a model is trained on.

    Attributes:
        subject: Index of the subject, [period].
        start: ``datetime64[s]`` [period], where the time at risk begins.
        exposure: Its length in years; on the visit clock 1, for a step.
        event: Whether the event ends it.
    """

    subject: Int64[np.ndarray, " period"]
    start: np.ndarray
    exposure: Float64[np.ndarray, " period"]
    event: Bool[np.ndarray, " period"]


class Era(NamedTuple):
    """A calendar year, and the events before and from it.

    Attributes:
        year: First year of the later times at risk.
        subjects: Number of subjects with times at risk before that year, and from it on.
        rates: Events per year at risk before and from it, on the visit clock per step.
        ratio: Standardised event ratio before the year, divided by the one from it on. Age and years since the first
            visit are accounted for.
        score: ``log(ratio)`` by its standard error.
    """

    year: int
    subjects: tuple[int, int]
    rates: tuple[float, float]
    ratio: float
    score: float


def times_at_risk(tensors: Tensors, members: Int64[np.ndarray, " member"]) -> TimesAtRisk:
    """Return the times at risk of some subjects.

    On the visit clock each step is one, from its visit on. On the landmark clock and the days clock each row to train
    on is one, up to the last edge: from the last visit before the landmark, or from the prediction time.

    Args:
        tensors: Data of all subjects.
        members: Indices of the subjects.
    """
    rows = tensors.rows_of(members)
    subject, event = tensors.row_subject[rows], tensors.event[rows]
    if tensors.in_days:
        start = tensors.row_time[rows] if tensors.clock == "days" else tensors.visit_time[tensors.last_visit[rows]]
        years = np.minimum(tensors.duration_days[rows], tensors.edge_days[-1]) / DAYS_PER_YEAR
        return TimesAtRisk(subject, start, years, event)
    steps = tensors.step[rows] + 1
    visits = flat_positions(tensors.visit_offsets[subject], steps)
    ends = np.zeros(len(visits), dtype=bool)
    ends[np.cumsum(steps) - 1] = event
    return TimesAtRisk(np.repeat(subject, steps), tensors.visit_time[visits], np.ones(len(visits)), ends)


def find_era(tensors: Tensors, times: TimesAtRisk) -> Era | None:
    """Find the calendar year whose beginning divides the events most clearly, with the higher rate before it.

    The events before and from each year are divided by those expected by indirect standardisation: at the rate that all
    times at risk of the same group of age and of years since the first visit have. Rates per time at risk do not depend
    on how long a row is followed, so that the short follow-up of the last years makes no difference. Times at risk of
    one subject overlap on the days clock; the standard error of the logarithm of the ratio is therefore the root of the
    sum over subjects of their squared influence (infinitesimal jackknife), with the expected rates taken as known.

    Args:
        tensors: Data of all subjects.
        times: Times at risk of some of them.

    Returns:
        The year with the largest score; None if no year has enough subjects and events on both sides.
    """
    expected = _expected_events(tensors, times)
    years = times.start.astype("datetime64[Y]").astype(np.int64) + 1970
    eras = [_compare(year, years < year, times, expected) for year in np.unique(years).tolist()]
    return max((era for era in eras if era is not None), key=lambda era: era.score, default=None)


def _expected_events(tensors: Tensors, times: TimesAtRisk) -> Float64[np.ndarray, " period"]:
    """Return the events expected in each time at risk at the rate of its group of age and record length."""
    first_visit = tensors.visit_time[tensors.visit_offsets[times.subject]]
    time_zero = first_visit
    if tensors.in_days:
        _, first, place = np.unique(times.subject, return_index=True, return_inverse=True)
        time_zero = times.start[first][place]
    # NaN, an unknown age, belongs to the group of the highest ages.
    age = np.digitize(tensors.age_years[times.subject] + _years(times.start - time_zero), AGE_EDGES)
    record = np.digitize(_years(times.start - first_visit), RECORD_EDGES)
    group = age * (len(RECORD_EDGES) + 1) + record
    exposure, events = np.bincount(group, times.exposure), np.bincount(group, times.event)
    return (events / np.where(exposure > 0, exposure, 1.0))[group] * times.exposure


def _compare(
    year: int, is_early: Bool[np.ndarray, " period"], times: TimesAtRisk, expected: Float64[np.ndarray, " period"]
) -> Era | None:
    """Compare the times at risk before a year with the others; None if either are too few or do not vary."""
    subjects, rates, log_ratios, influences = [], [], [], []
    for side in (is_early, ~is_early):
        subject = times.subject[side]
        events = np.bincount(subject, times.event[side], minlength=times.subject.max() + 1)
        expected_events = np.bincount(subject, expected[side], minlength=len(events))
        if np.count_nonzero(events) < FEWEST_WITH_EVENT:
            return None
        ratio = events.sum() / expected_events.sum()
        subjects.append(len(np.unique(subject)))
        rates.append(float(events.sum() / times.exposure[side].sum()))
        log_ratios.append(float(np.log(ratio)))
        influences.append((events - ratio * expected_events) / events.sum())
    if min(subjects) < FEWEST_SUBJECTS:
        return None
    difference = log_ratios[0] - log_ratios[1]
    standard_error = float(np.sqrt(((influences[0] - influences[1]) ** 2).sum()))
    if standard_error < LEAST_STANDARD_ERROR:
        return None
    return Era(
        year,
        (subjects[0], subjects[1]),
        (rates[0], rates[1]),
        ratio=float(np.exp(difference)),
        score=difference / standard_error,
    )


def _years(span: np.ndarray) -> Float64[np.ndarray, " period"]:
    return span.astype("timedelta64[s]").astype(np.float64) / DAY_SECONDS / DAYS_PER_YEAR
