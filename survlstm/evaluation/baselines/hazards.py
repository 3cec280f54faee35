"""Tensors → hazards of every step from models that a clinician could write down, fitted on the training subjects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int64

from survlstm.data.ragged import flat_positions
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.evaluation.baselines.code_counts import CountRows, fit_scale, rows_at_visits
from survlstm.evaluation.baselines.pooled_logistic import LabelledRows, fit_pooled_logistic
from survlstm.survival.covariate_free import covariate_free_hazard

if TYPE_CHECKING:
    from scipy.sparse import csr_array

COVARIATE_FREE = "covariate-free hazard"
# The baseline hazard of an interval is hardly to be penalised, or a strong penalty would flatten it.
INTERVAL_WEIGHT = 10.0

Subjects: TypeAlias = Int64[np.ndarray, " subject"]


@dataclass(frozen=True)
class HazardBaseline:
    """Hazards of the evaluated subjects, in their order.

    ``known_ahead`` says that the hazards of later steps need no later history: then all are numbers. Else those behind
    a subject's last at-risk step are NaN.
    """

    name: str
    hazard: Float[np.ndarray, "subject step"]
    known_ahead: bool


class _Steps(NamedTuple):
    """Rows of subjects' steps: whose, which step, the last visit known there, and whether the event is in it."""

    subject: Int64[np.ndarray, " row"]
    step: Int64[np.ndarray, " row"]
    visit: Int64[np.ndarray, " row"]
    event: Bool[np.ndarray, " row"]


def covariate_free(tensors: Tensors, subjects: Subjects, steps: int) -> HazardBaseline:
    """The life-table hazard of the training subjects, the same for everyone: its ``c_td`` is 0.5 by ties."""
    training = tensors.members(Split.TRAIN)
    step, event = tensors.step[training], tensors.event[training]
    hazard = covariate_free_hazard(step, event, steps=max(steps, int(step.max()) + 1))[:steps]
    return HazardBaseline(COVARIATE_FREE, np.broadcast_to(hazard, (len(subjects), steps)), known_ahead=True)


def record_length(tensors: Tensors, subjects: Subjects, steps: int) -> HazardBaseline:
    """A logistic hazard of the logarithm of the number of visits so far; of the interval too on the landmark clock.

    On the visit clock step j is known after j + 1 visits, whoever it is: ``c_td`` is 0.5 by ties.
    """
    from scipy.sparse import csr_array

    def known(asked: _Steps) -> CountRows:
        visits = asked.visit - tensors.visit_offsets[asked.subject] + 1
        return CountRows(np.log(visits)[:, None], csr_array((len(visits), 0)))

    # On the visit clock one row is that of everyone.
    asked = subjects if tensors.clock == "landmark" else subjects[:1]
    ahead = _steps_of(tensors, asked, np.full(len(asked), steps))
    hazard = _fit_and_apply(tensors, known, ahead).reshape(len(asked), steps)
    return HazardBaseline("record length", np.broadcast_to(hazard, (len(subjects), steps)), known_ahead=True)


def logistic_hazard(tensors: Tensors, subjects: Subjects, steps: int) -> HazardBaseline:
    """A logistic hazard of the last visit's codes and features, and of the counts of codes and visits so far.

    The number of visits so far is the visit clock's smooth function of the step; the landmark clock has its intervals.
    The codes take part where that is likelier on the validation subjects.
    """
    at_visits = rows_at_visits(tensors)
    known_ahead = tensors.clock == "landmark"
    number = np.full(len(subjects), steps) if known_ahead else np.minimum(tensors.step[subjects] + 1, steps)
    asked = _steps_of(tensors, subjects, number)
    hazard = np.full((len(subjects), steps), np.nan)
    row = np.repeat(np.arange(len(subjects)), number)
    hazard[row, asked.step] = _fit_and_apply(tensors, lambda rows: at_visits.at(rows.visit), asked)
    return HazardBaseline("logistic hazard (last visit, counts)", hazard, known_ahead)


def _fit_and_apply(tensors: Tensors, known: Callable[[_Steps], CountRows], asked: _Steps) -> Float[np.ndarray, " row"]:
    """The hazard at the steps asked, by pooled logistic regression on what is known at each training step at risk."""
    train, val = (_at_risk(tensors, part) for part in (Split.TRAIN, Split.VAL))
    known_in_training = known(train)
    scale = fit_scale(known_in_training)
    train_design = _with_intervals(tensors, train, scale.design(known_in_training))
    numbers_only = train_design.shape[1] - len(scale.kept)
    fitted = fit_pooled_logistic(
        LabelledRows(train_design, train.event),
        LabelledRows(_with_intervals(tensors, val, scale.design(known(val))), val.event),
        widths=sorted({numbers_only, train_design.shape[1]}),
    )
    return fitted.hazard(_with_intervals(tensors, asked, scale.design(known(asked))))


def _at_risk(tensors: Tensors, part: Split) -> _Steps:
    members = tensors.members(part)
    return _steps_of(tensors, members, tensors.step[members] + 1)


def _steps_of(tensors: Tensors, subjects: Subjects, number: Int64[np.ndarray, " subject"]) -> _Steps:
    """The first ``number`` steps of each subject, subject by subject; all known at the landmark on that clock.

    On the visit clock ``visit`` counts on behind a subject's last one: it is then a number and no place in the tensors.
    """
    subject = np.repeat(subjects, number)
    step = flat_positions(np.zeros_like(number), number)
    first, behind = tensors.visit_offsets[subject], tensors.visit_offsets[subject + 1]
    visit = behind - 1 if tensors.clock == "landmark" else first + step
    return _Steps(subject, step, visit, tensors.event[subject] & (step == tensors.step[subject]))


def _with_intervals(tensors: Tensors, rows: _Steps, design: csr_array) -> csr_array:
    """On the landmark clock, a column for each interval ahead of those of the design."""
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
