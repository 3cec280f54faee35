"""ASGI middleware: what is asked from elsewhere or is too large is refused, nothing unexpected reaches a client."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from survlstm.report.formatting import format_count
from survlstm.serving.errors import RequestError, error_response
from survlstm.utils.content import last_line_in_package

log = logging.getLogger(__name__)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# A client that goes on sending is listened to for so long, or the reset would take its answer away.
LINGER_SECONDS = 2.0
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True)
class RequestFacts:
    """What the line about a request may tell of its body."""

    events: int
    subjects: int


class AccessLog:
    """One line per request, security headers on every answer, and a sentence for what nobody expected.

    The line holds the method, the path where it is one of ``paths``, the status, milliseconds, and
    ``RequestFacts`` where ``scope["state"]["counted"]`` has it: nothing else that a client sent.
    """

    def __init__(self, app: ASGIApp, *, paths: frozenset[str]) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, milliseconds = time.perf_counter(), 0, 0.0

        async def send_safely(message: Message) -> None:
            nonlocal status, milliseconds
            if message["type"] == "http.response.start":
                status, milliseconds = message["status"], (time.perf_counter() - began) * 1000
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_safely)
        except ClientDisconnect:
            self._tell(scope, "client went away after", (time.perf_counter() - began) * 1000)
            return
        except Exception as error:
            # Not its message, which may hold what was sent.
            log.error("%s in %s", type(error).__name__, last_line_in_package(error.__traceback__))
            if not status:
                await error_response(
                    500, "survlstm could not answer this; its log says where it failed. Nothing was kept"
                )(scope, receive, send_safely)
        self._tell(scope, f"{status} in", milliseconds)

    def _tell(self, scope: Scope, outcome: str, milliseconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "(another method)"
        path = scope["path"] if scope["path"] in self._paths else "(another path)"
        counted = scope.get("state", {}).get("counted")
        of = (
            f", {format_count(counted.events, 'event')} of {format_count(counted.subjects, 'subject')}"
            if counted
            else ""
        )
        log.info("%s %s %s %.0f ms%s", method, path, outcome, milliseconds, of)


class BodyLimit:
    """Refuses a body of more than ``most_bytes``: by its Content-Length unread, otherwise while it comes.

    Whoever is answered before all of the body came is told that the connection closes.
    """

    def __init__(self, app: ASGIApp, *, most_bytes: int) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        announced = int(headers.get("content-length", "0"))
        is_coming, received = announced > 0 or "transfer-encoding" in headers, 0

        async def receive_counting() -> Message:
            nonlocal is_coming, received
            message = await receive()
            received += len(message.get("body", b""))
            is_coming = is_coming and message.get("more_body", False)
            if received > self._most_bytes:
                raise self._problem()
            return message

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and is_coming:
                MutableHeaders(scope=message)["connection"] = "close"
            elif message["type"] == "http.response.body" and is_coming and not message.get("more_body"):
                await send({**message, "more_body": True})
                await _drop(receive)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        if announced > self._most_bytes:
            problem = self._problem()
            await error_response(problem.status_code, problem.detail)(scope, receive, send_and_close)
        else:
            await self._app(scope, receive_counting, send_and_close)

    def _problem(self) -> RequestError:
        return RequestError(
            413,
            f"a request must hold at most {self._most_bytes / 2**20:.3g} MiB (max_body_mib); found more. Send the "
            "subjects in several requests",
        )


class OriginCheck:
    """Refuses what a page of another origin sends (403), and names that are not this server's (421).

    A browser lets any page send requests to localhost, and a name that is made to point here makes it same-origin.
    """

    def __init__(self, app: ASGIApp, *, host: str, names: Sequence[str]) -> None:
        self._app = app
        self._names = LOOPBACK | {host.lower(), *(name.lower() for name in names)}
        self._any_address = _is_wildcard(host)
        if self._any_address:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host, origin = headers.get("host", "").lower(), headers.get("origin")
            if not self._is_own(host):
                sentence = (
                    "the Host of a request must be the name that survlstm serves under; found another. Set host= or "
                    "names="
                )
                await error_response(421, sentence)(scope, receive, send)
                return
            if origin is not None and scope["method"] not in SAFE and origin.lower().partition("://")[2] != host:
                sentence = "a request must come from survlstm's own page or from no page; found another origin"
                await error_response(403, sentence)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_own(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.removeprefix("[").removesuffix("]")
        # An address can't be made to point elsewhere.
        return name in self._names or (self._any_address and _is_address(name))


def _is_wildcard(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class HeadAsGet:
    """Answers HEAD with the status and the headers of GET: health checks and proxies ask so.

    Behind it there is only GET; it drops the body, and says in a 405 that HEAD may be asked where GET may.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("allow") == "GET":
                    headers["allow"] = "GET, HEAD"
            elif is_head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"} if is_head else scope, receive, send_without_body)


async def _drop(receive: Receive) -> None:
    """Read what is still sent and keep nothing of it, for a moment."""
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
    except TimeoutError:
        return
