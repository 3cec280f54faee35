"""Responses hold the predictor's numbers, in the order and with the ids of the request, as the schema says."""

import dataclasses
import functools
import io
import json
import logging
from urllib.parse import urljoin

import numpy as np
import pandas as pd
import pytest

from survlstm.inference.predictor import Predictor
from survlstm.report.task import BANNER
from survlstm.serving.errors import ErrorResponse
from survlstm.serving.responses import ExplainResponse, HealthResponse, ModelResponse, PredictResponse
from tests.bundles import meds, predictor_on
from tests.serving.asking import app_on, as_csv, as_json, ask, some_events
from tests.valued_bundle import predictor_with_values

CLOCKS = ("visit", "landmark")


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_numbers_are_the_predictors_own_by_json_and_by_csv(clock):
    events, predictor = some_events(8), predictor_on(clock)
    expected = predictor.predict(events)
    answers = [
        ask(app_on(clock), "POST", "/predict", json=as_json(events)),
        ask(app_on(clock), "POST", "/predict", **as_csv(events)),
    ]
    for answer in answers:
        assert answer.status_code == 200
        found = answer.json()
        rows = {row["subject_id"]: row for row in found["predictions"]}
        assert set(rows) == set(expected.table["subject_id"])
        assert len(rows) > 2
        for row in expected.table.to_dict("records"):
            one = rows[row["subject_id"]]
            assert one["risk"] == row["risk"]
            assert one["percentile"] == row["percentile"]
            assert one["curve"] == list(row["curve"])
            assert one["survival"] == [row[f"survival_{horizon:g}"] for horizon in predictor.horizons]
            assert [one[name] for name in ("visits", "entries", "entries_unknown")] == [
                row[name] for name in ("visits", "entries", "entries_unknown")
            ]
            assert one["history_end"] == row["history_end"].isoformat()
        assert found["grid"] == predictor.grid.tolist()
        assert found["horizons"] == list(predictor.horizons)
        assert found["unit"] == predictor.unit
        assert {one["subject_id"]: one["reason"] for one in found["not_scored"]} == dict(
            expected.not_scored.itertuples(index=False)
        )
    assert answers[0].json() == answers[1].json()


def test_subjects_come_in_the_order_and_with_the_ids_of_the_request():
    events = some_events(3)
    names = dict(zip(sorted(set(events["subject_id"])), [20, "10", 3], strict=True))
    events["subject_id"] = events["subject_id"].map(names)
    events = pd.concat([events[events["subject_id"] == name] for name in (3, 20, "10")])
    body = as_json(events)
    body["events"].append({"subject_id": " late ", "time": "2020-01-01", "code": "X/1"})
    found = ask(app_on(), "POST", "/predict", json=body).json()
    assert [(row["position"], row["subject_id"]) for row in found["predictions"]] == [(0, 3), (1, 20), (2, "10")]
    assert [(row["position"], row["subject_id"]) for row in found["not_scored"]] == [(3, "late")]
    assert found["not_scored"][0]["reason"].startswith("1 visit")


def test_options_stand_in_the_body_or_in_the_query():
    events = some_events(2)
    options = {"per_visit": True, "horizons": [3, 1], "as_of": "2012-06-30"}
    asked = [
        ask(app_on(), "POST", "/predict", json=as_json(events, **options)),
        ask(app_on(), "POST", "/predict", json=as_json(events), params=options),
        ask(app_on(), "POST", "/predict", params=options, **as_csv(events)),
    ]
    first = asked[0].json()
    assert [answer.json() for answer in asked] == [first] * 3
    assert first["horizons"] == [1, 3]
    twice = ask(app_on(), "POST", "/predict", json=as_json(events, **options | {"horizons": [3, 1, 3.0]}))
    assert twice.json() == first
    table = predictor_on("visit").predict(events, per_visit=True, horizons=[1, 3], as_of="2012-06-30").table
    assert [row["visit"] for row in first["predictions"]] == table["visit"].tolist()
    assert [row["hazard"] for row in first["predictions"]] == table["hazard"].tolist()
    assert max(row["history_end"] for row in first["predictions"]) < "2012-07-01"
    assert len(first["predictions"]) < len(predictor_on("visit").predict(events, per_visit=True).table)


@dataclasses.dataclass(frozen=True)
class Doubtful(Predictor):
    """A predictor whose risk and last survival are NaN."""

    def predict(self, events, **options):
        found = super().predict(events, **options)
        table = found.table.assign(risk=np.nan, history_end=pd.NaT)
        table["curve"] = [np.append(curve[:-1], np.nan) for curve in table["curve"]]
        return dataclasses.replace(found, table=table)


def test_what_is_not_known_is_null():
    predictor = Doubtful(predictor_on("visit").bundle)
    answer = ask(app_on(predictor=predictor), "POST", "/predict", json=as_json(some_events(1)))
    (row,) = json.loads(answer.text, parse_constant=pytest.fail)["predictions"]
    assert row["risk"] is None
    assert row["history_end"] is None
    assert row["curve"][-1] is None
    assert row["curve"][0] > 0


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_codes_of_one_subject_of_several_are_told_the_most_influential_first(clock):
    events, predictor = some_events(6), predictor_on(clock)
    name = predictor.predict(events).table["subject_id"].iloc[-1]
    position = list(dict.fromkeys(events["subject_id"])).index(name)
    expected = predictor.explain(events[events["subject_id"] == name])
    found = ask(app_on(clock), "POST", "/explain", params={"top": 2, "subject": position}, **as_csv(events)).json()
    assert found["subject_id"] == name
    assert found["codes_left_out"] == len(expected) - 2 > 0
    assert [row["code"] for row in found["codes"]] == expected["code"].tolist()[:2]
    assert [row["effect"] for row in found["codes"]] == expected["effect"].tolist()[:2]
    assert [row["entries"] for row in found["codes"]] == expected["entries"].tolist()[:2]
    assert found["codes"][0]["description"].startswith("finding number")
    assert found["codes"][0]["last_time"] == expected["last_time"][0].isoformat()


def test_a_code_without_a_description_has_null():
    bundle = dataclasses.replace(predictor_on("visit").bundle, descriptions={})
    codes = ask(app_on(predictor=Predictor(bundle)), "POST", "/explain", **as_csv(some_events(1))).json()["codes"]
    assert {row["description"] for row in codes} == {None}


def test_as_of_holds_for_the_codes_too():
    events = some_events(1)
    found = ask(app_on(), "POST", "/explain", params={"as_of": "2012-06-30"}, **as_csv(events)).json()
    assert max(row["last_time"] for row in found["codes"]) < "2012-07-01"
    entries = sum(row["entries"] for row in found["codes"])
    whole = ask(app_on(), "POST", "/explain", **as_csv(events)).json()
    assert entries < sum(row["entries"] for row in whole["codes"])


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_spreadsheets_csv_is_read_and_other_columns_are_named(delimiter):
    events = some_events(2).assign(ward="A, B", numeric_value=1.5)
    text = "\ufeff" + events.to_csv(index=False, sep=delimiter).replace("\n", "\r\n") + "\r\n"
    headers = {"content-type": "text/csv; charset=UTF-8"}
    found = ask(app_on(), "POST", "/predict", content=text.encode(), headers=headers).json()
    assert found["notes"] == ["ignored columns: 1 name not shown here (1 text)"]
    expected = ask(app_on(), "POST", "/predict", **as_csv(events.drop(columns="ward"))).json()
    assert found["predictions"] == expected["predictions"]


def test_a_time_with_a_zone_is_told_in_utc():
    events = some_events(1)
    events = events[events["time"] < "2012"]
    shifted = events.assign(time=[f"{time[:19]}+00:00" if "T" in time else time for time in events["time"].astype(str)])
    answers = [ask(app_on(), "POST", "/predict", **as_csv(table)).json() for table in (events, shifted)]
    assert answers[0] == answers[1]
    late = {"subject_id": "a", "time": "2012-01-01T00:30:00+02:00", "code": "X/1"}
    found = ask(
        app_on(),
        "POST",
        "/predict",
        json={"events": [*as_json(events)["events"], {**late, "subject_id": str(events["subject_id"].iloc[0])}]},
    )
    assert found.json()["predictions"][0]["history_end"] == "2011-12-31T22:30:00"


def test_the_model_is_told_as_json_or_as_its_card():
    found = ask(app_on(), "GET", "/model").json()
    assert found["model"] == {"name": "small", "format": 1, "version": "0", "fingerprint": "none"}
    assert found["card"] == "# Model card: small\n"
    assert found["about"]["clock"] == "visit"
    # The outcome of the one bundle is drawn, that of the other a code's first entry.
    assert found["banner"] == BANNER
    assert f'<p class="banner">{BANNER}</p>' in ask(app_on(), "GET", "/").text
    assert ask(app_on("landmark"), "GET", "/model").json()["banner"] == ""
    assert "SYNTHETIC OUTCOME" not in ask(app_on("landmark"), "GET", "/").text
    card = ask(app_on(), "GET", "/model", headers={"accept": "text/markdown, */*;q=0.1"})
    assert card.headers["content-type"] == "text/markdown; charset=utf-8"
    assert card.text == "# Model card: small\n"


def test_health_says_how_long():
    app = app_on()
    first, then = (ask(app, "GET", "/health").json() for _ in range(2))
    assert first["status"] == "ok"
    assert first["model"] == "small"
    assert 0 <= first["uptime_seconds"] < then["uptime_seconds"]


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_example_is_scored_and_all_of_its_codes_are_known(clock):
    app = app_on(clock)
    example = ask(app, "GET", "/example")
    assert example.headers["content-type"] == "text/csv; charset=utf-8"
    known = predictor_on(clock).bundle.preprocessing.vocabulary.entries
    table = pd.read_csv(io.StringIO(example.text))
    assert set(table["code"]) <= {*known, "MEDS_BIRTH"}
    found = ask(app, "POST", "/predict", content=example.content, headers={"content-type": "text/csv"}).json()
    assert found["not_scored"] == []
    assert found["predictions"][0]["entries_unknown"] == 0


def test_the_example_of_a_model_with_values_has_some():
    app = app_on(predictor=predictor_with_values())
    example = ask(app, "GET", "/example")
    rows = pd.read_csv(io.StringIO(example.text))
    measures = predictor_with_values().bundle.preprocessing.values.measures
    assert set(rows.loc[rows["numeric_value"].notna(), "code"]) >= {"X/1", "X/3"}
    assert not rows["code"].str.contains("value_").any()
    assert set(rows["unit"].dropna()) <= {measure.unit for measure in measures} - {""}
    request = {"content": example.content, "headers": {"content-type": "text/csv"}}
    answer = ask(app, "POST", "/predict", **request).json()
    assert answer["notes"] == []
    assert answer["predictions"][0]["entries_unknown"] == 0
    effects = ask(app, "POST", "/explain", **request).json()["codes"]
    assert sum("//value_[" in effect["code"] for effect in effects) > 2


PATHS = {
    ("/predict", "post"): PredictResponse,
    ("/explain", "post"): ExplainResponse,
    ("/model", "get"): ModelResponse,
    ("/health", "get"): HealthResponse,
    ("/example", "get"): None,
}


def test_the_description_is_whole():
    schema = ask(app_on(), "GET", "/openapi.json").json()
    found = {(path, method) for path, methods in schema["paths"].items() for method in methods}
    assert found == set(PATHS)
    for (path, method), model in PATHS.items():
        responses = schema["paths"][path][method]["responses"]
        if model is not None:
            named = responses["200"]["content"]["application/json"]["schema"]["$ref"]
            assert named == f"#/components/schemas/{model.__name__}"
        refusals = {status: told for status, told in responses.items() if status != "200"}
        assert set(refusals) >= {"413", "421", "500"} | (
            {"403", "408", "415", "422", "503"} if method == "post" else set()
        )
        for told in refusals.values():
            assert (
                told["content"]["application/json"]["schema"]["$ref"]
                == f"#/components/schemas/{ErrorResponse.__name__}"
            )
    body = schema["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "text/csv"}
    assert schema["components"]["schemas"]["PredictRequest"]["properties"]["events"]["maxItems"] == 5000
    names = [part["$ref"] for part in _objects(schema) if "$ref" in part]
    assert names
    for name in names:
        assert functools.reduce(dict.__getitem__, name.removeprefix("#/").split("/"), schema)


@pytest.mark.parametrize("document", ["http://127.0.0.1:8000/openapi.json", "https://risk.example/a/b/openapi.json"])
def test_the_description_finds_its_paths_behind_a_prefix_too(document):
    schema = ask(app_on(), "GET", "/openapi.json").json()
    (server,) = schema["servers"]
    found = urljoin(document, server["url"]).rstrip("/") + "/predict"
    assert found == document.replace("openapi.json", "predict")


def test_where_the_api_is_described_is_told_at_docs(caplog):
    caplog.set_level(logging.INFO)
    answered = ask(app_on(), "GET", "/docs")
    assert answered.status_code == 200
    assert answered.headers["content-type"] == "text/plain; charset=utf-8"
    assert "The API is described in openapi.json" in answered.text
    assert "GET /docs 200 in" in caplog.text


def test_the_examples_of_the_description_are_answered():
    app = app_on()
    for media_type, content in (
        ask(app, "GET", "/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]["content"].items()
    ):
        example = content["example"]
        text = example if isinstance(example, str) else json.dumps(example)
        answer = ask(app, "POST", "/predict", content=text, headers={"content-type": media_type})
        assert answer.status_code == 200
        assert answer.json()["not_scored"][0]["subject_id"] == "p1"


def _objects(value):
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _objects(part)
    elif isinstance(value, list):
        for part in value:
            yield from _objects(part)


def test_a_de_identified_record_is_answered_with_a_note():
    records = {"a": [(f"2150-0{month}-01T08:00:00", f"e{month}", ["X/1", "X/2"]) for month in range(1, 8)]}
    table = meds(records, births=False)
    table.loc[len(table)] = ["a", "2090-01-01", "MEDS_BIRTH//fact", None, float("nan")]
    for path in ("/predict", "/explain"):
        found = ask(app_on(), "POST", path, **as_csv(table)).json()
        (note,) = found["notes"]
        assert note.startswith("the data reach past today: 1 of 1 records end after it")
    table.loc[len(table)] = ["a", "2150-08-01", "MEDS_DEATH//hospital", None, float("nan")]
    (left,) = ask(app_on(), "POST", "/predict", **as_csv(table)).json()["not_scored"]
    assert left["reason"].startswith("the subject died on 2150-08-01")
    # What is refused names no day.
    assert "2150" not in ask(app_on(), "POST", "/explain", **as_csv(table)).json()["error"]
    as_of = ask(app_on(), "POST", "/predict", params={"as_of": "2150-04-30"}, **as_csv(table)).json()
    assert [row["visits"] for row in as_of["predictions"]] == [4]
