"""Open Optuna's storage and check it; describe in one sentence what is wrong with a storage."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from survlstm.utils.errors import ConfigError, first_line
from survlstm.utils.files import file_lock

log = logging.getLogger(__name__)

# Of a storage that is there; the last two are a journal's.
STORAGE_ERRORS = (StorageInternalError, SQLAlchemyError, OSError, json.JSONDecodeError)
# A database that is started anew at night is back within minutes.
WAITS = (0.2, 1, 5, 15, 30, 60, 120, 240)
# How long SQLite waits for another process's write.
SQLITE_SECONDS = 15.0
JOURNAL, JOURNAL_LOCK = "study.journal", ".journal"

T = TypeVar("T")


class ProcessLock(JournalFileOpenLock):
    """Lock a journal by a file beside it; the lock is released when its process ends.

    optuna's own locks outlive a killed process by half a minute. The journal itself is not locked, because Windows does
    not let others read a locked file. Every holder first removes what a process killed in the middle of a line has
    left: otherwise the next line would be appended to it, and the journal could never be read again.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._held = ExitStack()

    def acquire(self) -> bool:
        """Wait for the lock, then remove a torn last line."""
        # To lock would make the folder of a study anew that has been removed.
        self._journal.stat()
        with ExitStack() as stack:
            stack.enter_context(file_lock(self._journal.with_name(JOURNAL_LOCK), required=True))
            # Opened under the lock: a network file system then shows what the last holder has written.
            with self._journal.open("r+b") as content:
                torn = _torn_tail(content)
                if torn:
                    content.truncate(content.seek(0, 2) - torn)
            self._held = stack.pop_all()
        if torn:
            log.warning("The last line of %s was torn and is left out: a worker was killed there", self._journal)
        return True

    def release(self) -> None:
        """Release the lock."""
        self._held.close()


def _torn_tail(journal: IO[bytes]) -> int:
    """Return the number of bytes after the end of the last complete line."""
    end, size = journal.seek(0, 2), 0
    while size < end:
        step = min(4096, end - size)
        journal.seek(end - size - step)
        place = journal.read(step).rfind(b"\n")
        if place >= 0:
            return size + step - place - 1
        size += step
    return size


@contextmanager
def open_storage(url: str | None, folder: Path) -> Iterator[BaseStorage]:
    """Open the storage at ``url``, or the journal in ``folder`` if it is None.

    Args:
        url: Address of a database as SQLAlchemy takes it; None for the journal.
        folder: The study's folder.

    Yields:
        The storage; a database's connections are closed when the block ends.

    Raises:
        ConfigError: If the storage can't be opened or is damaged.
    """
    if url is None:
        yield _journal(folder / JOURNAL)
        return
    is_sqlite = url.startswith("sqlite")
    # A firewall or a restarted server may close a connection during an epoch, so connections are tested before use.
    settings: dict[str, Any] = {"connect_args": {"timeout": SQLITE_SECONDS}} if is_sqlite else {"pool_pre_ping": True}
    try:
        try:
            storage = RDBStorage(url, engine_kwargs=settings)
        except DBAPIError as error:
            if "exist" not in str(error) and not isinstance(error, IntegrityError):
                raise
            # A worker on another machine was creating the tables at the same moment.
            time.sleep(1)
            storage = RDBStorage(url, engine_kwargs=settings)
    # Drivers raise errors of any type; all of them mean that the storage can't be used.
    except Exception as error:
        raise storage_error(url, folder, error) from error
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def storage_error(url: str | None, folder: Path, error: Exception) -> ConfigError:
    """Return the error for a storage that can't be used, without the password in its address.

    Args:
        url: Address of the database; None for the journal.
        folder: The study's folder.
        error: The error of Optuna, of the driver or of the system.

    Returns:
        The error, to be raised; it says where the storage is, what is wrong and what to do.
    """
    behind: BaseException = error
    while isinstance(behind, StorageInternalError) and behind.__cause__ is not None:
        behind = behind.__cause__
    said = mask_password(storage_message(behind))
    if isinstance(behind, ImportError):
        advice = "Install the driver of that database, or set storage=null"
    elif "locked" in said:
        advice = "Another process holds it: wait for that process, or stop it"
    else:
        advice = "Repair it, or set another storage"
    where = storage_location(url, folder)
    return ConfigError(f"storage must be one that can be read and written; {where} can't be: {said}. {advice}")


def storage_location(url: str | None, folder: Path) -> str:
    """Return the location of a storage, without the password in its address.

    Args:
        url: Address of the database; None for the journal.
        folder: The study's folder.

    Returns:
        The address, or the path of the journal.
    """
    return str(folder / JOURNAL) if url is None else mask_password(url)


def mask_password(text: str) -> str:
    """Return an address without its password.

    Args:
        text: An address, or a message that holds one.

    Returns:
        The text with ``***`` for the password.
    """
    return re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)


def storage_message(error: BaseException) -> str:
    """Return the first line of a storage's error, without SQLAlchemy's name of the driver's class and the full stop.

    Args:
        error: The error of Optuna, of the driver or of the system.

    Returns:
        The line; it may hold the password of an address, see ``mask_password``.
    """
    return re.sub(r"^\([\w.]+\)\s*", "", first_line(error)).rstrip(".")


def retry(job: Callable[[], T], *, url: str | None, folder: Path) -> T:
    """Call a function until the storage answers, for some minutes.

    Args:
        job: The function; calling it twice must be harmless.
        url: Address of the database, for the message; None for the journal.
        folder: The study's folder.

    Returns:
        What ``job`` returns.

    Raises:
        ConfigError: If the storage does not come back.
    """
    for wait in WAITS:
        try:
            return job()
        except STORAGE_ERRORS as error:
            log.warning(
                "The storage does not answer (%s); trying again in %g s", mask_password(storage_message(error)), wait
            )
            time.sleep(wait)
    try:
        return job()
    except STORAGE_ERRORS as error:
        raise storage_error(url, folder, error) from error


def _journal(path: Path) -> JournalStorage:
    try:
        _refuse_no_journal(path)
        return JournalStorage(JournalFileBackend(str(path), lock_obj=ProcessLock(path)))
    except ConfigError:
        raise
    # Lines that are JSON but no journal operations raise errors of any type.
    except Exception as error:
        raise storage_error(None, path.parent, error) from error


def _refuse_no_journal(path: Path) -> None:
    """Refuse a file that is no journal: Optuna would take a broken last line for a torn one and append to it."""
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1] if len(lines) > 1 else lines, start=1):
        try:
            is_operation = (not line and len(lines) == 1) or "op_code" in json.loads(line)
        except (ValueError, TypeError):
            is_operation = False
        if not is_operation:
            raise ConfigError(
                f"storage must be one that can be read and written; line {number} of {path} is not part of an Optuna "
                "journal. Move the file away and start a new search, or set another name"
            )
