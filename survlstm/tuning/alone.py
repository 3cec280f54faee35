"""A file in the study's folder → one process of this machine at a time, until the block ends or the process dies."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from survlstm.errors import ConfigError


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process of this machine at a time."""
    try:
        lock = path.open("w")
    except OSError as error:
        raise ConfigError(f"output_dir must be a folder that can be written; {path.parent} is not: {error}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
