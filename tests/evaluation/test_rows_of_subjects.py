"""Subjects with several rows: each counts one, its rows are not compared, and a resample holds all or none of them."""

import dataclasses

import numpy as np
import pytest

from survlstm.data.split import Split
from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.calibration import d_calibration_until
from survlstm.evaluation.comparators import Comparator, LandmarkComparator
from survlstm.evaluation.curves import survival_curves
from survlstm.evaluation.landmark_evaluation import evaluate_landmark
from survlstm.evaluation.landmark_metrics import LandmarkSample, landmark_metrics
from survlstm.evaluation.landmarks import AtRisk, Landmark, make_landmarks
from survlstm.evaluation.step_metrics import count_comparable_pairs, evaluate_steps, nll_by_subject
from survlstm.survival.kaplan_meier import censoring_curve
from tests.evaluation.cohorts import drawn_cohort

GRID = np.arange(1.0, 7.0)
BOOTSTRAP = Bootstrap(resamples=40, confidence=0.9, min_events=20, seed=3)


def drawn_part(subjects, seed):
    """One row for each subject."""
    generator = np.random.default_rng(seed)
    step = generator.integers(0, 6, subjects)
    event, number = generator.random(subjects) < 0.5, np.arange(subjects)
    return AtRisk(number, number, step, event, step + np.where(event, 1.0, 1.5), number, np.ones(subjects))


def copied(part, copies):
    """Every row as often as ``copies`` says, each with the same share of its subject."""
    at = np.repeat(np.arange(len(copies)), copies)
    rows = AtRisk(*(column[at] for column in part))
    return rows._replace(row=np.arange(len(at)), weight=1 / copies[at])


def landmark_of(train, test, horizons=(2.0, 4.0)):
    return Landmark("day 0", "days", train, train, train, test, train, GRID, np.array(horizons))


@pytest.fixture(scope="module")
def once():
    """Train, test and the hazards of two models, with one row for each subject."""
    train, test = drawn_part(90, seed=1), drawn_part(80, seed=2)
    generator = np.random.default_rng(4)
    by_event = np.where(test.event, 0.3, 0.15) / (1 + test.step)
    hazards = [np.clip(by_event[:, None] * generator.uniform(0.5, 2, (80, 6)), 0.01, 0.9).round(2) for _ in range(2)]
    return train, test, hazards


@pytest.fixture(scope="module")
def copies():
    generator = np.random.default_rng(5)
    return generator.integers(1, 5, 90), generator.integers(1, 5, 80)


def at_landmark(hazards):
    return [LandmarkComparator(f"{n}", "model", np.cumprod(1 - hazard, axis=1)) for n, hazard in enumerate(hazards)]


def assert_same(found, expected):
    """Compare nested results; numbers to rounding."""
    if dataclasses.is_dataclass(expected):
        for field in dataclasses.fields(expected):
            assert_same(getattr(found, field.name), getattr(expected, field.name))
    elif isinstance(expected, tuple | list | np.ndarray):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-8, nan_ok=True)
    else:
        assert found == expected


def test_copies_of_a_row_change_no_metric_and_no_interval_of_a_landmark(once, copies):
    """The copies of a subject are not compared with each other and count one together."""
    train, test, hazards = once
    expected = evaluate_landmark(landmark_of(train, test), at_landmark(hazards), BOOTSTRAP)
    landmark = landmark_of(copied(train, copies[0]), copied(test, copies[1]))
    found = evaluate_landmark(landmark, at_landmark([np.repeat(one, copies[1], axis=0) for one in hazards]), BOOTSTRAP)
    assert expected.rows[0].cells[1].c_uno.interval is not None
    assert expected.calibration[0].slope is not None
    assert_same(found.rows, expected.rows)
    assert_same(found.calibration, expected.calibration)
    assert found.notes[0] == "no interval by day 2: fewer than 20 subjects with the event until then"
    assert expected.notes[0] == "no interval by day 2: fewer than 20 events until then"
    assert (expected.subjects, expected.event_subjects) == (None, None)
    assert (found.subjects, found.event_subjects) == (expected.at_risk, expected.events)
    assert (found.at_risk, found.events) == (copies[1].sum(), (copies[1] * test.event).sum())


def test_copies_change_nothing_where_the_evaluated_rows_give_the_censoring(once, copies):
    _, test, hazards = once
    rows = copied(test, copies[1])
    expected, found = (
        evaluate_landmark(landmark_of(part, part, [4.0]), at_landmark([hazard]), BOOTSTRAP)
        for part, hazard in ((test, hazards[0]), (rows, np.repeat(hazards[0], copies[1], axis=0)))
    )
    assert_same(found.rows, expected.rows)
    assert expected.rows[0].cells[0].brier.interval is not None


def test_equal_copies_of_every_row_change_no_metric_and_no_interval_at_every_step(once):
    _, test, hazards = once
    three = np.full(80, 3)
    models = [Comparator(f"{n}", "model", hazard, known_ahead=True) for n, hazard in enumerate(hazards)]
    expected, notes = evaluate_steps(models, step=test.step, event=test.event, bootstrap=BOOTSTRAP)
    rows = copied(test, three)
    models = [dataclasses.replace(one, hazard=np.repeat(one.hazard, 3, axis=0)) for one in models]
    labels = {"step": rows.step, "event": rows.event, "bootstrap": BOOTSTRAP}
    found, found_notes = evaluate_steps(models, **labels, group=rows.group)
    assert_same(found, expected)
    assert notes == found_notes == []


def test_curves_of_copies_have_the_means_of_subjects(once):
    train, test, (hazard, _) = once
    twice = np.full(80, 3)
    survival = np.cumprod(1 - hazard[:78], axis=1)
    part = AtRisk(*(column[:78] for column in test))
    expected = survival_curves(landmark_of(train, part), survival, survival, 0.9)
    found = survival_curves(landmark_of(train, copied(part, twice[:78])), *[np.repeat(survival, 3, axis=0)] * 2, 0.9)
    for name in ("group_survival", "group_observed", "group_low", "group_high", "covariate_free"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), nan_ok=True)


def test_metrics_of_whole_weights_are_those_of_copied_rows(once):
    _, test, hazards = once
    whole = np.random.default_rng(6).integers(1, 4, 80)
    curves = np.stack([np.cumprod(1 - hazard, axis=1) for hazard in hazards])
    at = np.repeat(np.arange(80), whole)
    censoring = censoring_curve(test.duration, test.event)
    found, expected = (
        landmark_metrics(sample, censoring=censoring, grid=GRID[:4], shown=GRID[[1, 3]])
        for sample in (
            LandmarkSample(curves, test.duration, test.event, weight=whole.astype(float)),
            LandmarkSample(curves[:, at], test.duration[at], test.event[at]),
        )
    )
    for name, values in expected._asdict().items():
        assert getattr(found, name) == pytest.approx(values, abs=1e-12), name


def test_intervals_need_subjects_with_an_event_not_rows():
    few = drawn_part(30, seed=7)
    events = int(few.event.sum())
    rows = copied(few, np.full(30, 5))
    hazard = np.random.default_rng(8).uniform(0.05, 0.3, (150, 6))
    bootstrap = dataclasses.replace(BOOTSTRAP, min_events=events + 1)
    result = evaluate_landmark(landmark_of(rows, rows, [4.0]), at_landmark([hazard]), bootstrap)
    assert result.rows[0].cells[0].c_harrell.interval is None
    assert result.notes == (f"no interval by day 4: fewer than {events + 1} subjects with the event until then",)
    _, notes = evaluate_steps(
        [Comparator("model", "model", hazard, True)],
        step=rows.step,
        event=rows.event,
        bootstrap=bootstrap,
        group=rows.group,
    )
    assert notes == [f"no interval: {events} events among 30 subjects, {events + 1} are needed"]


def test_a_resample_holds_all_rows_of_a_subject_or_none():
    subject = np.array([7, 3, 7, 9, 3, 7])
    train = np.array([2, 2, 5])
    drawn = []

    def rows(resample):
        count = np.bincount(resample.evaluated, minlength=6)
        drawn.append(count)
        assert all(len(set(count[subject == one])) == 1 for one in (3, 7, 9))
        assert sum(count[subject == one][0] for one in (3, 7, 9)) == 3
        of_train = np.bincount(resample.training, minlength=3)
        assert of_train[0] == of_train[1]
        assert of_train[[0, 2]].sum() == 2
        return np.zeros(1)

    BOOTSTRAP.values(rows, subjects=subject, training=train, what="a test")
    assert len({tuple(count) for count in drawn}) > 3
    without_training = []
    BOOTSTRAP.values(
        lambda one: (without_training.append(np.bincount(one.evaluated, minlength=6)), np.zeros(1))[1],
        subjects=subject,
        what="a test",
    )
    assert np.array_equal(np.concatenate(list(BOOTSTRAP.weights(subject))), without_training)


def test_resamples_of_one_row_each_are_those_of_numbers():
    assert np.array_equal(
        np.concatenate(list(BOOTSTRAP.weights(np.arange(50)))), np.concatenate(list(BOOTSTRAP.weights(50)))
    )


def test_without_several_rows_there_are_no_weights_and_no_groups():
    tensors, _ = drawn_cohort(60, seed=0)
    (landmark,) = make_landmarks(tensors, Split.TEST, visits=[1], days=[], horizons=[2])
    for part in (landmark.train, landmark.test):
        assert part.case_weight is part.group is None
        assert np.array_equal(part.row, part.subject)
        assert (part.weight == 1).all()


def test_a_row_censored_in_its_first_interval_is_spread_over_all_bins():
    """It is known to survive time 0 only, so that it moves the counts of all bins alike."""
    part = drawn_part(40, seed=9)
    survival = np.cumprod(1 - np.random.default_rng(10).uniform(0.05, 0.4, (40, 6)), axis=1)
    assert part.event.any()
    alone = d_calibration_until(survival, part, steps=4)
    row = AtRisk(*(column[:1] for column in part))
    row = row._replace(step=np.array([-1]), event=np.array([False]), duration=np.array([0.5]))
    more = AtRisk(*(np.concatenate(columns) for columns in zip(part, *[row] * 10, strict=True)))
    with_rows = d_calibration_until(np.concatenate([survival, *[survival[:1]] * 10]), more, steps=4)
    # The deviations stay, what is expected grows from 4 to 5 in each of ten bins.
    assert with_rows > alone


def test_pairs_of_a_subject_are_not_counted():
    step, event = np.array([0, 0, 1, 2]), np.array([True, True, False, False])
    assert count_comparable_pairs(step, event) == 4
    assert count_comparable_pairs(step, event, np.array([0, 1, 0, 2])) == 3


def test_the_share_of_an_interval_that_was_observed_counts_in_the_likelihood():
    hazard = np.array([[0.1, 0.2], [0.1, 0.2], [0.1, 0.2], [0.1, 0.2]])
    step, event = np.array([-1, 0, 1, 1]), np.array([False, False, False, True])
    found = nll_by_subject(hazard, step, event, exposure=np.array([0.25, 0.5, 0.0, 0.0]))
    log = np.log([0.9, 0.8])
    expected = [-log[0] / 4, -log[0] - log[1] / 2, -log[0] - log[1], -log[0] - np.log(0.2)]
    assert found == pytest.approx(expected)
    assert np.isinf(nll_by_subject(np.ones((1, 1)), step[:1], event[:1], exposure=np.array([0.25]))).all()
    assert nll_by_subject(hazard, step, event)[:2] == pytest.approx([0, -log[0]])
    model = [Comparator("model", "model", hazard, known_ahead=True)]
    (row,), _ = evaluate_steps(
        model,
        step=step,
        event=event,
        bootstrap=BOOTSTRAP,
        group=np.array([0, 0, 1, 2]),
        exposure=np.array([0.25, 0.5, 0.0, 0.0]),
    )
    assert row.nll.value == pytest.approx(np.mean(expected))
