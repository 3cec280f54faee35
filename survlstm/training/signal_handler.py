"""Turn SIGTERM and SIGINT into a request to stop, which training fulfils after the current step."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class SignalHandler:
    """Remember the first signal that asks the process to stop.

    Attributes:
        signal_number: Number of that signal; 0 while none has arrived.
    """

    signal_number: int = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT until the block ends.

        A second signal of the same kind is handled as it was before the block, so that Ctrl+C pressed twice interrupts
        at once.
        """
        kinds = (signal.SIGTERM, signal.SIGINT)
        before = {kind: signal.getsignal(kind) for kind in kinds}

        def request(kind: int, _: FrameType | None) -> None:
            self.signal_number = self.signal_number or kind
            signal.signal(kind, before[signal.Signals(kind)])

        for kind in kinds:
            signal.signal(kind, request)
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)
