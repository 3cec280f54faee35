"""Replacement of a run's test subjects by another cohort, for external validation."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Int64

from survlstm.data.cohort import Exclusion
from survlstm.data.prepared_data import CohortFlow, PreparedData
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.data.visits import offsets_from_sizes
from survlstm.data.vocabulary import UNK
from survlstm.utils.errors import CohortError
from survlstm.utils.ragged import flat_positions


def combine_with_cohort(own: PreparedData, cohort: PreparedData) -> PreparedData:
    """Join the training and validation subjects of a run with another cohort as its test subjects.

    Subjects of ``cohort`` whose id is that of a training or validation subject are left out and counted in the flow.

    Args:
        own: Prepared data of the run.
        cohort: The other cohort, prepared with ``preprocessing`` of the run.

    Returns:
        Tensors of both, and the flow of ``cohort``.

    Raises:
        CohortError: If every subject of ``cohort`` is a training or validation subject of the run.
    """
    other, own_tensors = cohort.tensors, own.tensors
    used = np.flatnonzero(own_tensors.split != Split.TEST)
    new = np.flatnonzero(~np.isin(other.subject_id, own_tensors.subject_id[used]))
    if not len(new):
        raise CohortError(
            f"another cohort must contain subjects that the run was not trained on; all {len(other.subject_id)} are "
            "its training and validation subjects. Leave out data= to evaluate the run on its own test subjects"
        )
    reference, test = select_subjects(own_tensors, used), select_subjects(other, new)
    test = dataclasses.replace(test, split=np.full(len(new), Split.TEST, dtype=np.int8))
    return dataclasses.replace(cohort, tensors=_join(reference, test), flow=_flow_of(cohort, test))


def _flow_of(cohort: PreparedData, after: Tensors) -> CohortFlow:
    """Add the subjects that were left out here to the flow of the cohort.

    Args:
        cohort: The other cohort as prepared.
        after: Tensors of its remaining subjects.
    """
    flow, before = cohort.flow, cohort.tensors
    subjects = len(before.subject_id) - len(after.subject_id)
    events = int(before.has_event.sum()) - int(after.has_event.sum())
    unknown = cohort.preprocessing.vocabulary.entries.index(UNK)
    reason = "of subjects that the run was trained or tuned on"
    added = int(after.added_codes.sum())
    left_out = len(before.code) - len(after.code) - (flow.entries_added - added)
    return dataclasses.replace(
        flow,
        entries_left_out=flow.entries_left_out | {reason: left_out},
        entries_used=len(after.code),
        entries_added=added,
        fused_added=int(after.fused_codes.sum()),
        # The number of distinct unknown codes remains that of the whole cohort: in the tensors all of them are [UNK].
        codes_unknown=flow.codes_unknown | {"entries": int((after.code == unknown).sum())},
        visits_left_out=flow.visits_left_out | {reason: len(before.visit_time) - len(after.visit_time)},
        visits_used=len(after.visit_time),
        subjects_excluded=(
            *flow.subjects_excluded,
            Exclusion("the run was trained or tuned on them", subjects, events),
        ),
        subjects_used=len(after.subject_id),
    )


def select_subjects(
    tensors: Tensors, subject: Int64[np.ndarray, " kept"], *, visits: Int64[np.ndarray, " kept"] | None = None
) -> Tensors:
    """Select some subjects and the first visits of each.

    Labels are taken over unchanged, also where ``visits`` is less than the number of visits stored. On the days clock
    the rows that see a visit which is not kept are left out with it.

    Args:
        tensors: Tensors of all subjects.
        subject: Indices of the subjects to keep, in the order of the result.
        visits: Number of visits of each to keep; None keeps all.

    Returns:
        Tensors of these subjects only, in the order of ``subject``.
    """
    visits = tensors.visits_per_subject[subject] if visits is None else visits
    visit = flat_positions(tensors.visit_offsets[subject], visits)
    codes = np.diff(tensors.code_offsets)[visit]
    rows = tensors.rows_of(subject, kind=None)
    owner = np.repeat(np.arange(len(subject)), np.diff(tensors.row_offsets)[subject])
    seen = tensors.row_visits[rows]
    if tensors.clock == "days":
        is_kept = seen <= visits[owner]
        rows, owner, seen = rows[is_kept], owner[is_kept], seen[is_kept]
    return dataclasses.replace(
        tensors,
        subject_id=tensors.subject_id[subject],
        split=tensors.split[subject],
        step=tensors.step[rows],
        event=tensors.event[rows],
        duration_days=tensors.duration_days[rows],
        visit_offsets=offsets_from_sizes(visits),
        visit_time=tensors.visit_time[visit],
        features=tensors.features[visit],
        oracle_hazard=tensors.oracle_hazard[visit],
        code_offsets=offsets_from_sizes(codes),
        code=tensors.code[flat_positions(tensors.code_offsets[visit], codes)],
        static_codes=tensors.static_codes[subject],
        groups=tensors.groups[subject],
        age_years=tensors.age_years[subject],
        fused_codes=tensors.fused_codes[visit],
        row_subject=owner,
        row_visits=np.minimum(seen, visits[owner]),
        row_time=tensors.row_time[rows],
        row_kind=tensors.row_kind[rows],
        exposure=tensors.exposure[rows],
        prediction_features=tensors.prediction_features[rows],
    )


def _join(first: Tensors, second: Tensors) -> Tensors:
    """Concatenate two sets of tensors; both have the same ``edge_days``."""
    columns = {}
    for field in dataclasses.fields(Tensors):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if field.name.endswith("_offsets"):
            columns[field.name] = np.concatenate([one, one[-1] + other[1:]])
        elif field.name == "edge_days":
            columns[field.name] = one
        elif field.name == "row_subject":
            columns[field.name] = np.concatenate([one, len(first.subject_id) + other])
        else:
            columns[field.name] = np.concatenate([one, other])
    return Tensors(**columns)
