"""``combine_with_cohort``: the training subjects of a run with another cohort as test subjects."""

import dataclasses

import numpy as np
import pytest

from survlstm.data.external_cohort import combine_with_cohort, select_subjects
from survlstm.data.prepared_data import CohortFlow, PreparedData
from survlstm.data.split import Split
from survlstm.data.vocabulary import Vocabulary
from survlstm.utils.errors import CohortError
from tests.prepared import unscaled_state
from tests.tensors import tensors_of


def named(tensors, names):
    return dataclasses.replace(tensors, subject_id=np.array(names))


def prepared(tensors, names):
    vocabulary = Vocabulary(("[PAD]", "[UNK]", "A/1", "A/2", "A/3", "A/4", "A/5", "A/6"))
    preprocessing = unscaled_state(vocabulary.entries)
    visits = len(tensors.visit_time)
    flow = CohortFlow(
        tables=(),
        entries_read=len(tensors.code),
        entries_left_out={},
        entries_used=len(tensors.code),
        codes_unknown={"entries": int((tensors.code == 1).sum()), "codes": 1},
        visits_made=visits,
        visits_left_out={},
        visits_used=visits,
        subjects_read=len(names),
        subjects_excluded=(),
        subjects_used=len(names),
        outcome_facts={},
        warnings=(),
    )
    return PreparedData(dataclasses.replace(tensors, subject_id=np.array(names)), preprocessing, flow, "")


def test_own_training_subjects_and_the_other_cohort_as_test():
    own = tensors_of([1, 2, 0], [1, 0, 1], [Split.TRAIN, Split.TEST, Split.VAL], code=[2, 3, 4])
    other = tensors_of([3, 0, 1], [1, 1, 1], [0, 1, 2], code=[1, 6, 1])
    applied = combine_with_cohort(prepared(own, ["a", "b", "c"]), prepared(other, ["a", "b", "zebra"]))
    joined, flow = applied.tensors, applied.flow
    # "a" is a training subject of the run, so it is left out of the other cohort; "b" is only a test subject.
    assert joined.subject_id.tolist() == ["a", "c", "b", "zebra"]
    assert joined.split.tolist() == [Split.TRAIN, Split.VAL, Split.TEST, Split.TEST]
    assert joined.step.tolist() == [1, 0, 0, 1]
    assert joined.visit_offsets.tolist() == [0, 2, 3, 4, 6]
    assert joined.code.tolist() == [2, 2, 4, 6, 1, 1]
    assert joined.code_offsets.tolist() == [0, 1, 2, 3, 4, 5, 6]
    # Of the other cohort's 7 visits, each with one code, 4 belong to "a".
    assert flow.subjects_excluded == (("the run was trained or tuned on them", 1, 1),)
    assert (flow.subjects_read, flow.subjects_used) == (3, 2)
    assert (flow.visits_used, flow.entries_used) == (3, 3)
    assert flow.visits_made == flow.visits_used + sum(flow.visits_left_out.values())
    assert flow.entries_read == flow.entries_used + sum(flow.entries_left_out.values())
    assert flow.codes_unknown == {"entries": 2, "codes": 1}


def test_taking_all_subjects_changes_nothing():
    tensors = tensors_of([1, 2, 0], [1, 0, 1], [0, 1, 2], code=[2, 3, 4])
    again = select_subjects(tensors, np.arange(3))
    for field in dataclasses.fields(tensors):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(tensors, field.name))


def test_a_cohort_of_training_subjects_only_is_refused():
    own = prepared(tensors_of([1, 2], [1, 0], [Split.TRAIN, Split.VAL]), ["a", "b"])
    with pytest.raises(CohortError, match="all 2 are its training and validation subjects"):
        combine_with_cohort(own, own)
