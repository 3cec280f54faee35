"""Rows and landmarks of the days clock, and the evaluation of a model on them."""

import dataclasses

import numpy as np
import pytest

from survlstm.data.row_sample import sampled_rows
from survlstm.data.split import Split
from survlstm.evaluation import evaluated_rows
from survlstm.evaluation.evaluate_run import evaluate_model, evaluate_predictions
from survlstm.evaluation.evaluated_rows import ALL_TIMES, all_rows, is_main, row_landmarks
from survlstm.evaluation.group_evaluation import POOLED, evaluate_groups
from survlstm.evaluation.settings import EvaluationSettings
from survlstm.evaluation.step_metrics import nll_by_subject
from survlstm.training.prediction import Predictions
from tests.evaluation.telling_days import EDGES, telling_days, true_hazard

SETTINGS = EvaluationSettings(
    resamples=100,
    confidence=0.95,
    min_events=20,
    landmark_visits=(2,),
    landmark_days=(),
    horizons=(1, 3),
    baselines=("cox", "deephit"),
    seed=0,
    time_rules=("day:100",),
)


@pytest.fixture(scope="module")
def judged():
    return telling_days(judged=True)


def predicted(tensors, rate, part):
    """Predictions of the hazards that drew the events, at every row of a split."""
    rows = tensors.rows_of(tensors.members(part), kind=None)
    hazard = np.stack([true_hazard(one) for one in rate])[tensors.row_subject[rows]]
    step, event = tensors.step[rows], tensors.event[rows]
    nll = nll_by_subject(hazard, step, event, tensors.exposure[rows])
    return Predictions(tensors.row_subject[rows], step, event, hazard, np.cumprod(1 - hazard, axis=1), nll, rows)


@pytest.fixture(scope="module")
def summary(judged):
    tensors, rate = judged
    test, val = (predicted(tensors, rate, part) for part in (Split.TEST, Split.VAL))
    return evaluate_predictions(test, val, tensors, Split.TEST, settings=SETTINGS)


def test_landmarks_hold_all_times_visit_numbers_and_rules(judged):
    tensors, _ = judged
    every, visit, day = row_landmarks(tensors, Split.TEST, visits=[2], rules=["day:100"], horizons=[1, 3, 5])
    assert [one.name for one in (every, visit, day)] == [ALL_TIMES, "visit 2", "day:100"]
    assert every.horizons.tolist() == [EDGES[1], EDGES[3]]
    assert every.notes == ("horizons of [5] steps lie after the last of 3 intervals",)
    assert np.array_equal(every.test.row, tensors.rows_of(tensors.members(Split.TEST)))
    assert every.test.weight.sum() == pytest.approx(len(np.unique(every.test.subject)))
    assert (tensors.row_visits[visit.test.row] == 3).all()
    assert visit.test.group is None
    assert (tensors.row_kind[day.train.row] == 1).all()
    assert np.array_equal(day.test.duration, tensors.duration_days[day.test.row])
    assert day.censoring is day.train


def test_a_rule_that_the_data_lack_is_no_landmark(judged):
    tensors, _ = judged
    landmarks = row_landmarks(tensors, Split.TEST, visits=[], rules=["day:100", "day:200"], horizons=[1])
    assert [one.name for one in landmarks] == [ALL_TIMES, "day:100"]


def test_a_sample_of_rows_is_drawn_from_the_rows_and_said(judged, monkeypatch):
    tensors, _ = judged
    monkeypatch.setattr(evaluated_rows, "MOST_EVALUATED", 200)
    rows = tensors.rows_of(tensors.members(Split.TEST))
    found = sampled_rows(tensors, Split.TEST, 200)
    assert len(found) == 200
    assert np.isin(found, rows).all()
    assert np.array_equal(found, np.unique(found))
    # Long records are not thinned more than short ones.
    number, of_sample = (np.bincount(tensors.row_subject[one], minlength=600) for one in (rows, found))
    long = number > np.median(number[number > 0])
    assert of_sample[long].sum() / 200 == pytest.approx(number[long].sum() / len(rows), abs=0.1)
    (every, *_) = row_landmarks(tensors, Split.TEST, visits=[], rules=[], horizons=[1])
    assert every.notes == (f"200 of {len(rows):,} prediction times are evaluated, a random sample",)
    needed = all_rows(tensors, Split.TEST, [2])
    assert is_main(tensors, Split.TEST, needed).sum() == 200
    assert (tensors.row_kind[needed] == 1).sum() == (
        tensors.row_kind[tensors.rows_of(tensors.members(Split.TEST), kind=1)] == 1
    ).sum()


def test_the_summary_counts_subjects_and_has_every_table(judged, summary):
    tensors, _ = judged
    members = tensors.members(Split.TEST)
    assert (summary.clock, summary.subjects) == ("days", len(members))
    trained = tensors.rows_of(members)
    assert summary.events == len(np.unique(tensors.row_subject[trained[tensors.event[trained]]]))
    assert [one.name for one in summary.landmarks] == [ALL_TIMES, "visit 2", "day:100"]
    assert summary.landmarks[0].at_risk == len(trained)
    assert summary.landmarks[0].subjects == len(members)
    assert summary.landmarks[2].subjects is None
    assert [row.name for row in summary.rows] == ["model", "covariate-free hazard", "Cox (elastic net)"]
    assert "no deephit: it is fitted at a single landmark, not to many prediction times of a subject" in summary.notes


def test_the_true_hazards_beat_the_baselines_and_are_calibrated(summary):
    model, free, cox = summary.rows
    assert model.c_td.value > 0.6 > free.c_td.value == 0.5
    assert model.nll.value < cox.nll.value < free.nll.value
    for landmark in summary.landmarks:
        assert landmark.rows[0].ibs.value < landmark.rows[1].ibs.value
        assert landmark.calibration[-1].p_value > 0.01
        assert landmark.rows[0].cells[-1].c_harrell.interval is not None


def test_likelihoods_are_means_over_rows(judged, summary):
    tensors, rate = judged
    test = predicted(tensors, rate, Split.TEST)
    trained = test.at(tensors.row_kind[test.row] == 0)
    assert summary.rows[0].nll.value == pytest.approx(trained.nll.mean())
    alone = evaluate_model(test, tensors, Split.TEST, settings=SETTINGS)
    assert (alone.c_td, alone.nll) == (summary.rows[0].c_td, summary.rows[0].nll)


def test_intervals_of_rows_are_wider_than_those_of_as_many_subjects(judged, summary):
    """The rows of a subject are not independent: taken for subjects, they would give intervals that are too narrow."""
    tensors, rate = judged
    test = predicted(tensors, rate, Split.TEST)
    trained = test.at(tensors.row_kind[test.row] == 0)
    apart = dataclasses.replace(trained, subject=np.arange(len(trained.row)))
    from survlstm.evaluation.comparators import Comparator
    from survlstm.evaluation.step_metrics import evaluate_steps

    model = Comparator("model", "model", apart.hazard, known_ahead=True)
    (row,), _ = evaluate_steps([model], step=apart.step, event=apart.event, bootstrap=SETTINGS.bootstrap)

    def width(estimate):
        return estimate.interval.high - estimate.interval.low

    assert width(summary.rows[0].c_td) > 1.3 * width(row.c_td)


def test_at_the_latest_times_every_subject_has_one_row_and_what_it_sees():
    tensors, _ = telling_days(judged=True)
    found = evaluated_rows.at_latest_times(tensors)
    assert found.clock == "landmark"
    for number in (0, 7, 31):
        subject = np.flatnonzero(tensors.subject_id == found.subject_id[number])
        rows = tensors.rows_of(subject)
        latest = rows[tensors.step[rows] >= 0][-1]
        assert (found.step[number], found.event[number]) == (tensors.step[latest], tensors.event[latest])
        assert found.visits_per_subject[number] == tensors.row_visits[latest]
    assert (found.step >= 0).all()


def test_groups_count_subjects_and_pool_fewer_than_ten_of_them(judged):
    """Nine subjects with a hundred rows are still nine."""
    tensors, rate = judged
    test = tensors.members(Split.TEST)
    groups = np.full((len(tensors.subject_id), 3), "", dtype="U5")
    groups[:, 0] = "most"
    groups[test[:9], 0] = "few"
    groups[test[9:30], 0] = "some"
    known = dataclasses.replace(tensors, groups=groups)
    predictions = predicted(known, rate, Split.TEST)
    trained = predictions.at(known.row_kind[predictions.row] == 0)
    settings = dataclasses.replace(SETTINGS, groups=("sex",))
    (most, some, pooled) = evaluate_groups(trained, known, None, settings).rows
    assert (most.name, most.subjects, some.name, some.subjects) == ("most", len(test) - 30, "some", 21)
    assert (pooled.name, pooled.subjects, pooled.events) == (POOLED, 9, None)
    own = np.isin(trained.subject, test[30:])
    assert most.events == len(np.unique(trained.subject[own & trained.event]))
    assert most.c_td.interval is not None
