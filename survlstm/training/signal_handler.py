"""SIGTERM and SIGINT → a request that training grants at the end of its step."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class SignalHandler:
    """``signal_number`` is that of the first signal that came, 0 so far."""

    signal_number: int = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals as requests until the block ends; a second one of a kind acts as it would have without."""
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
