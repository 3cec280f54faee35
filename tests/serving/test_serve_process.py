"""``survlstm serve`` from the command line: train, export, serve, valid and invalid requests, stop."""

import builtins
import contextlib
import http.client
import json
import signal
import socket
import time
from pathlib import Path

import httpx
import pandas as pd
import pytest

from survlstm.inference.bundle.bundle import write_bundle
from survlstm.inference.predictor import load_bundle
from survlstm.serving.server import MOST_CONNECTIONS
from tests.bundles import bundle_on
from tests.serving.serving_process import SECONDS, serving

MARKER = "MARKER-7f3a"
SMOKE = ["train", "experiment=smoke", "evaluation.baselines=[]", "evaluation.landmarks.visits=[]", "output_dir=run"]


@pytest.fixture
def bundle(survlstm, tmp_path):
    """The bundle of a trained smoke model."""
    assert survlstm(*SMOKE) == 0
    assert survlstm("export", "run=run", "output=bundle") == 0
    return tmp_path / "bundle"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The bundle of a model that is not trained."""
    folder = tmp_path_factory.mktemp("small") / "bundle"
    write_bundle(bundle_on("visit"), folder, figures={}, extras={})
    return folder


@pytest.fixture(scope="module")
def served(small, tmp_path_factory):
    """A server that the tests leave running."""
    with serving(tmp_path_factory.mktemp("served"), f"bundle={small}") as server:
        yield server


@pytest.fixture
def hurried(small, tmp_path):
    """A server with short timeouts and endless explanations."""
    program = (str(Path(__file__).with_name("hurried_server.py")),)
    with serving(tmp_path, f"bundle={small}", program=program) as server:
        yield server


def marked(client):
    """The example, with the marker as its identifier and as a code."""
    text = client.get("/example").text.replace("example,", f"{MARKER},")
    return text + f"{MARKER},2013-02-11T09:30:00,{MARKER}/1,visit-1\n"


def test_train_export_serve(bundle, tmp_path):
    with serving(tmp_path, f"bundle={bundle}", "max_body_mib=0.5") as served:
        with httpx.Client(base_url=served.url, timeout=SECONDS) as client:
            assert served.url.startswith("http://127.0.0.1:")
            table = marked(client)
            csv = {"content": table, "headers": {"content-type": "text/csv"}}
            good = client.post("/predict", **csv)
            (row,) = good.json()["predictions"]
            assert row["subject_id"] == MARKER
            assert row["entries_unknown"] == 1
            (tmp_path / "events.csv").write_text(table)
            (alone,) = load_bundle(bundle).predict(pd.read_csv(tmp_path / "events.csv")).table.to_dict("records")
            assert row["risk"] == pytest.approx(alone["risk"], abs=1e-6)
            assert row["curve"] == pytest.approx(list(alone["curve"]), abs=1e-6)
            codes = client.post("/explain", params={"top": 3}, **csv).json()["codes"]
            assert len(codes) == 3
            assert all(code["description"] for code in codes)

            events = json.loads(pd.read_csv(tmp_path / "events.csv").to_json(orient="records"))
            for status, bad in {
                "broken": (422, {"content": f'{{"events": "{MARKER}', "headers": {"content-type": "application/json"}}),
                "fields": (422, {"json": {"events": [{**events[1], MARKER: MARKER}]}}),
                "times": (422, {"json": {"events": [{**events[1], "time": MARKER}]}}),
                "query": (422, {"params": {"as_of": MARKER}, **csv}),
                "form": (415, {"data": {"events": MARKER}}),
                "large": (413, {"content": MARKER * 100_000, "headers": {"content-type": "text/csv"}}),
                "page": (403, {"headers": {"origin": f"http://{MARKER}"}, "json": {}}),
                "host": (421, {"headers": {"host": MARKER}, "json": {}}),
            }.values():
                answered = client.post("/predict", **bad)
                assert answered.status_code == status
                assert set(answered.json()) == {"error"}
            assert client.get(f"/{MARKER}").status_code == 404
            assert client.request(MARKER, "/predict").status_code == 405
            assert not_http(served.port).startswith(b"HTTP/1.1 400")
            assert client.get("/health").json()["status"] == "ok"
            assert client.post("/predict", **csv).json() == good.json()

        assert served.process.poll() is None
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(SECONDS) == 0
        said = served.words.read_text()
        assert MARKER not in said
        assert "Traceback" not in said
        assert "POST /predict 200 in" in said
        assert "50 events of 1 subject" in said
        assert "there is no login" not in said
        assert said.endswith("Stopped\n")


def not_http(port):
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        connection.sendall(f"{MARKER}\r\n\r\n".encode())
        return connection.recv(100)


def head(*, announced=None):
    length = "Transfer-Encoding: chunked" if announced is None else f"Content-Length: {announced}"
    return f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\n{length}\r\n\r\n".encode()


def answer_of(connection):
    """Return everything that is received until the server closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            received += part
    return received


@pytest.mark.parametrize("sends", ["nothing", "all of it"])
def test_a_gigabyte_is_refused_and_the_connection_closes(served, sends):
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", served.port), timeout=SECONDS) as connection:
        connection.sendall(head(announced=10**9))
        if sends == "all of it":
            connection.settimeout(0.5)
            with contextlib.suppress(OSError):
                for _ in range(1000):
                    connection.sendall(b" " * 10**6)
            connection.settimeout(SECONDS)
        received = answer_of(connection)
    assert time.monotonic() - began < 20
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b"at most 10 MiB (max_body_mib)" in received

    with socket.create_connection(("127.0.0.1", served.port), timeout=SECONDS) as connection:
        connection.sendall(head())
        with contextlib.suppress(OSError):
            for _ in range(100):
                connection.sendall(b"f4240\r\n" + b" " * 10**6 + b"\r\n")
        assert answer_of(connection).startswith(b"HTTP/1.1 413 ")
    assert httpx.get(f"{served.url}/health").status_code == 200


def test_a_client_that_sends_first_and_reads_then_gets_its_sentence(served):
    client = http.client.HTTPConnection("127.0.0.1", served.port, timeout=SECONDS)
    client.request("POST", "/predict", body=b" " * 40_000_000, headers={"Content-Type": "text/csv"})
    answered = client.getresponse()
    assert answered.status == 413
    assert "at most 10 MiB" in json.loads(answered.read())["error"]
    client.close()


def test_a_keyboards_interrupt_ends_it_cleanly(small, tmp_path):
    with serving(tmp_path, f"bundle={small}", "host=0.0.0.0") as served:
        assert httpx.get(f"http://127.0.0.1:{served.port}/health").status_code == 200
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(SECONDS) == 0
        assert "host=0.0.0.0: everyone who can reach this address can use the model" in served.words.read_text()


def connection_to(served):
    return socket.create_connection(("127.0.0.1", served.port), timeout=SECONDS)


def body_of_example(served):
    return {"content": httpx.get(f"{served.url}/example").text, "headers": {"content-type": "text/csv"}}


def asking_for_codes(content):
    start = head(announced=len(content)).replace(b"/predict", b"/explain")
    return start + content.encode()


def test_what_is_still_running_after_the_grace_does_not_keep_the_process(hurried):
    body = body_of_example(hurried)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connection_to(hurried)).sendall(asking_for_codes(body["content"]))
        time.sleep(0.5)
        assert httpx.post(f"{hurried.url}/predict", timeout=SECONDS, **body).status_code == 200
        hurried.process.send_signal(signal.SIGTERM)
        assert hurried.process.wait(20) == 0
    said = hurried.words.read_text()
    assert said.endswith("Stopped; requests that were still running 1 seconds after the signal are aborted\n")
    assert "Traceback" not in said


def test_a_client_that_goes_away_is_no_failure(hurried):
    with connection_to(hurried) as connection:
        connection.sendall(head(announced=1000) + MARKER.encode())
    until = time.monotonic() + SECONDS
    while "disconnected" not in (said := hurried.words.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    assert "POST /predict client disconnected after" in said
    for word in ("500", "ClientDisconnect", "uvicorn", MARKER):
        assert word not in said.partition("Ctrl-C")[2]


def test_idle_connections_are_bounded_and_closed(hurried):
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connection_to(hurried)) for _ in range(MOST_CONNECTIONS)]
        assert httpx.get(f"{hurried.url}/health", timeout=SECONDS).status_code == 503
        # A head that comes slowly is no request yet.
        idle[0].sendall(b"GET /health HTTP/1.1\r\n")
        assert [connection.recv(100) for connection in idle] == [b""] * MOST_CONNECTIONS
        assert httpx.get(f"{hurried.url}/health", timeout=SECONDS).status_code == 200


def test_a_connection_in_use_stays(hurried):
    body = body_of_example(hurried)
    often = http.client.HTTPConnection("127.0.0.1", hurried.port, timeout=SECONDS)
    with contextlib.closing(often), connection_to(hurried) as slow:
        slow.sendall(asking_for_codes(body["content"]))
        for _ in range(8):
            often.request("GET", "/health")
            assert json.loads(often.getresponse().read())["status"] == "ok"
            time.sleep(0.4)
        slow.setblocking(False)
        with pytest.raises(BlockingIOError, match="unavailable"):
            slow.recv(100)


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(survlstm, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert survlstm("serve", "bundle=nowhere", f"port={port}") == 9
    assert f"ServingError: port must be free; {port} at 127.0.0.1 is taken" in capsys.readouterr().out


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_this_machine_is_told(survlstm, capsys, host):
    assert survlstm("serve", "bundle=nowhere", "port=0", f"host={host}") == 9
    assert f"of this machine; found '{host}'" in capsys.readouterr().out


def test_a_bundle_that_is_none_is_told(survlstm, capsys):
    assert survlstm("serve", "bundle=nowhere", "port=0") == 8
    assert "BundleError: bundle must be a folder or a .zip that survlstm export wrote" in capsys.readouterr().out


def test_without_the_extra_it_says_what_to_install(survlstm, capsys, monkeypatch):
    found = builtins.__import__

    def missing(name, *rest):
        if name in {"fastapi", "uvicorn"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert survlstm("serve", "bundle=nowhere") == 2
    assert "survlstm serve needs fastapi and uvicorn: pip install 'survlstm[serve]'" in capsys.readouterr().out
