"""A logger → one that neither stops nor holds up a run: one warning, and silence after it."""

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


class _Ask(NamedTuple):
    """A call that the thread is to make; ``answered`` is set after it, whatever came of it."""

    call: Callable[[], None]
    answered: threading.Event


class BackgroundLogger:
    """A logger in a thread of its own: the run waits for it at its beginning and at its end only.

    It waits ``patience_seconds`` each time and no longer, whatever hangs: a server, a name look-up, a locked database,
    a dead disk. Epochs are passed on without waiting. The first error, of any kind, or the first wait in vain is logged
    as one WARNING; then the logger is off until the run is gone on with.
    """

    def __init__(self, logger: Logger) -> None:
        self.logger = logger
        self.name, self.patience_seconds = logger.name, logger.patience_seconds
        self._asked: SimpleQueue[_Ask | None] = SimpleQueue()
        self._latest: History | None = None
        self._is_off = False
        self._lock = threading.Lock()

    @property
    def advice(self) -> str:
        """The logger's."""
        return self.logger.advice

    def begin(self, config: dict[str, Any], *, name: str, folder: Path) -> None:
        """Begin, or go on; returns when that is done, has failed or takes too long."""
        # A daemon: a call that never returns must not keep the process alive.
        threading.Thread(target=self._work, name=f"logger {self.name}", daemon=True).start()
        self._wait_for(lambda: self.logger.begin(config, name=name, folder=folder))

    def epoch_ended(self, history: History) -> None:
        """Pass the epochs on, as they are now; returns at once."""
        told = dataclasses.replace(history, epochs=list(history.epochs))
        self._latest = told
        self._ask(lambda: self._tell(told))

    def end(self, metrics: dict[str, float], folder: Path, state: State) -> None:
        """Tell the end; returns when all is told, has failed or takes too long."""
        self._wait_for(lambda: self.logger.end(metrics, folder, state))

    def close(self) -> None:
        """Let the thread end when it has done what it was asked for; returns at once."""
        self._asked.put(None)

    def _tell(self, history: History) -> None:
        # Where a logger is slower than the epochs, a later call brings all of them.
        if history is self._latest:
            self.logger.epoch_ended(history)

    def _ask(self, call: Callable[[], None]) -> threading.Event:
        answered = threading.Event()
        self._asked.put(_Ask(call, answered))
        return answered

    def _wait_for(self, call: Callable[[], None]) -> None:
        if not self._is_off and not self._ask(call).wait(self.patience_seconds):
            self._give_up(f"it has not answered for {self.patience_seconds:g} s", "or raise logger.patience_seconds; ")

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            try:
                if not self._is_off:
                    asked.call()
            # The thread is the logger's alone: a package that would end the process ends itself.
            except BaseException as error:
                self._give_up(first_line(error, with_type=True, at_most=MOST_SHOWN))
            asked.answered.set()
        with suppress(BaseException):
            self.logger.close()

    def _give_up(self, why: str, also: str = "") -> None:
        with self._lock:
            if self._is_off:
                return
            self._is_off = True
        log.warning(
            "logger=%s is off from here on, and the run goes on: %s. %s; %shistory.json and metrics.json "
            "hold everything all the same",
            self.name,
            why.rstrip("."),
            self.advice,
            also,
        )
