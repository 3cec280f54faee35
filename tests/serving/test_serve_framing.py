"""Ambiguous requests on a raw socket are refused, and no request after them is read."""

import contextlib
import json
import re
import socket
import threading
import time

import pytest
import uvicorn

from survlstm.serving.server import IdleTimeoutProtocol
from tests.serving.asking import app_on

HOST = b"Host: 127.0.0.1\r\n"
BEHIND = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKED = b"3\r\nabc\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
def port():
    """Serve the application in a thread of this process; return its address."""
    config = uvicorn.Config(
        app_on(),
        http=IdleTimeoutProtocol,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


def post(headers, body, *, version=b"1.1"):
    """Build a request with a table of events, with correct or ambiguous framing."""
    return b"POST /predict HTTP/" + version + b"\r\n" + HOST + b"Content-Type: text/csv\r\n" + headers + b"\r\n" + body


def sent(port, data, *, seconds=0.3):
    """Return everything that is received, and whether the server closed the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        connection.settimeout(seconds)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while True:
                try:
                    part = connection.recv(65536)
                except TimeoutError:
                    return received, False
                if not part:
                    break
                received += part
        return received, True


def statuses(received):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", received)]


REFUSED = {
    "a length and chunks": post(b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", CHUNKED),
    "chunks and a length": post(b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", CHUNKED),
    "both, to be read": b"GET /health HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": post(b"Content-Length: 3\r\nContent-Length: 4\r\n", b"abc"),
    "a list of lengths": post(b"Content-Length: 3, 4\r\n", b"abc"),
    "a length with a sign": post(b"Content-Length: +3\r\n", b"abc"),
    "identity, then chunked": post(b"Transfer-Encoding: identity, chunked\r\n", CHUNKED),
    "identity": post(b"Transfer-Encoding: identity\r\n", b""),
    "chunked twice": post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", CHUNKED),
    "hardly chunked": post(b"Transfer-Encoding: xchunked\r\n", CHUNKED),
    "a space before the colon": post(b"Transfer-Encoding : chunked\r\n", CHUNKED),
    "a folded encoding": post(b"Transfer-Encoding:\r\n chunked\r\n", CHUNKED),
    "a folded line that hides one": post(b"X: y\r\n\tTransfer-Encoding: chunked\r\nContent-Length: 3\r\n", b"abc"),
    "lone line feeds": post(b"Content-Length: 3\r\nX: y\nTransfer-Encoding: chunked\r\n", b"abc"),
    "a lone line feed at the end": post(b"Content-Length: 3\n", b"abc"),
    "a lone line feed in a chunk": post(b"Transfer-Encoding: chunked\r\n", b"3\nabc\n0\n\n"),
    "a chunk without an end": post(b"Transfer-Encoding: chunked\r\n", b"3\r\nabcXX0\r\n\r\n"),
    "a chunk below 0": post(b"Transfer-Encoding: chunked\r\n", b"-1\r\nabc\r\n0\r\n\r\n"),
    "a line feed in a chunk's extension": post(b"Transfer-Encoding: chunked\r\n", b"3;a\nb\r\nabc\r\n0\r\n\r\n"),
    "two hosts": b"GET /health HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_ambiguous_request_is_refused_and_none_behind_it_is_answered(port, name):
    received, closed = sent(port, REFUSED[name] + BEHIND, seconds=10)
    assert closed
    assert statuses(received) == [400]
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"cache-control: no-store" in head
    assert json.loads(body)["error"].startswith("a request must be HTTP/1.1 with one Host, one length")


def test_an_ambiguous_request_behind_a_good_one_is_refused_too(port):
    received, closed = sent(port, BEHIND + post(b"Content-Length: 3\r\nX: y\r\n z\r\n", b"abc") + BEHIND, seconds=10)
    assert closed
    assert statuses(received) == [200, 400]


def test_requests_one_behind_another_are_answered(port):
    chunks = b"1;name=value\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
    requests = [
        post(b"Content-Length: 3\r\n", b"abc"),
        post(b"Transfer-Encoding: chunked\r\n", chunks),
        post(b"Transfer-Encoding: Chunked\r\nX: y  z\r\n", CHUNKED),
        BEHIND.replace(HOST, HOST + b"Connection: close\r\n"),
    ]
    received, _ = sent(port, b"".join(requests), seconds=10)
    assert statuses(received) == [422, 422, 422, 200]


def test_a_body_that_breaks_behind_its_answer_closes_the_connection(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        start = b"POST /predict HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        connection.sendall(start)
        received = connection.recv(65536)
        assert statuses(received) == [415]
        connection.sendall(b"no chunk\r\n" + BEHIND)
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65536):
                received += part
    assert statuses(received) == [415]


@pytest.mark.parametrize("path", ["/health", "/model", "/example", "/openapi.json", "/docs", "/"])
def test_head_gives_the_headers_of_get_and_no_body(port, path):
    request = path.encode() + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    (of_get, _), (of_head, closed) = (sent(port, method + b" " + request, seconds=10) for method in (b"GET", b"HEAD"))
    assert closed
    assert statuses(of_head) == [200]
    head, _, body = of_head.partition(b"\r\n\r\n")
    assert body == b""
    names = [{line.split(b":")[0] for line in part.split(b"\r\n")[1:]} for part in (head, of_get.split(b"\r\n\r\n")[0])]
    assert names[0] == names[1] >= {b"content-length", b"content-type", b"cache-control"}
