"""Landmarks: the subjects at risk at a point of the record, their last known visit and their later follow-up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from survlstm.data.features import DAY_SECONDS
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.utils.ragged import flat_positions


class AtRisk(NamedTuple):
    """The rows of one split that are at risk at a landmark.

    A row is a subject at one prediction time. Only on the clock of days a subject can have several.

    Attributes:
        subject: Index of the subject in the tensors.
        visit: Index in the tensors of the last visit that is known at the landmark.
        step: Last step at risk, counted from the landmark (0 = the first step after it).
        event: Whether the event happens in that step.
        duration: Time from the landmark to the event or the end of follow-up, in the unit of the landmark. In steps, an
            event in step k has k + 1. A subject censored in step k has k + 1.5: it survived k + 1 steps, so that it is
            known to be event-free at the horizon k + 1 and censored before the next.
        row: Index of the row in the tensors. With one row for each subject it is the index of the subject.
        weight: Weight of the row, > 0; all rows have the same, and their sum is the number of subjects.
    """

    subject: Int64[np.ndarray, " row"]
    visit: Int64[np.ndarray, " row"]
    step: Int64[np.ndarray, " row"]
    event: Bool[np.ndarray, " row"]
    duration: Float64[np.ndarray, " row"]
    row: Int64[np.ndarray, " row"]
    weight: Float64[np.ndarray, " row"]

    @property
    def case_weight(self) -> Float64[np.ndarray, " row"] | None:
        """``weight``; None if every row counts 1."""
        return None if (self.weight == 1).all() else self.weight

    @property
    def group(self) -> Int64[np.ndarray, " row"] | None:
        """``subject``; None if every subject has one row."""
        return None if len(np.unique(self.subject)) == len(self.subject) else self.subject


@dataclass(frozen=True)
class Landmark:
    """A point of the record from which every comparator predicts survival at the times of ``grid``.

    Attributes:
        name: Name on pages, as in "visit 5" or "day 365".
        unit: Unit of ``grid`` and of the durations.
        train: Training subjects at risk.
        val: Validation subjects at risk.
        reference: Subjects to which the extrapolation of hazards is fitted: ``val``, or ``train`` if the validation
            split is evaluated.
        test: Evaluated subjects at risk.
        censoring: Subjects whose censoring curve gives the weights: ``train``, or ``test`` for another cohort, because
            two cohorts are not censored alike.
        grid: End of each step after the landmark: 1, 2, … on the visit clock, ends of the intervals in days on the
            landmark clock.
        horizons: Times of ``grid`` that the tables show.
        notes: Requested horizons that the clock does not reach.
    """

    name: str
    unit: Literal["steps", "days"]
    train: AtRisk
    val: AtRisk
    reference: AtRisk
    test: AtRisk
    censoring: AtRisk
    grid: Float64[np.ndarray, " horizon"]
    horizons: Float64[np.ndarray, " shown"]
    notes: tuple[str, ...] = ()


def make_landmarks(
    tensors: Tensors,
    evaluated: Split,
    *,
    visits: Sequence[int],
    days: Sequence[float],
    horizons: Sequence[int],
    another_cohort: bool = False,
) -> tuple[Landmark, ...]:
    """Return the landmarks of an evaluation on the visit clock or the landmark clock.

    On the visit clock these are the requested ones, on the landmark clock the one at which the model was trained.

    Args:
        tensors: Data of all subjects.
        evaluated: The evaluated split.
        visits: Visit numbers; 0 is the first visit.
        days: Days after the first visit.
        horizons: Steps of the clock after the landmark.
        another_cohort: Whether the evaluated subjects come from another cohort than the training subjects.

    Returns:
        The landmarks, those at visits first.
    """
    parts = (Split.TRAIN, Split.VAL, reference_split(evaluated), evaluated)
    if tensors.clock == "landmark":
        shown, notes = shown_ends(tensors, horizons)
        train, val, reference, test = (_on_landmark_clock(tensors, part) for part in parts)
        censoring = test if another_cohort else train
        ends = tensors.edge_days[1:]
        return (Landmark("landmark", "days", train, val, reference, test, censoring, ends, shown, notes),)
    grid, shown = np.arange(1.0, max(horizons) + 1), np.array(sorted(horizons), dtype=np.float64)
    known = [(f"visit {number}", lambda subject, n=number: np.full(len(subject), n)) for number in visits]
    known += [(f"day {day:g}", lambda subject, d=day: _visits_by_day(tensors, subject, d)) for day in days]
    landmarks = []
    for name, last_known in known:
        train, val, reference, test = (_at_risk(tensors, part, last_known) for part in parts)
        censoring = test if another_cohort else train
        landmarks.append(Landmark(name, "steps", train, val, reference, test, censoring, grid, shown))
    return tuple(landmarks)


def shown_ends(tensors: Tensors, horizons: Sequence[int]) -> tuple[Float64[np.ndarray, " shown"], tuple[str, ...]]:
    """Return the ends of intervals that the tables show.

    Args:
        tensors: Data with intervals of days.
        horizons: Numbers of intervals.

    Returns:
        The ends in days, all horizons after the last interval once at its end; and a sentence on these horizons.
    """
    ends = tensors.edge_days[1:]
    shown = ends[sorted({min(steps, len(ends)) - 1 for steps in horizons})]
    later = [steps for steps in sorted(horizons) if steps > len(ends)]
    return shown, (f"horizons of {later} steps lie after the last of {len(ends)} intervals",) if later else ()


def reference_split(evaluated: Split) -> Split:
    """Return the split to which the extrapolation of hazards is fitted.

    Args:
        evaluated: The evaluated split.

    Returns:
        The validation split, or the training split if the validation split is evaluated.
    """
    return Split.TRAIN if evaluated == Split.VAL else Split.VAL


def _at_risk(tensors: Tensors, part: Split, last_known: Callable[[np.ndarray], np.ndarray]) -> AtRisk:
    """Select subjects with a step at risk after the landmark; ``last_known`` gives -1 where follow-up has ended."""
    subject = tensors.members(part)
    number = last_known(subject)
    is_at_risk = (number >= 0) & (tensors.step[subject] >= number)
    subject, number = subject[is_at_risk], number[is_at_risk]
    step, event = tensors.step[subject] - number, tensors.event[subject]
    last = tensors.visit_offsets[subject] + number
    duration = step + np.where(event, 1.0, 1.5)
    return AtRisk(subject, last, step, event, duration, row=subject, weight=np.ones(len(subject)))


def _visits_by_day(tensors: Tensors, subject: np.ndarray, day: float) -> np.ndarray:
    """Return the number of the last visit of each subject by a day; -1 where follow-up has ended by then."""
    first = tensors.visit_offsets[subject]
    visits = tensors.visits_per_subject[subject]
    row = np.repeat(np.arange(len(subject)), visits)
    seconds = (tensors.visit_time[flat_positions(first, visits)] - tensors.visit_time[first][row]).astype(
        "timedelta64[s]"
    )
    known = np.bincount(row, seconds.astype(np.int64) <= day * DAY_SECONDS, minlength=len(subject)).astype(np.int64)
    return np.where(tensors.duration_days[subject] > day, known - 1, -1)


def _on_landmark_clock(tensors: Tensors, part: Split) -> AtRisk:
    subject = tensors.members(part)
    return AtRisk(
        subject,
        tensors.visit_offsets[subject + 1] - 1,
        tensors.step[subject],
        tensors.event[subject],
        tensors.duration_days[subject],
        row=subject,
        weight=np.ones(len(subject)),
    )
