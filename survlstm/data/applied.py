"""A run's own cohort and another one, prepared alike → one set of tensors whose test split is the other cohort."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Int64

from survlstm.data.ragged import ranges
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.data.visits import offsets_of
from survlstm.errors import CohortError


def apply_to(own: Tensors, other: Tensors) -> tuple[Tensors, int]:
    """``own``'s training and validation subjects, then every subject of ``other`` that is none of them as test.

    Returns how many subjects of ``other`` were left out because the model was trained or tuned on them, by their ids.
    """
    used = np.flatnonzero(own.split != Split.TEST)
    new = np.flatnonzero(~np.isin(other.subject_id, own.subject_id[used]))
    if not len(new):
        raise CohortError(
            f"another cohort must hold subjects that the run was not trained on; all {len(other.subject_id)} are its "
            "training and validation subjects. Leave out data= to judge the run on its own test subjects"
        )
    ours, theirs = take_subjects(own, used), take_subjects(other, new)
    theirs = dataclasses.replace(theirs, split=np.full(len(new), Split.TEST, dtype=np.int8))
    return _join(ours, theirs), len(other.subject_id) - len(new)


def take_subjects(tensors: Tensors, subject: Int64[np.ndarray, " kept"]) -> Tensors:
    """The named subjects with all their visits and codes."""
    visits = tensors.visits_per_subject[subject]
    visit = ranges(tensors.visit_offsets[subject], visits)
    codes = np.diff(tensors.code_offsets)[visit]
    return dataclasses.replace(
        tensors,
        subject_id=tensors.subject_id[subject],
        split=tensors.split[subject],
        step=tensors.step[subject],
        event=tensors.event[subject],
        duration_days=tensors.duration_days[subject],
        visit_offsets=offsets_of(visits),
        visit_time=tensors.visit_time[visit],
        features=tensors.features[visit],
        oracle_hazard=tensors.oracle_hazard[visit],
        code_offsets=offsets_of(codes),
        code=tensors.code[ranges(tensors.code_offsets[visit], codes)],
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
