"""Predictions apply the rules of the training cohort: subjects outside of it are not scored, and the reason is told."""

import csv
import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
import yaml

from survlstm.config.schema.section import as_yaml
from survlstm.inference.bundle.bundle import CONFIG, PREPROCESSING, read_bundle, write_bundle
from survlstm.inference.bundle.card import describe_cohort, describe_landmark
from survlstm.inference.bundle.container import INDEX, read_container, write_container
from survlstm.inference.predictor import Predictor
from survlstm.inference.score_subjects import reason_without_dates, reason_without_values
from survlstm.serving.example import example_csv
from survlstm.utils.errors import BundleError, ConfigError
from tests.bundles import bundle_on, cohort_of, meds, predictor_on
from tests.records import random_records
from tests.serving.asking import app_on, as_json, ask

RULES = (
    "cohort.include=[{age:{at_least:51}},{codes:[X/1,X/2,X/3],within_days:300}]",
    "cohort.exclude=[{codes:[X/38]},{dates:{to:2010-08-31}}]",
)
OUTSIDE = "outside of the cohort that the model was trained on"


def reasons(predictions):
    return dict(predictions.not_scored.itertuples(index=False))


def changed(clock, *, clock_keys=None, cohort_keys=None, descendants=None):
    """A bundle whose config or state of the preprocessing differs from that of ``bundle_on``."""
    bundle = bundle_on(clock)
    config = bundle.config.model_copy(
        update={
            "clock": bundle.config.clock.model_copy(update=clock_keys or {}),
            "cohort": bundle.config.cohort.model_copy(update=cohort_keys or {}),
        }
    )
    preprocessing = dataclasses.replace(bundle.preprocessing, descendants=descendants or {})
    return dataclasses.replace(bundle, config=config, preprocessing=preprocessing)


GIVEN = {"clock_keys": {"day": None}, "cohort_keys": {"file": "labels.csv", "sample": 50}}


@pytest.mark.parametrize("clock", ["visit", "landmark"])
def test_rules_apply_at_the_prediction_time_of_the_training(clock):
    """Who is left out is computed anew from the records; the others are scored as by a model without rules."""
    records, events = cohort_of(60, seed=6)
    found, free = (predictor_on(clock, *rules).predict_events(events) for rules in (RULES, ()))
    expected = {}
    for name in free.table["subject_id"]:
        times = {visit: np.datetime64(visit[0]) for visit in map(lambda v: (v[0], tuple(v[2])), records[name])}
        first = min(times.values())
        moment = first if clock == "visit" else first + np.timedelta64(200, "D")
        seen = {code for (_, codes), time in times.items() if time <= moment for code in codes}
        recent = {
            code
            for (_, codes), time in times.items()
            if moment - np.timedelta64(300, "D") <= time <= moment
            for code in codes
        }
        if moment < np.datetime64("2011-01-01"):
            expected[name] = f"{OUTSIDE} (cohort.include 1: age at least 51)"
        elif not recent & {"X/1", "X/2", "X/3"}:
            expected[name] = f"{OUTSIDE} (cohort.include 2: codes X/1, X/2, X/3 within 300 days before)"
        elif "X/38" in seen:
            expected[name] = f"{OUTSIDE} (cohort.exclude 1: code X/38)"
        elif moment < np.datetime64("2010-09-01"):
            expected[name] = f"{OUTSIDE} (cohort.exclude 2: dates)"
    told = {name: reason for name, reason in reasons(found).items() if reason.startswith(OUTSIDE)}
    assert told == expected
    assert len(set(told.values())) >= 3
    kept = free.table[~free.table["subject_id"].isin(list(told))].reset_index(drop=True)
    assert len(kept) > 3
    pd.testing.assert_frame_equal(found.table.drop(columns="curve"), kept.drop(columns="curve"), rtol=1e-5)


def test_no_reason_of_a_rule_holds_a_date():
    rules = ("cohort.include=[{dates:{from:2011-06-01,to:2011-06-30}}]",)
    _, events = cohort_of(20)
    told = set(reasons(predictor_on("visit", *rules).predict_events(events)).values())
    assert f"{OUTSIDE} (cohort.include 1: dates)" in told
    assert all(reason_without_dates(reason) == reason for reason in told)
    # Reasons of different rules are counted apart, so that their numbers stay.
    assert reason_without_values(f"{OUTSIDE} (cohort.include 1: dates)") == f"{OUTSIDE} (cohort.include 1: dates)"


def test_a_subject_without_a_birth_is_of_unknown_age():
    rules = ("cohort.include=[{age:{at_least:18}}]", "model.visit_features=[log_codes]")
    table = meds(random_records(3, seed=5), births=False)
    predictor = Predictor(dataclasses.replace(bundle_on("visit"), config=bundle_on("visit", *rules[:1]).config))
    assert set(reasons(predictor.predict(table)).values()) == {f"{OUTSIDE} (cohort.include 1: age unknown)"}


def test_the_file_and_the_sample_of_the_training_choose_nobody_in_a_prediction():
    _, events = cohort_of(20)
    for clock in ("visit", "landmark"):
        bundle = changed(clock, cohort_keys={"file": "labels.csv", "sample": 1})
        found, free = (Predictor(one).predict_events(events) for one in (bundle, bundle_on(clock)))
        pd.testing.assert_frame_equal(found.table, free.table)


def test_where_a_file_gave_the_landmarks_as_of_is_the_landmark_of_everybody():
    records, events = cohort_of(30)
    predictor = Predictor(changed("landmark", **GIVEN))
    with pytest.raises(ConfigError, match=r"landmarks of this model's training were given by a file.*Set as_of"):
        predictor.predict_events(events)
    found = predictor.predict_events(events, as_of="2011-06-30")
    assert len(found.table) > 3
    assert set(found.table["landmark"]) == {pd.Timestamp("2011-06-30T23:59:59")}
    seen = {
        name: sum(np.datetime64(time) <= np.datetime64("2011-07-01") for time, _, _ in records[name])
        for name in records
    }
    assert dict(zip(found.table["subject_id"], found.table["visits"], strict=True)).items() <= seen.items()


def test_visits_made_elsewhere_need_as_of_too():
    table = pd.DataFrame(
        {"subject_id": ["a"] * 3, "time": ["2010-01-01", "2010-02-01", "2010-03-01"], "codes": [["X/1"]] * 3}
    )
    table["birth"] = "1960-01-01"
    predictor = Predictor(changed("landmark", **GIVEN))
    with pytest.raises(ConfigError, match="Set as_of"):
        predictor.predict_visits(table)
    assert len(predictor.predict_visits(table, as_of="2010-04-01").table) == 1


def test_an_index_code_places_the_landmark_of_a_prediction():
    records = random_records(20, seed=5)
    predictor = Predictor(changed("landmark", clock_keys={"day": None, "first_code": ["X/3", "X/4"]}))
    found = predictor.predict(meds(records))
    index = {
        name: next((number for number, (_, _, codes) in enumerate(visits) if {"X/3", "X/4"} & set(codes)), None)
        for name, visits in records.items()
    }
    assert len(found.table) > 3
    assert all(
        visits == index[name] + 1 for name, visits in zip(found.table["subject_id"], found.table["visits"], strict=True)
    )
    without = [name for name, number in index.items() if number is None]
    sentence = "no visit has the code that places the landmark (clock.first_code=[X/3,X/4])"
    assert without
    assert all(reasons(found)[name] == sentence for name in without)


BELOW = {"include": bundle_on("visit", "cohort.include=[{codes:[Y/1],match:descendants}]").config.cohort.include}


def test_descendants_are_those_stored_with_the_model(tmp_path):
    _, events = cohort_of(40)
    bundle = changed("visit", cohort_keys=BELOW, descendants={"cohort.include 1": ("X/1", "X/2", "X/3", "Y/1")})
    write_bundle(bundle, tmp_path / "bundle", figures={}, extras={})
    read = read_bundle(tmp_path / "bundle")
    assert read.preprocessing.descendants == bundle.preprocessing.descendants
    listed = predictor_on("visit", "cohort.include=[{codes:[X/1,X/2,X/3,Y/1]}]").predict_events(events)
    found = Predictor(read).predict_events(events)
    assert 0 < len(found.table) < 40
    assert found.table["subject_id"].tolist() == listed.table["subject_id"].tolist()
    assert f"{OUTSIDE} (cohort.include 1: code Y/1 (descendants))" in reasons(found).values()


def test_a_bundle_without_the_codes_of_its_rule_is_refused(tmp_path):
    write_bundle(changed("visit", cohort_keys=BELOW), tmp_path / "bundle", figures={}, extras={})
    with pytest.raises(BundleError, match=r"codes below those of cohort.include 1 must be stored with the model"):
        read_bundle(tmp_path / "bundle")


def test_a_bundle_of_an_earlier_version_has_no_rules(tmp_path):
    write_bundle(bundle_on("landmark"), tmp_path / "bundle", figures={}, extras={})
    names = [path.name for path in (tmp_path / "bundle").iterdir() if path.name != INDEX]
    container = read_container(tmp_path / "bundle", names)
    config = yaml.safe_load(container.files[CONFIG])
    del config["cohort"], config["clock"]["first_code"]
    assert b"descendants" not in container.files[PREPROCESSING]
    write_container(tmp_path / "older", container.files | {CONFIG: yaml.safe_dump(config).encode()}, container.about)
    assert as_yaml(read_bundle(tmp_path / "older").config) == as_yaml(bundle_on("landmark").config)


def test_the_card_names_the_rules_and_the_landmark():
    config = bundle_on("visit", *RULES).config
    assert describe_cohort(config).startswith(
        "cohort.include 1: age at least 51; cohort.include 2: codes X/1, X/2, X/3 wi"
    )
    assert describe_cohort(bundle_on("visit").config) == ""
    assert describe_landmark(changed("landmark", **GIVEN).config) == "the times of a file"
    index = changed("landmark", clock_keys={"day": None, "first_code": ["X/3"]}).config
    assert describe_landmark(index) == "the first visit with one of the codes X/3"


def test_the_server_tells_a_reason_without_dates_and_asks_for_as_of():
    table = meds(random_records(4, seed=5))
    answer = ask(
        app_on(predictor=predictor_on("visit", "cohort.include=[{codes:[Y/1]}]")),
        "POST",
        "/predict",
        json=as_json(table),
    )
    assert {each["reason"] for each in answer.json()["not_scored"]} == {f"{OUTSIDE} (cohort.include 1: code Y/1)"}
    app = app_on(predictor=Predictor(changed("landmark", **GIVEN)))
    refused = ask(app, "POST", "/predict", json=as_json(table))
    assert refused.status_code == 422
    assert "Set as_of to a day or a time" in refused.text
    assert ask(app, "POST", "/predict", json=as_json(table, as_of="2011-06-30")).status_code == 200


@pytest.mark.parametrize(
    "bundle",
    [
        changed("landmark", **GIVEN),
        changed("landmark", clock_keys={"day": None, "first_code": ["X/3"]}),
        bundle_on("visit", "cohort.include=[{codes:[X/3]}]"),
    ],
    ids=["file", "index code", "rule"],
)
def test_the_example_of_the_server_can_be_scored(bundle):
    text = example_csv(Predictor(bundle))
    last = max(row["time"] for row in csv.DictReader(io.StringIO(text)))
    as_of = last[:10] if bundle.config.clock.kind == "landmark" and not bundle.config.clock.placed_by else None
    assert len(Predictor(bundle).predict(pd.read_csv(io.StringIO(text), dtype=str), as_of=as_of).table) == 1
