"""Rows of the days clock that are evaluated, and the landmarks that they form."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from jaxtyping import Bool, Int64

from survlstm.data.external_cohort import select_subjects
from survlstm.data.prediction_times import TRAINED
from survlstm.data.row_sample import sampled_rows
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.evaluation.landmarks import AtRisk, Landmark, shown_ends

ALL_TIMES = "all prediction times"
# Rows of a table over all prediction times. More would cost time, and tell little more.
MOST_EVALUATED = 10_000


def sampling_notes(tensors: Tensors, part: Split) -> tuple[str, ...]:
    """Return a sentence on the prediction times that are not evaluated; none if all are.

    Args:
        tensors: Data of all subjects, on the days clock.
        part: The evaluated split.
    """
    rows = len(tensors.rows_of(tensors.members(part), kind=TRAINED))
    if rows <= MOST_EVALUATED:
        return ()
    return (f"{MOST_EVALUATED:,} of {rows:,} prediction times are evaluated, a random sample",)


def all_rows(tensors: Tensors, part: Split, visits: Sequence[int]) -> Int64[np.ndarray, " row"]:
    """Return every row of a split that a table of the evaluation needs.

    Args:
        tensors: Data of all subjects, on the days clock.
        part: The split.
        visits: Visit numbers of the landmarks.

    Returns:
        Indices of the rows, rising.
    """
    chosen = [sampled_rows(tensors, part, MOST_EVALUATED)]
    chosen += [_rows_at_visit(tensors, part, number=number) for number in visits]
    chosen += [_rows_of_kind(tensors, part, kind=kind) for kind in range(1, _kinds(tensors) + 1)]
    return np.unique(np.concatenate(chosen))


def is_main(tensors: Tensors, part: Split, rows: Int64[np.ndarray, " row"]) -> Bool[np.ndarray, " row"]:
    """Mark the rows of the table over all prediction times.

    Args:
        tensors: Data of all subjects, on the days clock.
        part: The split.
        rows: Result of ``all_rows``.
    """
    return np.isin(rows, sampled_rows(tensors, part, MOST_EVALUATED))


def at_latest_times(tensors: Tensors) -> Tensors:
    """Return the tensors of the landmark clock whose landmark is the latest prediction time of each subject.

    Args:
        tensors: Data of all subjects, on the days clock.

    Returns:
        One row per subject: its last one to train on that was observed to the end of an interval, and the visits that
        it sees. A subject without such a row is left out.
    """
    rows = np.flatnonzero((tensors.row_kind == TRAINED) & (tensors.step >= 0))
    # The rows of a subject rise in time.
    _, place = np.unique(tensors.row_subject[rows][::-1], return_index=True)
    row = rows[len(rows) - 1 - place]
    chosen = select_subjects(tensors, tensors.row_subject[row], visits=tensors.row_visits[row])
    labels = {name: getattr(tensors, name)[row] for name in ("step", "event", "duration_days")}
    rows_of_days = ("row_subject", "row_visits", "row_time", "row_kind", "exposure", "prediction_features")
    columns = {field.name: getattr(chosen, field.name) for field in dataclasses.fields(Tensors)}
    return Tensors(**{name: values for name, values in columns.items() if name not in rows_of_days} | labels)


def row_landmarks(
    tensors: Tensors,
    evaluated: Split,
    *,
    visits: Sequence[int],
    rules: Sequence[str],
    horizons: Sequence[int],
    another_cohort: bool = False,
) -> tuple[Landmark, ...]:
    """Return the landmarks of the days clock.

    They are all prediction times together, those after each visit number, and those of each rule of
    ``evaluation.times``.

    Args:
        tensors: Data of all subjects.
        evaluated: The evaluated split.
        visits: Visit numbers; 0 is the first visit.
        rules: The rules of ``evaluation.times`` as texts, in their order.
        horizons: Numbers of intervals whose ends are shown.
        another_cohort: Whether the evaluated subjects come from another cohort than the training subjects.

    Returns:
        The landmarks, without those of rules at which no evaluated subject is at risk.
    """
    shown, notes = shown_ends(tensors, horizons)
    chosen: list[tuple[str, Callable[[Split], np.ndarray]]] = [
        (ALL_TIMES, lambda part: sampled_rows(tensors, part, MOST_EVALUATED))
    ]
    chosen += [(f"visit {number}", partial(_rows_at_visit, tensors, number=number)) for number in visits]
    # Data that were prepared with fewer rules have no rows of the others.
    chosen += [
        (rule, partial(_rows_of_kind, tensors, kind=kind))
        for kind, rule in enumerate(rules[: _kinds(tensors)], start=1)
    ]
    landmarks = []
    for name, rows in chosen:
        train, val, test = (_at_risk(tensors, rows(part)) for part in (Split.TRAIN, Split.VAL, evaluated))
        more = sampling_notes(tensors, evaluated) if name == ALL_TIMES else ()
        landmarks.append(
            Landmark(
                name=name,
                unit="days",
                train=train,
                val=val,
                reference=val,
                test=test,
                censoring=test if another_cohort else train,
                grid=tensors.edge_days[1:],
                horizons=shown,
                notes=(*notes, *more),
            )
        )
    return tuple(landmarks)


def _at_risk(tensors: Tensors, rows: np.ndarray) -> AtRisk:
    subject = tensors.row_subject[rows]
    # The same weight for every row. Tests of calibration take the sum of the weights for the number of independent
    # observations, which is at most that of the subjects.
    weight = len(np.unique(subject)) / max(len(rows), 1)
    return AtRisk(
        subject,
        tensors.last_visit[rows],
        tensors.step[rows],
        tensors.event[rows],
        tensors.duration_days[rows],
        row=rows,
        weight=np.full(len(rows), weight),
    )


def _kinds(tensors: Tensors) -> int:
    return int(tensors.row_kind.max(initial=0))


def _rows_of_kind(tensors: Tensors, part: Split, *, kind: int) -> np.ndarray:
    return tensors.rows_of(tensors.members(part), kind=kind)


def _rows_at_visit(tensors: Tensors, part: Split, *, number: int) -> np.ndarray:
    """Return the first prediction time of each subject at which visit ``number`` is its last one."""
    rows = tensors.rows_of(tensors.members(part), kind=TRAINED)
    rows = rows[tensors.row_visits[rows] == number + 1]
    _, first = np.unique(tensors.row_subject[rows], return_index=True)
    return rows[first]
