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
    found = _rows_at_risk(cohort, labels, times, rules=rules, min_visits=min_visits)
    if not found.takes_part.any():
        raise CohortError(_nobody(found, clock))
    rows, seen = found.rows, found.seen
    duration = days_between(rows.time, labels.end_time[rows.subject])
    event = labels.event[rows.subject]
    is_training = (rows.kind == TRAINED) & (split[rows.subject] == Split.TRAIN)
    edges = _edges(duration, event, is_training, clock) if edge_days is None else edge_days
    step, in_step = interval_labels(duration, event, edges)
    warnings = [*_rule_warnings(clock, rows.kind, times.of_rule, found.is_taken), *_last_warning(clock)]
    if edge_days is None:
        warnings += _interval_warnings(step[is_training & in_step], clock, len(edges) - 1)
    subject = np.flatnonzero(found.takes_part)
    most_seen = np.zeros(len(found.takes_part), dtype=np.int64)
    np.maximum.at(most_seen, rows.subject, seen)
    without = ~found.takes_part
    return Targets(
        subject=subject,
        visits_seen=most_seen[subject],
        step=step,
        event=in_step,
        duration_days=duration,
        edge_days=edges,
        oracle_hazard=None,
        exclusions=(
            Exclusion("at risk at no prediction time", int(without.sum()), int((labels.event & without).sum())),
        ),
        rows=TargetRows(
            subject=np.searchsorted(subject, rows.subject),
            visits=seen,
            time=rows.time,
            kind=rows.kind,
            exposure=exposure_after(step, in_step, duration, edges),
            left_out=found.left_out,
            warnings=tuple(warnings),
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


class _AtRisk(NamedTuple):
    """The rows that take part.

    Attributes:
        rows: The rows.
        seen: Number of visits on or before the time of each.
        is_taken: Whether each row of ``PredictionTimes`` takes part.
        takes_part: Subjects of the cohort with a row to train on.
        left_out: Number of other rows, by reason.
    """

    rows: _Rows
    seen: Int64[np.ndarray, " row"]
    is_taken: Bool[np.ndarray, " made_row"]
    takes_part: Bool[np.ndarray, " subject"]
    left_out: dict[str, int]


def _rows_at_risk(
    cohort: Cohort, labels: Labels, times: PredictionTimes, *, rules: CohortSettings, min_visits: int
) -> _AtRisk:
    """Leave out the rows at which a subject is not at risk; each is counted under the first reason that applies."""
    visits = cohort.visits
    rows, is_member, left_out = _of_cohort(cohort, times)
    seen = count_earlier(visits.visit_subject, visits.visit_time, rows.subject, rows.time)
    is_after = rows.time >= labels.end_time[rows.subject]
    had_event = labels.event[rows.subject]
    kept = np.ones(len(seen), dtype=bool)

    def leave_out(reason: str, applies: np.ndarray) -> None:
        left_out[reason] = int((kept & applies).sum())
        kept[applies] = False

    leave_out("before the first visit", seen == 0)
    leave_out("at or after the event", is_after & had_event)
    leave_out("at or after the end of follow-up or the death", is_after & ~had_event)
    leave_out(f"after fewer than {min_visits} visits", seen < min_visits)
    for reason, applies in rule_exclusions(rules, visits, rows.time, subject=rows.subject):
        leave_out(reason, applies)
    takes_part = np.zeros(len(visits.subjects), dtype=bool)
    takes_part[rows.subject[kept & (rows.kind == TRAINED)]] = True
    leave_out("of subjects without a prediction time to train on", ~takes_part[rows.subject])
    is_taken = is_member.copy()
    is_taken[is_member] = kept
    return _AtRisk(rows.at(kept), seen[kept], is_taken, takes_part, left_out)


def _nobody(found: _AtRisk, clock: DaysClock) -> str:
    """Write the message of the error that no subject is at risk."""
    listed = ", ".join(f"{reason}: {number:,}" for reason, number in found.left_out.items() if number)
    return (
        f"at least one subject must be at risk at a prediction time ({clock.as_override}); found none of "
        f"{len(found.takes_part):,}. Prediction times left out: {listed or 'none, there is no prediction time'}. Set "
        "other prediction times, or lower data.min_visits"
    )


def _of_cohort(cohort: Cohort, times: PredictionTimes) -> tuple[_Rows, np.ndarray, dict[str, int]]:
    """Keep the rows of the cohort's subjects, in the order of its subjects; mark them, and count the others."""
    if len(cohort.subject):
        place = np.minimum(np.searchsorted(cohort.subject, times.subject), len(cohort.subject) - 1)
        is_member = cohort.subject[place] == times.subject
    else:
        place = is_member = np.zeros(len(times.subject), dtype=bool)
    rows = _Rows(place, times.time, times.kind).at(is_member)
    return rows, is_member, {**times.left_out, "of excluded subjects": int((~is_member).sum())}


def _edges(duration: np.ndarray, event: np.ndarray, is_training: np.ndarray, clock: DaysClock) -> np.ndarray:
    if clock.edges_days is not None:
        return np.array([0.0, *clock.edges_days])
    return fit_edges(duration[is_training], event[is_training], clock)


def _interval_warnings(event_step: Int64[np.ndarray, " event"], clock: DaysClock, intervals: int) -> list[str]:
    """Return a sentence if intervals have no event among the training rows."""
    eventless = intervals - len(np.unique(event_step))
    if not eventless:
        return []
    how = "fewer or wider intervals in clock.edges_days"
    if clock.edges_days is None:
        how = "clock.edges=quantile, or fewer intervals"
    return [
        f"{eventless} of {intervals} intervals have no event among the training rows, so that their hazards are near 0 "
        f"whatever the record. Set {how}"
    ]


def _rule_warnings(
    clock: DaysClock, kind: np.ndarray, of_rule: tuple[np.ndarray, ...], taken: Bool[np.ndarray, " made_row"]
) -> Iterator[str]:
    """Yield a sentence for each rule that gives no row.

    Args:
        clock: The rules.
        kind: Kind of each row that takes part.
        of_rule: Rows that each rule to train on gives, see ``PredictionTimes``.
        taken: Whether each of these rows takes part.
    """
    for spec, rows in zip(clock.times, of_rule, strict=False):
        if not taken[rows].any():
            yield f"clock.times={spec.text} gives no time at which a subject is at risk; nothing is trained on it"
    for number, spec in enumerate(clock.evaluated, start=1):
        if not (kind == number).any():
            yield f"evaluation.times={spec.text} gives no time at which a subject is at risk; it is not evaluated"


def _last_warning(clock: DaysClock) -> list[str]:
    keys = (("clock.times", clock.times), ("evaluation.times", clock.evaluated))
    return [
        f"{key}=last is the last visit of each record, which is known only afterwards: no later visit follows, and "
        "only those with a later event or a later end of observation are at risk at it. Set every_visit, or a day"
        for key, rules in keys
        if any(spec.kind == "last" for spec in rules)
    ]
