"""A folder → whether a run has begun there, and whether it has ended; may another be written there?"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import NamedTuple

from survlstm.errors import ConfigError


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
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        what = "can't be written" if there.is_dir() else "is a file"
        raise ConfigError(f"output_dir must be a folder that can be written; {there} {what}. Set another output_dir")
    for run_folder in sorted(folder.glob("[0-9]*")) if sweep else [folder]:
        if has_begun(run_folder) and not (may_go_on and not is_finished(run_folder)):
            raise ConfigError(
                f"output_dir must not hold a run already; found one in {run_folder}. Set another output_dir, or go on "
                f"with it: survlstm train resume={run_folder}"
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
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        record = Record(
            manifest["state"],
            manifest["sentence"],
            tuple(manifest["overrides"]),
            manifest["started"],
            manifest["ended"],
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
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
