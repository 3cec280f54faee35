"""A folder of the cache, written under another name → renamed into place as a whole, by whichever run is first."""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def written_aside(folder: Path) -> Iterator[Path]:
    """The path to write to; it becomes ``folder`` when the block ends well, and goes when it does not.

    Where another run was first, its folder stays: both wrote the same.
    """
    aside = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield aside
        try:
            os.rename(aside, folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def waited_for(lock_file: Path) -> Iterator[None]:
    """Hold ``lock_file`` alone, as soon as others have let go of it; who dies lets go.

    Where the file system has no locks nobody waits: both make the same, and the first one's stays.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("w") as lock:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
