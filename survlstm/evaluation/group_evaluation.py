"""Evaluation of the model in groups of the subjects by sex, race, ethnicity and age."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from survlstm.data.demographics import KINDS
from survlstm.data.tensors import Tensors
from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.comparators import Comparator
from survlstm.evaluation.landmarks import AtRisk, Landmark
from survlstm.evaluation.results import Estimate, GroupEvaluation, GroupRow, Interval, LandmarkResult
from survlstm.evaluation.settings import EvaluationSettings
from survlstm.evaluation.step_metrics import evaluate_steps
from survlstm.survival.one_calibration import calibration_groups
from survlstm.training.prediction import Predictions

AGE = "age"
# A figure of fewer subjects could tell something about one of them.
FEWEST_SUBJECTS = 10
POOLED, UNKNOWN = f"fewer than {FEWEST_SUBJECTS} subjects", "not known"


class LandmarkRisks(NamedTuple):
    """Predicted survival of the subjects at risk at a landmark, by one horizon.

    Attributes:
        landmark: Name of the landmark.
        unit: Unit of ``horizon`` and of the durations of ``at_risk``.
        horizon: The horizon.
        at_risk: The evaluated subjects at risk.
        survival: Predicted survival of each at the horizon.
    """

    landmark: str
    unit: str
    horizon: float
    at_risk: AtRisk
    survival: Float[np.ndarray, " subject"]


def risks_at(
    landmark: Landmark, survival: Float[np.ndarray, "subject horizon"], result: LandmarkResult
) -> LandmarkRisks:
    """Return the model's survival at the last horizon of a landmark that has metrics.

    Args:
        landmark: The landmark with its subjects.
        survival: Survival of the model, at each time of the landmark's grid.
        result: Result at the landmark, with at least one horizon.

    Returns:
        The survival at that horizon.
    """
    horizon = result.horizons[-1]
    column = int(np.searchsorted(landmark.grid, horizon))
    return LandmarkRisks(landmark.name, landmark.unit, horizon, landmark.test, survival[:, column])


def evaluate_groups(
    predictions: Predictions, tensors: Tensors, risks: LandmarkRisks | None, settings: EvaluationSettings
) -> GroupEvaluation:
    """Evaluate the model in each group of the evaluated subjects.

    Groups of fewer than ``FEWEST_SUBJECTS`` subjects are pooled, and only their number is given. If the pooled ones are
    so few as well, the smallest group is shown without its events. A kind that is known
    of no subject, or has only such groups, has no row.

    Args:
        predictions: Predictions of the model on the evaluated split.
        tensors: Data of all subjects, with their groups and ages.
        risks: Predicted survival at a horizon of a landmark; None if there is none.
        settings: Kinds of groups, ages and intervals.

    Returns:
        One row for each group: the C-index within the group, and predicted and observed risk.
    """
    rows: list[GroupRow] = []
    unknown, small = [], []
    missing: Counter[str] = Counter()
    for kind in settings.groups:
        names = group_names(tensors, kind, settings.age_groups)
        of_evaluated = names[predictions.subject]
        if (of_evaluated == UNKNOWN).all():
            unknown.append(kind)
            continue
        sizes = Counter(names[np.unique(predictions.subject)].tolist())
        if max(sizes.values()) < FEWEST_SUBJECTS:
            small.append(kind)
            continue
        of_kind = []
        for name, members in _groups(of_evaluated, sizes, kind, settings.age_groups):
            subjects = len(np.unique(predictions.subject[members]))
            if name == POOLED:
                of_kind.append(GroupRow(kind, name, subjects))
                continue
            row = GroupRow(kind, name, subjects, len(np.unique(predictions.subject[members & predictions.event])))
            row = _with_c_index(row, predictions, members, settings.bootstrap, missing)
            if risks is not None:
                row = _with_risks(row, risks, names[risks.at_risk.subject] == name, settings.confidence, missing)
            of_kind.append(row)
        rows += _without_differences(of_kind, missing)
    notes = [f"no groups by {', '.join(unknown)}: not known of any evaluated subject"] if unknown else []
    notes += [f"no groups by {', '.join(small)}: none has {FEWEST_SUBJECTS} subjects"] if small else []
    if risks is None:
        notes.append("no risks: no landmark has a horizon with metrics")
    notes += [f"{why} in {number} group{'' if number == 1 else 's'}" for why, number in missing.items()]
    return GroupEvaluation(
        landmark=None if risks is None else risks.landmark,
        unit="days" if risks is not None and risks.unit == "days" else "steps",
        horizon=None if risks is None else risks.horizon,
        rows=tuple(rows),
        notes=tuple(notes),
    )


def group_names(tensors: Tensors, kind: str, age_groups: Sequence[int]) -> np.ndarray:
    """Return the name of the group of each subject.

    Args:
        tensors: Data of all subjects.
        kind: A name in ``KINDS``, or ``AGE``.
        age_groups: Ages in years, rising, at which the groups by age are divided.

    Returns:
        Names as texts, [subject]; ``UNKNOWN`` where nothing is known.
    """
    if kind != AGE:
        names = tensors.groups[:, KINDS.index(kind)].astype(object)
        return np.where(names == "", UNKNOWN, names)
    ages = np.array([*age_group_names(age_groups), UNKNOWN], dtype=object)
    known = ~np.isnan(tensors.age_years)
    number = np.searchsorted(np.array(age_groups), tensors.age_years, side="right")
    return ages[np.where(known, number, len(ages) - 1)]


def age_group_names(age_groups: Sequence[int]) -> tuple[str, ...]:
    """Name the groups by age: "under 18", "18 to 39", … "80 and over".

    Args:
        age_groups: Ages in years, rising, each the first of its group.
    """
    between = (f"{low} to {high - 1}" if high - 1 > low else f"{low}" for low, high in pairwise(age_groups))
    return (f"under {age_groups[0]}", *between, f"{age_groups[-1]} and over")


def _groups(
    names: np.ndarray, sizes: Counter[str], kind: str, age_groups: Sequence[int]
) -> Iterator[tuple[str, Bool[np.ndarray, " row"]]]:
    """Yield name and rows of each group in the order of the table: named ones, unknown, then the small ones.

    Args:
        names: Name of the group of each row.
        sizes: Number of subjects by the name of their group.
        kind: What the groups are formed by.
        age_groups: As for ``group_names``.
    """
    large = sorted(name for name, size in sizes.items() if size >= FEWEST_SUBJECTS)
    if kind == AGE:
        order = [*age_group_names(age_groups), UNKNOWN]
        large.sort(key=order.index)
    else:
        large.sort(key=lambda name: name == UNKNOWN)
    for name in large:
        yield name, names == name
    small = ~np.isin(names.astype(np.str_), large)
    if small.any():
        yield POOLED, small


def _without_differences(rows: list[GroupRow], missing: Counter[str]) -> list[GroupRow]:
    """Hide the events of the smallest group where all others would give those of fewer than ten pooled subjects.

    The events of all evaluated subjects are known, so that the missing number of a single row is their difference.
    """
    if rows[-1].name != POOLED or rows[-1].subjects >= FEWEST_SUBJECTS:
        return rows
    smallest = min(range(len(rows) - 1), key=lambda number: rows[number].subjects)
    missing["no events, which would give those of the pooled subjects,"] += 1
    return [replace(row, events=None) if number == smallest else row for number, row in enumerate(rows)]


def _with_c_index(
    row: GroupRow,
    predictions: Predictions,
    members: Bool[np.ndarray, " subject"],
    bootstrap: Bootstrap,
    missing: Counter[str],
) -> GroupRow:
    step, event = predictions.step[members], predictions.event[members]
    hazard = predictions.hazard[members][:, : int(step.max()) + 1]
    model = Comparator("model", "model", hazard, known_ahead=False)
    group = None if predictions.group is None else predictions.subject[members]
    (result,), _ = evaluate_steps([model], step=step, event=event, bootstrap=bootstrap, group=group)
    if math.isnan(result.c_td.value):
        missing["no C-index, because no two subjects can be compared,"] += 1
        return row
    if row.events is not None and row.events < bootstrap.min_events:
        missing[f"no interval of the C-index, for which {bootstrap.min_events} events are needed,"] += 1
    elif result.c_td.interval is None:
        missing["no interval of the C-index, which is undefined in a resample,"] += 1
    return replace(row, c_td=result.c_td)


def _with_risks(
    row: GroupRow,
    risks: LandmarkRisks,
    members: Bool[np.ndarray, " subject"],
    confidence: float,
    missing: Counter[str],
) -> GroupRow:
    number = len(np.unique(risks.at_risk.subject[members]))
    if number < FEWEST_SUBJECTS:
        missing[f"no risks, because fewer than {FEWEST_SUBJECTS} subjects are at risk at the landmark,"] += 1
        return row
    weight = risks.at_risk.case_weight
    try:
        table = calibration_groups(
            risks.survival[members],
            duration=risks.at_risk.duration[members],
            event=risks.at_risk.event[members],
            horizon=risks.horizon,
            groups=1,
            confidence=confidence,
            weight=None if weight is None else weight[members],
        )
    except ValueError:
        missing["no risks, because the follow-up ends before the horizon,"] += 1
        return replace(row, at_risk=number)
    observed, low, high = (float(column[0]) for column in (table.observed, table.low, table.high))
    interval = None if math.isnan(low) or math.isnan(high) else Interval(low, high)
    return replace(row, at_risk=number, predicted=float(table.predicted[0]), observed=Estimate(observed, interval))
