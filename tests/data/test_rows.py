"""Rows of the days clock in the tensors: as the landmark clock has them, stored, joined, selected and split."""

from dataclasses import replace

import numpy as np
import pytest

from survlstm.data.cohort_rules import CohortSettings
from survlstm.data.external_cohort import combine_with_cohort, select_subjects
from survlstm.data.landmark import LandmarkSettings
from survlstm.data.outcomes.clinical import DeathOutcome, FirstCodeOutcome
from survlstm.data.outcomes.synthetic import RandomOutcome
from survlstm.data.prepared_cache import load_entry, store_prepared
from survlstm.data.split import Split, split_subjects
from survlstm.data.tensor_checks import check_consistent
from survlstm.data.values.settings import ValueSettings
from survlstm.training.initial_hazard import initial_hazard
from survlstm.utils.errors import ConfigError, OutcomeError
from tests.cohorts import HIT, at, record
from tests.days import days_settings, labelled, prepared_days, rows_of
from tests.prepared import assert_same_tensors, by_subject, prepared_from
from tests.records import SETTINGS, random_records, with_random_values

LANDMARK = LandmarkSettings(day=None, visit=None, intervals=2, edges="equidistant", horizon_days=700.0)
ALL_KINDS = ("visit:3", "every_days:50")


def with_deaths(records):
    """Every other subject dies, from 5 to 400 days after its last visit."""
    return {
        name: str(np.datetime64(records[name][-1][0][:10]) + 5 + 7 * number)
        for number, name in enumerate(list(records)[::2])
    }


def assert_as_on_the_landmark_clock(landmark, days, records, outcome):
    """One row of a subject is its landmark, but for subjects that are censored within the first interval."""
    deaths = with_deaths(records)
    one = prepared_from(records, outcome, landmark, deaths=deaths)
    # The scales are those of the landmark clock, because the other clock has more subjects to fit them on.
    state = replace(one.preprocessing, prediction_mean=np.zeros(1), prediction_spread=np.ones(1))
    one = prepared_from(records, outcome, landmark, deaths=deaths, preprocessing=one.preprocessing)
    other = prepared_from(records, outcome, days, deaths=deaths, preprocessing=state)
    data = other.tensors
    assert (data.row_subject == np.arange(len(data.subject_id))).all()
    assert (data.step < 0).sum() == len(data.subject_id) - len(one.tensors.subject_id) > 0
    assert one.tensors.event.sum() > 10
    held = by_subject(other)
    assert {name: held[name] for name in data.subject_id[data.step >= 0].tolist()} == by_subject(one)


@pytest.mark.parametrize("outcome", [FirstCodeOutcome(["X/7"]), DeathOutcome()])
@pytest.mark.parametrize("place", [{"visit": 4}, {"day": 200.0}])
def test_one_row_is_the_landmark(place, outcome):
    ((kind, number),) = place.items()
    landmark = replace(SETTINGS, landmark=replace(LANDMARK, **place))
    assert_as_on_the_landmark_clock(landmark, days_settings(f"{kind}:{number:g}"), random_records(150, seed=0), outcome)


def test_a_file_with_one_row_each_is_the_file_of_the_cohort(tmp_path):
    records, path = random_records(150, seed=0), tmp_path / "times.csv"
    rows = [f"{name},{visits[4][0]}\n" for name, visits in list(records.items())[20:] if len(visits) > 4]
    path.write_text("subject_id,prediction_time\n" + "".join(rows))
    landmark = replace(SETTINGS, landmark=LANDMARK, cohort=CohortSettings(file=str(path)))
    assert_as_on_the_landmark_clock(landmark, days_settings(str(path)), records, FirstCodeOutcome(["X/7"]))
    days = days_settings("every_visit", cohort=CohortSettings(file=str(path)))
    said = (
        r"prediction_time of cohort\.file places a landmark, .* days clock .*Set clock\.times=\S+times\.csv to predict"
    )
    with pytest.raises(ConfigError, match=said):
        prepared_from(records, FirstCodeOutcome(["X/7"]), days)


def test_a_record_reaches_to_the_latest_row_of_its_subject():
    prepared = labelled({"s": record(0, 10, 20, 30, hit=60)}, "visit:1", evaluated=("visit:2", "visit:0"))
    data = prepared.tensors
    assert (data.visits_per_subject.tolist(), data.trained_visits.tolist()) == ([3], [2])
    assert (data.row_kind.tolist(), data.row_visits.tolist()) == ([0, 1, 2], [2, 3, 1])
    assert data.last_visit.tolist() == [1, 2, 0]
    assert prepared.flow.visits_left_out["behind the last prediction time"] == 2


def test_days_since_the_last_visit():
    prepared = labelled({"s": record(0, 10, 20, hit=60)}, "day:10", "day:10.5", "day:35")
    np.testing.assert_allclose(prepared.tensors.prediction_features[:, 0], np.log1p([0, 0.5, 15]))


def test_the_scale_of_a_row_is_that_of_the_training_rows():
    prepared = prepared_days("every_days:50", subjects=90)
    data = prepared.tensors
    of_training = data.prediction_features[data.split[data.row_subject] == Split.TRAIN, 0]
    assert (of_training.mean(), of_training.std()) == pytest.approx((0, 1), abs=1e-5)
    # At visits every row is at its last visit.
    assert (prepared_days("every_visit", subjects=90).tensors.prediction_features == 0).all()


def test_a_stored_entry_is_read_again(tmp_path):
    prepared = prepared_days(*ALL_KINDS, evaluated=("day:100", "last"), subjects=90)
    store_prepared(replace(prepared, fingerprint="f"), tmp_path / "entry")
    again = load_entry(tmp_path / "entry", "f")
    assert_same_tensors(prepared.tensors, again.tensors)
    assert (again.flow, again.tensors.clock) == (prepared.flow, "days")
    assert again.preprocessing.as_plain() == prepared.preprocessing.as_plain()
    assert again.preprocessing.sizes.prediction_features == 1


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("row_kind", lambda kind: kind[::-1].copy(), "row_kind must be 0 or more, and rise within a subject"),
        ("exposure", lambda exposure: exposure + 1, "exposure must be from 0 to below 1"),
        ("row_visits", lambda visits: visits + 500, "every row must see a visit, and none beyond"),
        ("row_subject", lambda subject: subject[::-1].copy(), "rows must be in the order of the subjects"),
        ("step", lambda step: step - 1, "step must be -1 or more"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(name, change, said):
    prepared = prepared_days(*ALL_KINDS, evaluated=("day:100", "last"), subjects=90)
    check_consistent(prepared.tensors, prepared.preprocessing)
    changed = replace(prepared.tensors, **{name: change(getattr(prepared.tensors, name))})
    with pytest.raises(ValueError, match=said):
        check_consistent(changed, prepared.preprocessing)


def test_selected_subjects_keep_their_rows():
    data = prepared_days(*ALL_KINDS, evaluated=("day:100",), subjects=90).tensors
    assert_same_tensors(select_subjects(data, np.arange(len(data.subject_id))), data)
    chosen = np.array([7, 2, 30])
    some = select_subjects(data, chosen)
    assert some.subject_id.tolist() == data.subject_id[chosen].tolist()
    for name in ("step", "event", "row_visits", "row_time", "row_kind", "exposure", "prediction_features"):
        np.testing.assert_array_equal(getattr(some, name), getattr(data, name)[data.rows_of(chosen, kind=None)])
    # Rows that see more than the visits that are kept are left out.
    few = select_subjects(data, chosen, visits=np.full(3, 5))
    assert few.row_visits.max() == 5
    assert (few.visits_per_subject == 5).all()
    assert len(few.step) == int((data.row_visits[data.rows_of(chosen, kind=None)] <= 5).sum()) > 3


def test_another_cohort_takes_the_place_of_the_test_subjects():
    own = prepared_days(*ALL_KINDS, evaluated=("day:100",), subjects=90)
    records = {f"new{name}": visits for name, visits in random_records(30, seed=5).items()}
    records |= dict(list(random_records(20, seed=0).items()))
    settings = days_settings(*ALL_KINDS, evaluated=("day:100",))
    other = prepared_from(records, FirstCodeOutcome(["X/7"]), settings, preprocessing=own.preprocessing)
    joined = combine_with_cohort(own, other).tensors
    check_consistent(joined, own.preprocessing)
    for part in (Split.TRAIN, Split.VAL):
        one, same = (select_subjects(data, data.members(part)) for data in (own.tensors, joined))
        assert_same_tensors(one, same)
    new = joined.members(Split.TEST)
    place = np.searchsorted(other.tensors.subject_id, joined.subject_id[new])
    assert len(new) > 15
    before, after = select_subjects(other.tensors, place), select_subjects(joined, new)
    for name in ("subject_id", "step", "row_subject", "row_visits", "row_time", "exposure", "code", "row_kind"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


def test_a_time_that_is_only_evaluated_splits_no_visit_that_training_reads():
    """A long encounter spans the evaluated time: test subjects are split there, as a prediction would be."""
    names = np.array([f"s{number:03}" for number in range(90)])
    part = dict(zip(names.tolist(), split_subjects(names, train=0.7, val=0.15, seed=0), strict=True))
    stay = [(at(10), "stay", ["X/b"]), (at(10, hour=20), "stay", ["X/c"])]
    records = {
        name: [*record(0), *stay, *record(20, 25 + number % 9, hit=40 if number % 2 else None), *record(80 + number)]
        for number, name in enumerate(names.tolist())
    }
    rule = "as_of:2020-01-11"
    evaluated = prepared_from(
        records, HIT, days_settings("visit:2", evaluated=("day:10.25", rule), min_visits=1, edges_days=(9.0, 90.0))
    )
    trained = prepared_from(records, HIT, days_settings("visit:2", "day:10.25", min_visits=1, edges_days=(9.0, 90.0)))
    seen = {name: [row[1] for row in rows] for name, rows in rows_of(evaluated, kind=1).items()}
    whole = {name: [row[1] for row in rows] for name, rows in rows_of(evaluated, kind=2).items()}
    # Six hours into the stay: its first entry is a visit of its own for test subjects only.
    assert {part[name]: number for name, number in seen.items()} == {
        Split.TRAIN: [1],
        Split.VAL: [1],
        Split.TEST: [2],
    }
    assert {part[name]: number for name, number in whole.items()} == {Split.TRAIN: [2], Split.VAL: [2], Split.TEST: [3]}
    assert {len(rows) for rows in rows_of(trained).values()} == {2}
    assert {row[1] for rows in rows_of(trained).values() for row in rows} == {2, 4}


def test_values_are_fitted_on_what_training_rows_see():
    records = with_random_values(random_records(120, seed=2), seed=0, codes=[f"X/{number}" for number in range(20)])
    values = ValueSettings("both", min_values_per_bin=5)
    one, other, longer = (
        prepared_from(records, FirstCodeOutcome(["X/7"]), days_settings(*times, evaluated=evaluated, values=values))
        for times, evaluated in ((("visit:3",), ()), (("visit:3",), ("every_visit",)), (("visit:3", "every_visit"), ()))
    )
    assert one.preprocessing.as_plain() == other.preprocessing.as_plain()
    assert longer.preprocessing.as_plain()["values"] != one.preprocessing.as_plain()["values"]
    held, now = by_subject(one), by_subject(other)
    for name in one.tensors.subject_id.tolist():
        # The first visits are the same, inputs and scaled features alike.
        visits = len(held[name][3])
        for place in (3, 5, 6, 9):
            assert held[name][place] == now[name][place][:visits]


def test_a_cause_without_events_has_no_edges_and_says_so():
    records = random_records(60, seed=0)
    with pytest.raises(OutcomeError, match="needs at least one of its 1 codes in the export; found none of X/none"):
        prepared_from(records, FirstCodeOutcome(["X/none"]), days_settings("every_visit"))
    with pytest.raises(OutcomeError, match="outcome=death needs deaths among the training subjects; found 0 in 42"):
        prepared_from(records, DeathOutcome(), days_settings("every_visit"), deaths={"s0000": "2300-01-01"})
    # With given edges nothing is fitted before the model is.
    none_in_time = prepared_from(
        records, FirstCodeOutcome(["X/7"]), days_settings("every_visit", edges_days=(0.1, 0.2))
    )
    assert any("2 of 2 intervals have no event" in said for said in none_in_time.flow.warnings)
    with pytest.raises(OutcomeError, match="must have events and survived steps; found 0 events"):
        initial_hazard(none_in_time.tensors)


def test_a_drawn_control_is_told_to_be_none():
    prepared = prepared_from(random_records(120, seed=0), RandomOutcome(0.7, 1 / 60, seed=0), days_settings("visit:3"))
    assert any("in days it happens sooner to subjects with frequent visits" in said for said in prepared.flow.warnings)
