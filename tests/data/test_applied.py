"""apply_to: the run's training subjects beside another cohort's."""

import dataclasses

import numpy as np
import pytest

from survlstm.data.applied import apply_to, take_subjects
from survlstm.data.split import Split
from survlstm.errors import CohortError
from tests.judgement.cohorts import tensors_of


def named(tensors, names):
    return dataclasses.replace(tensors, subject_id=np.array(names))


def test_own_training_subjects_and_the_other_cohort_as_test():
    own = named(tensors_of([1, 2, 0], [1, 0, 1], [Split.TRAIN, Split.TEST, Split.VAL], code=[2, 3, 4]), ["a", "b", "c"])
    other = named(tensors_of([3, 0, 1], [0, 1, 1], [0, 1, 2], code=[5, 6, 7]), ["a", "b", "zebra"])
    joined, left_out = apply_to(own, other)
    # "a" was trained on; "b" was only tested on, and its record is the other cohort's.
    assert left_out == 1
    assert joined.subject_id.tolist() == ["a", "c", "b", "zebra"]
    assert joined.split.tolist() == [Split.TRAIN, Split.VAL, Split.TEST, Split.TEST]
    assert joined.step.tolist() == [1, 0, 0, 1]
    assert joined.visit_offsets.tolist() == [0, 2, 3, 4, 6]
    assert joined.code.tolist() == [2, 2, 4, 6, 7, 7]
    assert joined.code_offsets.tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_taking_all_subjects_changes_nothing():
    tensors = tensors_of([1, 2, 0], [1, 0, 1], [0, 1, 2], code=[2, 3, 4])
    again = take_subjects(tensors, np.arange(3))
    for field in dataclasses.fields(tensors):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(tensors, field.name))


def test_a_cohort_of_training_subjects_only_is_refused():
    own = tensors_of([1, 2], [1, 0], [Split.TRAIN, Split.VAL])
    with pytest.raises(CohortError, match="all 2 are its training and validation subjects"):
        apply_to(own, own)
