"""Check that a folder can be written to before work whose results go there, and report where it can't."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC, EROFS
from pathlib import Path

from survlstm.utils.errors import CheckpointError, ConfigError


def refuse_unwritable(folder: Path, *, key: str = "output_dir") -> None:
    """ConfigError where ``folder``, which ``key`` of the config names, can't be made or written to."""
    try:
        try_writing(folder)
    except OSError as error:
        what = "is a file" if isinstance(error, NotADirectoryError) else f"can't be written to: {error.strerror}"
        raise ConfigError(
            f"{key} must be a folder that can be written; {error.filename} {what}. Set another {key}"
        ) from error


def try_writing(folder: Path) -> None:
    """OSError, with the folder that is in the way, where ``folder`` can't be made or written to.

    For commands to call before the work whose results go there. It is tried and not only asked: to root every folder
    looks writable, those of /proc, of a read-only file system and of a full quota too.
    """
    there = Path("/")
    try:
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        os.rmdir(tempfile.mkdtemp(prefix=".survlstm-", dir=there))
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(there)) from error


@contextmanager
def report_write_errors(folder: Path) -> Iterator[None]:
    """CheckpointError where the system does not take what is written to a run's folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in {ENOSPC, EDQUOT, EROFS, EFBIG} and not str(error.filename).startswith(str(folder)):
            raise
        raise write_error("a run's files must be written", folder, error) from error


def write_error(must: str, path: Path, error: OSError) -> CheckpointError:
    """What to say where a running run can't write: nothing that was saved is lost."""
    return CheckpointError(
        f"{must} to {path}; the system says: {error}. What was saved before is whole. Free space there, or give the "
        "folder back, and go on with survlstm train resume=RUN"
    )
