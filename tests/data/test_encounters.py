"""``split_shared_encounters``: every encounter belongs to one subject."""

import numpy as np

from survlstm.data.encounters import split_shared_encounters


def test_encounters_of_one_subject_stay_what_they_are():
    encounter = np.array([2, -1, 0, 2], dtype=np.int32)
    own, shared = split_shared_encounters(np.array([0, 1, 1, 0], dtype=np.int32), encounter)
    assert own is encounter
    assert shared == 0


def test_each_subject_gets_an_encounter_of_its_own():
    subject = np.array([0, 1, 1, 0, 2, 2], dtype=np.int32)
    own, shared = split_shared_encounters(subject, np.array([5, 5, 5, 5, -1, 3], dtype=np.int32))
    assert shared == 1
    assert own[0] == own[3]
    assert own[1] == own[2]
    assert own[4] == -1
    assert len({own[0], own[1], own[5]}) == 3


def test_without_encounters_there_is_nothing_to_split():
    none = np.array([-1, -1], dtype=np.int32)
    assert split_shared_encounters(np.array([0, 1], dtype=np.int32), none)[1] == 0
