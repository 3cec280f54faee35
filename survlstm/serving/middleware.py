"""ASGI middleware: access log, security headers, and limits on the size and the origin of requests."""

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
# How long the rest of a refused body is read: closing at once would reset the connection, and the client would lose
# the response.
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
    """What the access log may hold about the body of a request."""

    events: int
    subjects: int


class AccessLog:
    """Log one line for each request, set security headers, and answer unexpected errors with status 500.

    The line holds the method, the path, the status, the milliseconds and, where ``scope["state"]["facts"]`` is set,
    the ``RequestFacts``. It holds nothing else that a client sent.

    Args:
        app: The next application.
        paths: Paths that may be logged; others are logged as ``(another path)``.
    """

    def __init__(self, app: ASGIApp, *, paths: frozenset[str]) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
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
            self._log_request(scope, "client disconnected after", (time.perf_counter() - began) * 1000)
            return
        except Exception as error:
            # Without the error's message, which may quote the request.
            log.error("%s in %s", type(error).__name__, last_line_in_package(error.__traceback__))
            if not status:
                await error_response(
                    500, "survlstm failed on this request; its log names the line. Nothing of the request was stored"
                )(scope, receive, send_safely)
        self._log_request(scope, f"{status} in", milliseconds)

    def _log_request(self, scope: Scope, outcome: str, milliseconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "(another method)"
        path = scope["path"] if scope["path"] in self._paths else "(another path)"
        facts = scope.get("state", {}).get("facts")
        size = f", {format_count(facts.events, 'event')} of {format_count(facts.subjects, 'subject')}" if facts else ""
        log.info("%s %s %s %.0f ms%s", method, path, outcome, milliseconds, size)


class BodyLimit:
    """Refuse bodies of more than ``most_bytes`` with status 413.

    A body with a Content-Length is refused unread, a chunked one as soon as too much has arrived. A response that is
    sent before the whole body has arrived closes the connection.

    Args:
        app: The next application.
        most_bytes: Largest size of a body, in bytes.
    """

    def __init__(self, app: ASGIApp, *, most_bytes: int) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        announced = int(headers.get("content-length", "0"))
        is_incomplete, received = announced > 0 or "transfer-encoding" in headers, 0

        async def receive_counting() -> Message:
            nonlocal is_incomplete, received
            message = await receive()
            received += len(message.get("body", b""))
            is_incomplete = is_incomplete and message.get("more_body", False)
            if received > self._most_bytes:
                raise self._too_large()
            return message

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and is_incomplete:
                MutableHeaders(scope=message)["connection"] = "close"
            elif message["type"] == "http.response.body" and is_incomplete and not message.get("more_body"):
                await send({**message, "more_body": True})
                await _discard_body(receive)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        if announced > self._most_bytes:
            error = self._too_large()
            await error_response(error.status_code, error.detail)(scope, receive, send_and_close)
        else:
            await self._app(scope, receive_counting, send_and_close)

    def _too_large(self) -> RequestError:
        return RequestError(
            413,
            f"a request must hold at most {self._most_bytes / 2**20:.3g} MiB (max_body_mib); found more. Send the "
            "subjects in several requests",
        )


class OriginCheck:
    """Refuse requests from pages of another origin (403) and requests for other host names (421).

    A browser lets any page send requests to localhost. A page whose host name is made to resolve to this machine (DNS
    rebinding) even counts as the same origin, so the header Host is checked too.

    Args:
        app: The next application.
        host: The address at which the server listens.
        names: Further accepted host names.
    """

    def __init__(self, app: ASGIApp, *, host: str, names: Sequence[str]) -> None:
        self._app = app
        self._names = LOOPBACK | {host.lower(), *(name.lower() for name in names)}
        self._any_address = _is_wildcard(host)
        if self._any_address:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host, origin = headers.get("host", "").lower(), headers.get("origin")
            if not self._is_own(host):
                text = (
                    "the Host of a request must be the name that survlstm serves under; found another. Set host= or "
                    "names="
                )
                await error_response(421, text)(scope, receive, send)
                return
            if origin is not None and scope["method"] not in SAFE and origin.lower().partition("://")[2] != host:
                text = "a request must come from survlstm's own page or from no page; found another origin"
                await error_response(403, text)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_own(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.removeprefix("[").removesuffix("]")
        # A numeric address is no risk: DNS rebinding needs a name.
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
    """Answer HEAD, which health checks and proxies use, with the status and headers of GET.

    The application handles GET only; this drops the body, and adds HEAD to the allowed methods of a 405 response.

    Args:
        app: The next application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
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


async def _discard_body(receive: Receive) -> None:
    """Read and discard the rest of a body, for ``LINGER_SECONDS`` at most."""
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
    except TimeoutError:
        return
