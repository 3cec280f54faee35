"""Write and read ``sweep.json``, the overrides that a sweep was started with.

The file may have been written by anybody, and Hydra's own keys can run code (callbacks, launchers, plugins, further
config folders). So only plain overrides of survlstm's own keys and groups are taken from it, and of Hydra's keys the
launcher settings listed below. Everything else must be given on the command line again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, OverrideType, RangeSweep
from hydra.errors import HydraException

from survlstm.config.conf_dir import conf_dir
from survlstm.config.overrides import quote_override
from survlstm.config.schema.run import RunConfig
from survlstm.config.validation import schema_keys
from survlstm.training.loggers.mlflow_logger import refuse_unnamed_server
from survlstm.utils.errors import ConfigError
from survlstm.utils.files import write_json
from survlstm.utils.stored_files import read_json

NAME = "sweep.json"
CONFIG_DIR = "--config-dir"
RESUME, ALLOW = "sweep.resume=", "allow="
# Limits far above any real sweep; each value becomes a job.
MOST_VALUES, MOST_WORDS, MOST_CHARACTERS, MOST_BYTES = 10_000, 1000, 20_000, 1 << 20
LAUNCHERS = frozenset({"basic", "two_at_once", "joblib", "slurm", "submitit_slurm", "submitit_local"})
LAUNCHER_SETTINGS = frozenset(
    {"n_jobs", "timeout_min", "cpus_per_task", "cpus_per_gpu", "mem_gb", "mem_per_cpu", "mem_per_gpu", "nodes"}
    | {"tasks_per_node", "gpus_per_node", "gpus_per_task", "array_parallelism", "partition", "account", "qos"}
    | {"constraint", "gres"}
)
# Numbers and names as Slurm takes them. Anything else could add a line to the batch script.
_SETTING = re.compile(r"[\w.:,-]{1,100}", re.ASCII)
# Names of files of a config group. A path could name a config file elsewhere.
_CHOICES = re.compile(r"[\w\s,()*='\"-]*", re.ASCII)
# Where the sweep writes and which run is resumed is decided by the command, never by the record.
_NOT_RECORDED = frozenset({"output_dir", "resume", "allow"})
# Settings of a class of the user's own; a key that names the class itself is not among them.
_SETTINGS_OF_CLASSES = re.compile(r"(model|outcome|data\.source|optimizer|scheduler|logger)\.[A-Za-z]\w*", re.ASCII)
_CLASSES = re.compile(r"_target_['\"]?\s*[:=]\s*([^}\]]*)")


class SweepRecord(NamedTuple):
    """The overrides of a sweep's command.

    Attributes:
        overrides: The overrides, without ``output_dir``.
        config_dir: The folder of ``--config-dir``; None if the command had none.
    """

    overrides: list[str]
    config_dir: str | None

    @property
    def words(self) -> list[str]:
        """The command-line words, with ``--config-dir`` first if there is one."""
        return [*([] if self.config_dir is None else [CONFIG_DIR, self.config_dir]), *self.overrides]


def write_sweep_record(folder: Path, overrides: Sequence[str], *, config_dir: str | None) -> None:
    """Write the overrides of a sweep to ``sweep.json``.

    Args:
        folder: The sweep's folder; it is created if it is missing.
        overrides: The overrides of the command; ``output_dir`` is left out.
        config_dir: The folder of ``--config-dir``, recorded as an absolute path; None if the command had none.

    Raises:
        ConfigError: If the folder can't be written.
    """
    kept = [word for word in overrides if not word.startswith(("output_dir=", ALLOW))]
    named = None if config_dir is None else str(Path(config_dir).absolute())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / NAME, {"words": SweepRecord(kept, named).words})
    except OSError as error:
        raise ConfigError(f"output_dir must be a folder that can be written; found {folder}: {error}") from error


def read_sweep_record(folder: Path) -> SweepRecord:
    """Read ``sweep.json`` without running any of it.

    Args:
        folder: The sweep's folder.

    Returns:
        The record. Whether its overrides may be run is decided by ``recorded_words``.

    Raises:
        ConfigError: If the file is missing, too large, or holds anything but overrides.
    """
    try:
        content = read_json(folder / NAME, most=MOST_BYTES)
        words = content["words"] if isinstance(content, dict) else None
        if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
            raise ValueError("words must be a list of texts")
        if len(words) > MOST_WORDS or any(len(word) > MOST_CHARACTERS for word in words):
            raise ValueError(f"there must be at most {MOST_WORDS:,} words of at most {MOST_CHARACTERS:,} characters")
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"{RESUME} must name the folder of a sweep, which holds {NAME}; {folder} has none that can be read "
            f"({type(error).__name__}: {error})"
        ) from error
    named = words[1] if words[:1] == [CONFIG_DIR] and len(words) > 1 else None
    overrides = words if named is None else words[2:]
    flags = [word for word in overrides if word.startswith("-")]
    if flags:
        raise ConfigError(f"{folder / NAME} must hold overrides of survlstm train; found the flag {flags[0][:50]}")
    for word in overrides:
        _refuse_no_override(folder, word)
    return SweepRecord(overrides, named)


def _refuse_no_override(folder: Path, word: str) -> None:
    try:
        parsed = OverridesParser.create().parse_override(word)
    except (HydraException, ValueError, RecursionError):
        parsed = None
    if parsed is None or not parsed.key_or_group:
        raise ConfigError(f"{folder / NAME} must hold overrides of survlstm train; found {word[:50]!r}, which is none")


def recorded_words(
    folder: Path, recorded: SweepRecord, *, config_dir: str | None, allow: Sequence[str] = ()
) -> list[str]:
    """Return the recorded overrides if all of them may be run.

    Args:
        folder: The sweep's folder.
        recorded: The content of its ``sweep.json``.
        config_dir: The folder of ``--config-dir`` in the present command. Hydra runs what a config folder contains, so
            the record alone can't choose it.
        allow: Dotted names of classes that the present command permits.

    Returns:
        The overrides, in the order of the record.

    Raises:
        ConfigError: If an override is not a plain one of survlstm's own keys, if the sweep used a config folder that
            the present command does not name, or the command names another one, or if the user's MLflow credentials
            would go to a server that only the record names.
    """
    for word in recorded.overrides:
        why = _why_not(word, allow, may_be_foreign=bool(allow) or config_dir is not None)
        if why:
            raise ConfigError(
                f"{folder / NAME} must hold plain overrides of survlstm's own keys; {why}. Give all overrides of the "
                f"sweep again: survlstm train -m … {quote_override(f'{RESUME}{folder}')}"
            )
    for word in recorded.overrides:
        key, _, value = word.partition("=")
        store = value.strip("'\"")
        if key == "logger.store" and store != "null":
            advice = "Give all overrides of the sweep again, or set MLFLOW_TRACKING_URI to that address"
            refuse_unnamed_server(store, file=str(folder / NAME), advice=advice)
    if recorded.config_dir is not None and config_dir is None:
        raise ConfigError(
            f"the sweep in {folder} used configs from {recorded.config_dir}. Configs can run code, so the folder must "
            f"be named again: {RESUME}{folder} {CONFIG_DIR} {recorded.config_dir}"
        )
    now = None if config_dir is None else str(Path(config_dir).absolute())
    if now != recorded.config_dir:
        raise ConfigError(
            f"the sweep in {folder} must be completed with the configs it was started with, from "
            f"{recorded.config_dir or 'no further folder'}; found {CONFIG_DIR} {now}. Leave it out"
        )
    return recorded.overrides


def _why_not(word: str, allow: Sequence[str], *, may_be_foreign: bool) -> str:
    """Return why a recorded override may not be run; an empty text if it may."""
    override = OverridesParser.create().parse_override(word)
    name, _, value = word.partition("=")
    shown = name[:80]
    faults = {
        f"found {shown}, which adds, deletes or moves a key": override.type != OverrideType.CHANGE or "@" in name,
        f"found an interpolation, ${{...}}, for {shown}": "${" in value,
        f"found {shown}, which names a class; add allow=[CLASS] if you trust it": not _are_allowed(word, allow),
        f"found more than {MOST_VALUES:,} values for {shown}": (count_values(override) or 0) > MOST_VALUES,
    }
    return next((fault for fault, is_present in faults.items() if is_present), "") or _why_not_key(
        name, value, may_be_foreign=may_be_foreign
    )


def _are_allowed(word: str, allow: Sequence[str]) -> bool:
    """Return whether every class that an override names is permitted."""
    named = [name.strip(" '\"") for values in _CLASSES.findall(word) for name in values.split(",")]
    return len(_CLASSES.findall(word)) == word.count("_target_") and all(
        name in allow for name in named if ":" not in name
    )


def _why_not_key(key: str, value: str, *, may_be_foreign: bool) -> str:
    if key.startswith("hydra"):
        return "" if _is_launcher(key, value) else f"found {key[:80]}, which is hydra's own"
    groups = {path.name for path in conf_dir().iterdir() if path.is_dir()} - {"hydra", "tune"}
    if key in groups:
        return "" if _CHOICES.fullmatch(value) else f"found {key}, whose value is no file of that group"
    known = key in schema_keys(RunConfig) - _NOT_RECORDED
    foreign = may_be_foreign and (_SETTINGS_OF_CLASSES.fullmatch(key) or key.endswith("._target_"))
    return "" if known or foreign else f"found {key[:80]}, which is not among those keys"


def _is_launcher(key: str, value: str) -> bool:
    if key == "hydra/launcher":
        return value in LAUNCHERS
    return key.removeprefix("hydra.launcher.") in LAUNCHER_SETTINGS and _SETTING.fullmatch(value) is not None


def count_values(override: Override) -> int | None:
    """Count the values of a swept override without making them.

    Args:
        override: An override as Hydra parses it.

    Returns:
        The number of values, 1 for an override that is not swept; None if only a sweeper (an interval) or the files of
        a group (a glob) determine it.
    """
    value = override.value()
    if isinstance(value, Glob | IntervalSweep):
        return None
    if not isinstance(value, RangeSweep):
        return len(value.list) if isinstance(value, ChoiceSweep) else 1
    if value.start is None or value.stop is None or not value.step:
        return None
    steps = (value.stop - value.start) / value.step
    return max(0, math.ceil(steps)) if math.isfinite(steps) else None
