"""Who is at risk at a landmark, what is known there, and the curve of a comparator from it."""

import dataclasses

import numpy as np
import pytest

from survlstm.data.split import Split
from survlstm.evaluation.comparators import Comparator, HazardRows, from_landmark
from survlstm.evaluation.landmarks import make_landmarks, reference_split
from tests.tensors import tensors_of

# Visits on days 0, 30, 60, …; the follow-up ends 30 days after the last of visits 0..step.
STEP, EVENT = [0, 1, 2, 2, 5, 3], [True, False, True, False, False, True]
SPLIT = [Split.TEST] * 5 + [Split.TRAIN]


@pytest.fixture
def tensors():
    return tensors_of(STEP, EVENT, SPLIT)


@pytest.mark.parametrize(
    ("landmark", "subject", "number", "step", "duration"),
    [
        # (landmark, test subjects at risk, their last known visit, last at-risk step and duration from there)
        ({"visits": [0], "days": []}, [0, 1, 2, 3, 4], [0, 0, 0, 0, 0], [0, 1, 2, 2, 5], [1, 2.5, 3, 3.5, 6.5]),
        ({"visits": [2], "days": []}, [2, 3, 4], [2, 2, 2], [0, 0, 3], [1, 1.5, 4.5]),
        ({"visits": [6], "days": []}, [], [], [], []),
        # Day 60 is the day of visit 2, which is known then; subject 1 leaves on that day.
        ({"visits": [], "days": [60.0]}, [2, 3, 4], [2, 2, 2], [0, 0, 3], [1, 1.5, 4.5]),
        ({"visits": [], "days": [59.9]}, [1, 2, 3, 4], [1, 1, 1, 1], [0, 1, 1, 4], [1.5, 2, 2.5, 5.5]),
        ({"visits": [], "days": [89.0]}, [2, 3, 4], [2, 2, 2], [0, 0, 3], [1, 1.5, 4.5]),
        ({"visits": [], "days": [90.0]}, [4], [3], [2], [3.5]),
    ],
)
def test_at_risk_at_a_landmark(tensors, landmark, *, subject, number, step, duration):
    (found,) = make_landmarks(tensors, Split.TEST, **landmark, horizons=[2, 1])
    assert found.test.subject.tolist() == subject
    assert (found.test.visit - tensors.visit_offsets[found.test.subject]).tolist() == number
    assert found.test.step.tolist() == step
    assert found.test.duration.tolist() == duration
    assert found.grid.tolist() == found.horizons.tolist() == [1, 2]


def test_training_subjects_are_those_of_the_training_split(tensors):
    (found,) = make_landmarks(tensors, Split.TEST, visits=[1], days=[], horizons=[1])
    assert found.train.subject.tolist() == [5]
    assert found.train.duration.tolist() == [3]
    assert not len(found.val.subject)


def rows_of(tensors, *, reference=()):
    return HazardRows(tensors.members(Split.TEST), np.array(reference, dtype=np.int64))


def test_behind_the_first_horizon_the_landmarks_hazard_is_carried_on(tensors):
    (found,) = make_landmarks(tensors, Split.TEST, visits=[2], days=[], horizons=[3])
    hazard = np.full((5, 6), np.nan)
    hazard[2, :3], hazard[3, :3], hazard[4] = [0.9, 0.9, 0.1], [0.9, 0.9, 0.5], [0.9, 0.9, 0.2, 0.9, 0.9, 0.9]
    nobody = np.zeros((0, 6))
    curve = from_landmark(Comparator("model", "model", hazard, False, nobody), found, tensors, rows_of(tensors))
    # No reference subject shows a drift: the hazard is held.
    assert curve.survival == pytest.approx(np.array([[0.9, 0.81, 0.729], [0.5, 0.25, 0.125], [0.8, 0.64, 0.512]]))


def test_the_drift_is_that_of_the_reference_subjects():
    split = [Split.TEST] * 2 + [Split.VAL] * 40
    # Reference subjects have a hazard of a half at visit 1, and then live on for ten visits.
    tensors = tensors_of([3, 3] + [11] * 40, [False] * 42, split)
    (found,) = make_landmarks(tensors, Split.TEST, visits=[1], days=[], horizons=[5])
    model = Comparator("model", "model", np.full((2, 4), 0.5), False, np.full((40, 12), 0.5))
    rows = HazardRows(tensors.members(Split.TEST), tensors.members(Split.VAL))
    curve = from_landmark(model, found, tensors, rows)
    assert curve.survival[:, 0] == pytest.approx(0.5)
    assert (curve.survival[:, 4] > 0.3).all()


@pytest.mark.parametrize(
    ("evaluated", "reference"), [(Split.TEST, Split.VAL), (Split.TRAIN, Split.VAL), (Split.VAL, Split.TRAIN)]
)
def test_no_split_is_its_own_reference(tensors, evaluated, reference):
    assert reference_split(evaluated) == reference
    (found,) = make_landmarks(tensors, evaluated, visits=[0], days=[], horizons=[1])
    assert found.reference.subject.tolist() == tensors.members(reference).tolist()


def test_what_is_known_ahead_is_taken_as_it_is(tensors):
    (found,) = make_landmarks(tensors, Split.TEST, visits=[2], days=[], horizons=[2])
    hazard = np.tile([0.9, 0.9, 0.5, 0.2, 0.9, 0.9], (5, 1))
    curve = from_landmark(Comparator("free", "baseline", hazard, True), found, tensors, rows_of(tensors))
    assert curve.survival == pytest.approx(np.tile([0.5, 0.4], (3, 1)))


def test_later_hazards_of_the_record_change_no_curve(tensors):
    (found,) = make_landmarks(tensors, Split.TEST, visits=[1], days=[], horizons=[4])
    hazard = np.random.default_rng(0).uniform(0.1, 0.4, (5, 6))
    other = hazard.copy()
    other[:, 2:] = 0.99
    one, two = (
        from_landmark(Comparator("m", "model", h, False, np.zeros((0, 6))), found, tensors, rows_of(tensors))
        for h in (hazard, other)
    )
    assert np.array_equal(one.survival, two.survival)


def test_another_cohort_is_weighed_by_its_own_censoring(tensors):
    asked = {"visits": [0], "days": [], "horizons": [1]}
    (own,) = make_landmarks(tensors, Split.TEST, **asked)
    (other,) = make_landmarks(tensors, Split.TEST, **asked, another_cohort=True)
    assert own.censoring is own.train
    assert other.censoring is other.test


def test_horizons_behind_the_last_interval_are_shown_at_its_end_and_noted(tensors):
    on_landmark = dataclasses.replace(tensors, edge_days=np.array([0.0, 10, 20, 30, 40, 50, 60]))
    (found,) = make_landmarks(on_landmark, Split.TEST, visits=[], days=[], horizons=[1, 7, 20])
    assert found.horizons.tolist() == [10, 60]
    assert found.notes == ("horizons of [7, 20] steps lie after the last of 6 intervals",)
