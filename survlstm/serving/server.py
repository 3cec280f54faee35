"""Run the server process: listen, load the bundle, serve, and stop on a signal."""

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

# How long running requests may take after a signal to stop.
GRACE_SECONDS = 10
# With more open connections uvicorn answers every request with its own 503, which is plain text and not logged.
MOST_CONNECTIONS = 256
# How long a connection may be open without a request; uvicorn alone would wait for the first one without limit.
IDLE_SECONDS = 10.0
# Loggers whose own messages would go to the console, and may quote a request.
LIBRARIES = ("uvicorn", "asyncio")


class _TemplateHandler(logging.Handler):
    """Log the message templates of the libraries, without the values inserted into them and without tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        log.warning("%s: %s", record.name, str(record.msg).strip().partition("\n")[0])


class IdleTimeoutProtocol(StrictProtocol):
    """HTTP that closes a connection after one to two times IDLE_SECONDS without a request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Schedule the first check for a new connection.

        Args:
            transport: The connection.
        """
        super().connection_made(transport)
        self._schedule_check(idle_since=None)

    def _schedule_check(self, *, idle_since: object) -> None:
        self.loop.call_later(IDLE_SECONDS, self._check_idle, idle_since)

    def _check_idle(self, idle_since: object) -> None:
        """Close the connection if no request has come since the last check.

        Args:
            idle_since: The last answered request at the last check, None where there was none; ``self`` where a
                request was being answered.
        """
        if self.transport.is_closing():
            return
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self.cycle is idle_since:
            self.transport.close()
        else:
            self._schedule_check(idle_since=self.cycle if is_idle else self)


def run_server(config: ServeConfig) -> None:
    """Serve a bundle; return after SIGTERM or SIGINT, when all running requests are answered.

    If a job still runs ``GRACE_SECONDS`` after the signal, the process exits with status 0 instead of returning.

    Args:
        config: Bundle, address and limits.

    Raises:
        ServingError: The server can't listen at the address.
        BundleError: The bundle can't be used.
    """
    with _listening(config.host, config.port) as listener:
        predictor = load_bundle(Path(config.bundle), allow=config.allow)
        limits = RequestLimits(max_body_bytes=int(config.max_body_mib * 2**20), max_events=config.max_events)
        app = create_app(predictor, limits, host=config.host, names=config.names)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=IdleTimeoutProtocol,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                ws="none",
                # Headers such as X-Forwarded-For are ignored: any client can set them.
                proxy_headers=False,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        if not _is_loopback(listener):
            log.warning(
                "host=%s: everyone who can reach this address can use the model; there is no login and no encryption",
                config.host,
            )
        log.info("Serving %s at %s (press Ctrl-C to stop)", predictor.bundle.about.name, _url(config.host, listener))
        with _stopped_by_signals(server), _library_logs_filtered():
            server.run(sockets=[listener])
    if not app.end_jobs():
        _exit_with_running_jobs()
    log.info("Stopped")


def _exit_with_running_jobs() -> NoReturn:
    """Exit the process while a thread still runs a job.

    A thread can't be stopped from outside, and the interpreter would wait minutes for it at exit. A daemon thread would
    be killed inside torch's own code, which can abort the process. Nothing is lost, because the server writes nothing
    but its log.
    """
    try:
        log.warning("Stopped; requests that were still running %d seconds after the signal are aborted", GRACE_SECONDS)
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(0)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Open a listening socket before the bundle is loaded, so that a taken port is reported at once."""
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
            raise ServingError(_listening_error(error, host, port)) from error
        yield listener


def _listening_error(error: OSError, host: str, port: int) -> str:
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
def _stopped_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Stop the server on SIGTERM and SIGINT.

    uvicorn's own handlers raise the signal again after the server has stopped, and the process would end as failed.
    """
    kinds = (signal.SIGTERM, signal.SIGINT)

    def stop(*_: object) -> None:
        server.should_exit = True

    before = {kind: signal.signal(kind, stop) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


@contextmanager
def _library_logs_filtered() -> Iterator[None]:
    handler = _TemplateHandler(logging.WARNING)
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
