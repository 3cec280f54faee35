"""Calibration and curves of a model that knows the true hazards, and of one that does not."""

import dataclasses

import numpy as np
import pytest

from survlstm.data.split import Split
from survlstm.evaluation.calibration import calibrate, d_calibration_until
from survlstm.evaluation.curves import survival_curves
from survlstm.evaluation.landmarks import make_landmarks
from survlstm.survival.kaplan_meier import censoring_curve, kaplan_meier
from tests.evaluation.cohorts import drawn_cohort


@pytest.fixture(scope="module")
def judged():
    tensors, hazard = drawn_cohort(3000, seed=2)
    (landmark,) = make_landmarks(tensors, Split.TEST, visits=[1], days=[], horizons=[3, 6])
    true = (1 - hazard[landmark.test.subject])[:, None] ** landmark.grid
    return landmark, true, censoring_curve(landmark.train.duration, landmark.train.event)


def test_the_true_curves_are_calibrated(judged):
    landmark, true, censoring = judged
    found = calibrate(true[:, 5], landmark.test, 6.0, censoring, 0.95)
    assert found.why_not is None
    assert len(found.subjects) == 10
    assert sum(found.subjects) == len(landmark.test.subject)
    assert found.p_value > 0.05
    assert found.slope == pytest.approx(1, abs=0.2)
    assert found.in_the_large == pytest.approx(0, abs=0.2)
    inside = [low <= p <= high for low, p, high in zip(found.low, found.predicted, found.high, strict=True)]
    assert sum(inside) >= 8
    assert d_calibration_until(true, landmark.test, steps=6) > 0.05


def test_curves_that_fall_too_fast_are_not(judged):
    landmark, true, censoring = judged
    found = calibrate(true[:, 5] ** 2, landmark.test, 6.0, censoring, 0.95)
    assert found.p_value < 1e-6
    assert found.in_the_large < -0.3
    assert d_calibration_until(true**2, landmark.test, steps=6) < 1e-6


def test_too_few_subjects_for_groups_are_said(judged):
    landmark, true, censoring = judged
    few = type(landmark.test)(*(column[:20] for column in landmark.test))
    found = calibrate(true[:20, 5], few, 6.0, censoring, 0.95)
    assert found.p_value is None
    assert found.subjects == ()
    assert "there are 20 subjects, a group needs 15" in found.why_not


def test_examples_and_groups_run_from_low_to_high_risk(judged):
    landmark, true, _ = judged
    free = np.broadcast_to(true.mean(axis=0), true.shape)
    curves = survival_curves(landmark, true, free, 0.95)
    assert curves.example_name == ("lowest risk", "median risk", "highest risk")
    assert (np.diff(curves.example_survival[:, -1]) < 0).all()
    assert curves.example_survival[0, -1] == true[:, -1].max()
    assert (np.diff(curves.group_observed[:, -1]) < 0).all()
    assert np.abs(curves.group_survival - curves.group_observed).max() < 0.08
    assert ((curves.group_low <= curves.group_observed) & (curves.group_observed <= curves.group_high)).all()


def test_a_groups_observed_curve_is_its_kaplan_meier_curve(judged):
    landmark, true, _ = judged
    curves = survival_curves(landmark, true, true, 0.95)
    lowest = np.argsort(-true[:, -1], kind="stable")[: -(-len(true) // 3)]
    curve = kaplan_meier(landmark.test.duration[lowest], landmark.test.event[lowest])
    assert curves.group_observed[0] == pytest.approx(curve.at(landmark.grid))
    assert curves.group_at_risk[0].tolist() == [
        int((landmark.test.duration[lowest] >= time).sum()) for time in landmark.grid
    ]


def test_two_subjects_make_no_groups(judged):
    landmark, true, _ = judged
    two = type(landmark.test)(*(column[:2] for column in landmark.test))
    few = dataclasses.replace(landmark, test=two)
    assert survival_curves(few, true[:2], true[:2], 0.95) is None


def test_the_calibration_test_keeps_its_level():
    """True curves are rejected at 5 % in about one of twenty samples: groups need events for that."""
    rejected = tested = 0
    for seed in range(150):
        tensors, hazard = drawn_cohort(420, seed=seed, low=0.01, high=0.25)
        (landmark,) = make_landmarks(tensors, Split.TEST, visits=[0], days=[], horizons=[5])
        true = (1 - hazard[landmark.test.subject]) ** 5
        curve = censoring_curve(landmark.train.duration, landmark.train.event)
        p_value = calibrate(true, landmark.test, 5.0, curve, 0.95).p_value
        tested += p_value is not None
        rejected += p_value is not None and p_value < 0.05
    assert tested > 100
    assert rejected / tested < 0.05 + 3 * np.sqrt(0.05 * 0.95 / tested)
