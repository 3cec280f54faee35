"""Arbitrary values sent to the server give a prediction or an error message, never status 500."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survlstm.serving.app import RequestLimits
from tests.serving.asking import app_on, ask
from tests.valued_bundle import predictor_with_values

PATHS = st.sampled_from(["/predict", "/explain"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.datetimes().map(lambda at: at.isoformat())
)
VALUES = st.recursive(
    LEAVES,
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=8), inside, max_size=4),
    max_leaves=12,
)


def fields(names, likely):
    """Generate objects with some of the field names, and with valid, invalid or arbitrary values."""
    return st.fixed_dictionaries({}, optional={name: likely.get(name, VALUES) | VALUES for name in names})


TIMES = st.datetimes().map(lambda at: at.isoformat()) | st.dates().map(str) | st.none()
NAMES = st.sampled_from(["a", "b", 7, "7", " a "]) | st.text(max_size=6)
CODES = st.sampled_from([f"X/{number}" for number in range(12)] + ["MEDS_BIRTH", "MEDS_DEATH"]) | st.text(max_size=6)
UNITS = st.sampled_from(["mg/dL", "", "null", "%"]) | st.text(max_size=80) | st.none()
RIGHT = st.fixed_dictionaries(
    {"subject_id": NAMES, "time": TIMES, "code": CODES},
    optional={"numeric_value": st.floats() | st.none(), "unit": UNITS, "encounter_id": NAMES | st.none()},
)
EVENTS = st.lists(RIGHT, max_size=12) | st.lists(
    RIGHT | fields(["subject_id", "time", "code", "numeric_value", "unit", "encounter_id"], {}) | VALUES, max_size=6
)
LIKELY = {
    "events": EVENTS,
    "per_visit": st.booleans(),
    "horizons": st.lists(st.floats() | st.integers(-2, 30), max_size=4) | st.none(),
    "as_of": TIMES,
}
BODIES = (
    st.fixed_dictionaries({"events": EVENTS})
    | fields(["events", "per_visit", "horizons", "as_of", "other"], LIKELY)
    | VALUES
)


@pytest.fixture(scope="module")
def app():
    """One application for all requests, of a model that uses values."""
    return app_on(predictor=predictor_with_values(), limits=RequestLimits(max_body_bytes=20_000, max_events=50))


def assert_answered(answered):
    assert answered.status_code < 500, answered.text
    if answered.status_code != 200:
        assert set(answered.json()) == {"error"}
        assert answered.json()["error"].strip()


@settings(max_examples=300, deadline=None)
@given(path=PATHS, value=BODIES)
def test_any_json_is_answered(app, path, value):
    text = json.dumps(value)
    assert_answered(ask(app, "POST", path, content=text, headers={"content-type": "application/json"}))


CELLS = st.text(max_size=6) | NAMES.map(str) | TIMES.map(str) | CODES | st.floats().map(str)


@settings(max_examples=150, deadline=None)
@given(
    path=PATHS,
    rows=st.lists(st.lists(CELLS, min_size=5, max_size=5), max_size=6),
    query=fields(["top", "as_of", "subject"], {}),
)
def test_any_table_is_answered(app, path, rows, query):
    text = "subject_id,time,code,numeric_value,unit\n" + "".join(",".join(row) + "\n" for row in rows)
    params = {name: str(value) for name, value in query.items()}
    content = text.encode("utf-8", "surrogatepass")
    assert_answered(ask(app, "POST", path, content=content, params=params, headers={"content-type": "text/csv"}))


@settings(max_examples=150, deadline=None)
@given(path=PATHS, content=st.binary(max_size=200), kind=st.sampled_from(["application/json", "text/csv"]))
def test_any_bytes_are_answered(app, path, content, kind):
    assert_answered(ask(app, "POST", path, content=content, headers={"content-type": kind}))
