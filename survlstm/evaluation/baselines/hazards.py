"""Baselines with a hazard at every step: life table, record length and logistic regression on counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int64

from survlstm.data.code_counts import CountRows, fit_scale, rows_at_visits
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.survival.covariate_free import covariate_free_hazard
from survlstm.survival.pooled_logistic import LabelledRows, fit_pooled_logistic
from survlstm.utils.ragged import flat_positions

if TYPE_CHECKING:
    from scipy.sparse import csr_array

COVARIATE_FREE = "covariate-free hazard"
# Weight of an interval indicator. A large one leaves the baseline hazard almost unpenalised; the ridge penalty would
# otherwise shrink it towards a constant.
INTERVAL_WEIGHT = 10.0

Subjects: TypeAlias = Int64[np.ndarray, " subject"]


@dataclass(frozen=True)
class HazardBaseline:
    """Hazards of a baseline.

    Attributes:
        name: Name in tables.
        hazard: Hazards of the requested subjects, in their order.
        known_ahead: Whether the hazards of later steps need no later history. If so, all hazards are numbers; if not,
            those after the last step at risk of a subject are NaN.
    """

    name: str
    hazard: Float[np.ndarray, "subject step"]
    known_ahead: bool


class _Steps(NamedTuple):
    """One row for each step of each subject.

    Attributes:
        subject: Index of the subject.
        step: The step.
        visit: The last visit that is known at this step.
        event: Whether the event happens in this step.
    """

    subject: Int64[np.ndarray, " row"]
    step: Int64[np.ndarray, " row"]
    visit: Int64[np.ndarray, " row"]
    event: Bool[np.ndarray, " row"]


def covariate_free(tensors: Tensors, subjects: Subjects, steps: int) -> HazardBaseline:
    """Return the life-table hazard of the training subjects for every subject.

    The C-index is 0.5, because all predictions are tied.

    Args:
        tensors: Data of all subjects.
        subjects: Indices of the subjects to predict.
        steps: Number of steps.

    Returns:
        Hazards, the same for every subject.
    """
    training = tensors.members(Split.TRAIN)
    step, event = tensors.step[training], tensors.event[training]
    hazard = covariate_free_hazard(step, event, steps=max(steps, int(step.max()) + 1))[:steps]
    return HazardBaseline(COVARIATE_FREE, np.broadcast_to(hazard, (len(subjects), steps)), known_ahead=True)


def record_length(tensors: Tensors, subjects: Subjects, steps: int) -> HazardBaseline:
    """Fit a logistic hazard on the logarithm of the number of visits so far.

    On the landmark clock the interval is a covariate as well. On the visit clock every subject has j + 1 visits at step
    j, so that all predictions are tied and the C-index is 0.5.

    Args:
        tensors: Data of all subjects.
        subjects: Indices of the subjects to predict.
        steps: Number of steps.

    Returns:
        Hazards of the subjects.
    """
    from scipy.sparse import csr_array

    def covariates(rows: _Steps) -> CountRows:
        visits = rows.visit - tensors.visit_offsets[rows.subject] + 1
        return CountRows(np.log(visits)[:, None], csr_array((len(visits), 0)))

    # On the visit clock the row of one subject is that of all.
    predicted = subjects if tensors.clock == "landmark" else subjects[:1]
    rows = _steps_of(tensors, predicted, np.full(len(predicted), steps))
    hazard = _fit_and_apply(tensors, covariates, rows).reshape(len(predicted), steps)
    return HazardBaseline("record length", np.broadcast_to(hazard, (len(subjects), steps)), known_ahead=True)


def logistic_hazard(tensors: Tensors, subjects: Subjects, steps: int) -> HazardBaseline:
    """Fit a logistic hazard on codes and features of the last visit and on counts of codes and visits so far.

    On the visit clock the number of visits so far is a smooth function of the step; the landmark clock has an indicator
    for each interval. Codes are used only if they raise the likelihood of the validation subjects.

    Args:
        tensors: Data of all subjects.
        subjects: Indices of the subjects to predict.
        steps: Number of steps.

    Returns:
        Hazards of the subjects.
    """
    at_visits = rows_at_visits(tensors)
    known_ahead = tensors.clock == "landmark"
    number = np.full(len(subjects), steps) if known_ahead else np.minimum(tensors.step[subjects] + 1, steps)
    steps_of_subjects = _steps_of(tensors, subjects, number)
    hazard = np.full((len(subjects), steps), np.nan)
    row = np.repeat(np.arange(len(subjects)), number)
    hazard[row, steps_of_subjects.step] = _fit_and_apply(
        tensors, lambda rows: at_visits.at(rows.visit), steps_of_subjects
    )
    return HazardBaseline("logistic hazard (last visit, counts)", hazard, known_ahead)


def _fit_and_apply(
    tensors: Tensors, covariates: Callable[[_Steps], CountRows], predicted: _Steps
) -> Float[np.ndarray, " row"]:
    """Fit a pooled logistic regression on the training steps at risk and predict the hazard of other steps."""
    train, val = (_at_risk(tensors, part) for part in (Split.TRAIN, Split.VAL))
    train_rows = covariates(train)
    scale = fit_scale(train_rows)
    train_design = _with_intervals(tensors, train, scale.design(train_rows))
    numbers_only = train_design.shape[1] - len(scale.kept)
    fitted = fit_pooled_logistic(
        LabelledRows(train_design, train.event),
        LabelledRows(_with_intervals(tensors, val, scale.design(covariates(val))), val.event),
        widths=sorted({numbers_only, train_design.shape[1]}),
    )
    return fitted.hazard(_with_intervals(tensors, predicted, scale.design(covariates(predicted))))


def _at_risk(tensors: Tensors, part: Split) -> _Steps:
    members = tensors.members(part)
    return _steps_of(tensors, members, tensors.step[members] + 1)


def _steps_of(tensors: Tensors, subjects: Subjects, number: Int64[np.ndarray, " subject"]) -> _Steps:
    """Return the first ``number`` steps of each subject, subject by subject.

    On the landmark clock all steps are known at the landmark. On the visit clock ``visit`` goes on counting after the
    last visit of a subject; it is then a visit number only and no valid index into the tensors.
    """
    subject = np.repeat(subjects, number)
    step = flat_positions(np.zeros_like(number), number)
    first, behind = tensors.visit_offsets[subject], tensors.visit_offsets[subject + 1]
    visit = behind - 1 if tensors.clock == "landmark" else first + step
    return _Steps(subject, step, visit, tensors.event[subject] & (step == tensors.step[subject]))


def _with_intervals(tensors: Tensors, rows: _Steps, design: csr_array) -> csr_array:
    """On the landmark clock, put an indicator column for each interval before the columns of the design."""
    from scipy.sparse import csr_array, hstack

    if tensors.clock == "visit":
        return design
    weight = np.full(len(rows.step), INTERVAL_WEIGHT)
    interval = csr_array((weight, (np.arange(len(rows.step)), rows.step)), shape=(len(rows.step), tensors.steps))
    return hstack([interval, design], format="csr")


HAZARD_BASELINES: dict[str, Callable[[Tensors, Subjects, int], HazardBaseline]] = {
    "record_length": record_length,
    "logistic_hazard": logistic_hazard,
}
