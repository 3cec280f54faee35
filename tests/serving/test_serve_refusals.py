"""Refused requests get a status and a message, leave nothing in the log, and do not stop the server."""

import asyncio
import dataclasses
import gzip
import json
import logging
import threading

import pytest

from survlstm.inference.predictor import Predictor
from survlstm.serving.app import RequestLimits
from survlstm.serving.middleware import LINGER_SECONDS
from tests.bundles import predictor_on
from tests.serving.asking import ENOUGH, HERE, answer, app_on, as_csv, as_json, ask, some_events

MARKER = "MARKER-7f3a"
FEW = RequestLimits(max_body_bytes=2**16, max_events=200)
EVENT = {"subject_id": MARKER, "time": "2020-01-01T10:00:00", "code": "X/1"}
JSON, CSV = {"content-type": "application/json"}, {"content-type": "text/csv"}


def events(**changes):
    return {"json": {"events": [EVENT, EVENT | changes]}}


def rest(**fields):
    return {"json": {"events": [EVENT], **fields}}


def body(content, headers=JSON):
    return {"content": content, "headers": headers}


BAD = {
    "nothing": (body(b""), 422, "the body must be JSON; it can't be read"),
    "half": (body(b'{"events": [{"subject_id": "%s"' % MARKER.encode()), 422, "the body must be JSON"),
    "deep": (body(b'{"events": ' + b"[" * 20_000), 422, "recursion limit"),
    "not UTF-8": (body(b'{"events": "\xff\xfe"}'), 422, "the body must be JSON"),
    "a list": (body(b"[]"), 422, "the body must be an object; found a list"),
    "no events": ({"json": {}}, 422, "events must be given; found none"),
    "none of them": ({"json": {"events": []}}, 422, "events must hold at least one event; found 0"),
    "events no list": ({"json": {"events": {MARKER: 1}}}, 422, "events must be a list; found an object"),
    "event no object": ({"json": {"events": [MARKER]}}, 422, r"events\[0\] must be an object; found text"),
    "no time": ({"json": {"events": [{"subject_id": 1, "code": "X/1"}]}}, 422, r"events\[0\]\.time must be given"),
    "time in words": (events(time=MARKER), 422, r"events\[1\]\.time must be a day or a time .*; found other text"),
    "time a number": (events(time=1580472000), 422, r"events\[1\]\.time must be .*; found a number"),
    "time long ago": (
        events(time="0001-01-01T00:00:00+14:00"),
        422,
        "the years 1800 to 2300",
    ),
    "time before records": (events(time="1500-01-01"), 422, "the years 1800 to 2300"),
    "empty code": (events(code=" "), 422, r"events\[1\]\.code must be text of 1 to 1000"),
    "subject true": (events(subject_id=True), 422, r"events\[1\]\.subject_id must be .*; found true or false"),
    "subject huge": (events(subject_id=2**70), 422, r"events\[1\]\.subject_id must be .* at most 64 bits"),
    "subject with NUL": (events(subject_id="a\0"), 422, r"events\[1\]\.subject_id must be .* printable"),
    "value in words": (events(numeric_value=MARKER), 422, r"events\[1\]\.numeric_value must be a finite number"),
    "value NaN": (
        body(json.dumps({"events": [EVENT | {"numeric_value": float("nan")}]})),
        422,
        r"events\[0\]\.numeric_value must be .*; found NaN or an infinity",
    ),
    "unit a number": (events(unit=5), 422, r"events\[1\]\.unit must be text of at most 64 .*; found a number"),
    "unit too long": (events(unit="m" * 65), 422, r"events\[1\]\.unit must be text of at most 64 printable"),
    "unit with NUL": (events(unit="m\0"), 422, r"events\[1\]\.unit must be text of at most 64 printable"),
    "unknown field": (
        events(valeu=MARKER),
        422,
        r"fields of events\[1\] must .*another \(5 characters of text\)",
    ),
    "unknown option": (rest(pervisit=True), 422, "fields of the body must be among .*; found another"),
    "per_visit text": (rest(per_visit="yes"), 422, "per_visit must be true or false; found text"),
    "no horizon": (rest(horizons=[]), 422, "horizons must be a list of at least 1; found 0"),
    "horizon below 0": (rest(horizons=[1, -1]), 422, r"horizons\[1\] must be greater than 0"),
    "horizon too far": (rest(horizons=[1e6]), 422, "horizons must be whole numbers of visits up to"),
    "as_of in words": (rest(as_of="soon"), 422, "as_of must be a day or a time"),
    "two options twice": ({**rest(as_of="2020-01-01"), "params": {"as_of": "2020-01-01"}}, 422, "found it in both"),
    "unknown in query": ({**rest(), "params": {"top": 2, MARKER: 1}}, 422, "fields of the query must be among"),
    "query in words": ({**rest(), "params": {"per_visit": "perhaps"}}, 422, "per_visit in the query must be true or"),
    "1 and a text": (
        {"json": {"events": [EVENT | {"subject_id": one} for one in ("2", 1, "1")]}},
        422,
        r"events\[2\]\.subject_id must be a number, like the same subject_id in an earlier event; found text",
    ),
    "a text and 1": (
        {"json": {"events": [EVENT | {"subject_id": one} for one in ("1", 1)]}},
        422,
        r"events\[1\]\.subject_id must be text, .*; found a number\. Send the subject_id of a",
    ),
    "too many events": ({"json": {"events": [EVENT] * 201}}, 413, "at most 200 events .*; found 201"),
    "too many rows": (body("subject_id,time,code\n" + f"{MARKER},,X/1\n" * 201, CSV), 413, "found 201"),
    "too large": (body(b" " * (2**16 + 1)), 413, r"at most 0\.0625 MiB \(max_body_mib\); found more"),
    "no type": (body(b"{}", {}), 415, "Content-Type must be application/json or text/csv; found none"),
    "a form": ({"data": {"events": MARKER}}, 415, "Content-Type must be .*; found another"),
    "Latin-1": (body(b"{}", {"content-type": "text/csv; charset=latin1"}), 415, "charset of a body must be utf-8"),
    "gzip": (body(gzip.compress(b"{}"), JSON | {"content-encoding": "gzip"}), 415, "found a Content-Encoding"),
    "empty table": (body(b"\n\n", CSV), 422, "found an empty table"),
    "only a header": (body(b"subject_id,time,code\n", CSV), 422, "at least one event; found 0"),
    "no header": (
        body(f"{MARKER},2020-01-01,X/1\n", CSV),
        422,
        r"3 names not shown here \(2 texts, 1 date\)$",
    ),
    "other columns": (
        body("patient,time,code\n1,2,3\n", CSV),
        422,
        "subject_id is missing .*: time, code and 1 name not",
    ),
    "a column twice": (body("subject_id,time,code,code\n1,2,3,4\n", CSV), 422, "each column once; found code 2 times"),
    "short line": (body("subject_id,time,code\na,,X/1\n\nb,\n", CSV), 422, "line 4 must have 3 fields.*; found 2"),
    "open quote": (body('subject_id,time,code\n"a,,X/1\n', CSV), 422, "must be a CSV table; it can't be read"),
    "CSV not UTF-8": (body("subject_id,time,code\nä,,X/1\n".encode("latin-1"), CSV), 422, "must be UTF-8 text"),
    "CSV time": (body(f'subject_id,time,code\n"a",,X/1\nb,{MARKER},X/1\n', CSV), 422, "line 3: time must be a day"),
    "CSV value": (body("subject_id,time,code,numeric_value\na,,X/1,high\n", CSV), 422, "line 2: numeric_value must be"),
    "CSV unit": (body(f"subject_id,time,code,unit\na,,X/1,{'m' * 65}\n", CSV), 422, "line 2: unit must be text of at"),
    "no subject": (body("subject_id,time,code\n,,X/1\n", CSV), 422, "line 2: subject_id must be .*; found null"),
    "another page": ({**rest(), "headers": {"origin": "http://evil.example"}}, 403, "found another origin"),
    "another scheme": ({**rest(), "headers": {"origin": "null"}}, 403, "found another origin"),
    "another host": ({**rest(), "headers": {"host": "evil.example:8000"}}, 421, "must be the name"),
}


@pytest.fixture(scope="module")
def app():
    """One application for all invalid requests."""
    return app_on(limits=FEW)


@pytest.fixture(scope="module")
def good():
    """A valid request and its response."""
    table = some_events(1).head(150)
    return as_csv(table), ask(app_on(limits=FEW), "POST", "/predict", **as_csv(table)).json()["predictions"]


def refused(answered, status, sentence):
    assert answered.status_code == status, answered.text
    assert set(answered.json()) == {"error"}
    assert answered.headers["content-type"] == "application/json"
    assert answered.headers["cache-control"] == "no-store"
    assert "Traceback" not in answered.text
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(answered.json()["error"])


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_gets_a_sentence_and_the_next_one_its_prediction(app, good, caplog, name):
    caplog.set_level(logging.INFO)
    request, status, sentence = BAD[name]
    answered = ask(app, "POST", "/predict", **request)
    refused(answered, status, sentence)
    assert MARKER not in answered.text
    assert ask(app, "GET", "/health").json()["status"] == "ok"
    assert ask(app, "POST", "/predict", **good[0]).json()["predictions"] == good[1]
    assert MARKER not in caplog.text


@pytest.mark.parametrize(
    ("asked", "status", "sentence"),
    [
        (f"GET /{MARKER}", 404, "found another path"),
        ("POST /predict/", 404, "found another path"),
        ("GET /redoc", 404, "/docs and /openapi.json; found another path"),
        ("GET /predict", 405, "must be POST for /predict and /explain"),
        ("DELETE /model", 405, "POST for /predict and /explain, and GET or HEAD for every other path; found another"),
    ],
)
def test_other_paths_and_methods_are_refused_and_not_logged(app, caplog, asked, status, sentence):
    caplog.set_level(logging.INFO)
    refused(ask(app, *asked.split(), params={"q": MARKER}), status, sentence)
    assert MARKER not in caplog.text
    assert f"{status} in" in caplog.text


def test_a_405_names_the_methods_that_may_be_used(app):
    assert ask(app, "DELETE", "/model").headers["allow"] == "GET, HEAD"
    assert ask(app, "HEAD", "/predict").headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({}, "one subject at a time is explained; found 2"),
        ({"subject": 2}, "below the number of subjects, 2"),
        ({"subject": -1}, "subject in the query must be at least 0"),
        ({"top": 0}, "top in the query must be at least 1"),
        ({"subject": "first"}, "subject in the query must be a whole number; found text"),
    ],
)
def test_codes_are_told_of_one_subject_that_is_there(params, sentence):
    refused(ask(app_on(), "POST", "/explain", params=params, **as_csv(some_events(2))), 422, sentence)


def test_who_can_not_be_scored_can_not_be_explained():
    refused(ask(app_on(), "POST", "/explain", **rest()), 422, "only a subject that is scored can be explained")


def test_a_record_is_explained_while_its_visits_times_its_codes_are_few():
    table = some_events(1)
    codes = ask(app_on(), "POST", "/explain", **as_csv(table)).json()["codes"]
    readings = len(codes) * ask(app_on(), "POST", "/predict", **as_csv(table)).json()["predictions"][0]["visits"]
    for most, status in ((readings, 200), (readings - 1, 422)):
        app = app_on(limits=dataclasses.replace(ENOUGH, explained_visits=most))
        assert ask(app, "POST", "/explain", **as_csv(table)).status_code == status
    refused(
        ask(app, "POST", "/explain", **as_csv(table)),
        422,
        rf"visits times its codes must be at most {most:,} .*; found {readings:,}",
    )


def test_a_landmark_model_predicts_once():
    asked = as_json(some_events(1), per_visit=True)
    refused(ask(app_on("landmark"), "POST", "/predict", json=asked), 422, "per_visit needs a bundle of the visit clock")


def test_a_chunked_body_is_counted(app):
    async def chunks():
        for _ in range(1000):
            yield b" " * 10_000

    refused(ask(app, "POST", "/predict", content=chunks(), headers=JSON), 413, "at most 0.0625 MiB")


@pytest.mark.parametrize(("more", "status"), [(0, 422), (1, 413)])
def test_a_chunked_body_may_be_as_large_as_the_limit_and_no_larger(app, more, status):
    async def chunks():
        yield b" " * (FEW.max_body_bytes // 2)
        yield b" " * (FEW.max_body_bytes // 2 + more)

    assert ask(app, "POST", "/predict", content=chunks(), headers=JSON).status_code == status


def test_a_body_that_does_not_come_is_not_waited_for():
    async def never():
        yield b"{"
        await asyncio.sleep(60)

    app = app_on(limits=dataclasses.replace(FEW, body_seconds=0.05))
    answered = ask(app, "POST", "/predict", content=never(), headers=JSON, timeout=LINGER_SECONDS + 10)
    refused(answered, 408, "must arrive within 0.05 seconds")
    assert answered.headers["connection"] == "close"


def test_every_answer_carries_the_headers_of_a_careful_server(app):
    for path in ("/", "/health", "/model", "/openapi.json", "/nowhere"):
        headers = ask(app, "GET", path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("host", "asked", "is_own"),
    [
        ("127.0.0.1", "localhost:8000", True),
        ("127.0.0.1", "LOCALHOST", True),
        ("127.0.0.1", "[::1]:8000", True),
        ("127.0.0.1", "[::1]", True),
        ("127.0.0.1", "10.0.0.1:8000", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "", False),
        ("ward.example", "ward.example:8000", True),
        ("ward.example", "other.example:8000", False),
        ("0.0.0.0", "10.0.0.1:8000", True),
        ("0.0.0.0", "evil.example", False),
    ],
)
def test_only_its_own_names_are_answered_to(host, asked, is_own):
    answered = ask(app_on(host=host), "GET", "/health", headers={"host": asked})
    assert (answered.status_code == 200) is is_own
    if not is_own:
        refused(answered, 421, "must be the name that survlstm serves under")


def test_its_own_page_may_ask(app):
    assert ask(app, "POST", "/predict", headers={"origin": HERE}, **rest()).status_code == 200


@dataclasses.dataclass(frozen=True)
class Failing(Predictor):
    """A predictor that raises an error whose message names the subject."""

    def explain(self, events, **options):
        raise ValueError(f"could not convert {events['subject_id'].iloc[0]}")


def test_what_nobody_expected_is_told_without_what_was_sent(caplog):
    caplog.set_level(logging.INFO)
    app = app_on(predictor=Failing(predictor_on("visit").bundle))
    answered = ask(app, "POST", "/explain", **rest())
    refused(answered, 500, "its log names the line")
    assert MARKER not in answered.text
    assert MARKER not in caplog.text
    assert "ValueError in survlstm/serving/app.py:" in caplog.text
    assert "POST /explain 500" in caplog.text
    assert "1 event of 1 subject" in caplog.text
    assert ask(app, "POST", "/predict", **rest()).status_code == 200


class Slow(Predictor):
    """A predictor that waits until the test releases it."""

    may_go_on = threading.Event()

    def predict(self, events, **options):
        if not events["subject_id"].str.startswith("example").all():
            assert self.may_go_on.wait(30)
        return super().predict(events, **options)


def test_slow_predictions_block_nobody_and_too_many_are_sent_away():
    limits = dataclasses.replace(FEW, at_once=1, waiting=1)
    app = app_on(predictor=Slow(predictor_on("visit").bundle), limits=limits)

    async def story():
        slow = [asyncio.create_task(answer(app, "POST", "/predict", **rest())) for _ in range(2)]
        await asyncio.sleep(0.2)
        health = await asyncio.wait_for(answer(app, "GET", "/health"), 5)
        third = await asyncio.wait_for(answer(app, "POST", "/predict", **rest()), 5)
        Slow.may_go_on.set()
        return health, third, await asyncio.gather(*slow), await answer(app, "POST", "/predict", **rest())

    health, third, slow, after = asyncio.run(story())
    assert health.json()["status"] == "ok"
    refused(third, 503, "at most 2 requests can be answered or wait at once")
    assert third.headers["retry-after"] == "1"
    assert [one.status_code for one in [*slow, after]] == [200] * 3


class SlowToExplain(Predictor):
    """A predictor whose explanation waits until the test releases it."""

    may_go_on = threading.Event()

    def explain(self, events, **options):
        assert self.may_go_on.wait(30)
        return super().explain(events, **options)


def test_predictions_do_not_wait_for_explanations():
    limits = dataclasses.replace(ENOUGH, explain_waiting=1)
    app = app_on(predictor=SlowToExplain(predictor_on("visit").bundle), limits=limits)
    table = as_csv(some_events(1))

    async def story():
        slow = [asyncio.create_task(answer(app, "POST", "/explain", **table)) for _ in range(2)]
        await asyncio.sleep(0.2)
        third = await asyncio.wait_for(answer(app, "POST", "/explain", **table), 5)
        meanwhile = await asyncio.wait_for(answer(app, "POST", "/predict", **table), 5)
        done_before = app.end_jobs()
        SlowToExplain.may_go_on.set()
        return meanwhile, third, done_before, await asyncio.gather(*slow, return_exceptions=True)

    meanwhile, third, done_before, slow = asyncio.run(story())
    assert meanwhile.status_code == 200
    refused(third, 503, "at most 2 requests can be answered or wait at once")
    assert not done_before
    assert slow[0].status_code == 200
    assert isinstance(slow[1], asyncio.CancelledError)
    assert app.end_jobs()


def test_a_client_that_goes_away_is_one_line_and_no_failure(app, caplog):
    caplog.set_level(logging.INFO)
    came = iter(
        [
            {"type": "http.request", "body": MARKER.encode(), "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"text/csv"), (b"content-length", b"100")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": headers}

    async def receive():
        return next(came)

    async def send(message):
        raise AssertionError(message)

    asyncio.run(app(scope, receive, send))
    (line,) = (record for record in caplog.records if record.name.startswith("survlstm"))
    assert line.levelno == logging.INFO
    with pytest.raises(AssertionError, match=r"^POST /predict client disconnected after \d+ ms$"):
        raise AssertionError(line.getMessage())
