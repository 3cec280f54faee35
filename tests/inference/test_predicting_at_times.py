"""``Predictor.predict`` on the days clock: as in training, nothing later, each reason, the notes."""

import dataclasses
import datetime

import numpy as np
import pandas as pd
import pytest
import torch

from survlstm.data.split import Split
from survlstm.inference.predictor import Predictor
from survlstm.training.prediction import predict_split
from survlstm.utils.errors import CohortError, ConfigError, SourceError
from tests.bundles import bundle_on, cohort_of, meds, predictor_on
from tests.cohorts import at
from tests.days_bundle import SUBJECTS, bundle_at_times, predictor_at_times, prepared_at_times, times_table, visits_on
from tests.learning import CPU, batches_of
from tests.records import events_of, random_records

ROUNDING = 1e-6


def curves(table):
    return np.stack(table["curve"].to_numpy())


def told(predictions):
    """Reason of each row by subject and day."""
    return {
        (row.subject_id, None if pd.isna(row.prediction_time) else str(row.prediction_time)[:10]): row.reason
        for row in predictions.not_scored.itertuples()
    }


@pytest.mark.parametrize("windows", [(), ("data.max_visits=6",)], ids=["whole records", "windows"])
def test_at_the_times_of_the_training_curves_are_those_of_the_run(windows):
    prepared = prepared_at_times()
    tensors = prepared.tensors
    parts = [batches_of(prepared, part, max_visits=6 if windows else None) for part in (Split.TRAIN, Split.TEST)]
    own = [predict_split(bundle_at_times(*windows).model, batches, CPU) for batches in parts]
    row = np.concatenate([part.row for part in own])
    asked = pd.DataFrame(
        {"subject_id": tensors.subject_id[tensors.row_subject[row]], "prediction_time": tensors.row_time[row]}
    )
    found = predictor_at_times(*windows).predict_events(
        events_of(random_records(SUBJECTS, seed=0)), as_of=asked.sample(frac=1, random_state=0)
    )
    assert not len(found.not_scored)
    both = asked.assign(expected=list(np.concatenate([part.survival for part in own]))).merge(found.table)
    assert len(both) == len(asked) > 400
    np.testing.assert_allclose(curves(both), np.stack(both["expected"]), atol=ROUNDING)
    assert both["risk"].std() > 0.003


def test_what_is_dated_after_a_time_changes_nothing_at_it():
    records = {"a": visits_on(*range(0, 200, 20)), "b": visits_on(0, 3, 9, 31, 80)}
    early, late = 70, 150
    asked = times_table(("a", early), ("a", late), ("b", early))
    before = predictor_at_times().predict(meds(records), as_of=asked).table
    later = [(at(71), None, ["X/3"]), (at(75), "e60", ["X/4"]), (at(151), "x", ["X/7"]), (at(70, 13), None, ["X/5"])]
    more = {"a": records["a"] + later, "b": [*records["b"], (at(70, 23), "y", ["X/7", "X/8"])]}
    after = predictor_at_times().predict(meds(more, deaths={"a": "2020-12-31", "b": "2020-03-12"}), as_of=asked).table
    assert after["subject_id"].tolist() == ["a", "a", "b"]
    np.testing.assert_array_equal(curves(after)[[0, 2]], curves(before)[[0, 2]])
    assert np.abs(curves(after)[1] - curves(before)[1]).max() > 1e-4
    # Other times of the same subject, and the record cut at the time, give the same.
    for day, row in ((early, 0), (late, 1)):
        alone = predictor_at_times().predict(meds(more), as_of=at(day, 12)).table
        np.testing.assert_allclose(curves(alone)[0], curves(after)[row], atol=ROUNDING)


def test_a_death_or_an_outcome_of_the_next_day_hides_no_entry():
    # Entries of the day before a dated outcome are not trained on; at the time itself the outcome is not known.
    record = visits_on(0, 10, 20, 30)
    asked = times_table(("a", "2020-01-31T23:00:00"))
    alone, followed = (
        predictor_at_times().predict(meds({"a": record + more}), as_of=asked).table
        for more in ([], [("2020-02-01", None, ["X/7"])])
    )
    assert followed["visits"].item() == 4
    np.testing.assert_array_equal(curves(followed), curves(alone))


def test_the_last_visit_is_asked_for_in_three_ways():
    _, events = cohort_of(40)
    last, none, visits = (
        predictor_at_times().predict_events(events, **how) for how in ({"as_of": "last"}, {}, {"per_visit": True})
    )
    pd.testing.assert_frame_equal(last.table, none.table)
    assert (last.table["prediction_time"] == last.table["history_end"]).all()
    assert (last.table["history_age_days"] == 0).all()
    of_visits = visits.table.drop_duplicates("subject_id", keep="last").set_index("subject_id")
    scored = last.table.set_index("subject_id")
    np.testing.assert_allclose(curves(of_visits.loc[scored.index]), curves(scored), atol=ROUNDING)
    # Of the others the visits before the outcome are scored, from the third on.
    assert visits.table.groupby("subject_id")["visit"].min().eq(2).all()
    assert set(told(last).values()) != set(told(visits).values())
    assert visits.table["subject_id"].nunique() > len(last.table) > 5
    assert last.notes == visits.notes == ()


def test_the_horizons_are_days_after_the_prediction_time():
    events = meds({"a": visits_on(0, 5, 9)})
    day = predictor_at_times().predict(events, as_of="2020-03-01", horizons=[36.5, 365]).table.iloc[0]
    moment = predictor_at_times().predict(events, as_of=datetime.datetime(2020, 3, 1, 23, 59, 59)).table.iloc[0]
    np.testing.assert_array_equal(day["curve"], moment["curve"])
    assert day["survival_36.5"] == pytest.approx((1 + day["curve"][0]) / 2)
    assert (day["survival_365"], day["risk"]) == (day["curve"][-1], 1 - day["curve"][-1])
    assert str(day["prediction_time"]) == "2020-03-01 23:59:59"
    assert (day["visits"], day["entries"], day["entries_unknown"]) == (3, 6, 0)
    assert day["history_age_days"] == pytest.approx(51 + 16 / 24, abs=1e-4)
    # The days since the last visit are an input.
    at_visit = predictor_at_times().predict(events, as_of="last").table.iloc[0]
    assert np.abs(at_visit["curve"] - day["curve"]).max() > 1e-4


def test_each_reason_not_to_score_a_time():
    records = {
        "dead": visits_on(0, 5, 9),
        "had it": [*visits_on(0, 5, 9), (at(30), "x", ["X/7"])],
        "strange": visits_on(0, 5, 9, codes=["Y/1"]),
        "unborn": visits_on(0, 5, 9),
    }
    events = meds(records, births=False, deaths={"dead": "2020-02-10"})
    born = [(name, "1960-01-01", "MEDS_BIRTH", None, np.nan) for name in records if name != "unborn"]
    events = pd.concat([events, pd.DataFrame(born, columns=events.columns)])
    asked = [("dead", 20), ("dead", 40), ("dead", "2030-01-01"), ("had it", 20), ("had it", 30), ("had it", 99)]
    asked += [("strange", 20), ("unborn", 20), ("nobody", 20), ("dead", -9), ("had it", 6), ("dead", 20)]
    found = predictor_at_times().predict(events, as_of=times_table(*asked))
    assert found.table[["subject_id", "visits"]].to_numpy().tolist() == [["dead", 3], ["had it", 3]]
    few = "2 visits by the prediction time; the model was trained on records with 3 or more"
    died, happened = (
        "the subject died on 2020-02-10, before the prediction time",
        "the outcome happened on 2020-01-31, before the prediction time",
    )
    strange = (
        "no code of the record is in the vocabulary of the model: the codes are named differently, or come from "
        "another coding system"
    )
    assert told(found) == {
        ("dead", "2019-12-23"): "the prediction time is before the first visit",
        ("dead", "2020-02-10"): died,
        ("dead", "2030-01-01"): died,
        ("had it", "2020-01-07"): few,
        ("had it", "2020-01-31"): happened,
        ("had it", "2020-04-09"): happened,
        ("nobody", "2020-01-21"): "the subject is not among the records",
        ("strange", "2020-01-21"): strange,
        (
            "unborn",
            "2020-01-21",
        ): "no date of birth (an event with code MEDS_BIRTH), from which the model reads the age",
    }
    assert "prediction times of subjects that are not among the records: 1" in found.notes
    assert "prediction times that repeat another one of the same subject and are predicted once: 1" in found.notes
    # Known to be dead or past the outcome by now, they are not scored at the last visit; their past is.
    last = predictor_at_times().predict(events)
    assert {name for name, _ in told(last)} == set(records)
    past = predictor_at_times().predict(events, per_visit=True)
    assert past.table[["subject_id", "visit"]].to_numpy().tolist() == [["dead", 2], ["had it", 2]]
    assert {name for name, _ in told(past)} == {"strange", "unborn"}
    empty = predictor_at_times().predict(events, as_of="1999-01-01")
    assert len(empty.table) == 0
    assert set(told(empty).values()) == {"no entry that may be read"}


def test_the_rules_of_the_cohort_hold_at_each_time():
    predictor = predictor_at_times("cohort.include=[{age: {at_least: 60}}]")
    # Born on 1960-01-01.
    events = meds({"a": visits_on(-40, -30, -20, 10)})
    found = predictor.predict(events, per_visit=True)
    assert found.table["visit"].tolist() == [3]
    assert list(told(found).values()) == [
        "outside of the cohort that the model was trained on (cohort.include 1: age at least 60)"
    ]


def test_stale_records_and_times_that_the_training_lacked_are_noted():
    events = meds({"a": visits_on(0, 5, 9), "b": visits_on(0, 5, 25)})
    limit = bundle_at_times().reference.stale_days
    found = predictor_at_times().predict(events, as_of=at(round(limit) + 17))
    assert found.table["history_age_days"].between(limit - 10, limit + 10).all()
    assert found.table["is_stale"].tolist() == [True, False]
    (stale,) = [note for note in found.notes if note.startswith("stale")]
    assert stale.startswith("stale records: at 1 of 2 prediction times the newest entry is more than")
    # A bundle that was trained at visits only.
    other = predictor_on("days").predict(events, as_of="2020-02-01")
    (note,) = [note for note in other.notes if "other prediction times" in note]
    assert note.startswith("the model was trained at other prediction times (clock.times=[every_visit]) than those of")
    assert "one time for all subjects: it knows no time between two visits" in note
    assert not [note for note in predictor_on("days").predict(events).notes if "prediction times" in note]
    # All times of this table are at visits.
    table = times_table(("a", at(9)))
    assert not [note for note in predictor_on("days").predict(events, as_of=table).notes if "other" in note]


def test_a_table_of_visits_is_predicted_in_the_same_way():
    events = meds({"a": visits_on(0, 5, 9, 40), "b": visits_on(0, 5, 9)}, births=False)
    born = pd.DataFrame([(name, "1960-01-01", "MEDS_BIRTH", None, np.nan) for name in "ab"], columns=events.columns)
    visits = events.groupby(["subject_id", "time"], as_index=False)["code"].agg(list)
    visits = visits.rename(columns={"code": "codes"}).assign(birth="1960-01-01")
    for how in ({"as_of": times_table(("a", 10), ("a", 50), ("b", 10), ("c", 1))}, {"as_of": "2020-02-01"}, {}):
        one = predictor_at_times().predict(pd.concat([events, born]), **how)
        other = predictor_at_times().predict_visits(visits, **how)
        pd.testing.assert_frame_equal(one.table, other.table)
        assert told(one) == told(other)
    assert len(other.table) == 2


def test_an_explanation_is_of_one_time():
    events = meds({"a": [*visits_on(0, 5, 9), *visits_on(40, codes=["X/3"])]})
    early, last = (predictor_at_times().explain(events, as_of=as_of) for as_of in ("2020-01-20", None))
    assert set(early["code"]) == {"X/1", "X/2"}
    assert set(last["code"]) == {"X/1", "X/2", "X/3"}
    # Left out in turn, the code changes the log-odds of the curve's end by its effect.
    risk = predictor_at_times().predict(events).table["risk"].item()
    without = predictor_at_times().predict(events[events["code"] != "X/2"]).table["risk"].item()
    effect = np.log(risk / (1 - risk)) - np.log(without / (1 - without))
    found = last.set_index("code")["effect"]["X/2"]
    # The number of codes of a visit is an input too, which an explanation leaves as it is.
    assert np.sign(found) == np.sign(effect)
    with pytest.raises(
        SourceError, match="only a subject that is scored can be explained; this one is not: no entry that may be read"
    ):
        predictor_at_times().explain(events, as_of="2019-01-01")
    with pytest.raises(ConfigError, match="one prediction time of the subject is explained; as_of gives 2"):
        predictor_at_times().explain(events, as_of=times_table(("a", 10), ("a", 50)))


def test_what_a_clock_does_not_take_is_refused(tmp_path):
    events, table = meds({"a": visits_on(0, 5, 9)}), times_table(("a", 10))
    for clock in ("visit", "landmark"):
        with pytest.raises(ConfigError, match=f"need a model of the days clock .*this one is of the {clock} clock"):
            predictor_on(clock).predict(events, as_of=table)
        with pytest.raises(ConfigError, match="need a model of the days clock"):
            predictor_on(clock).predict(events, as_of="times.csv")
    with pytest.raises(ConfigError, match="as_of=last needs a model of the days clock or the visit clock"):
        predictor_on("landmark").predict(events, as_of="last")
    last, none = (predictor_on("visit").predict(events, as_of=as_of).table for as_of in ("last", None))
    pd.testing.assert_frame_equal(last, none)
    with pytest.raises(ConfigError, match="one of per_visit and a table of prediction times"):
        predictor_at_times().predict(events, as_of=table, per_visit=True)
    with pytest.raises(ConfigError, match="predict_survival needs a bundle of the visit clock or the landmark clock"):
        predictor_at_times().predict_survival(events)
    with pytest.raises(ConfigError, match="as_of must be a day or a time"):
        predictor_at_times().predict(events, as_of="soon")
    with pytest.raises(CohortError, match=r"the table of prediction times must have the columns .*Add the column"):
        predictor_at_times().predict(events, as_of=table[["subject_id"]])
    with pytest.raises(CohortError, match=r"the file of prediction times must be readable.*none\.csv"):
        predictor_at_times().predict(events, as_of=tmp_path / "none.csv")


def test_a_file_and_a_table_give_the_same(tmp_path):
    events = meds({"a": visits_on(0, 5, 9)})
    table = times_table(("a", "2020-02-01"), ("a", "2020-03-01T12:00:00Z"), ("a", ""), ("", 3))
    table.assign(boolean_value=True).to_csv(tmp_path / "times.csv", index=False)
    of_file = predictor_at_times().predict(events, as_of=tmp_path / "times.csv")
    of_table = predictor_at_times().predict(events, as_of=table)
    pd.testing.assert_frame_equal(of_file.table, of_table.table)
    assert of_file.table["prediction_time"].astype(str).tolist() == ["2020-02-01 23:59:59", "2020-03-01 12:00:00"]
    assert any("2 of 4 rows of the table of prediction times are left out" in note for note in of_table.notes)
    assert any("ignored: boolean_value" in note for note in of_file.notes)


def test_one_reading_of_a_record_serves_all_its_times():
    bundle = bundle_on("days")
    rows = []

    class Counting(torch.nn.Module):
        def forward(self, inputs):
            rows.append(inputs.rows)
            return bundle.model(inputs)

    predictor = Predictor(dataclasses.replace(bundle, model=Counting()))
    asked = times_table(*(("a", day) for day in range(10, 60)))
    assert len(predictor.predict(meds({"a": visits_on(0, 5, 9)}), as_of=asked).table) == 50
    assert rows == [1]
