"""Start ``survlstm serve`` as a process, and read its port from the log."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60


@dataclass(frozen=True)
class Served:
    """A running server, and the file that holds its output."""

    process: subprocess.Popen
    url: str
    words: Path

    @property
    def port(self):
        """The port at which it listens."""
        return int(self.url.rsplit(":", 1)[1])


@contextmanager
def serving(folder, *words, program=("-m", "survlstm")):
    """Start the server with these overrides; it is always stopped afterwards."""
    said = folder / f"said-{time.monotonic_ns()}.txt"
    with said.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, *program, "serve", "port=0", *words],
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
    try:
        yield Served(process, _url(process, said), said)
    finally:
        process.kill()
        process.wait()


def _url(process, said):
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"Serving .+ at (http://\S+) \(press Ctrl-C to stop\)", said.read_text()):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"the server did not start: {said.read_text()}")
