"""Check that a folder can be written to before a computation starts, and report errors of writing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC, EROFS
from pathlib import Path

from survlstm.utils.errors import CheckpointError, ConfigError


def refuse_unwritable(folder: Path, *, key: str = "output_dir") -> None:
    """Raise ConfigError if a folder can't be made or written to.

    Args:
        folder: The folder; it need not exist.
        key: The config's key that names it, for the message.
    """
    try:
        try_writing(folder)
    except OSError as error:
        reason = "is a file" if isinstance(error, NotADirectoryError) else f"can't be written to: {error.strerror}"
        raise ConfigError(
            f"{key} must be a folder that can be written; {error.filename} {reason}. Set another {key}"
        ) from error


def try_writing(folder: Path) -> None:
    """Make and remove a folder in ``folder``, or in the nearest folder above it that exists.

    Asking for permissions would not do: to root every folder looks writable, even one of /proc, of a read-only file
    system or of a full quota.

    Args:
        folder: The folder; it need not exist.

    Raises:
        OSError: Nothing can be written there; ``filename`` is the folder that was tried.
    """
    existing = Path("/")
    try:
        existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        os.rmdir(tempfile.mkdtemp(prefix=".survlstm-", dir=existing))
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(existing)) from error


@contextmanager
def report_write_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError of writing to a run's folder, or of a full or read-only disk, into a CheckpointError.

    Args:
        folder: The run folder.

    Raises:
        CheckpointError: The block raised such an OSError; every other error passes unchanged.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in {ENOSPC, EDQUOT, EROFS, EFBIG} and not Path(str(error.filename)).is_relative_to(folder):
            raise
        raise write_error("a run's files must be written", folder, error) from error


def write_error(must: str, path: Path, error: OSError) -> CheckpointError:
    """Return the error for a file that a run can't write.

    Args:
        must: What must hold, as the beginning of the message.
        path: What can't be written.
        error: The error of the system.

    Returns:
        The error, to be raised.
    """
    return CheckpointError(
        f"{must} to {path}; the system says: {error}. What was saved before is whole. Free space there, or give the "
        "folder back, and go on with survlstm train resume=RUN"
    )
