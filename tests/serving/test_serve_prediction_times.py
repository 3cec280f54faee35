"""The server on the days clock: as_of, several prediction times in a request, and what is said of each."""

import io

import numpy as np
import pandas as pd
import pytest

from survlstm.serving.responses import PredictResponse
from tests.bundles import meds
from tests.days_bundle import predictor_at_times, times_table, visits_on
from tests.serving.asking import app_on, as_csv, as_json, ask

RECORDS = {"b": visits_on(0, 5, 9, 40), "a": visits_on(0, 5, 9)}


@pytest.fixture(scope="module")
def app():
    return app_on(predictor=predictor_at_times())


def test_one_time_for_all_or_the_last_visit(app):
    events = meds(RECORDS)
    for as_of in ("2020-02-20", "last", None):
        answers = [
            ask(app, "POST", "/predict", json=as_json(events, as_of=as_of)),
            ask(app, "POST", "/predict", params={"as_of": as_of} if as_of else {}, **as_csv(events)),
        ]
        assert answers[0].json() == answers[1].json()
        expected = predictor_at_times().predict(events, as_of=as_of).table.set_index("subject_id")
        found = PredictResponse.model_validate(answers[0].json()).predictions
        assert [row.subject_id for row in found] == ["b", "a"]
        for row in found:
            of_table = expected.loc[row.subject_id]
            assert row.curve == list(of_table["curve"])
            assert row.prediction_time == of_table["prediction_time"]
            assert (row.history_age_days, row.is_stale) == (of_table["history_age_days"], of_table["is_stale"])


def test_several_times_per_subject(app):
    times = [("a", "2020-01-12T12:00"), ("b", "2020-03-01"), ("b", "2020-01-12T12:00:00Z"), ("b", "2019-01-01")]
    times += [("nobody", "2020-01-12")]
    asked = [{"subject_id": name, "time": time} for name, time in times]
    found = ask(app, "POST", "/predict", json=as_json(meds(RECORDS), prediction_times=asked)).json()
    rows = [(row["subject_id"], row["prediction_time"], row["visits"]) for row in found["predictions"]]
    noon, end = "2020-01-12T12:00:00", "2020-03-01T23:59:59"
    assert rows == [("b", noon, 3), ("b", end, 4), ("a", noon, 3)]
    left_out = [(row["subject_id"], row["position"], row["prediction_time"]) for row in found["not_scored"]]
    assert left_out == [("b", 0, "2019-01-01T23:59:59"), ("nobody", None, "2020-01-12T23:59:59")]
    asked_of_python = times_table(*((name, time) for name, time in (("b", noon), ("b", end), ("a", noon))))
    expected = predictor_at_times().predict(meds(RECORDS), as_of=asked_of_python).table
    by_time = expected.sort_values(["subject_id", "prediction_time"], ascending=[False, True])
    np.testing.assert_array_equal([row["curve"] for row in found["predictions"]], np.stack(by_time["curve"]))
    assert any("not among the records: 1" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prediction_times": [], "as_of": None}, "prediction_times must"),
        ({"prediction_times": [{"subject_id": "a", "time": "soon"}]}, "must be a day or a time"),
        ({"prediction_times": [{"subject_id": "a", "time": "last"}]}, "must be a day or a time"),
        ({"prediction_times": [{"subject_id": "a", "time": "2020-01-12"}], "as_of": "last"}, "found both"),
        ({"prediction_times": [{"subject_id": "a", "time": "2020-01-12"}], "per_visit": True}, "one of per_visit and"),
        ({"as_of": "times.csv"}, "must be a day or a time"),
    ],
)
def test_what_makes_no_sense_is_refused(app, options, said):
    answer = ask(app, "POST", "/predict", json=as_json(meds(RECORDS), **options))
    assert answer.status_code == 422
    assert said in answer.json()["error"]


def test_other_clocks_take_one_time():
    asked = [{"subject_id": "a", "time": "2020-01-12"}]
    answer = ask(app_on("visit"), "POST", "/predict", json=as_json(meds(RECORDS), prediction_times=asked))
    assert answer.status_code == 422
    assert "need a model of the days clock" in answer.json()["error"]


def test_the_example_is_scored_and_explained_and_the_schema_names_the_fields(app):
    example = ask(app, "GET", "/example").text
    assert len(pd.read_csv(io.StringIO(example))) > 10
    rest = as_csv(pd.read_csv(io.StringIO(example), dtype=str))
    assert len(ask(app, "POST", "/predict", **rest).json()["predictions"]) == 1
    assert ask(app, "POST", "/explain", params={"as_of": "last"}, **rest).json()["codes"]
    schemas = ask(app, "GET", "/openapi.json").json()["components"]["schemas"]
    assert "prediction_times" in schemas["PredictRequest"]["properties"]
    assert {"subject_id", "time"} == set(schemas["PredictionTime"]["properties"])
    assert "the prediction is made at its end" in ask(app, "GET", "/").text
