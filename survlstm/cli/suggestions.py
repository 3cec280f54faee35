"""Suggest the words that Hydra can't: flags and their values, and the folders of runs, sweeps and bundles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from survlstm.cli.command_help import HELP
from survlstm.cli.completed_folders import complete_any_folder, complete_folder, is_bundle, is_sweep, zip_files

HYDRA_FLAGS = ("--help", "--version", "--cfg", "--info", "--config-dir")
FLAGS = {
    "train": ("--multirun", *HYDRA_FLAGS),
    "runs": ("--sort", "--where", "--help", "--version"),
    "summarize": ("--metric", "--help", "--version"),
}


class Suggestions(NamedTuple):
    """Completions of a word.

    Attributes:
        words: The completions, each with the beginning that is written.
        with_keys: Whether the config groups and keys of the command, which Hydra knows, complete the word too.
    """

    words: list[str]
    with_keys: bool


def suggest(command: str, before: Sequence[str], word: str) -> Suggestions:
    """Suggest completions of a word.

    Args:
        command: The name of the command.
        before: The complete words between the command and the word.
        word: The beginning of the word; it may be empty.

    Returns:
        The completions.
    """
    key, equals, written = word.partition("=")
    with_keys = False
    if before and before[-1] in VALUES:
        found = VALUES[before[-1]](word)
    elif word.startswith("-"):
        found = list(FLAGS.get(command, HYDRA_FLAGS))
    elif equals and key in PATHS:
        found = [f"{key}={path}" for path in PATHS[key](written)]
    else:
        # A key has no slash, but some groups have.
        with_keys = command in HELP and not (command in NAMES and "/" in word)
        found = [] if equals else _names(command, before, word)
    return Suggestions([each for each in found if each.startswith(word)], with_keys)


def _names(command: str, before: Sequence[str], word: str) -> list[str]:
    if command == "train":
        # No key of the config.
        return ["sweep.resume="]
    if command == "plot":
        return [] if "survival" in before else ["survival"]
    return NAMES[command](word) if command in NAMES else []


def _runs(written: str) -> list[str]:
    # numpy is imported with it.
    from survlstm.sweeps.load_runs import is_run

    return complete_folder(written, is_run)


def _sweeps(written: str) -> list[str]:
    return complete_folder(written, is_sweep)


def _bundles(written: str) -> list[str]:
    return [*complete_folder(written, is_bundle), *zip_files(written)]


def _columns(_: str) -> list[str]:
    from survlstm.sweeps.columns import COLUMNS

    return list(COLUMNS)


def _conditions(written: str) -> list[str]:
    """Suggest the keys of ``--where``, and the choices of a group."""
    from survlstm.config.composition_errors import group_choices
    from survlstm.config.conf_dir import conf_dir
    from survlstm.config.schema.run import RunConfig
    from survlstm.config.validation import schema_keys

    key, equals, _ = written.partition("=")
    if equals:
        return [f"{key}={choice}" for choice in group_choices(key, [])]
    keys = schema_keys(RunConfig)
    values = {name for name in keys if not any(other.startswith(f"{name}.") for other in keys)}
    groups = {path.name for path in conf_dir().iterdir() if path.is_dir()} - {"hydra", "tune"}
    return [f"{name}=" for name in sorted(values | groups | {"state"})]


def _fixed(*words: str) -> Callable[[str], list[str]]:
    return lambda _: list(words)


# Values of flags, paths of keys and names without a key, each by the function that suggests them.
VALUES = {
    "--cfg": _fixed("job", "hydra", "all"),
    "--info": _fixed("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
    "--config-dir": complete_any_folder,
    "--sort": _columns,
    "--where": _conditions,
    "--metric": _fixed("val_nll", "val_c_td"),
}
PATHS = {
    "run": _runs,
    "resume": _runs,
    "sweep.resume": _sweeps,
    "bundle": _bundles,
    "output": complete_any_folder,
    "output_dir": complete_any_folder,
    "cache_dir": complete_any_folder,
    "data.path": complete_any_folder,
    "cohort.file": complete_any_folder,
    "logger.folder": complete_any_folder,
}
NAMES = {
    "compare": _runs,
    "rerun": _runs,
    "summarize": _sweeps,
    "runs": complete_any_folder,
}
