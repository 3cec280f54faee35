"""Rows of the days clock: the prediction times at which a subject is at risk, with labels in intervals after each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int64

from survlstm.data.cohort import Cohort, Exclusion
from survlstm.data.cohort_rules import CohortSettings, rule_exclusions
from survlstm.data.landmark import fit_edges, interval_labels
from survlstm.data.outcomes.protocol import Labels
from survlstm.data.prediction_times import TRAINED, DaysClock, PredictionTimes
from survlstm.data.split import Split
from survlstm.data.targets import TargetRows, Targets, days_between
from survlstm.data.visit_splits import count_earlier
from survlstm.data.visits import Visits, cut_visits
from survlstm.utils.errors import CohortError


def row_targets(
    cohort: Cohort,
    labels: Labels,
    times: PredictionTimes,
    split: Int8[np.ndarray, " subject"],
    clock: DaysClock,
    *,
    rules: CohortSettings,
    min_visits: int,
    edge_days: Float64[np.ndarray, " edge"] | None,
) -> Targets:
    """Select the prediction times at which a subject is at risk and label them in days.

    A subject is at risk at a time if it has had a visit, the event has not happened, follow-up goes on, at least
    ``min_visits`` visits lie on or before it, and the rules of the cohort hold then. The history of a row is every
    visit dated on or before its time.

    Args:
        cohort: Eligible subjects; no visit may span a prediction time.
        labels: Labels of the cohort on the visit clock; ``end_time`` and ``event`` are used.
        times: Prediction times of the subjects of the source.
        split: ``Split`` of each subject of the cohort.
        clock: Rules of the prediction times, and the intervals.
        rules: Rules of the cohort, evaluated at each prediction time.
        min_visits: Fewest visits on or before a prediction time.
        edge_days: Edges of a trained model; None takes those of ``clock``, or fits them on the training rows.

    Returns:
        Targets of the subjects with a row to train on, and the counts of rows that are left out.

    Raises:
        CohortError: If no subject is at risk at a prediction time to train on.
        OutcomeError: If edges can't be fitted, see ``fit_edges``.
    """
    visits = cohort.visits
    rows, left_out = _of_cohort(cohort, times)
    seen = count_earlier(visits.visit_subject, visits.visit_time, rows.subject, rows.time)
    is_after = rows.time >= labels.end_time[rows.subject]
    had_event = labels.event[rows.subject]
    reasons: list[tuple[str, np.ndarray]] = [
        ("before the first visit", seen == 0),
        ("at or after the event", is_after & had_event),
        ("at or after the end of follow-up or the death", is_after & ~had_event),
        (f"after fewer than {min_visits} visits", seen < min_visits),
        *rules_at_rows(rules, visits, rows.subject, rows.time),
    ]
    kept = np.ones(len(seen), dtype=bool)
    for reason, applies in reasons:
        left_out[reason] = int((kept & applies).sum())
        kept &= ~applies
    takes_part = np.zeros(len(visits.subjects), dtype=bool)
    takes_part[rows.subject[kept & (rows.kind == TRAINED)]] = True
    without = kept & ~takes_part[rows.subject]
    left_out["of subjects without a prediction time to train on"] = int(without.sum())
    kept &= ~without
    excluded = Exclusion(
        "at risk at no prediction time", int((~takes_part).sum()), int((labels.event & ~takes_part).sum())
    )
    if not takes_part.any():
        listed = ", ".join(f"{reason}: {number:,}" for reason, number in left_out.items() if number)
        raise CohortError(
            f"at least one subject must be at risk at a prediction time ({clock.as_override}); found none of "
            f"{len(takes_part):,}. Prediction times left out: {listed or 'none, there is no prediction time'}. Set "
            "other prediction times, or lower data.min_visits"
        )
    subject = np.flatnonzero(takes_part)
    rows, seen = rows.at(kept), seen[kept]
    duration = days_between(rows.time, labels.end_time[rows.subject])
    event = labels.event[rows.subject]
    if edge_days is None:
        edge_days = _edges(duration, event, (rows.kind == TRAINED) & (split[rows.subject] == Split.TRAIN), clock)
    step, in_step = interval_labels(duration, event, edge_days)
    most_seen = np.zeros(len(takes_part), dtype=np.int64)
    np.maximum.at(most_seen, rows.subject, seen)
    return Targets(
        subject=subject,
        visits_seen=most_seen[subject],
        step=step,
        event=in_step,
        duration_days=duration,
        edge_days=edge_days,
        oracle_hazard=None,
        exclusions=(excluded,),
        rows=TargetRows(
            subject=np.searchsorted(subject, rows.subject),
            visits=seen,
            time=rows.time,
            kind=rows.kind,
            exposure=exposure_after(step, in_step, duration, edge_days),
            left_out=left_out,
            warnings=tuple(_warnings(clock, rows, split, step=step, event=in_step, intervals=len(edge_days) - 1)),
        ),
    )


def exposure_after(
    step: Int64[np.ndarray, " row"],
    event: Bool[np.ndarray, " row"],
    duration_days: Float64[np.ndarray, " row"],
    edge_days: Float64[np.ndarray, " edge"],
) -> Float64[np.ndarray, " row"]:
    """Compute the share of the interval after ``step`` that a censored row was observed in.

    With a constant hazard rate within an interval, a subject survives the share f of it with probability (1 - h)^f,
    so that its log-likelihood is f log(1 - h). A row censored in an interval counts for that share, neither for the
    whole interval nor for nothing of it.

    Args:
        step: Last step that was observed to its end, see ``interval_labels``; -1 for none.
        event: Whether the event happened in that step.
        duration_days: Days from the prediction time to the event or the end of follow-up.
        edge_days: 0, then the end of each interval.

    Returns:
        Shares from 0 to below 1; 0 for an event, and for a row observed to the last edge.

    Example:
        >>> exposure_after(np.array([0]), np.array([False]), np.array([45.0]), np.array([0.0, 30.0, 60.0]))
        array([0.5])
    """
    partial = np.minimum(step + 1, len(edge_days) - 2)
    share = (duration_days - edge_days[partial]) / (edge_days[partial + 1] - edge_days[partial])
    return np.where(event | (step + 1 > partial), 0.0, share)


class _Rows(NamedTuple):
    """Rows of subjects of the cohort."""

    subject: Int64[np.ndarray, " row"]
    time: np.ndarray
    kind: Int8[np.ndarray, " row"]

    def at(self, kept: np.ndarray) -> _Rows:
        return _Rows(*(column[kept] for column in self))


def _of_cohort(cohort: Cohort, times: PredictionTimes) -> tuple[_Rows, dict[str, int]]:
    """Keep the rows of the cohort's subjects, in the order of its subjects; count the others."""
    if len(cohort.subject):
        place = np.minimum(np.searchsorted(cohort.subject, times.subject), len(cohort.subject) - 1)
        is_member = cohort.subject[place] == times.subject
    else:
        place = is_member = np.zeros(len(times.subject), dtype=bool)
    rows = _Rows(place, times.time, times.kind).at(is_member)
    return rows, {**times.left_out, "of excluded subjects": int((~is_member).sum())}


def rules_at_rows(
    rules: CohortSettings,
    visits: Visits,
    subject: Int64[np.ndarray, " row"],
    time: np.ndarray,
    *,
    show_dates: bool = True,
) -> Iterator[tuple[str, Bool[np.ndarray, " row"]]]:
    """Evaluate the rules of the cohort at each row.

    Args:
        rules: Rules of the cohort.
        visits: Visits of the subjects; those after a row have no influence on it.
        subject: Index of the subject of each row, rising.
        time: ``datetime64[s]`` [row], the prediction times.
        show_dates: Whether the reason of a rule on dates names them.

    Yields:
        Reason, and mask of the rows to leave out for it.
    """
    if not (rules.include or rules.exclude):
        return
    # A rule takes one time per subject: the n-th rows of all subjects are evaluated together.
    number = np.arange(len(subject)) - np.searchsorted(subject, subject)
    found: dict[str, np.ndarray] = {}
    for turn in range(int(number.max(initial=-1)) + 1):
        at = np.flatnonzero(number == turn)
        some = cut_visits(visits, subject[at], stop=visits.visits_per_subject[subject[at]])
        for reason, applies in rule_exclusions(rules, some, time[at], show_dates=show_dates):
            found.setdefault(reason, np.zeros(len(number), dtype=bool))[at] = applies
    yield from found.items()


def _edges(duration: np.ndarray, event: np.ndarray, is_training: np.ndarray, clock: DaysClock) -> np.ndarray:
    if clock.edges_days is not None:
        return np.array([0.0, *clock.edges_days])
    return fit_edges(duration[is_training], event[is_training], clock)


def _warnings(
    clock: DaysClock, rows: _Rows, split: np.ndarray, *, step: np.ndarray, event: np.ndarray, intervals: int
) -> Iterator[str]:
    """Yield sentences on rules that reach nobody, on intervals without an event, and on rules that know the future."""
    is_training = (rows.kind == TRAINED) & (split[rows.subject] == Split.TRAIN)
    eventless = intervals - len(np.unique(step[is_training & event]))
    if eventless:
        yield (
            f"{eventless} of {intervals} intervals have no event among the training rows, so that their hazards are "
            "near 0 whatever the record; set fewer intervals, wider ones, or clock.edges=quantile"
        )
    if any(spec.kind == "last" for spec in clock.times):
        yield (
            "clock.times=last trains on the last visit of each record, which is known only afterwards: no later visit "
            "follows. Set clock.times=every_visit to train on what was known at the time"
        )
    for number, spec in enumerate(clock.evaluated, start=1):
        if not (rows.kind == number).any():
            yield f"evaluation.times={spec.text} is a time at which no subject is at risk; it is not evaluated"
