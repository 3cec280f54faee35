"""judge on cohorts whose hazards are known: who is judged, on what, in which order, and what is said to be missing."""

import dataclasses
import re
from typing import get_args

import numpy as np
import pytest

from survlstm.config.schema.evaluation import BaselineName
from survlstm.data.split import Split
from survlstm.evaluation.baselines import pycox_models
from survlstm.evaluation.baselines.hazards import HAZARD_BASELINES
from survlstm.evaluation.baselines.landmark import LANDMARK_BASELINES
from survlstm.evaluation.comparators import LandmarkComparator
from survlstm.evaluation.evaluate_run import _with_hazards, evaluate_predictions
from survlstm.evaluation.landmarks import reference_split
from survlstm.evaluation.settings import EvaluationSettings
from survlstm.evaluation.step_metrics import count_comparable_pairs, nll_by_subject
from survlstm.training.prediction import Predictions
from tests.evaluation.baselines.coded_cohorts import cohort
from tests.evaluation.cohorts import drawn_cohort

FREE, LENGTH, LOGISTIC = "covariate-free hazard", "record length", "logistic hazard (history)"
COX = "Cox (elastic net)"


@pytest.fixture(scope="module", autouse=True)
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pycox_models, "EPOCHS", 10)
        yield


def settings(*, visits=(), days=(), horizons=(1, 3), baselines=()):
    return EvaluationSettings(
        resamples=100,
        confidence=0.95,
        min_events=30,
        landmark_visits=tuple(visits),
        landmark_days=tuple(days),
        horizons=tuple(horizons),
        baselines=tuple(baselines),
        seed=0,
    )


def predictions_of(tensors, hazard, part):
    """What a model gives that knows each subject's hazard, the same at every step."""
    subject = tensors.members(part)
    step, event = tensors.step[subject], tensors.event[subject]
    steps = tensors.steps if tensors.clock == "landmark" else int(step.max()) + 1
    known = np.repeat(hazard[subject][:, None], steps, axis=1)
    if tensors.clock == "visit":
        known[np.arange(steps) > step[:, None]] = np.nan
    return Predictions(subject, step, event, known, np.cumprod(1 - known, axis=1), nll_by_subject(known, step, event))


def judged(tensors, hazard, part=Split.TEST, **asked):
    return evaluate_predictions(
        predictions_of(tensors, hazard, part),
        predictions_of(tensors, hazard, reference_split(part)),
        tensors,
        part,
        settings=settings(**asked),
    )


def names(rows):
    return [row.name for row in rows]


@pytest.fixture(scope="module")
def drawn():
    """The oracle's hazards are kept in single precision: the model is given the same."""
    tensors, hazard = drawn_cohort(600)
    return tensors, hazard.astype(np.float32).astype(np.float64)


@pytest.fixture(scope="module")
def on_visits(drawn):
    baselines = ["cox", "logistic_hazard", "record_length"]
    return judged(*drawn, visits=[1, 500], days=[100.0], baselines=baselines)


def test_every_baseline_of_the_config_has_one_maker():
    assert sorted(get_args(BaselineName)) == sorted([*HAZARD_BASELINES, *LANDMARK_BASELINES])


def test_the_split_and_its_labels(drawn, on_visits):
    tensors, _ = drawn
    test = tensors.members(Split.TEST)
    assert (on_visits.clock, on_visits.split) == ("visit", "test")
    assert (on_visits.subjects, on_visits.events) == (len(test), tensors.event[test].sum())
    assert on_visits.comparable_pairs == count_comparable_pairs(tensors.step[test], tensors.event[test])
    assert not on_visits.notes


def test_the_rows_come_in_the_order_asked_behind_model_oracle_and_covariate_free(on_visits):
    assert names(on_visits.rows) == ["model", "oracle", FREE, LOGISTIC, LENGTH]
    assert [row.role for row in on_visits.rows] == ["model", "oracle", "baseline", "baseline", "baseline"]
    assert on_visits.model is on_visits.rows[0]
    for landmark in (on_visits.landmarks[0], on_visits.landmarks[2]):
        assert names(landmark.rows) == ["model", "oracle", FREE, LOGISTIC, LENGTH, COX]


def test_landmarks_are_named_and_one_that_nobody_reaches_has_no_curves(on_visits):
    assert names(on_visits.landmarks) == ["visit 1", "visit 500", "day 100"]
    assert on_visits.landmarks[1].notes == ("no subject is at risk at this landmark",)
    assert [curves.landmark for curves in on_visits.curves] == ["visit 1", "day 100"]


def test_a_model_of_the_true_hazards_is_the_oracle_everywhere(drawn, on_visits):
    tensors, hazard = drawn
    test = tensors.members(Split.TEST)
    model, oracle, free, *_ = on_visits.rows
    assert model.c_td.value == oracle.c_td.value > 0.6
    assert model.nll.value == pytest.approx(predictions_of(tensors, hazard, Split.TEST).nll.mean())
    assert model.nll.value == pytest.approx(oracle.nll.value)
    assert oracle.c_td_difference == (0.0, (0.0, 0.0), 1.0)
    assert (free.c_td.value, free.c_td.interval) == (0.5, (0.5, 0.5))
    assert free.c_td_difference.interval.low > 0
    assert free.nll_difference.interval.high < 0
    for landmark in (on_visits.landmarks[0], on_visits.landmarks[2]):
        ours, theirs = landmark.rows[:2]
        assert theirs.c_difference.value == 0.0
        assert ours.ibs.value == pytest.approx(theirs.ibs.value)
        assert ours.ibs.value < landmark.rows[2].ibs.value
    assert on_visits.landmarks[0].at_risk == (tensors.step[test] >= 1).sum()
    assert on_visits.lines[0].startswith("The model beats the best baseline")


def test_without_baselines_the_covariate_free_hazard_stays(drawn):
    bare = judged(*drawn, visits=[1])
    assert names(bare.rows) == names(bare.landmarks[0].rows) == ["model", "oracle", FREE]
    without = judged(*drawn)
    assert (without.landmarks, without.curves) == ((), ())
    assert without.rows == bare.rows


@pytest.mark.parametrize("unknown", [slice(None), slice(7, 8)], ids=["all", "one"])
def test_there_is_an_oracle_only_where_every_hazard_is_known(drawn, unknown):
    tensors, hazard = drawn
    oracle = tensors.oracle_hazard.copy()
    oracle[unknown] = np.nan
    assert names(judged(dataclasses.replace(tensors, oracle_hazard=oracle), hazard).rows) == ["model", FREE]


def test_the_validation_split_is_judged_with_the_training_subjects_as_reference(drawn):
    tensors, _ = drawn
    val = tensors.members(Split.VAL)
    summary = judged(*drawn, part=Split.VAL, visits=[1])
    assert (summary.split, summary.subjects, summary.events) == ("val", len(val), tensors.event[val].sum())
    assert "train" in summary.conventions["carried hazard"]
    # Both are carried on by the same drift.
    model, oracle, _ = summary.landmarks[0].rows
    assert model.ibs.value == pytest.approx(oracle.ibs.value)


def test_a_baseline_that_cannot_be_fitted_is_noted_and_left_out(drawn):
    tensors, hazard = drawn
    event = tensors.event.copy()
    event[tensors.members(Split.VAL)] = False
    summary = judged(dataclasses.replace(tensors, event=event), hazard, visits=[1], baselines=["cox"])
    (landmark,) = summary.landmarks
    assert names(landmark.rows) == ["model", "oracle", FREE]
    assert landmark.notes[-1].startswith("no Cox (elastic net): it needs events of training subjects for the fit")


def test_a_baseline_of_every_step_that_cannot_be_fitted_is_noted_and_left_out(drawn, monkeypatch):
    def refuses(*_):
        raise ValueError("a regression must converge")

    monkeypatch.setitem(HAZARD_BASELINES, "logistic_hazard", refuses)
    summary = judged(*drawn, baselines=["logistic_hazard", "record_length"])
    assert names(summary.rows) == ["model", "oracle", FREE, LENGTH]
    assert summary.notes[-1] == "no logistic_hazard: a regression must converge"


def test_the_log_names_each_baseline_when_its_fit_begins(drawn, caplog):
    caplog.set_level("INFO", logger="survlstm.evaluation.evaluate_run")
    judged(*drawn, visits=[1], baselines=["cox", "record_length", Constant()])
    assert [record.getMessage() for record in caplog.records] == [
        "Fitting the baseline covariate-free hazard",
        "Fitting the baseline record_length",
        "Fitting the baseline constant",
        "Fitting the baseline Cox (elastic net) from visit 1",
        "Fitting the baseline constant from visit 1",
    ]


def test_on_the_landmark_clock_what_is_fitted_there_joins_the_main_table():
    tensors, hazard = cohort(500, clock="landmark")
    summary = judged(tensors, hazard, horizons=[2, 10], baselines=["pycox_logistic_hazard", "record_length", "cox"])
    expected = ["model", FREE, LENGTH, "pycox LogisticHazard", COX]
    (landmark,) = summary.landmarks
    assert names(summary.rows) == names(landmark.rows) == expected
    assert (summary.clock, landmark.name, landmark.unit) == ("landmark", "landmark", "days")
    assert landmark.at_risk == summary.subjects == len(tensors.members(Split.TEST))
    assert "carried hazard" not in summary.conventions
    for row in summary.rows[3:]:
        assert 0.5 < row.c_td.value < 1
        assert np.isfinite(row.nll.value)


def test_curves_become_hazards_and_curves_again():
    generator = np.random.default_rng(0)
    survival = np.cumprod(generator.uniform(0.3, 1.0, (50, 8)), axis=1)
    # Nobody is left from some step on; and nothing ever happens.
    survival[0, 4:], survival[1, :] = 0.0, 1.0
    made = _with_hazards(LandmarkComparator("Cox", "baseline", survival))
    assert (made.name, made.role, made.known_ahead, made.reference) == ("Cox", "baseline", True, None)
    assert ((made.hazard >= 0) & (made.hazard <= 1)).all()
    assert made.hazard[0, 4:].tolist() == [1.0] * 4
    assert made.hazard[1].tolist() == [0.0] * 8
    np.testing.assert_allclose(made.survival, survival, atol=1e-15)


class Constant:
    """A baseline as a user would write it, with both methods."""

    name = "constant"

    def hazards(self, tensors, subjects, steps):
        return np.full((len(subjects), steps), 0.1)

    def survival(self, landmark, tensors, seed):
        return np.tile(0.9 ** np.arange(1, len(landmark.grid) + 1), (len(landmark.test.subject), 1))


class TooShort(Constant):
    name = "too short"

    def hazards(self, tensors, subjects, steps):
        return super().hazards(tensors, subjects, steps)[:, :-1]

    def survival(self, landmark, tensors, seed):
        return super().survival(landmark, tensors, seed)[1:]


class Impossible(Constant):
    name = "impossible"

    def hazards(self, tensors, subjects, steps):
        return super().hazards(tensors, subjects, steps) + 1

    def survival(self, landmark, tensors, seed):
        return super().survival(landmark, tensors, seed)[:, ::-1] + 0.5


class Raises(Constant):
    name = "raises"

    def hazards(self, *_):
        raise KeyError("spam")

    survival = hazards


def test_a_baseline_of_the_users_own_stands_among_the_others(drawn):
    found = judged(*drawn, visits=[1], baselines=["record_length", Constant()])
    assert names(found.rows) == ["model", "oracle", FREE, LENGTH, "constant"]
    assert found.rows[-1].c_td.value == 0.5
    # At the landmark it stands once, with its own survival.
    assert names(found.landmarks[0].rows) == ["model", "oracle", FREE, LENGTH, "constant"]
    assert not found.notes


@pytest.mark.parametrize(
    ("baseline", "said"),
    [
        (TooShort(), r"no too short: {} must be \[subject, (step|horizon)\], \(\d+, \d+\); found \(\d+, \d+\)"),
        (Impossible(), r"no impossible: .*(0\.\.1|probabilit|within|rise)"),
        (Raises(), r"no raises: {} raised KeyError: 'spam'"),
    ],
)
def test_a_baseline_that_fails_is_left_out_and_told(drawn, baseline, said):
    found = judged(*drawn, visits=[1], baselines=[baseline])
    assert names(found.rows) == ["model", "oracle", FREE]
    assert any(re.search(said.format("hazards"), note) for note in found.notes), found.notes
    assert any(re.search(said.format("survival"), note) for note in found.landmarks[0].notes), found.landmarks[0].notes
