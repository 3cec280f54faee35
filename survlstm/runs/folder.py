"""Determine the state of a run from the files in its folder."""

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
    """Return whether a folder is a run folder, finished or not.

    Args:
        folder: The folder; it need not exist.

    Returns:
        True if the folder has a log, a history, checkpoints or metrics of a run.
    """
    return any((folder / name).exists() for name in ("training.log", "history.json", "checkpoints", "metrics.json"))


def is_finished(folder: Path) -> bool:
    """Return whether a run has been evaluated.

    Args:
        folder: The run folder.

    Returns:
        True if the folder has a report, the last file that a run writes.
    """
    return (folder / "report.html").is_file()


def refuse_unusable(folder: Path, *, sweep: bool = False, may_go_on: bool = False) -> None:
    """Raise ConfigError if a run can't be written to ``folder`` or would overwrite another run.

    Args:
        folder: The folder.
        sweep: Whether the folder will hold the runs of a sweep.
        may_go_on: Whether an unfinished run in the folder may be resumed.
    """
    refuse_unwritable(folder)
    if sweep:
        begun = [path for path in (folder, *sorted(folder.glob("*/"))) if holds_a_run(path)]
        if begun or (folder / "sweep.json").exists():
            raise ConfigError(
                f"output_dir must not hold a run already; found {begun[0] if begun else 'a sweep'} in {folder}. Set "
                f"another output_dir, or run the missing jobs: {format_command('train', f'sweep.resume={folder}')}"
            )
    elif holds_a_run(folder) and not (may_go_on and not is_finished(folder)):
        raise ConfigError(
            f"output_dir must not hold a run already; found one in {folder}. Set another output_dir, or resume it: "
            f"{format_command('train', f'resume={folder}')}"
        )


class RunRecord(NamedTuple):
    """The state of a run as manifest.json records it.

    Attributes:
        state: running, finished, failed, stopped (by a signal; it can be resumed), killed (recorded as running, but no
            process holds the folder's lock) or unknown.
        sentence: Why the run failed or stopped.
        overrides: Overrides of the run's command, without those of its sweep's folder.
        started: Start time, ISO 8601 in UTC.
        ended: End time; empty if the run has not ended.
    """

    state: str
    sentence: str
    overrides: tuple[str, ...]
    started: str
    ended: str


def read_run_record(folder: Path) -> RunRecord:
    """Read the state of a run from its ``manifest.json``.

    Args:
        folder: The run folder.

    Returns:
        The record, with the values as the file has them. Without a readable manifest the state is "unknown" and the
        sentence says why; no error is raised.
    """
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
    """Return whether a process trains in ``folder`` now, here or, if the file system supports it, elsewhere.

    Args:
        folder: The run folder.

    Returns:
        True if a process holds the folder's lock; False if there is no lock file or the file system has no locks.
    """
    try:
        return is_locked(folder / LOCK)
    except OSError:
        return False
