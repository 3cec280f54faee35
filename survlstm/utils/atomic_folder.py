"""A folder of the cache, written under another name → renamed into place as a whole, by whichever run is first."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
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
