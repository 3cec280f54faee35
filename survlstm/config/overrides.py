"""Read the arguments of a command: Hydra's flags, and overrides with paths that Hydra's grammar would reject."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from survlstm.utils.errors import ConfigError

SWEEP_FLAGS = frozenset({"-m", "--multirun"})
# Overrides whose value is a path; it is quoted, so that it may contain any character.
PATH_OVERRIDES = ("run=", "bundle=", "output=", "output_dir=", "data.path=", "cache_dir=", "logger.folder=")
DATA_PATH = "data.path="
SEARCH_PATH = "hydra.searchpath"
SWITCHES = ("help", "hydra_help", "resolve", "run", "multirun", "shell_completion")
SETTINGS = ("cfg", "package", "info")
# Overrides that make a sweep or start its jobs; a single run does not use them.
SWEEP_OVERRIDES = ("hydra/launcher", "hydra/sweeper", "hydra.launcher", "hydra.sweeper", "hydra.sweep.")


def read_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse Hydra's flags and the overrides, in any order.

    Args:
        arguments: The arguments after the name of the command.

    Returns:
        The flags; the overrides are the attribute ``overrides``.

    Raises:
        ConfigError: A flag is unknown, lacks its value, or is not supported by survlstm.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            message = f"there is no flag {unknown.split()[0]}; values are written key=value, as in trainer.epochs=50"
        raise ConfigError(f"{message}. survlstm --help lists the commands")

    # The default would print Hydra's usage, with flags that survlstm does not take.
    parser.error = refuse  # type: ignore[method-assign]
    flags = parser.parse_intermixed_args(list(arguments))
    if flags.config_name or flags.config_path:
        raise ConfigError("the command chooses the config; leave out --config-name and --config-path")
    if flags.experimental_rerun:
        raise ConfigError("--experimental-rerun would unpickle a file; survlstm rerun RUN repeats a run")
    return flags


def normalise_words(arguments: Sequence[str]) -> list[str]:
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
        *([] if flags.config_dir is None else [f"--config-dir={_folder(flags.config_dir)}"]),
        *_as_hydra_reads(flags),
    ]


def compose_lines(arguments: Sequence[str]) -> list[str]:
    """Return the overrides for ``hydra.compose``, which takes no flags.

    Args:
        arguments: The arguments after the name of the command.

    Returns:
        The overrides; the folder of ``--config-dir`` is added to ``hydra.searchpath``.

    Raises:
        ConfigError: As for ``normalise_words``.
    """
    flags = read_flags(arguments)
    lines = _as_hydra_reads(flags)
    if flags.config_dir is None:
        return lines
    named = [line for line in lines if _is_search_path(line)]
    folders = [str(_folder(flags.config_dir)), *(folder for line in named for folder in _named_in(line))]
    return [*(line for line in lines if line not in named), _search_path(folders)]


def search_path(lines: Sequence[str]) -> list[str]:
    """Return the overrides of ``hydra.searchpath``, the folders where Hydra looks for config files."""
    return [line for line in lines if _is_search_path(line)]


def added_config_folders(lines: Sequence[str]) -> list[Path]:
    """Return the folders of config files that the overrides add to ``conf/``."""
    return [_folder(folder) for line in search_path(lines) for folder in _named_in(line) if _is_path(folder)]


def refuse_sweep_words(arguments: Sequence[str], option: str) -> None:
    """Raise ConfigError if arguments that are for one run ask for several.

    Args:
        arguments: The arguments after the name of the command.
        option: The option that is for one run, as in ``resume``, for the message.
    """
    flags = read_flags(arguments)
    found = ["-m"] if flags.multirun else []
    found += [word for word in flags.overrides if word.lstrip("+~").startswith(SWEEP_OVERRIDES)]
    if found:
        raise ConfigError(f"{option} is for one run; leave out the options of a sweep: {', '.join(found)}")
    if any(word.lstrip("+").startswith("hydra.run.dir=") for word in flags.overrides):
        raise ConfigError(f"hydra.run.dir must be left out with {option}; set output_dir to choose the folder")


def quote_word(word: str) -> str:
    """Quote the value of an override if Hydra's grammar needs it, as for a path with ``=`` or a comma."""
    key, _, value = word.partition("=")
    return f"{key}={_quoted(value)}"


def _quoted(value: str, *, always: bool = False) -> str:
    if value.startswith(("'", '"')) or (not always and re.fullmatch(r"[\w./~:@%+${}-]*", value, re.ASCII)):
        return value
    # Hydra's grammar reads a backslash as an escape only before a quote, so only backslashes there are doubled.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), value)
    return f"'{escaped}'"


def _as_hydra_reads(flags: argparse.Namespace) -> list[str]:
    if flags.config_dir is not None and not _folder(flags.config_dir).is_dir():
        raise ConfigError(f"--config-dir must be a folder with config groups; found no folder {flags.config_dir}")
    words = []
    for word in flags.overrides:
        if word.lstrip("+").startswith("hydra.mode="):
            raise ConfigError(f"{word} must be left out; survlstm train -m makes a sweep")
        if word.startswith(DATA_PATH) and "," in word:
            words.append(_several_folders(word, sweep=flags.multirun))
        elif _is_search_path(word):
            words.append(_search_path(_named_in(word)))
        else:
            words.append(quote_word(word) if word.startswith(PATH_OVERRIDES) else word)
    return words


def _several_folders(word: str, *, sweep: bool) -> str:
    """Read ``data.path=A,B`` as one folder if it exists by that name, otherwise as a sweep over several folders."""
    value = word.removeprefix(DATA_PATH)
    if value.startswith(("'", '"')) or Path(value).expanduser().is_dir():
        return quote_word(word)
    folders = _between_commas(value)
    missing = [folder for folder in folders if not Path(folder).expanduser().is_dir()]
    if missing:
        raise ConfigError(
            f"data.path must be a folder with Synthea CSV tables, or with -m several separated by commas; found no "
            f"folder {missing[0]}"
        )
    if not sweep:
        raise ConfigError(f"data.path must be one folder; found {len(folders)}. Several are a sweep, which needs -m")
    return DATA_PATH + ",".join(_quoted(folder, always=True) for folder in folders)


def _between_commas(value: str) -> list[str]:
    """Split a list of folders at its commas, except at commas that are part of an existing folder's name."""
    folders: list[str] = []
    parts = value.split(",")
    while parts:
        lengths = [n for n in range(len(parts), 0, -1) if Path(",".join(parts[:n])).expanduser().is_dir()]
        taken = lengths[0] if lengths else 1
        folders.append(",".join(parts[:taken]))
        del parts[:taken]
    return folders


def _is_search_path(word: str) -> bool:
    return word.lstrip("+").startswith(f"{SEARCH_PATH}=")


def _search_path(folders: Sequence[str]) -> str:
    return f"{SEARCH_PATH}=[{','.join(_quoted(_as_url(folder)) for folder in folders)}]"


def _named_in(word: str) -> list[str]:
    """Read the folders of a ``hydra.searchpath``.

    Names with commas or brackets make its value ambiguous; the first reading whose folders all exist is returned.
    """
    value = word.partition("=")[2].strip()
    inner = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    by_scheme = re.split(r",\s*(?=(?:file|pkg)://)", inner)
    readings = [*_parse_list(word), by_scheme, [part.strip() for part in _between_commas(inner)]]
    missing = [[folder for folder in reading if not _is_found(folder)] for reading in readings]
    for reading, absent in zip(readings, missing, strict=True):
        if not absent:
            return reading
    raise ConfigError(f"{SEARCH_PATH} must list folders with config groups; found no folder {missing[0][0]}")


def _parse_list(word: str) -> list[list[str]]:
    """Return the list that Hydra's grammar reads, as the only reading; no reading if it reads no list."""
    try:
        found = OverridesParser.create().parse_override(word).value()
    except (HydraException, ValueError):
        return []
    return [[str(folder) for folder in found]] if isinstance(found, list) else []


def _is_found(folder: str) -> bool:
    return not _is_path(folder) or _folder(folder).is_dir()


def _is_path(folder: str) -> bool:
    """Return whether a folder is a path, neither a package nor an interpolation that only Hydra can resolve."""
    return not folder.startswith("pkg://") and "${" not in folder


def _folder(path: str) -> Path:
    return Path(path.removeprefix("file://")).expanduser().absolute()


def _as_url(folder: str) -> str:
    return f"file://{_folder(folder)}" if _is_path(folder) else folder
