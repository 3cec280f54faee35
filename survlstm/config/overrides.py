"""Read the arguments of a command: Hydra's flags, and overrides with paths that Hydra's grammar would reject."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from survlstm.utils.errors import ConfigError

SWEEP_FLAGS = frozenset({"-m", "--multirun"})
# Overrides whose value is a path; it is quoted, so that it may contain any character.
PATH_OVERRIDES = (
    "run=",
    "bundle=",
    "output=",
    "output_dir=",
    "data.path=",
    "cohort.file=",
    "cache_dir=",
    "logger.folder=",
)
DATA_PATH = "data.path="
# No config group can be called split: survlstm evaluate has a key of that name. So split=dataset is short for a key.
SPLIT, SPLIT_RULE, SPLIT_RULES = "split=", "split.by=", frozenset({"hash", "dataset"})
SEARCH_PATH = "hydra.searchpath"
SWITCHES = ("help", "hydra_help", "resolve", "run", "multirun", "shell_completion")
SETTINGS = ("cfg", "package", "info")
# Overrides that make a sweep or start its jobs; a single run does not use them.
SWEEP_OVERRIDES = ("hydra/launcher", "hydra/sweeper", "hydra.launcher", "hydra.sweeper", "hydra.sweep.")
# Words that Hydra's grammar reads as other values than texts.
READ_AS_OTHERS = frozenset({"null", "true", "false", "nan", "inf"})


def read_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse Hydra's flags and the overrides, in any order.

    Args:
        arguments: The arguments after the name of the command.

    Returns:
        The flags; the overrides are the attribute ``overrides``.

    Raises:
        ConfigError: A flag is unknown, lacks its value, or is not supported by survlstm.
    """
    parser = _flag_parser()
    unknown = find_unknown_flag(arguments)
    if unknown is not None:
        parser.error(f"there is no flag {unknown}; values are written key=value, as in trainer.epochs=50")
    flags = parser.parse_intermixed_args(list(arguments))
    if flags.config_name or flags.config_path:
        raise ConfigError("the command chooses the config; leave out --config-name and --config-path")
    shown = next((f"--{name}" for name in ("cfg", "info") if getattr(flags, name)), None)
    if flags.multirun and shown:
        raise ConfigError(f"{shown} shows the config of one run; leave out -m")
    if flags.experimental_rerun:
        raise ConfigError("--experimental-rerun would unpickle a file; survlstm rerun RUN repeats a run")
    return flags


def find_unknown_flag(arguments: Sequence[str]) -> str | None:
    """Find the first word that looks like a flag and is none.

    Args:
        arguments: The arguments after the name of the command.

    Returns:
        The flag without a value, as in ``--epochs``; None if every flag is one of Hydra's.

    Raises:
        ConfigError: One of Hydra's flags lacks its value, or has one that is not valid.
    """
    unknown = _flag_parser().parse_known_intermixed_args(list(arguments))[1]
    return next((word.partition("=")[0] for word in unknown), None)


def _flag_parser() -> argparse.ArgumentParser:
    parser = get_args_parser()
    # --vers would be --version, which prints the version of Hydra.
    parser.allow_abbrev = False

    def refuse(message: str) -> NoReturn:
        raise ConfigError(f"{message}. survlstm --help lists the commands")

    # The default would print Hydra's usage, with flags that survlstm does not take.
    parser.error = refuse  # type: ignore[method-assign]
    return parser


def normalise_arguments(arguments: Sequence[str]) -> list[str]:
    """Rewrite arguments for Hydra: flags first, and paths in quotes where Hydra's grammar needs them.

    With ``-m``, a ``data.path`` of several folders separated by commas is a sweep over these folders.

    Args:
        arguments: The arguments after the name of the command; normalised ones are returned unchanged.

    Returns:
        The flags, then the overrides.

    Raises:
        ConfigError: A flag is not valid, or a folder of ``--config-dir`` or ``hydra.searchpath`` does not exist.
    """
    flags = read_flags(arguments)
    switches = [f"--{name.replace('_', '-')}" for name in SWITCHES if getattr(flags, name)]
    settings = [(name, getattr(flags, name)) for name in SETTINGS]
    return [
        *switches,
        *(f"--{name}={value}" for name, value in settings if value is not None),
        *([] if flags.config_dir is None else [f"--config-dir={_absolute_folder(flags.config_dir)}"]),
        *_quoted_overrides(flags),
    ]


def compose_overrides(arguments: Sequence[str]) -> list[str]:
    """Return the overrides for ``hydra.compose``, which takes no flags.

    Args:
        arguments: The arguments after the name of the command.

    Returns:
        The overrides; the folder of ``--config-dir`` is added to ``hydra.searchpath``.

    Raises:
        ConfigError: As for ``normalise_arguments``.
    """
    flags = read_flags(arguments)
    overrides = _quoted_overrides(flags)
    if flags.config_dir is None:
        return overrides
    folders = [str(_absolute_folder(flags.config_dir))]
    for override in search_path(overrides):
        folders += _search_path_folders(override)
    return [*(override for override in overrides if not _is_search_path(override)), _format_search_path(folders)]


def search_path(overrides: Sequence[str]) -> list[str]:
    """Return the overrides of ``hydra.searchpath``, the folders where Hydra looks for config files.

    Args:
        overrides: Overrides without flags.

    Returns:
        Those of ``hydra.searchpath``, unchanged and in their order; empty if there is none.
    """
    return [override for override in overrides if _is_search_path(override)]


def added_config_folders(overrides: Sequence[str]) -> list[Path]:
    """Return the folders of config files that the overrides add to ``conf/``.

    Args:
        overrides: Overrides without flags.

    Returns:
        Absolute paths in the order of the overrides; packages (``pkg://``) and interpolations are left out.

    Raises:
        ConfigError: ``hydra.searchpath`` names a folder that does not exist.
    """
    folders = [folder for override in search_path(overrides) for folder in _search_path_folders(override)]
    return [_absolute_folder(folder) for folder in folders if _is_path(folder)]


def name_data_group(overrides: Sequence[str]) -> list[str]:
    """Add the choice of a data group where an evaluation names data without one.

    ``data.path`` alone is enough in ``train``, where a group of data is chosen by default; ``evaluate`` chooses none.

    Args:
        overrides: The overrides of an evaluation, without flags.

    Returns:
        The overrides, with ``data=synthea`` behind them if it is missing.
    """
    names_data = any(word.startswith("data.") for word in overrides)
    is_chosen = any(word.startswith("data=") for word in overrides)
    return [*overrides, "data=synthea"] if names_data and not is_chosen else list(overrides)


def refuse_sweep_options(arguments: Sequence[str], option: str) -> None:
    """Raise ConfigError if arguments that are for one run ask for several.

    Args:
        arguments: The arguments after the name of the command.
        option: The option that is for one run, as in ``resume``, for the message.

    Raises:
        ConfigError: The arguments hold ``-m``, an option of sweeps or ``hydra.run.dir``, or a flag is not valid.
    """
    flags = read_flags(arguments)
    found = ["-m"] if flags.multirun else []
    found += [override for override in flags.overrides if override.lstrip("+~").startswith(SWEEP_OVERRIDES)]
    if found:
        raise ConfigError(f"{option} is for one run; leave out the options of a sweep: {', '.join(found)}")
    if any(override.lstrip("+").startswith("hydra.run.dir=") for override in flags.overrides):
        raise ConfigError(f"hydra.run.dir must be left out with {option}; set output_dir to choose the folder")


def quote_override(override: str) -> str:
    """Quote the value of an override if Hydra's grammar needs it, as for a path with ``=`` or a comma.

    Args:
        override: An override, ``key=value``.

    Returns:
        The override with its value in single quotes; unchanged if the value needs no quotes or begins with one.
    """
    key, _, value = override.partition("=")
    return f"{key}={_quote(value)}"


def format_override(key: str, value: object) -> str:
    """Format a key and a Python value as an override.

    Args:
        key: A dotted key, or the name of a group.
        value: None, a boolean, a number, a text, a path, or a list or mapping of these.

    Returns:
        ``key=value`` in Hydra's grammar; a text stays a text where it would read as a number, true, false or null.

    Raises:
        ConfigError: The value has another type.

    Example:
        >>> format_override("trainer.device", "cpu"), format_override("evaluation.landmarks.visits", [2, 5])
        ('trainer.device=cpu', 'evaluation.landmarks.visits=[2,5]')
    """
    return f"{key}={_format_value(key, value)}"


def _format_value(key: str, value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str | os.PathLike):
        text = str(os.fspath(value))
        is_word = re.fullmatch(r"[A-Za-z_][\w./-]*", text, re.ASCII) and text.lower() not in READ_AS_OTHERS
        return _quote(text, always=not is_word)
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real):
        return repr(float(value))
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{_format_value(key, item)}" for name, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(_format_value(key, item) for item in value) + "]"
    raise ConfigError(
        f"{key} must be None, a number, a text, a path, a list or a mapping; found {type(value).__name__}"
    )


def _quote(value: str, *, always: bool = False) -> str:
    if value.startswith(("'", '"')) or (not always and re.fullmatch(r"[\w./~:@%+${}-]*", value, re.ASCII)):
        return value
    # Hydra's grammar reads a backslash as an escape only before a quote, so only backslashes there are doubled.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), value)
    return f"'{escaped}'"


def _quoted_overrides(flags: argparse.Namespace) -> list[str]:
    if flags.config_dir is not None and not _absolute_folder(flags.config_dir).is_dir():
        raise ConfigError(f"--config-dir must be a folder with config groups; found no folder {flags.config_dir}")
    overrides = []
    for override in flags.overrides:
        if override.lstrip("+").startswith("hydra.mode="):
            raise ConfigError(f"{override} must be left out; survlstm train -m makes a sweep")
        if override.startswith(DATA_PATH) and "," in override and "://" not in override:
            overrides.append(_read_data_path(override, sweep=flags.multirun))
        elif _is_search_path(override):
            overrides.append(_format_search_path(_search_path_folders(override)))
        elif override.startswith(SPLIT) and set(override.removeprefix(SPLIT).split(",")) <= SPLIT_RULES:
            overrides.append(SPLIT_RULE + override.removeprefix(SPLIT))
        else:
            overrides.append(quote_override(override) if override.startswith(PATH_OVERRIDES) else override)
    return overrides


def _read_data_path(override: str, *, sweep: bool) -> str:
    """Read ``data.path=A,B`` as one folder if it exists by that name, otherwise as a sweep over several folders."""
    value = override.removeprefix(DATA_PATH)
    if value.startswith(("'", '"')) or Path(value).expanduser().is_dir():
        return quote_override(override)
    folders = _split_at_commas(value)
    missing = [folder for folder in folders if not Path(folder).expanduser().is_dir()]
    if missing:
        raise ConfigError(
            f"data.path must be a folder with Synthea CSV tables, or with -m several separated by commas; found no "
            f"folder {missing[0]}"
        )
    if not sweep:
        raise ConfigError(f"data.path must be one folder; found {len(folders)}. Several are a sweep, which needs -m")
    return DATA_PATH + ",".join(_quote(folder, always=True) for folder in folders)


def _split_at_commas(value: str) -> list[str]:
    """Split a list of folders at its commas, except at commas that are part of an existing folder's name."""
    folders: list[str] = []
    parts = value.split(",")
    while parts:
        lengths = [n for n in range(len(parts), 0, -1) if Path(",".join(parts[:n])).expanduser().is_dir()]
        taken = lengths[0] if lengths else 1
        folders.append(",".join(parts[:taken]))
        del parts[:taken]
    return folders


def _is_search_path(override: str) -> bool:
    return override.lstrip("+").startswith(f"{SEARCH_PATH}=")


def _format_search_path(folders: Sequence[str]) -> str:
    return f"{SEARCH_PATH}=[{','.join(_quote(_as_url(folder)) for folder in folders)}]"


def _search_path_folders(override: str) -> list[str]:
    """Read the folders of a ``hydra.searchpath``.

    Names with commas or brackets make its value ambiguous; the first reading whose folders all exist is returned.
    """
    value = override.partition("=")[2].strip()
    inner = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    by_scheme = re.split(r",\s*(?=(?:file|pkg)://)", inner)
    readings = [*_parse_list(override), by_scheme, [part.strip() for part in _split_at_commas(inner)]]
    missing = [[folder for folder in reading if not _exists(folder)] for reading in readings]
    for reading, absent in zip(readings, missing, strict=True):
        if not absent:
            return reading
    raise ConfigError(f"{SEARCH_PATH} must list folders with config groups; found no folder {missing[0][0]}")


def _parse_list(override: str) -> list[list[str]]:
    """Return the list that Hydra's grammar reads, as the only reading; no reading if it reads no list."""
    try:
        found = OverridesParser.create().parse_override(override).value()
    except (HydraException, ValueError):
        return []
    return [[str(folder) for folder in found]] if isinstance(found, list) else []


def _exists(folder: str) -> bool:
    return not _is_path(folder) or _absolute_folder(folder).is_dir()


def _is_path(folder: str) -> bool:
    """Return whether a folder is a path, neither a package nor an interpolation that only Hydra can resolve."""
    return not folder.startswith("pkg://") and "${" not in folder


def _absolute_folder(path: str) -> Path:
    return Path(path.removeprefix("file://")).expanduser().absolute()


def _as_url(folder: str) -> str:
    return f"file://{_absolute_folder(folder)}" if _is_path(folder) else folder
