"""Tensors and a landmark → who is at risk there, what is known of them by then, and what follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from survlstm.data.features import DAY_SECONDS
from survlstm.data.ragged import flat_positions
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors


class AtRisk(NamedTuple):
    """The subjects of one split who are still at risk at a landmark.

    ``subject`` numbers the subjects of the tensors, ``visit`` their visits: the last one known at the landmark.
    ``step`` is the last at-risk step counted from the landmark (0 = the first), ``event`` whether the event is in it.
    ``duration`` is the time from the landmark to the event or the end of follow-up, in the landmark's unit. Counted in
    steps, an event in step k has k + 1, and a subject censored in step k has k + 1.5: it survived k + 1 steps, so that
    it is known at that horizon and hidden behind it.
    """

    subject: Int64[np.ndarray, " subject"]
    visit: Int64[np.ndarray, " subject"]
    step: Int64[np.ndarray, " subject"]
    event: Bool[np.ndarray, " subject"]
    duration: Float64[np.ndarray, " subject"]


@dataclass(frozen=True)
class Landmark:
    """One question to every contender: S(t) after the landmark, from what is known there, for t in ``grid``.

    ``grid[k]`` is the end of step k after the landmark: 1, 2, … on the visit clock, the ends of the intervals in days
    on the landmark clock. ``horizons`` are those of the grid that the tables show. ``test`` are the evaluated subjects,
    ``reference`` those on whom hazards learn to drift: ``val``, or ``train`` where the validation split is evaluated.
    ``censoring`` are those whose censoring curve weighs the figures: ``train``; of another cohort, which is followed in
    its own way, ``test`` itself.
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
    """The landmarks of a run: on the visit clock those asked for, on the landmark clock the one it was trained at.

    ``visits`` are visit numbers (0 = the first), ``days`` count from the first visit; ``horizons`` count steps of the
    clock after the landmark. ``another_cohort`` says that the evaluated subjects are not of the training cohort.
    """
    parts = (Split.TRAIN, Split.VAL, reference_split(evaluated), evaluated)
    if tensors.clock == "landmark":
        ends = tensors.edge_days[1:]
        # Horizons behind the last interval are shown at its end, once.
        shown = ends[sorted({min(steps, len(ends)) - 1 for steps in horizons})]
        behind = [steps for steps in sorted(horizons) if steps > len(ends)]
        notes = (f"horizons of {behind} steps lie behind the last of {len(ends)} intervals",) if behind else ()
        train, val, reference, test = (_on_landmark_clock(tensors, part) for part in parts)
        censoring = test if another_cohort else train
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


def reference_split(evaluated: Split) -> Split:
    """The split whose subjects show how hazards drift: never the evaluated one, and the training split only then."""
    return Split.TRAIN if evaluated == Split.VAL else Split.VAL


def _at_risk(tensors: Tensors, part: Split, last_known: Callable[[np.ndarray], np.ndarray]) -> AtRisk:
    """Those with a step at risk from the last known visit on; ``last_known`` is -1 for who has left by then."""
    subject = tensors.members(part)
    number = last_known(subject)
    still = (number >= 0) & (tensors.step[subject] >= number)
    subject, number = subject[still], number[still]
    step, event = tensors.step[subject] - number, tensors.event[subject]
    return AtRisk(subject, tensors.visit_offsets[subject] + number, step, event, step + np.where(event, 1.0, 1.5))


def _visits_by_day(tensors: Tensors, subject: np.ndarray, day: float) -> np.ndarray:
    """The number of each subject's last visit by that day; -1 where its follow-up has ended by then."""
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
    )
