"""Write and read manifest.json: the command, versions, machine, times and the state of a run."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch

from survlstm.evaluation.diagnostics.training_checks import TIMED
from survlstm.runs.folder import is_being_trained
from survlstm.utils.content import describe_error
from survlstm.utils.errors import Interrupted, SurvlstmError
from survlstm.utils.files import write_json
from survlstm.utils.shell import this_command
from survlstm.utils.stored_files import read_json
from survlstm.utils.version import __version__

NAME = "manifest.json"
# What a page shows; the rest is for programs.
SHOWN = ("torch", "numpy", "scipy", "pandas", "pyarrow", "scikit-learn", "pycox", "hydra-core", "omegaconf")
# Facts that a later evaluation replaces.
LATEST = ("device", "data fingerprint", TIMED)


def write_manifest(folder: Path, *, overrides: Sequence[str], config: dict[str, Any], resumed: bool) -> None:
    """Write the manifest at the start of a run, or when it is resumed.

    Args:
        folder: The run folder; it must exist.
        overrides: The overrides of the present command.
        config: The values of the config, with ``_target_`` for classes.
        resumed: Whether the run goes on. The start time and the command of its first start are then kept, and the
            overrides are merged: for a key in both, the present one counts.
    """
    before = read_manifest(folder) if resumed else {}
    life = {"started": _now(), "command": this_command(), "overrides": list(overrides)}
    facts = {
        "survlstm": __version__,
        "state": "running",
        "sentence": "",
        "exit_code": None,
        **{key: before.get(key) or value for key, value in life.items()},
        # A resumed run records its earlier overrides and the changed ones.
        "overrides": _merged(texts_in(before.get("overrides")), overrides),
        "lives": [*(lives if isinstance(lives := before.get("lives"), list) else []), life],
        "ended": "",
        "seed": config["seed"],
        "split_seed": config["split"]["seed"],
        "git": _git(),
        "machine": _machine(),
        "python": platform.python_version(),
        "packages": _packages(),
        "config": config,
    }
    write_json(folder / NAME, before | facts)


def record_failure(folder: Path, *, overrides: Sequence[str], sentence: str, exit_code: int) -> None:
    """Write the manifest of a job that failed before its run could.

    Nothing is written if another process holds the run, or if the manifest records an ending already.

    Args:
        folder: The run folder; it is created if it is missing.
        overrides: The overrides of the job.
        sentence: Why the job failed; it must quote no data.
        exit_code: The exit code that a command with this error has.
    """
    if is_being_trained(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    before = read_manifest(folder)
    if before.get("state") not in {"failed", "stopped", "finished"}:
        beginning = {"overrides": list(overrides), "started": _now()}
        write_json(folder / NAME, beginning | before)
        _end(folder, "failed", sentence, exit_code)


def complete_manifest(folder: Path, facts: dict[str, str]) -> None:
    """Add missing facts and replace those of an earlier evaluation; create the manifest if it is missing.

    Args:
        folder: The folder of a run or of an evaluation; it must exist.
        facts: Entries by name. Those in ``LATEST`` replace what the manifest has; of the others the manifest's own are
            kept.
    """
    latest = {name: facts[name] for name in LATEST if name in facts}
    write_json(folder / NAME, facts | read_manifest(folder) | latest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a folder.

    Args:
        folder: The folder of a run or of an evaluation.

    Returns:
        The entries; empty if the file is missing or can't be read. Its values may have any type.
    """
    try:
        found = read_json(folder / NAME)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def texts_in(value: Any) -> list[str]:
    """Return the texts of a list read from a manifest.

    Args:
        value: The value, of any type.

    Returns:
        The items that are texts; empty if the value is no list.
    """
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


@contextmanager
def record_ending(folder: Path) -> Iterator[None]:
    """Record in the manifest how the block ends, unless the process is killed.

    Args:
        folder: The run folder. An error of the block is recorded and passed on.
    """
    try:
        yield
    except SurvlstmError as error:
        state = "stopped" if isinstance(error, Interrupted) else "failed"
        _end(folder, state, f"{type(error).__name__}: {error}", error.exit_code)
        raise
    except KeyboardInterrupt:
        _end(folder, "stopped", "interrupted; survlstm train resume=RUN goes on", 130)
        raise
    except BaseException as error:
        _end(folder, "failed", describe_error(error), 1)
        raise
    _end(folder, "finished", "", 0)


def facts_for_page(*, device: str, seed: int, fingerprint: str, started: datetime.datetime) -> dict[str, str]:
    """Return the facts shown in the report: versions, machine, seed, data and times.

    Args:
        device: Device of the predictions.
        seed: Seed of the run.
        fingerprint: Fingerprint of the prepared data.
        started: Start of the command; the end is the present time.

    Returns:
        The facts as texts, by the name that the page shows, in the order of the page.
    """
    git, installed = _git(), _packages()
    return {
        "survlstm": __version__
        + (f", git {git['revision'][:12]}{' with changes' if git['dirty'] else ''}" if git else ""),
        "command": this_command(),
        "started": started.isoformat(timespec="seconds"),
        "ended": _now(),
        "seed": str(seed),
        "data fingerprint": fingerprint,
        "device": device,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    } | {name: installed[name] for name in SHOWN if name in installed}


def _merged(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Merge two lists of overrides; for a key in both, the later one is kept."""
    changed = {word.split("=")[0] for word in now}
    return [*(word for word in before if word.split("=")[0] not in changed), *now]


def _end(folder: Path, state: str, sentence: str, exit_code: int) -> None:
    # A full disk must not hide the error that ended the run.
    try:
        ending = {"state": state, "sentence": sentence, "exit_code": exit_code, "ended": _now()}
        write_json(folder / NAME, read_manifest(folder) | ending)
    except OSError as error:
        sys.stderr.write(f"manifest.json could not be written: {error}\n")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _machine() -> dict[str, Any]:
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": [torch.cuda.get_device_name(number) for number in devices],
    }


@cache
def _packages() -> dict[str, str]:
    return {found.metadata["Name"]: found.version for found in distributions()}


# Cached, because the revision that counts is the one whose modules were imported.
@cache
def _git() -> dict[str, Any] | None:
    """Return the revision that survlstm runs from and whether files were changed; None outside a git checkout."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None
    try:
        revision, changed = (
            subprocess.run(
                ["git", "-C", str(checkout), *words], capture_output=True, text=True, check=True, timeout=10
            ).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"revision": revision, "dirty": bool(changed)}
