"""A run's own cohort and another one, prepared alike → one set of tensors whose test split is the other cohort."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Int64

from survlstm.data.cohort import Exclusion
from survlstm.data.prepare import CohortFlow, PreparedData
from survlstm.data.ragged import flat_positions
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.data.visits import offsets_from_sizes
from survlstm.data.vocabulary import UNK
from survlstm.utils.errors import CohortError


def combine_with_cohort(own: PreparedData, cohort: PreparedData) -> PreparedData:
    """``own``'s training and validation subjects, then every subject of ``cohort`` that is none of them as test.

    Subjects of ``cohort`` that the model was trained or tuned on, by their ids, are left out and counted in the flow.
    """
    other, own_tensors = cohort.tensors, own.tensors
    used = np.flatnonzero(own_tensors.split != Split.TEST)
    new = np.flatnonzero(~np.isin(other.subject_id, own_tensors.subject_id[used]))
    if not len(new):
        raise CohortError(
            f"another cohort must hold subjects that the run was not trained on; all {len(other.subject_id)} are its "
            "training and validation subjects. Leave out data= to judge the run on its own test subjects"
        )
    ours, theirs = select_subjects(own_tensors, used), select_subjects(other, new)
    theirs = dataclasses.replace(theirs, split=np.full(len(new), Split.TEST, dtype=np.int8))
    return dataclasses.replace(cohort, tensors=_join(ours, theirs), flow=_flow_of(cohort, theirs))


def _flow_of(cohort: PreparedData, after: Tensors) -> CohortFlow:
    """The cohort's flow down to those of its subjects that are left."""
    flow, before = cohort.flow, cohort.tensors
    subjects = len(before.step) - len(after.step)
    events = int(before.event.sum()) - int(after.event.sum())
    unknown = cohort.fitted.vocabulary.entries.index(UNK)
    why = "of subjects that the run was trained or tuned on"
    return dataclasses.replace(
        flow,
        entries_left_out=flow.entries_left_out | {why: len(before.code) - len(after.code)},
        entries_used=len(after.code),
        # How many codes they are is known of the whole cohort only: to the tensors all of them are [UNK].
        codes_unknown=flow.codes_unknown | {"entries": int((after.code == unknown).sum())},
        visits_left_out=flow.visits_left_out | {why: len(before.visit_time) - len(after.visit_time)},
        visits_used=len(after.visit_time),
        subjects_excluded=(
            *flow.subjects_excluded,
            Exclusion("the run was trained or tuned on them", subjects, events),
        ),
        subjects_used=len(after.step),
    )


def select_subjects(
    tensors: Tensors, subject: Int64[np.ndarray, " kept"], *, visits: Int64[np.ndarray, " kept"] | None = None
) -> Tensors:
    """The named subjects with their first ``visits`` visits (None: all of them) and the codes of those."""
    visits = tensors.visits_per_subject[subject] if visits is None else visits
    visit = flat_positions(tensors.visit_offsets[subject], visits)
    codes = np.diff(tensors.code_offsets)[visit]
    return dataclasses.replace(
        tensors,
        subject_id=tensors.subject_id[subject],
        split=tensors.split[subject],
        step=tensors.step[subject],
        event=tensors.event[subject],
        duration_days=tensors.duration_days[subject],
        visit_offsets=offsets_from_sizes(visits),
        visit_time=tensors.visit_time[visit],
        features=tensors.features[visit],
        oracle_hazard=tensors.oracle_hazard[visit],
        code_offsets=offsets_from_sizes(codes),
        code=tensors.code[flat_positions(tensors.code_offsets[visit], codes)],
    )


def _join(first: Tensors, second: Tensors) -> Tensors:
    columns = {}
    for field in dataclasses.fields(Tensors):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if field.name.endswith("_offsets"):
            columns[field.name] = np.concatenate([one, one[-1] + other[1:]])
        elif field.name == "edge_days":
            columns[field.name] = one
        else:
            columns[field.name] = np.concatenate([one, other])
    return Tensors(**columns)
