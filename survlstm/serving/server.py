"""A bundle → a process that answers on a port, until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import uvicorn

from survlstm.config.schema.commands import ServeConfig
from survlstm.inference.predictor import load_bundle
from survlstm.serving.app import RequestLimits, create_app
from survlstm.serving.http_protocol import StrictProtocol
from survlstm.utils.errors import ServingError

log = logging.getLogger(__name__)

# So long an answer that is being made may take when the server is told to stop.
GRACE_SECONDS = 10
# With more connections open every request gets uvicorn's own 503, which is plain text and not in the log's lines.
MOST_CONNECTIONS = 256
# So long a connection may be open without a request: uvicorn itself would wait for the first one for ever.
IDLE_SECONDS = 10.0
# Their own lines would go to the console by themselves, with what an error was about.
LIBRARIES = ("uvicorn", "asyncio")


class _WithoutValues(logging.Handler):
    """What the libraries say, without the values that they put in and without tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        log.warning("%s: %s", record.name, str(record.msg).strip().partition("\n")[0])


class _NotForEver(StrictProtocol):
    """HTTP, by which a connection that nothing is asked on for IDLE_SECONDS to twice as long is closed."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look now and then."""
        super().connection_made(transport)
        self._look_again(idle_since=None)

    def _look_again(self, *, idle_since: object) -> None:
        self.loop.call_later(IDLE_SECONDS, self._look, idle_since)

    def _look(self, idle_since: object) -> None:
        """``idle_since`` is the request after which nothing was asked when it was looked last."""
        if self.transport.is_closing():
            return
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self.cycle is idle_since:
            self.transport.close()
        else:
            self._look_again(idle_since=self.cycle if is_idle else self)


def run_server(config: ServeConfig) -> None:
    """Load, listen and answer; returns when SIGTERM or SIGINT came and what was asked is answered.

    Where a job still runs GRACE_SECONDS later, the process ends here. Raises BundleError for the bundle, ServingError
    where the address can't be listened at.
    """
    with _listening(config.host, config.port) as listener:
        predictor = load_bundle(Path(config.bundle))
        limits = RequestLimits(max_body_bytes=int(config.max_body_mib * 2**20), max_events=config.max_events)
        app = create_app(predictor, limits, host=config.host, names=config.names)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=_NotForEver,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                ws="none",
                # An address that a client makes up for itself is of no use here.
                proxy_headers=False,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        if not _is_loopback(listener):
            log.warning(
                "host=%s: everybody who reaches this address can use the model; there is no login and no encryption",
                config.host,
            )
        log.info("Serving %s at %s (Ctrl-C ends it)", predictor.bundle.about.name, _url(config.host, listener))
        with _ended_by_signals(server), _libraries_told():
            server.run(sockets=[listener])
    if not app.end_jobs():
        _leave()
    log.info("Stopped")


def _leave() -> NoReturn:
    """End the process though a thread is at work.

    No thread can be stopped from outside, and the interpreter would wait for it at its end, minutes long. As a daemon
    it would not be waited for, but torn out of torch's own code, which can abort the process. Nothing is lost: the
    server writes nothing but its log.
    """
    try:
        log.warning("Stopped; what was still running %d seconds after the signal is given up", GRACE_SECONDS)
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(0)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens already, so that a port that is taken is told before anything is loaded."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServingError(f"host must be a name or an address of this machine; found {host!r}: {error}") from error
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
        except OSError as error:
            raise ServingError(_why_not(error, host, port)) from error
        yield listener


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port must be free; {port} at {host} is taken. Set another port=, or port=0 for any that is free"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"host must be an address of this machine; found {host!r}"
    return (
        f"survlstm must be able to listen at {host}, port {port}; the system says: {error.strerror}. Set another port="
    )


def _is_loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def _url(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


@contextmanager
def _ended_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """uvicorn raises a signal again when it is done with it: the end that was asked for is no failure."""
    kinds = (signal.SIGTERM, signal.SIGINT)

    def end(*_: object) -> None:
        server.should_exit = True

    before = {kind: signal.signal(kind, end) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


@contextmanager
def _libraries_told() -> Iterator[None]:
    handler = _WithoutValues(logging.WARNING)
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagate
