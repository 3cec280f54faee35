"""Tests of Predictor.predict: hazards of the trained run, no later entry, batch independence, reasons."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.data.split import Split
from survlstm.inference.prediction_time import parse_as_of
from survlstm.inference.predictor import Predictor
from survlstm.training.prediction import predict_split
from survlstm.utils.errors import ConfigError
from tests.bundles import bundle_on, cohort_of, config_on, meds, predictor_on
from tests.learning import CPU, batches_of, prepared_on
from tests.records import events_of, random_records

# In another batch a float32 model adds in another order.
ROUNDING = 1e-6
CLOCKS = ("visit", "landmark")


def reasons(predictions):
    return dict(predictions.not_scored.itertuples(index=False))


def figures(table):
    return np.stack(table["curve"].to_numpy()), table[["risk", "percentile"]].to_numpy()


@pytest.mark.parametrize("windows", [(), ("data.max_visits=6",)], ids=["whole records", "windows"])
def test_on_the_visit_clock_hazards_are_those_of_the_trained_run(windows):
    prepared = prepared_on("visit")
    found = predictor_on("visit", *windows).predict_events(events_of(random_records(120, seed=0)), per_visit=True)
    table = found.table.set_index(["subject_id", "visit"])["hazard"]
    batches = batches_of(prepared, Split.TEST, max_visits=6 if windows else None)
    own = predict_split(bundle_on("visit", *windows).model, batches, CPU)
    compared = 0
    for row, subject in enumerate(own.subject):
        name = str(prepared.tensors.subject_id[subject])
        hazards = table.loc[name].to_numpy()
        # The run stops at the end of follow-up, which a prediction does not know. Rows begin at the third visit.
        expected = own.hazard[row, 2 : own.step[row] + 1]
        assert len(hazards) > len(expected)
        np.testing.assert_allclose(hazards[: len(expected)], expected, atol=ROUNDING)
        compared += len(expected)
    assert compared > 50


def test_on_the_landmark_clock_curves_are_those_of_the_trained_run():
    prepared = prepared_on("landmark")
    found = predictor_on("landmark").predict_events(events_of(random_records(200, seed=0)))
    curve = found.table.set_index("subject_id")["curve"]
    own = predict_split(bundle_on("landmark").model, batches_of(prepared, Split.TEST), CPU)
    for row, subject in enumerate(own.subject):
        np.testing.assert_allclose(curve[str(prepared.tensors.subject_id[subject])], own.survival[row], atol=ROUNDING)
    assert len(own.subject) > 5


@pytest.mark.parametrize("clock", CLOCKS)
def test_one_subject_at_a_time_is_the_batch(clock):
    records, _ = cohort_of(12)
    table = meds(records)
    predictor = predictor_on(clock)
    whole = predictor.predict(table)
    alone = [predictor.predict(table[table["subject_id"] == name]) for name in records]
    one_by_one = pd.concat([found.table for found in alone], ignore_index=True)
    assert whole.table["subject_id"].tolist() == one_by_one["subject_id"].tolist()
    assert len(whole.table) > 4
    np.testing.assert_allclose(figures(whole.table)[0], figures(one_by_one)[0], atol=ROUNDING)
    counts = ["history_end", "visits", "entries", "entries_unknown"]
    pd.testing.assert_frame_equal(whole.table[counts], one_by_one[counts])
    assert reasons(whole) == {name: reason for found in alone for name, reason in reasons(found).items()}


@pytest.mark.parametrize("clock", CLOCKS)
def test_as_of_is_as_if_later_entries_had_never_been_made(clock):
    records, _ = cohort_of(15)
    table = meds(records)
    table["time"] = pd.to_datetime(table["time"], format="ISO8601")
    day = pd.Timestamp("2011-12-31T23:59:59")
    predictor = predictor_on(clock)
    asked = predictor.predict(table, as_of="2011-12-31")
    cut = predictor.predict(table[table["time"] <= day], as_of="2011-12-31")
    assert len(asked.table) > 3
    np.testing.assert_array_equal(figures(asked.table)[0], figures(cut.table)[0])
    assert (asked.table["history_end"] <= day).all()
    assert asked.table["risk"].tolist() != predictor.predict(table).table["risk"].tolist()[: len(asked.table)]


def test_at_noon_what_is_dated_to_the_day_is_not_known_yet():
    records = {"a": [(f"2010-01-{day:02d}T08:00:00", f"e{day}", ["X/1"]) for day in range(1, 6)]}
    records["a"] += [("2010-01-05", None, ["X/2"]), ("2010-01-04", None, ["X/3"])]
    found = {
        time: predictor_on("visit").predict(meds(records), as_of=time).table.iloc[0]
        for time in ("2010-01-05T12:00:00", "2010-01-05", "2010-01-04")
    }
    assert [row["entries"] for row in found.values()] == [6, 7, 5]
    assert [str(row["history_end"]) for row in found.values()] == [
        "2010-01-05 08:00:00",
        "2010-01-05 23:59:59",
        "2010-01-04 23:59:59",
    ]


def test_a_visit_is_predicted_from_what_was_known_then():
    records, _ = cohort_of(6)
    predictor = predictor_on("visit")
    whole = predictor.predict(meds(records), per_visit=True).table
    for visits in (3, 5, 8):
        begun = {name: record[:visits] for name, record in records.items() if len(record) >= visits}
        early = predictor.predict(meds(begun)).table.set_index("subject_id")
        then = whole[whole["visit"] == visits - 1].set_index("subject_id").loc[early.index]
        np.testing.assert_allclose(early["risk"], then["risk"], atol=ROUNDING)
        assert early["history_end"].tolist() == then["history_end"].tolist()
        assert early["entries"].tolist() == then["entries"].tolist()


def test_the_columns_are_consistent():
    _, events = cohort_of(20)
    found = predictor_on("visit").predict_events(events, horizons=[2, 7]).table
    curve, _ = figures(found)
    assert list(found.columns) == [
        "subject_id", "history_end", "visits", "entries", "entries_unknown",
        "hazard", "risk", "percentile", "survival_2", "survival_7", "curve",
    ]  # fmt: skip
    np.testing.assert_allclose(found["hazard"], 1 - curve[:, 0])
    np.testing.assert_allclose(found["risk"], 1 - curve[:, -1])
    np.testing.assert_allclose(found["survival_2"], curve[:, 1])
    np.testing.assert_allclose(found["survival_7"], curve[:, 6])
    assert (np.diff(curve, axis=1) < 0).all()
    by_risk = found.sort_values("risk")
    assert by_risk["percentile"].is_monotonic_increasing


def test_between_edges_survival_falls_evenly():
    _, events = cohort_of(40)
    predictor = predictor_on("landmark")
    found = predictor.predict_events(events, horizons=[36.5, 73, 109.5, 365]).table
    curve, _ = figures(found)
    assert predictor.grid[:2].tolist() == [73, 146]
    np.testing.assert_allclose(found["survival_36.5"], (1 + curve[:, 0]) / 2)
    np.testing.assert_allclose(found["survival_73"], curve[:, 0])
    np.testing.assert_allclose(found["survival_109.5"], (curve[:, 0] + curve[:, 1]) / 2)
    np.testing.assert_allclose(found["survival_365"], curve[:, -1])
    assert (found["history_end"] <= found["landmark"]).all()


def test_codes_the_model_does_not_know_are_counted_and_alone_score_nobody():
    records, _ = cohort_of(3)
    names = list(records)
    records[names[1]] = [(time, encounter, ["Y/1", *codes]) for time, encounter, codes in records[names[1]]]
    records[names[2]] = [(time, encounter, ["Y/1", "Y/2"]) for time, encounter, _ in records[names[2]]]
    found = predictor_on("visit").predict(meds(records))
    unknown = found.table.set_index("subject_id")["entries_unknown"]
    plain = predictor_on("visit").predict(meds({names[1]: cohort_of(3)[0][names[1]]})).table["entries_unknown"][0]
    assert unknown[names[1]] == plain + len(records[names[1]])
    assert "no code of the record is in the vocabulary of the model" in reasons(found)[names[2]]


def test_who_can_not_be_scored_is_listed_with_the_reason():
    records, _ = cohort_of(5)
    names = list(records)
    records[names[0]] = records[names[0]][:2]
    records[names[1]].append(("2140-01-01T00:00:00", "e99", ["X/1", "X/2"]))
    table = meds(records, deaths={names[2]: "2020-01-01"})
    table = table[~((table["subject_id"] == names[3]) & (table["code"] == "MEDS_BIRTH"))]
    only_born = pd.DataFrame({"subject_id": ["z"], "time": ["1960-01-01"], "code": ["MEDS_BIRTH"]})
    found = predictor_on("visit").predict(pd.concat([table, only_born]))
    assert found.table["subject_id"].tolist() == names[4:]
    assert reasons(found) == {
        names[0]: "2 visits; the model was trained on records with 3 or more",
        names[1]: "the visits lie more than 120 years apart, so a date is wrong: correct it, or set as_of",
        names[2]: "the subject died on 2020-01-01, before the prediction time",
        names[3]: "no date of birth (an event with code MEDS_BIRTH), from which the model reads the age",
        "z": "no entry that may be read",
    }


def test_a_death_after_as_of_is_not_known_yet():
    records, _ = cohort_of(1)
    (name,) = records
    table = meds(records, deaths={name: "2020-01-01"})
    assert len(predictor_on("visit").predict(table, as_of="2019-12-31").table) == 1
    assert len(predictor_on("visit").predict(table, as_of="2020-01-01T08:00:00").table) == 1
    assert "the subject died on 2020-01-01" in reasons(predictor_on("visit").predict(table, as_of="2020-01-01"))[name]


def test_what_was_entered_after_a_death_is_not_read():
    records, _ = cohort_of(1)
    (name,) = records
    visits = len(records[name])
    day = str(np.datetime64(records[name][-1][0], "D") + np.timedelta64(10, "D"))
    later = {
        name: [*records[name], (f"{day}T10:00:00", "certificate", ["X/1"]), ("2020-01-01T00:00:00", "e99", ["X/2"])]
    }
    (synthetic, death) = (
        predictor.predict(meds(later, deaths={name: day}), per_visit=True).table
        for predictor in (
            predictor_on("visit"),
            with_outcome(check_overrides("train", ["outcome=death"], RunConfig)[0]),
        )
    )
    # If death is the outcome, entries of the day of death are not read either.
    assert synthetic["visit"].max() == visits
    assert death["visit"].max() == visits - 1


def with_outcome(config):
    """Return a predictor of the visit clock's model with another outcome."""
    changed = config_on("visit").model_copy(update={"outcome": config.outcome})
    return Predictor(dataclasses.replace(bundle_on("visit"), config=changed))


def with_first_code():
    """Return a predictor of the visit clock with the outcome of the landmark bundle."""
    return with_outcome(config_on("landmark"))


def test_who_has_had_the_outcome_is_not_scored_but_may_be_looked_at_before_it():
    records = {
        "had": [
            (f"2010-0{month}-01T08:00:00", f"e{month}", ["X/1", "X/7" if month == 5 else "X/2"])
            for month in range(1, 9)
        ],
        "free": [(f"2010-0{month}-01T08:00:00", f"e{month}", ["X/1", "X/2"]) for month in range(1, 9)],
    }
    predictor = with_first_code()
    found = predictor.predict(meds(records))
    assert found.table["subject_id"].tolist() == ["free"]
    assert reasons(found) == {"had": "the outcome happened on 2010-05-01, before the prediction time"}
    looked_at = predictor.predict(meds(records), per_visit=True)
    visits = looked_at.table.groupby("subject_id")["visit"].agg(["min", "max"])
    assert visits.T.to_dict("list") == {"free": [2, 7], "had": [2, 3]}
    assert reasons(looked_at) == {}


def test_the_landmark_must_be_reached():
    records = {
        "short": [(f"2010-0{month}-01T08:00:00", f"e{month}", ["X/1"]) for month in range(1, 5)],
        "long": [(f"2010-0{month}-01T08:00:00", f"e{month}", ["X/1"]) for month in range(1, 9)],
        "had": [(f"2010-0{month}-01T08:00:00", f"e{month}", ["X/1", "X/7"]) for month in range(4, 9)],
    }
    records["had"] = [("2010-01-01T08:00:00", "e0", ["X/1"]), *records["had"]]
    found = predictor_on("landmark").predict(meds(records))
    assert found.table["subject_id"].tolist() == ["long"]
    assert found.table["landmark"].astype(str).tolist() == ["2010-07-20 08:00:00"]
    assert found.table["visits"].tolist() == [7]
    assert reasons(found) == {
        "had": "the outcome or death happened by the landmark, 2010-07-20",
        "short": "the landmark (clock.day=200), 2010-07-20, is not reached",
    }
    # With a later as_of the subject is known to have no further entry.
    later = predictor_on("landmark").predict(meds({"short": records["short"]}), as_of="2010-08-01")
    assert later.table["visits"].tolist() == [4]


@pytest.mark.parametrize(
    ("clock", "asked", "said"),
    [
        ("landmark", {"per_visit": True}, "per_visit needs a bundle of the visit clock"),
        ("visit", {"horizons": [11]}, r"whole numbers of visits up to 10, where the bundle's curves end; found \[11\]"),
        ("visit", {"horizons": [1.5]}, "whole numbers of visits up to 10"),
        ("visit", {"horizons": []}, "whole numbers of visits up to 10"),
        ("landmark", {"horizons": [0]}, "days up to 365"),
        ("visit", {"as_of": "soon"}, "as_of must be a day or a time"),
        ("visit", {"as_of": "0001-01-01T00:00:00+14:00"}, "as_of must be a day or a time"),
        ("visit", {"horizons": ["a"]}, "whole numbers of visits up to 10"),
    ],
)
def test_questions_that_a_bundle_can_not_answer(clock, asked, said):
    with pytest.raises(ConfigError, match=said):
        predictor_on(clock).predict(meds(cohort_of(2)[0]), **asked)


def test_a_table_in_which_nobody_can_be_scored_has_its_columns():
    records = {"a": [("2010-01-01T08:00:00", "e1", ["X/1"])]}
    for clock, own in (("visit", {"hazard"}), ("landmark", {"landmark"})):
        found, somebody = (predictor_on(clock).predict(meds(who)) for who in (records, cohort_of(6)[0]))
        assert len(found.table) == 0 < len(somebody.table)
        assert list(found.table.columns) == list(somebody.table.columns)
        assert own == set(found.table.columns) & {"hazard", "landmark"}
        assert len(found.not_scored) == 1


def test_an_encounter_is_one_of_its_subject():
    records, _ = cohort_of(6)
    table = meds(records)
    shared = table.assign(encounter_id=table["encounter_id"].str.split("/").str[1])
    one, other = (predictor_on("visit").predict(rows) for rows in (table, shared))
    assert shared.groupby("encounter_id")["subject_id"].nunique().max() == 6
    pd.testing.assert_frame_equal(one.table, other.table)


def test_a_row_of_a_visit_is_the_prediction_of_that_day():
    records, _ = cohort_of(4)
    table = meds(records)
    rows = predictor_on("visit").predict(table, per_visit=True).table
    for _, row in rows.iloc[::7].iterrows():
        one = table[table["subject_id"] == row["subject_id"]]
        then = predictor_on("visit").predict(one, as_of=str(row["history_end"]).replace(" ", "T")).table.iloc[0]
        assert then["risk"] == pytest.approx(row["risk"], abs=ROUNDING)
        assert (then["visits"], then["history_end"]) == (row["visits"], row["history_end"])
    first = rows.groupby("subject_id")["history_end"].min()
    for name, time in first.items():
        before = str(time - pd.Timedelta("1D"))[:10]
        assert len(predictor_on("visit").predict(table[table["subject_id"] == name], as_of=before).table) == 0


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("2020-01-31", "2020-01-31T23:59:59"),
        (pd.Timestamp("2020-01-31").date(), "2020-01-31T23:59:59"),
        ("2020-01-31T12:00", "2020-01-31T12:00:00"),
        ("2020-01-31T12:00:00+02:00", "2020-01-31T10:00:00"),
        (np.datetime64("2020-01-31"), "2020-01-31T23:59:59"),
        (pd.Timestamp("2020-01-31"), "2020-01-31T00:00:00"),
    ],
)
def test_a_day_as_prediction_time_includes_its_end(asked, found):
    assert str(parse_as_of(asked)) == found


def test_a_bundle_trained_in_local_time_reads_tables_and_as_of_in_local_time():
    zone = "data.source.timezone=Australia/Melbourne"
    records = {
        "a": [(f"2020-0{month}-10T22:00:00+00:00", f"e{month}", ["X/1", f"X/{month}"]) for month in range(1, 7)],
        "b": [(f"2020-0{month}-10T02:00:00Z", None, ["X/2"]) for month in range(1, 7)],
    }
    found = predictor_on("visit", zone).predict(meds(records))
    ends = dict(zip(found.table["subject_id"], found.table["history_end"].astype(str), strict=True))
    assert ends == {"a": "2020-06-11 08:00:00", "b": "2020-06-10 12:00:00"}
    # Local time is ten or eleven hours ahead of UTC: the model reads the same visits.
    plain = predictor_on("visit").predict(meds(records))
    assert plain.table["visits"].tolist() == found.table["visits"].tolist()
    assert str(parse_as_of("2020-06-10T22:00", timezone="Australia/Melbourne")) == "2020-06-11T08:00:00"
    assert str(parse_as_of("2020-06-10", timezone="Australia/Melbourne")) == "2020-06-10T23:59:59"
    assert len(predictor_on("visit", zone).predict(meds(records), as_of="2020-06-10").table) == 2
    last = predictor_on("visit", zone).predict(meds(records), as_of="2020-06-10T21:00").table["history_end"]
    assert last.astype(str).tolist() == ["2020-05-11 08:00:00", "2020-06-10 12:00:00"]


def test_codes_that_only_a_death_brings_are_not_read():
    records, _ = cohort_of(6)
    with_certificate = {
        name: [*rows, ("2019-01-01T10:00:00", "c", ["SNOMED/308646001"])] for name, rows in records.items()
    }
    tables = [predictor_on("visit").predict(meds(kept)).table for kept in (records, with_certificate)]
    pd.testing.assert_frame_equal(*tables)
    visits = pd.DataFrame(
        {
            "subject_id": ["a"] * 4,
            "time": [f"2020-0{m}-01T10:00:00" for m in range(1, 5)],
            "codes": [["X/1"]] * 4,
            "birth": "1960-01-01",
        }
    )
    more = pd.concat(
        [
            visits,
            pd.DataFrame(
                {
                    "subject_id": ["a"],
                    "time": ["2020-06-01T10:00:00"],
                    "codes": [["LOINC/69453-9"]],
                    "birth": "1960-01-01",
                }
            ),
        ]
    )
    tables = [predictor_on("visit").predict_visits(kept).table for kept in (visits, more)]
    pd.testing.assert_frame_equal(*tables)
