"""Run a logger in a background thread, so that its errors and delays do not affect the run."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from survlstm.training.history import History
from survlstm.training.loggers.logger import MOST_SHOWN, Logger, State
from survlstm.utils.errors import first_line

log = logging.getLogger(__name__)


class _Call(NamedTuple):
    """A call for the thread.

    Attributes:
        function: What to call.
        done: Set after the call, whether it has succeeded or not.
    """

    function: Callable[[], None]
    done: threading.Event


class BackgroundLogger:
    """Call a logger in a thread of its own; the run waits for it only when it begins and when it ends.

    Each wait lasts ``patience_seconds`` at most, whatever blocks: a server, a name look-up, a locked database,
    a broken disk. Epochs are passed on without waiting. The first error of any kind, or the first timeout, is logged as
    one WARNING; the logger is then switched off until the run is resumed.

    Attributes:
        logger: The logger that is called.
        name: Its name.
        patience_seconds: Its timeout.
    """

    def __init__(self, logger: Logger) -> None:
        self.logger = logger
        self.name, self.patience_seconds = logger.name, logger.patience_seconds
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._latest: History | None = None
        self._is_off = False
        self._lock = threading.Lock()

    @property
    def advice(self) -> str:
        """The advice of the wrapped logger."""
        return self.logger.advice

    def begin(self, config: dict[str, Any], *, name: str, folder: Path) -> None:
        """Begin logging the run; return when that is done, has failed or has timed out.

        Args:
            config: As for ``Logger.begin``.
            name: As for ``Logger.begin``.
            folder: As for ``Logger.begin``.
        """
        # A daemon thread, because a call that never returns must not keep the process alive.
        threading.Thread(target=self._process_calls, name=f"logger {self.name}", daemon=True).start()
        self._wait_for(lambda: self.logger.begin(config, name=name, folder=folder))

    def epoch_ended(self, history: History) -> None:
        """Pass on a copy of the epochs so far, and return at once.

        Args:
            history: All epochs so far.
        """
        snapshot = dataclasses.replace(history, epochs=list(history.epochs))
        self._latest = snapshot
        self._enqueue(lambda: self._log_epochs(snapshot))

    def end(self, metrics: dict[str, float], folder: Path, state: State) -> None:
        """Log the end of the run; return when everything is logged, has failed or has timed out.

        Args:
            metrics: As for ``Logger.end``.
            folder: As for ``Logger.end``.
            state: How the run ended.
        """
        self._wait_for(lambda: self.logger.end(metrics, folder, state))

    def close(self) -> None:
        """Let the thread end after the calls that are still queued, and return at once."""
        self._calls.put(None)

    def _log_epochs(self, history: History) -> None:
        # Where epochs end faster than they are logged, older calls are skipped: the latest one holds all epochs.
        if history is self._latest:
            self.logger.epoch_ended(history)

    def _enqueue(self, function: Callable[[], None]) -> threading.Event:
        done = threading.Event()
        self._calls.put(_Call(function, done))
        return done

    def _wait_for(self, function: Callable[[], None]) -> None:
        if not self._is_off and not self._enqueue(function).wait(self.patience_seconds):
            self._switch_off(
                f"it has not answered for {self.patience_seconds:g} s", "or raise logger.patience_seconds; "
            )

    def _process_calls(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                if not self._is_off:
                    call.function()
            # BaseException, so that a package that raises SystemExit ends its own logging and not the run.
            except BaseException as error:
                self._switch_off(first_line(error, with_type=True, at_most=MOST_SHOWN))
            call.done.set()
        with suppress(BaseException):
            self.logger.close()

    def _switch_off(self, reason: str, more_advice: str = "") -> None:
        with self._lock:
            if self._is_off:
                return
            self._is_off = True
        log.warning(
            "logger=%s is switched off, and the run continues without it: %s. %s; %shistory.json and metrics.json "
            "hold all of the figures",
            self.name,
            reason.rstrip("."),
            self.advice,
            more_advice,
        )
