"""A folder → whether a run has begun there, and whether it has ended; may another be written there?"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from survlstm.utils.errors import ConfigError
from survlstm.utils.files import is_locked
from survlstm.utils.shell import format_command
from survlstm.utils.stored_files import read_json
from survlstm.utils.write_access import refuse_unwritable

LOCK = ".lock"


def holds_a_run(folder: Path) -> bool:
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
        begun = [path for path in (folder, *sorted(folder.glob("*/"))) if holds_a_run(path)]
        if begun or (folder / "sweep.json").exists():
            raise ConfigError(
                f"output_dir must not hold a run already; found {begun[0] if begun else 'a sweep'} in {folder}. Set "
                f"another output_dir, or run what is missing: {format_command('train', f'sweep.resume={folder}')}"
            )
    elif holds_a_run(folder) and not (may_go_on and not is_finished(folder)):
        raise ConfigError(
            f"output_dir must not hold a run already; found one in {folder}. Set another output_dir, or go on with it: "
            f"{format_command('train', f'resume={folder}')}"
        )


class RunRecord(NamedTuple):
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


def read_run_record(folder: Path) -> RunRecord:
    """The record of a run; a folder without one, or with a damaged one, is ``unknown``, and the sentence says why."""
    try:
        manifest = read_json(folder / "manifest.json")
        record = RunRecord(
            manifest["state"],
            manifest["sentence"],
            tuple(manifest["overrides"]),
            manifest["started"],
            manifest["ended"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        return RunRecord("unknown", f"manifest.json can't be read: {type(error).__name__}: {error}", (), "", "")
    if record.state == "running" and not is_being_trained(folder):
        return record._replace(state="killed", sentence="its process was killed; survlstm train resume=RUN goes on")
    return record


def is_being_trained(folder: Path) -> bool:
    """Return whether a process trains in ``folder`` now, on this machine or, if the file system can tell, on another.

    False where that can't be known: no lock file, or a file system without locks.
    """
    try:
        return is_locked(folder / LOCK)
    except OSError:
        return False
