"""Train a run again in another folder and compare the histories."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

from survlstm.config.schema.commands import RerunConfig
from survlstm.runs.folder import holds_a_run
from survlstm.runs.launch import start
from survlstm.runs.manifest import read_manifest, texts_in
from survlstm.runs.resume import recorded_config
from survlstm.training.history import Epoch, read_history
from survlstm.utils.errors import ConfigError
from survlstm.utils.logs import logging_to
from survlstm.utils.stored_files import read_json

log = logging.getLogger(__name__)

# Measured times are not compared.
MEASURED = ("seconds", "subjects_per_second")
FIGURES = tuple(field.name for field in dataclasses.fields(Epoch) if field.name not in MEASURED)


def rerun(run: Path, config: RerunConfig) -> bool:
    """Train a run again with its own config and compare the two histories.

    Args:
        run: The folder of the run.
        config: The config of ``survlstm rerun``; its ``output_dir`` is the folder of the new run.

    Returns:
        True if all values of all epochs are identical to the last bit; measured times are not compared.

    Raises:
        ConfigError: If the folder is not that of a run, or the new one can't be used.
        CheckpointError: If the history or the config of the run can't be read.
        SurvlstmError: If training or evaluation fails, as for ``survlstm.runs.launch.start``.
    """
    if not holds_a_run(run):
        raise ConfigError(f"a run must be the folder that survlstm train made; {run} is not one")
    before, folder = _epochs(run), Path(config.output_dir).expanduser().absolute()
    manifest = read_manifest(run)
    recorded = recorded_config(run, allow=config.allow).model_copy(update={"cache_dir": config.cache_dir})
    start(recorded, folder, overrides=texts_in(manifest.get("overrides")))
    with logging_to(folder / "training.log"):
        return _tell(before, _epochs(folder), _elsewhere(manifest, read_manifest(folder)))


def first_difference(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> str:
    """Describe the first difference between two histories.

    Args:
        before: Epochs of the first run, as ``history.json`` has them.
        now: Epochs of the second run.

    Returns:
        The first of ``FIGURES`` that differs, with its epoch and both values, or else the numbers of epochs; empty if
        the histories are identical.
    """
    for old, new in zip(before, now, strict=False):
        for name in FIGURES:
            if old[name] != new[name]:
                return f"{name} of epoch {old['epoch']}: {old[name]} before, {new[name]} now"
    if len(before) != len(now):
        return f"{len(before)} epochs before, {len(now)} now"
    return ""


def _tell(before: list[dict[str, Any]], now: list[dict[str, Any]], elsewhere: str) -> bool:
    difference = first_difference(before, now)
    if not difference:
        log.info("The history is identical: %d epochs, every figure to the last bit", len(now))
        return True
    log.warning("the history is not identical: %s", difference)
    log.warning("  different now: %s", elsewhere or "nothing that the manifest records")
    return False


def _elsewhere(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return which of machine, device and packages differ from those of the first run."""
    found = []
    for name in ("survlstm", "git", "device", "machine", "python", "data fingerprint"):
        if before.get(name) != now.get(name):
            found.append(f"{name} {before.get(name)} → {now.get(name)}")
    old, new = (packages if isinstance(packages := one.get("packages"), dict) else {} for one in (before, now))
    changed = [name for name in sorted(old | new) if old.get(name) != new.get(name)]
    return ", ".join(found + [f"{name} {old.get(name)} → {new.get(name)}" for name in changed])


def _epochs(folder: Path) -> list[dict[str, Any]]:
    """Return the epochs of history.json; values that are not finite are null, which equals itself."""
    read_history(folder)
    found: list[dict[str, Any]] = read_json(folder / "history.json")["epochs"]
    return found
