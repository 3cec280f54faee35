"""A file that others read or write too → replaced as a whole, or held by one process at a time."""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# Modes of files and folders that hold records or predictions of single subjects.
PRIVATE, PRIVATE_FOLDER = 0o600, 0o700


def write_json(path: Path, value: dict[str, Any], *, private: bool = False) -> None:
    """Write strict JSON (a number that is not finite becomes null) and rename it into place."""
    write_text(path, json.dumps(_finite(value), indent=2, allow_nan=False) + "\n", private=private)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file aside and rename it into place: a reader sees all of it or what was there before.

    A ``private`` one, which holds records or predictions of single subjects, can be read by its owner alone.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if private:
            create_private(aside)
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def create_private(path: Path) -> None:
    """Make an empty file that its owner alone can read and write (mode 0600); whoever fills it leaves that as it is."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
    # A file that stood there keeps its mode, and some file systems have none.
    with suppress(OSError):
        os.fchmod(descriptor, PRIVATE)
    os.close(descriptor)


def private_opener(path: str, flags: int) -> int:
    """For ``open(…, opener=private_opener)``: a file that is made has mode 0600."""
    return os.open(path, flags, PRIVATE)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@contextmanager
def file_lock(lock_file: Path) -> Iterator[None]:
    """Hold ``lock_file`` alone, as soon as others have let go of it; who dies lets go.

    Where the file system has no locks nobody waits: whatever is made behind it must be whole all the same.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("w") as lock:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
