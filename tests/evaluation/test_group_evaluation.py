"""The model in groups of subjects: against the metrics of a subset, and without a figure of a small group."""

import dataclasses

import numpy as np
import pytest

from survlstm.data.split import Split
from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.comparators import Comparator
from survlstm.evaluation.evaluate_run import evaluate_predictions
from survlstm.evaluation.group_evaluation import POOLED, UNKNOWN, LandmarkRisks, age_group_names, evaluate_groups
from survlstm.evaluation.landmarks import AtRisk, make_landmarks, reference_split
from survlstm.evaluation.settings import EvaluationSettings
from survlstm.evaluation.step_metrics import evaluate_steps, nll_by_subject
from survlstm.survival.concordance import concordance_td
from survlstm.training.prediction import Predictions
from tests.tensors import tensors_of

KINDS = ("sex", "race", "ethnicity", "age")
SETTINGS = EvaluationSettings(
    resamples=100,
    confidence=0.95,
    min_events=30,
    landmark_visits=(0,),
    landmark_days=(),
    horizons=(1, 2),
    baselines=(),
    seed=0,
    groups=KINDS,
    age_groups=(18, 65),
)


def cohort(subjects=200, *, edge_days=()):
    """Subjects with steps, events and a hazard of their own, all but 20 of each of the other splits in the test."""
    generator = np.random.default_rng(0)
    hazard = generator.uniform(0.1, 0.6, subjects)
    step = np.minimum(generator.geometric(hazard) - 1, 5)
    event = generator.random(subjects) < 0.7
    split = np.full(subjects, Split.TEST, dtype=np.int8)
    split[:20], split[20:40] = Split.TRAIN, Split.VAL
    tensors = tensors_of(step, event, split)
    groups = np.full((subjects, 3), "", dtype="U10")
    groups[:, 0] = np.where(np.arange(subjects) % 3 == 0, "F", "M")
    groups[:, 1] = np.where(np.arange(subjects) % 4 == 0, "white", "black")
    groups[40:49, 1] = "rare"
    groups[49:, 1][:4] = ""
    age = np.where(np.arange(subjects) % 2 == 0, 17.0, 65.0)
    age[-12:] = np.nan
    return dataclasses.replace(tensors, groups=groups, age_years=age), np.clip(
        hazard + generator.normal(0, 0.05, subjects), 0.01, 0.9
    )


def predictions_of(tensors, hazard, part=Split.TEST):
    subject = tensors.members(part)
    step, event = tensors.step[subject], tensors.event[subject]
    known = np.repeat(hazard[subject][:, None], int(step.max()) + 1, axis=1)
    known[np.arange(known.shape[1]) > step[:, None]] = np.nan
    return Predictions(subject, step, event, known, np.cumprod(1 - known, axis=1), nll_by_subject(known, step, event))


def judged(tensors, hazard, settings=SETTINGS):
    predictions, reference = (
        predictions_of(tensors, hazard, part) for part in (Split.TEST, reference_split(Split.TEST))
    )
    return evaluate_predictions(predictions, reference, tensors, Split.TEST, settings=settings)


@pytest.fixture(scope="module")
def summary():
    return judged(*cohort())


def row_of(groups, kind, name):
    (row,) = [row for row in groups.rows if (row.kind, row.name) == (kind, name)]
    return row


def test_the_c_index_of_a_group_is_that_of_its_subjects_alone(summary):
    tensors, hazard = cohort()
    predictions = predictions_of(tensors, hazard)
    members = tensors.groups[predictions.subject, 0] == "F"
    step, event = predictions.step[members], predictions.event[members]
    row = row_of(summary.groups, "sex", "F")
    assert (row.subjects, row.events) == (members.sum(), event.sum())
    expected = concordance_td(predictions.survival[members], step=step, event=event)
    assert row.c_td.value == expected.c_td
    assert expected.comparable > 0
    model = Comparator("model", "model", predictions.hazard[members], known_ahead=False)
    (alone,), _ = evaluate_steps([model], step=step, event=event, bootstrap=SETTINGS.bootstrap)
    assert row.events >= SETTINGS.min_events
    assert row.c_td == alone.c_td
    assert row.c_td.interval is not None


def test_the_groups_of_a_kind_are_all_subjects(summary):
    for kind in ("sex", "race", "age"):
        rows = [row for row in summary.groups.rows if row.kind == kind]
        assert sum(row.subjects for row in rows) == summary.subjects
    assert [row.kind for row in summary.groups.rows] == sorted(
        (row.kind for row in summary.groups.rows), key=KINDS.index
    )


def test_risks_of_a_group_by_hand():
    """Ten subjects from a landmark; events at 1 and 2, one censored before the horizon, the others after it."""
    tensors = tensors_of([0] * 10, [1] * 10, [Split.TEST] * 10)
    tensors = dataclasses.replace(tensors, groups=np.array([["F", "", ""]] * 10))
    event = np.array([1, 1, 0, *[0] * 7], dtype=bool)
    duration = np.array([1.0, 2.0, 1.5, *[3.5] * 7])
    at_risk = AtRisk(
        np.arange(10), np.arange(10), np.zeros(10, dtype=np.int64), event, duration, np.arange(10), np.ones(10)
    )
    survival = np.linspace(0.5, 0.95, 10)
    found = evaluate_groups(
        predictions_of(tensors, np.full(10, 0.5)),
        tensors,
        LandmarkRisks("visit 0", "steps", 2.0, at_risk, survival),
        dataclasses.replace(SETTINGS, groups=("sex",)),
    )
    row = row_of(found, "sex", "F")
    assert row.at_risk == 10
    assert row.predicted == pytest.approx(1 - 0.725)
    # 9 of 10 survive step 1, and 7 of the 8 still followed survive step 2.
    assert row.observed.value == pytest.approx(1 - 9 / 10 * 7 / 8)
    assert row.observed.interval.low < row.observed.value < row.observed.interval.high
    assert (found.landmark, found.unit, found.horizon) == ("visit 0", "steps", 2.0)


def test_risks_are_those_of_the_first_landmark_at_its_last_horizon(summary):
    tensors, _ = cohort()
    (landmark,) = make_landmarks(tensors, Split.TEST, visits=[0], days=[], horizons=[1, 2])
    assert (summary.groups.landmark, summary.groups.horizon) == ("visit 0", 2.0)
    row = row_of(summary.groups, "sex", "M")
    assert row.at_risk == (tensors.groups[landmark.test.subject, 0] == "M").sum()


def test_a_small_group_is_counted_only(summary):
    """Of the nine subjects of a rare race, and the four whose race is not known, no name, event or figure is given."""
    rows = [row for row in summary.groups.rows if row.kind == "race"]
    assert [row.name for row in rows] == ["black", "white", POOLED]
    assert dataclasses.astuple(rows[-1]) == ("race", POOLED, 13, None, None, None, None, None)
    assert "rare" not in repr(summary)


def test_the_events_of_a_few_pooled_subjects_are_no_difference_of_others():
    tensors, hazard = cohort()
    tensors.groups[49:][tensors.groups[49:, 1] == "", 1] = "black"
    summary = judged(tensors, hazard)
    rows = {row.name: row for row in summary.groups.rows if row.kind == "race"}
    assert rows[POOLED].subjects == 9
    # The white subjects are the smaller group: without their events those of the nine remain unknown.
    assert (rows["white"].events, rows["white"].c_td is None) == (None, False)
    assert rows["black"].events > 0
    assert any(
        "no events, which would give those of the pooled subjects, in 1 group" in n for n in summary.groups.notes
    )


def test_ten_subjects_are_a_group():
    tensors, hazard = cohort()
    tensors.groups[49, 1] = "rare"
    assert row_of(judged(tensors, hazard).groups, "race", "rare").subjects == 10


def test_groups_by_age_in_their_order_and_unknown_ages_last(summary):
    names = [row.name for row in summary.groups.rows if row.kind == "age"]
    assert names == ["under 18", "65 and over", UNKNOWN]
    assert row_of(summary.groups, "age", UNKNOWN).subjects == 12


@pytest.mark.parametrize(
    ("cuts", "names"),
    [
        ((18, 40, 65, 80), ("under 18", "18 to 39", "40 to 64", "65 to 79", "80 and over")),
        ((65,), ("under 65", "65 and over")),
        ((1, 2, 5), ("under 1", "1", "2 to 4", "5 and over")),
    ],
)
def test_names_of_the_groups_by_age(cuts, names):
    assert age_group_names(cuts) == names


def test_what_is_missing_is_told(summary):
    assert summary.groups.notes[0] == "no groups by ethnicity: not known of any evaluated subject"
    tensors, hazard = cohort()
    few = dataclasses.replace(tensors, event=tensors.event & (tensors.split != Split.TEST) | (np.arange(200) == 60))
    groups = judged(few, hazard).groups
    assert any("no C-index, because no two subjects can be compared, in" in note for note in groups.notes)
    assert any("for which 30 events are needed, in" in note for note in groups.notes)
    assert all(row.c_td is None for row in groups.rows if not row.events)
    scattered = dataclasses.replace(tensors, groups=np.array([[f"{n % 50}", "", ""] for n in range(200)]))
    notes = judged(scattered, hazard).groups.notes
    assert "no groups by race, ethnicity: not known of any evaluated subject" in notes
    assert "no groups by sex: none has 10 subjects" in notes
    without = evaluate_groups(predictions_of(tensors, hazard), tensors, None, SETTINGS)
    assert (without.landmark, without.horizon) == (None, None)
    assert any("no landmark has a horizon with metrics" in note for note in without.notes)


def test_groups_change_no_other_figure_and_can_be_left_out(summary):
    tensors, hazard = cohort()
    without = judged(tensors, hazard, dataclasses.replace(SETTINGS, groups=()))
    assert without.groups is None
    assert "groups" not in without.conventions
    assert (without.rows, without.landmarks, without.lines, without.notes) == (
        summary.rows,
        summary.landmarks,
        summary.lines,
        summary.notes,
    )


def test_intervals_are_those_of_the_settings():
    tensors, hazard = cohort()
    few = dataclasses.replace(SETTINGS, min_events=10_000)
    assert all(row.c_td is None or row.c_td.interval is None for row in judged(tensors, hazard, few).groups.rows)
    assert Bootstrap(100, 0.95, 30, 0) == SETTINGS.bootstrap
