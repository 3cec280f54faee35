"""Write files and folders whole, keep private ones private, and lock files between processes."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import lock_descriptor

# Modes of files and folders that hold records or predictions of single subjects.
PRIVATE, PRIVATE_FOLDER = 0o600, 0o700
# Not every system can block until a lock is free. A waiting process tries again after this time.
POLL_SECONDS = 0.05
# A process that only asks whether a file is locked holds the lock for microseconds.
ASKING_WAITS = (0.0, 0.01, 0.05)
# Earlier versions put the number of the process at the end.
_TEMPORARY = re.compile(r"\..+\.([0-9a-f]{32}|\d+)")


def write_json(path: Path, value: dict[str, Any], *, private: bool = False) -> None:
    """Write strict JSON as ``write_text`` writes; a number that is not finite becomes null.

    Args:
        path: The file; its folder must exist.
        value: The content, of plain values.
        private: As for ``write_text``.
    """
    write_text(path, json.dumps(_finite(value), indent=2, allow_nan=False) + "\n", private=private)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Replace a file by ``text`` in UTF-8; a reader sees all of it, or what was there before.

    Args:
        path: The file; its folder must exist.
        text: The whole content.
        private: Whether the owner alone may read the file, because it holds records or predictions of single subjects.
    """
    with atomic_file(path, private=private) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def atomic_file(path: Path, *, private: bool = False, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; the file written there replaces ``path`` when the block ends well.

    After an error the temporary file is removed and ``path`` is what it was.

    Args:
        path: The file to write; its folder must exist.
        private: Make the temporary file beforehand, with mode 0600, which the file keeps.
        durable: Flush the file and its new name to the disk, so that both survive a loss of power.

    Yields:
        The temporary path; the block writes the file there.

    Example:
        >>> with atomic_file(folder / "validation.npz") as temporary, temporary.open("wb") as stream:
        ...     np.savez(stream, hazard=hazard)
    """
    temporary = _temporary(path)
    try:
        if private:
            create_private(temporary)
        yield temporary
        if durable:
            _flush(temporary, os.O_RDWR)
        os.replace(temporary, path)
        if durable and os.name == "posix":
            # Elsewhere a folder can't be opened.
            _flush(path.parent, os.O_RDONLY)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def atomic_folder(folder: Path, *, keep_existing: bool = False) -> Iterator[Path]:
    """Yield the path of a folder to make beside ``folder``, and rename it to ``folder`` when the block ends well.

    After an error what the block has written is removed. The folder above ``folder`` is made where it is missing.

    Args:
        folder: The folder to write; it must be missing or empty.
        keep_existing: Accept a folder that another process has put there meanwhile, and drop what the block has
            written: for a cache, where both have written the same.

    Yields:
        The temporary path; the block makes the folder there.

    Raises:
        OSError: The block has made no folder, or ``folder`` has content and ``keep_existing`` is not set.
    """
    temporary = _temporary(folder)
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        try:
            os.replace(temporary, folder)
        except OSError:
            if not (keep_existing and folder.is_dir()):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_files(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; when the block ends well, each file in it replaces the one of that name in ``folder``.

    Files in subfolders go to the same subfolders of ``folder``. Each file is replaced as a whole, one after the other;
    after an error in the block none is.

    Args:
        folder: The folder that receives the files; it must exist.

    Yields:
        The temporary folder, inside ``folder``.
    """
    temporary = _temporary(folder / "files")
    temporary.mkdir(mode=PRIVATE_FOLDER)
    try:
        yield temporary
        for file in sorted(path for path in temporary.rglob("*") if path.is_file()):
            target = folder / file.relative_to(temporary)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def abandoned_files(folder: Path) -> list[Path]:
    """List the temporary files that killed processes have left in ``folder``, for its only writer to remove.

    Args:
        folder: The folder; its subfolders are not searched.

    Returns:
        The paths, in no particular order. A file that another process is writing now is among them.
    """
    return [path for path in folder.glob(".*") if _TEMPORARY.fullmatch(path.name) and path.is_file()]


def create_private(path: Path) -> None:
    """Make an empty file that its owner alone can read and write (mode 0600); writing to it later keeps the mode.

    Args:
        path: The file; its folder must exist. An existing file is emptied and gets the mode too.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
    # An existing file would keep its mode. Some file systems have no modes, and Windows has no fchmod.
    with suppress(OSError, AttributeError):
        os.fchmod(descriptor, PRIVATE)
    os.close(descriptor)


def private_opener(path: str, flags: int) -> int:
    """Open a file as ``open`` does; a new one gets mode 0600. For ``open(..., opener=private_opener)``.

    Args:
        path: The file.
        flags: The flags of ``os.open``.

    Returns:
        The file descriptor, which the caller closes.
    """
    return os.open(path, flags, PRIVATE)


@contextmanager
def file_lock(path: Path, *, timeout: float | None = None, required: bool = False) -> Iterator[OSError | None]:
    """Hold an exclusive lock on a file until the block ends; it is released when the process ends, however it ends.

    Args:
        path: The lock file. It is made where it is missing, with its folder, and stays: a process that waits for a
            removed file and one that makes it anew would both get a lock.
        timeout: Seconds to wait for another holder; 0 tries once, None waits as long as it takes.
        required: Raise where the file system has no locks.

    Yields:
        None, or where the file system has no locks the error that says so: the block then runs without a lock.

    Raises:
        TimeoutError: Another process, or another block of this one, has held the lock for ``timeout`` seconds.
        OSError: The lock file can't be opened, or there are no locks and one is ``required``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            is_held, unavailable = _acquire(descriptor, timeout), None
        except OSError as error:
            is_held, unavailable = True, error
        if not is_held:
            raise TimeoutError(f"another process holds the lock {path}")
        if required and unavailable is not None:
            raise unavailable
        yield unavailable
    finally:
        # A process forked meanwhile has the descriptor too: to unlock instead would let it release what is not its own.
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Return whether a process holds ``file_lock(path)`` now; nothing is made or written.

    Args:
        path: The lock file.

    Returns:
        True if the lock could not be had in three tries within a tenth of a second; the lock is not kept.

    Raises:
        OSError: The file is missing or can't be opened, or its file system has no locks.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        # A folder of somebody else, or on a read-only file system. Without waiting, should it be a pipe.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        for wait in ASKING_WAITS:
            time.sleep(wait)
            if _acquire(descriptor, 0):
                return False
        return True
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, timeout: float | None) -> bool:
    """Lock an open file within ``timeout`` seconds; OSError where the file system has no locks."""
    latest = math.inf if timeout is None else time.monotonic() + timeout
    while not lock_descriptor(descriptor, blocking=False):
        if time.monotonic() >= latest:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _temporary(path: Path) -> Path:
    # Process ids are not enough: containers that share a disk have the same ones.
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
