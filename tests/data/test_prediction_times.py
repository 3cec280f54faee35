"""Prediction times of the days clock: the times of each rule, the subjects at risk then, and the labels of each row."""

import numpy as np
import pytest

from survlstm.data.cohort_file import read_times_file
from survlstm.data.cohort_rules import AgeRule, CodesRule, CohortSettings, DatesRule, HistoryRule, VisitsRule
from survlstm.data.outcomes.clinical import DeathOutcome
from survlstm.data.row_targets import exposure_after
from survlstm.utils.errors import CohortError, OutcomeError
from tests.cohorts import HIT, at, record
from tests.days import days_settings, labelled, left_out, rows_of
from tests.prepared import prepared_from

# Hours of a day at which a visit of ``record`` takes place.
EIGHT = 8 / 24
LAST_SECOND = 1 - 1 / 86400


def times_of(prepared, name="s", kind=0):
    return [row[0] for row in rows_of(prepared, kind).get(name, [])]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("visit:0", [EIGHT]),
        ("visit:2", [20 + EIGHT]),
        ("every_visit", [EIGHT, 10 + EIGHT, 20 + EIGHT, 40 + EIGHT]),
        ("day:0", [EIGHT]),
        ("day:15", [15 + EIGHT]),
        ("day:15.5", [15.5 + EIGHT]),
        ("every_days:15", [15 + EIGHT, 30 + EIGHT, 45 + EIGHT]),
        ("every_days:13", [13 + EIGHT, 26 + EIGHT, 39 + EIGHT, 52 + EIGHT]),
        ("as_of:2020-01-20", [19 + LAST_SECOND]),
    ],
)
def test_the_times_of_each_rule(rule, expected):
    prepared = labelled({"s": record(0, 10, 20, 40, hit=60)}, rule)
    assert times_of(prepared) == pytest.approx(expected)


def test_the_last_visit_of_a_subject_that_is_followed_further():
    records = {"dies": record(0, 10, 20), "lives": record(0, 10, 20)}
    prepared = labelled(records, "last", outcome=DeathOutcome(), deaths={"dies": "2020-02-10"})
    assert rows_of(prepared) == {"dies": [(20 + EIGHT, 3, 0, True, 0, 20 - EIGHT)]}
    assert left_out(prepared) == {"at or after the end of follow-up or the death": 1}


def test_regular_times_go_on_to_the_day_of_death():
    deaths = {"dies": "2020-02-10"}
    prepared = labelled({"dies": record(0, 10, 20)}, "every_days:12", outcome=DeathOutcome(), deaths=deaths)
    assert times_of(prepared, "dies") == pytest.approx([12 + EIGHT, 24 + EIGHT, 36 + EIGHT])


def test_a_subject_is_at_risk_from_its_first_visit_to_its_event_or_the_end_of_its_follow_up():
    records = {"hit": record(0, 10, 20, hit=30), "left": record(0, 10, 20)}
    prepared = labelled(records, "day:0", "day:5", "day:19", "day:20", "day:29", "day:30", "day:40", "as_of:2019-12-31")
    assert times_of(prepared, "hit") == pytest.approx([EIGHT, 5 + EIGHT, 19 + EIGHT, 20 + EIGHT, 29 + EIGHT])
    assert times_of(prepared, "left") == pytest.approx([EIGHT, 5 + EIGHT, 19 + EIGHT])
    assert left_out(prepared) == {
        "before the first visit": 2,
        "at or after the event": 2,
        "at or after the end of follow-up or the death": 4,
    }
    counts = prepared.flow.prediction_times
    assert (counts.made, counts.trained, counts.evaluated) == (16, 8, 0)
    assert (counts.per_subject, counts.most_per_subject) == (4.0, 5)


def test_few_visits_subjects_without_a_row_and_excluded_ones_are_counted():
    records = {"two": record(0, 10, hit=50), "four": record(0, 10, 20, 30, hit=50)}
    prepared = labelled(records, "every_visit", min_visits=3)
    assert {name: [row[1] for row in rows] for name, rows in rows_of(prepared).items()} == {"four": [3, 4]}
    # The visit with the event is the last of each record.
    assert left_out(prepared) == {"after fewer than 3 visits": 4, "at or after the event": 2}
    (excluded,) = [rule for rule in prepared.flow.subjects_excluded if rule.subjects]
    assert excluded == ("at risk at no prediction time", 1, 1)


def test_an_excluded_subject_takes_its_rows_with_it():
    records = {"in": record(0, 10, hit=50), "prevalent": [(at(0), "e0", ["X/hit"]), *record(10, 20)]}
    prepared = labelled(records, "as_of:2020-01-06")
    assert list(rows_of(prepared)) == ["in"]
    assert left_out(prepared) == {"of excluded subjects": 1}
    prepared = labelled({name: record(0, 10, hit=50) for name in "abcd"}, "day:1", cohort=CohortSettings(sample=3))
    assert left_out(prepared) == {"of excluded subjects": 1}


@pytest.mark.parametrize(
    ("rule", "reason", "kept"),
    [
        (AgeRule(60.0, None), "cohort.include 1: age at least 60", [2, 3, 4]),
        (VisitsRule(3), "cohort.include 1: at least 3 visits", [3, 4]),
        (HistoryRule(20.0), "cohort.include 1: history of at least 20 days", [3, 4]),
        (DatesRule("2020-01-21", "2020-01-25"), "cohort.include 1: dates from 2020-01-21 to 2020-01-25", [3]),
        (CodesRule(("X/b",), "exact", 5.0, 1), "cohort.include 1: code X/b within 5 days before", [2]),
    ],
)
def test_the_rules_of_the_cohort_hold_at_each_row(rule, reason, kept):
    records = {"s": record(0, 10, 20, 30, hit=50), "t": record(0, 10, 20, 30, hit=50)}
    records["s"][1] = records["t"][1] = (at(10), "e10", ["X/b"])
    prepared = labelled(records, "every_visit", birth="1960-01-05", cohort=CohortSettings(include=(rule,)))
    assert {name: [row[1] for row in rows] for name, rows in rows_of(prepared).items()} == {"s": kept, "t": kept}
    assert left_out(prepared) == {"at or after the event": 2, reason: 2 * (4 - len(kept))}


def test_an_unknown_age_is_a_reason_of_its_own():
    rule = CohortSettings(include=(AgeRule(18.0, None),), exclude=(VisitsRule(3),))
    records = {"s": record(0, 10, 20, 30, hit=50)}
    assert [row[1] for row in rows_of(labelled(records, "every_visit", cohort=rule))["s"]] == [1, 2]
    with pytest.raises(CohortError, match=r"cohort\.include 1: age unknown: 4\. Set"):
        labelled(records, "every_visit", birth="NaT", cohort=rule)


def test_repeated_times_of_rules_are_one_row_and_counted():
    prepared = labelled({"s": record(0, 10, 20, hit=60)}, "every_visit", "last", "visit:1", "day:5")
    assert times_of(prepared) == pytest.approx([EIGHT, 5 + EIGHT, 10 + EIGHT, 20 + EIGHT])
    assert left_out(prepared) == {"repeated": 2, "at or after the event": 1}


def test_a_time_to_train_on_can_be_one_to_evaluate_too():
    prepared = labelled({"s": record(0, 10, 20, hit=60)}, "every_visit", evaluated=("visit:1", "day:15", "visit:2"))
    assert times_of(prepared) == pytest.approx([EIGHT, 10 + EIGHT, 20 + EIGHT])
    assert [times_of(prepared, kind=kind) for kind in (1, 2, 3)] == [
        pytest.approx([10 + EIGHT]),
        pytest.approx([15 + EIGHT]),
        pytest.approx([20 + EIGHT]),
    ]
    assert (prepared.flow.prediction_times.trained, prepared.flow.prediction_times.evaluated) == (3, 3)


def test_a_subject_that_is_only_evaluated_does_not_take_part():
    records = {"s": record(0, 10, 20, hit=60), "late": record(20, 30, 40)}
    prepared = labelled(records, "as_of:2020-01-12", evaluated=("visit:1",))
    assert list(rows_of(prepared)) == ["s"]
    assert left_out(prepared) == {"before the first visit": 1, "of subjects without a prediction time to train on": 1}


def test_a_file_of_times(tmp_path):
    path = tmp_path / "times.csv"
    rows = ["s,2020-01-11 08:00:00", "s,2020-01-11 08:00:00", "t,2020-01-21", "nobody,2020-01-21", ",2020-01-21", "t,x"]
    path.write_text("subject_id,prediction_time,label\n" + "".join(f"{row},1\n" for row in rows))
    records = {"s": record(0, 10, 20, hit=60), "t": record(0, 10, 30, hit=60)}
    prepared = labelled(records, str(path))
    assert times_of(prepared) == pytest.approx([10 + EIGHT])
    assert times_of(prepared, "t") == pytest.approx([20 + LAST_SECOND])
    assert left_out(prepared) == {"of subjects that are not in the source": 1, "repeated": 1}
    said = " ".join(prepared.flow.warnings)
    assert "2 of 6 rows of the file of prediction times are left out: without a subject_id 1, with a" in said
    assert "only subject_id and prediction_time are read; ignored: label" in said
    assert prepared.flow.prediction_times.made == 4


def test_a_file_of_times_needs_its_column(tmp_path):
    path = tmp_path / "times.csv"
    path.write_text("subject_id\ns\n")
    said = r"the file of prediction times must have the columns subject_id and prediction_time; found subject_id\. Add"
    with pytest.raises(CohortError, match=said):
        read_times_file(str(path))


def test_the_table_of_labels_at_one_time():
    """The intervals end on days 30 and 60 after the prediction time, which is day 30 of the record."""
    records = {
        "event in interval 0": record(0, 10, hit=50),
        "event at the edge": record(0, 10, hit=60),
        "event in interval 1": record(0, 10, hit=61),
        "event at the horizon": record(0, 10, hit=90),
        "event behind the horizon": record(0, 10, hit=91),
        "censored halfway to the first edge": record(0, 10, 45),
        "censored at an edge": record(0, 10, 60),
        "censored a third behind it": record(0, 10, 70),
        "censored at the horizon": record(0, 10, 90),
        "censored behind the horizon": record(0, 10, 400),
    }
    prepared = labelled(records, "day:30")
    found = {name: rows[0][2:] for name, rows in rows_of(prepared).items()}
    assert found == {
        "event in interval 0": (0, True, 0, 20),
        "event at the edge": (0, True, 0, 30),
        "event in interval 1": (1, True, 0, 31),
        "event at the horizon": (1, True, 0, 60),
        "event behind the horizon": (1, False, 0, 61),
        "censored halfway to the first edge": (-1, False, 0.5, 15),
        "censored at an edge": (0, False, 0, 30),
        "censored a third behind it": (0, False, 0.333333, 40),
        "censored at the horizon": (1, False, 0, 60),
        "censored behind the horizon": (1, False, 0, 370),
    }


def test_exposure_is_below_one_however_close_to_the_edge():
    edges = np.array([0.0, 30.0, 60.0])
    just_below = np.nextafter(30.0, 0)
    assert exposure_after(np.array([-1]), np.array([False]), np.array([just_below]), edges)[0] < 1


def test_each_row_is_labelled_from_its_own_time():
    prepared = labelled({"s": record(0, 10, 20, 25, hit=60), "t": record(0, 10, 50)}, "every_visit")
    assert [row[2:] for row in rows_of(prepared)["s"]] == [
        (1, True, 0, 60),
        (1, True, 0, 50),
        (1, True, 0, 40),
        (1, True, 0, 35),
    ]
    assert [row[2:] for row in rows_of(prepared)["t"]] == [(0, False, 0.666667, 50), (0, False, 0.333333, 40)]


def test_the_dead_are_at_risk_until_the_day_of_their_death():
    records = {"s": record(0, 10, 20), "t": record(0, 10, 20)}
    prepared = labelled(records, "day:0", "day:24", "day:26", outcome=DeathOutcome(), deaths={"s": "2020-01-26"})
    assert times_of(prepared) == pytest.approx([EIGHT, 24 + EIGHT])
    assert times_of(prepared, "t") == pytest.approx([EIGHT])
    assert [row[3] for row in rows_of(prepared)["s"]] == [True, True]
    assert left_out(prepared) == {"at or after the event": 1, "at or after the end of follow-up or the death": 2}


def test_nobody_at_risk_is_an_error_that_counts_why():
    records = {"s": record(0, 10, 20, hit=60), "t": record(0, 10, 30)}
    said = (
        r"at risk at a prediction time \(clock\.times=\[visit:9,as_of:2030-01-01\]\); found none of 2\. Prediction "
        r"times left out: at or after the event: 1, at or after the end of follow-up or the death: 1\. Set other"
    )
    with pytest.raises(CohortError, match=said):
        labelled(records, "visit:9", "as_of:2030-01-01")
    with pytest.raises(CohortError, match="left out: none, there is no prediction time"):
        labelled(records, "visit:9")


def test_rules_that_reach_nobody_are_named():
    records = {"s": record(0, 10, 20, hit=60)}
    said = labelled(records, "visit:9", "every_visit", "visit:0", evaluated=("as_of:2030-01-01", "day:1")).flow.warnings
    assert [text for text in said if "no time at which" in text] == [
        "clock.times=visit:9 gives no time at which a subject is at risk; nothing is trained on it",
        "evaluation.times=as_of:2030-01-01 gives no time at which a subject is at risk; it is not evaluated",
    ]


def cohort(days=40, hit=50):
    """Sixty subjects, every other one with the event."""
    return {f"s{number:03}": record(0, 10, 20, days, hit=hit if number % 2 else None) for number in range(60)}


def test_the_last_visit_is_known_only_afterwards():
    assert any("which is known only afterwards" in text for text in labelled(cohort(), "last", "day:1").flow.warnings)
    assert not any("only afterwards" in text for text in labelled(cohort(), "day:1").flow.warnings)


@pytest.mark.parametrize(
    ("settings", "how"),
    [
        ({"edges_days": (5.0, 30.0, 35.0, 60.0)}, "fewer or wider intervals in clock.edges_days"),
        ({"intervals": 12, "horizon_days": 60.0}, "clock.edges=quantile, or fewer intervals"),
    ],
)
def test_intervals_without_an_event_are_counted(settings, how):
    prepared = prepared_from(cohort(), HIT, days_settings("every_visit", **settings))
    intervals = prepared.preprocessing.intervals
    (said,) = [text for text in prepared.flow.warnings if "no event" in text]
    # From days 20 and 40 the event is 30 and 10 days away.
    assert said.startswith(f"{intervals - (2 if intervals == 12 else 1)} of {intervals} intervals have no event among")
    assert said.endswith(f"Set {how}")
    # Another cohort has no say in the intervals.
    again = prepared_from(cohort(), HIT, days_settings("every_visit", **settings), preprocessing=prepared.preprocessing)
    assert not [text for text in again.flow.warnings if "no event" in text]


def test_given_edges_are_the_edges():
    prepared = prepared_from(cohort(), HIT, days_settings("every_visit", edges_days=(15.0, 45.0)))
    assert prepared.tensors.edge_days.tolist() == [0.0, 15.0, 45.0]


def test_edges_are_fitted_on_the_rows_of_training_subjects():
    prepared = prepared_from(cohort(), HIT, days_settings("every_visit", intervals=2, edges="quantile"))
    # Half of the events are 10 days away (from day 40), the other half 30 days.
    assert prepared.tensors.edge_days.tolist() == [0.0, 30.0, 365.0]


def test_without_an_event_no_edges_are_fitted():
    settings = days_settings("visit:3", horizon_days=5.0)
    said = r"events between the prediction time \(clock\.times=\[visit:3\]\) and clock\.horizon_days=5 .* found 0 among"
    with pytest.raises(OutcomeError, match=said):
        prepared_from(cohort(), HIT, settings)
