"""A folder → whether a run has begun there, and whether it has ended; may another be written there?"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC, EROFS
from pathlib import Path
from typing import NamedTuple

from survlstm.errors import CheckpointError, ConfigError
from survlstm.shell import command
from survlstm.stored import read_json


def has_begun(folder: Path) -> bool:
    """Whether a folder is that of a run, finished or not."""
    return any((folder / name).exists() for name in ("training.log", "history.json", "checkpoints", "metrics.json"))


def is_finished(folder: Path) -> bool:
    """Whether a run has been judged: its page is written last."""
    return (folder / "report.html").is_file()


def refuse_unusable(folder: Path, *, sweep: bool = False, may_go_on: bool = False) -> None:
    """ConfigError where a run can't be written to ``folder``, or would be written over another.

    Of a ``sweep`` the folder holds those of its runs; with ``may_go_on`` a run that has not ended there is no obstacle.
    """
    refuse_unwritable(folder)
    if sweep:
        begun = [path for path in (folder, *sorted(folder.glob("*/"))) if has_begun(path)]
        if begun or (folder / "sweep.json").exists():
            raise ConfigError(
                f"output_dir must not hold a run already; found {begun[0] if begun else 'a sweep'} in {folder}. Set "
                f"another output_dir, or run what is missing: {command('train', f'sweep.resume={folder}')}"
            )
    elif has_begun(folder) and not (may_go_on and not is_finished(folder)):
        raise ConfigError(
            f"output_dir must not hold a run already; found one in {folder}. Set another output_dir, or go on with it: "
            f"{command('train', f'resume={folder}')}"
        )


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
def written_whole(folder: Path) -> Iterator[None]:
    """CheckpointError where the system does not take what is written to a run's folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in {ENOSPC, EDQUOT, EROFS, EFBIG} and not str(error.filename).startswith(str(folder)):
            raise
        raise unwritable("a run's files must be written", folder, error) from error


def unwritable(must: str, path: Path, error: OSError) -> CheckpointError:
    """What to say where a running run can't write: nothing that was saved is lost."""
    return CheckpointError(
        f"{must} to {path}; the system says: {error}. What was saved before is whole. Free space there, or give the "
        "folder back, and go on with survlstm train resume=RUN"
    )


class Record(NamedTuple):
    """What manifest.json says of a run.

    ``state`` is running, finished, failed, stopped (by a signal; it can go on), killed (it says running, and no process
    holds it) or unknown. ``sentence`` says why it failed or stopped; ``overrides`` are those of its command, without
    those of its sweep's folder. Times are ISO 8601 in UTC, ``ended`` empty while there is none.
    """

    state: str
    sentence: str
    overrides: tuple[str, ...]
    started: str
    ended: str


def read_record(folder: Path) -> Record:
    """The record of a run; a folder without one, or with a damaged one, is ``unknown``, and the sentence says why."""
    try:
        manifest = read_json(folder / "manifest.json")
        record = Record(
            manifest["state"],
            manifest["sentence"],
            tuple(manifest["overrides"]),
            manifest["started"],
            manifest["ended"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Record("unknown", f"manifest.json can't be read: {type(error).__name__}: {error}", (), "", "")
    if record.state == "running" and not is_held(folder):
        return record._replace(state="killed", sentence="its process was killed; survlstm train resume=RUN goes on")
    return record


def is_held(folder: Path) -> bool:
    """Whether a process trains in ``folder`` at this moment, here or, where the file system can tell, elsewhere."""
    try:
        with (folder / ".lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
