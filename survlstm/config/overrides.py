"""Read the words of a command line: hydra's flags, and paths that hydra's grammar does not take as they are."""

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
# Keys whose value is a path, whatever characters it holds.
PATHS = ("run=", "bundle=", "output=", "output_dir=", "data.path=", "cache_dir=", "logger.folder=")
DATA_PATH = "data.path="
SEARCH_PATH = "hydra.searchpath"
SWITCHES = ("help", "hydra_help", "resolve", "run", "multirun", "shell_completion")
SETTINGS = ("cfg", "package", "info")
# What makes a sweep or says how its jobs are started; a single run has no use for them.
OF_A_SWEEP = ("hydra/launcher", "hydra/sweeper", "hydra.launcher", "hydra.sweeper", "hydra.sweep.")


def read_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Hydra's flags, and the overrides as ``overrides``, in whatever order they stand.

    Raises:
        ConfigError: A flag is unknown, lacks its value, or is none that survlstm takes.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            message = f"there is no flag {unknown.split()[0]}; values are written key=value, as in trainer.epochs=50"
        raise ConfigError(f"{message}. survlstm --help lists the commands")

    # Its own would print hydra's usage.
    parser.error = refuse  # type: ignore[method-assign]
    flags = parser.parse_intermixed_args(list(arguments))
    if flags.config_name or flags.config_path:
        raise ConfigError("survlstm's configs are chosen by the verb; leave out --config-name and --config-path")
    if flags.experimental_rerun:
        raise ConfigError("--experimental-rerun would unpickle a file; survlstm rerun RUN makes a run again")
    return flags


def normalise_words(arguments: Sequence[str]) -> list[str]:
    """The same words as hydra takes them: its flags first, and paths in quotes where they need some.

    Under ``-m`` a ``data.path`` with several folders between commas is a sweep over them. Words that are normalised
    already stay as they are.

    Raises:
        ConfigError: As ``read_flags``; the folder of ``--config-dir`` or one of ``hydra.searchpath`` does not exist.
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
    """The overrides for hydra's compose, which knows no flag: ``--config-dir`` becomes part of the search path."""
    flags = read_flags(arguments)
    lines = _as_hydra_reads(flags)
    if flags.config_dir is None:
        return lines
    named = [line for line in lines if _is_search_path(line)]
    folders = [str(_folder(flags.config_dir)), *(folder for line in named for folder in _named_in(line))]
    return [*(line for line in lines if line not in named), _search_path(folders)]


def search_path(lines: Sequence[str]) -> list[str]:
    """Those of the overrides that say where hydra looks for config files."""
    return [line for line in lines if _is_search_path(line)]


def added_config_folders(lines: Sequence[str]) -> list[Path]:
    """The folders of config files that the overrides add to survlstm's own."""
    return [_folder(folder) for line in search_path(lines) for folder in _named_in(line) if _is_path(folder)]


def refuse_sweep_words(arguments: Sequence[str], what: str) -> None:
    """ConfigError where the words ask for several jobs and ``what`` is about one run."""
    flags = read_flags(arguments)
    found = ["-m"] if flags.multirun else []
    found += [word for word in flags.overrides if word.lstrip("+~").startswith(OF_A_SWEEP)]
    if found:
        raise ConfigError(f"{what} is about one run; leave out what belongs to a sweep: {', '.join(found)}")
    if any(word.lstrip("+").startswith("hydra.run.dir=") for word in flags.overrides):
        raise ConfigError(f"hydra.run.dir must be left out with {what}; set output_dir for a folder of another name")


def quote_word(word: str) -> str:
    """An override in quotes where hydra would not take its value as it is: a path may hold = or a comma."""
    key, _, value = word.partition("=")
    return f"{key}={_quoted(value)}"


def _quoted(value: str, *, always: bool = False) -> str:
    if value.startswith(("'", '"')) or (not always and re.fullmatch(r"[\w./~:@%+${}-]*", value, re.ASCII)):
        return value
    # Backslashes are themselves but before a quote.
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
            words.append(quote_word(word) if word.startswith(PATHS) else word)
    return words


def _several_folders(word: str, *, sweep: bool) -> str:
    """``data.path=A,B``: one folder of that name where there is one, else a sweep over folders that all exist."""
    value = word.removeprefix(DATA_PATH)
    if value.startswith(("'", '"')) or Path(value).expanduser().is_dir():
        return quote_word(word)
    folders = _between_commas(value)
    missing = [folder for folder in folders if not Path(folder).expanduser().is_dir()]
    if missing:
        raise ConfigError(
            f"data.path must be a folder with Synthea CSV tables, or with -m several between commas; found no folder "
            f"{missing[0]}"
        )
    if not sweep:
        raise ConfigError(f"data.path must be one folder; found {len(folders)}. Several are a sweep, which needs -m")
    return DATA_PATH + ",".join(_quoted(folder, always=True) for folder in folders)


def _between_commas(value: str) -> list[str]:
    """The parts of a list of folders; parts that make a folder only together, comma included, stay together."""
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
    """The folders of a search path, read so that all of them exist where one of its readings gives that."""
    value = word.partition("=")[2].strip()
    inner = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    by_scheme = re.split(r",\s*(?=(?:file|pkg)://)", inner)
    readings = [*_by_hydras_grammar(word), by_scheme, [part.strip() for part in _between_commas(inner)]]
    missing = [[folder for folder in reading if not _is_found(folder)] for reading in readings]
    for reading, absent in zip(readings, missing, strict=True):
        if not absent:
            return reading
    raise ConfigError(f"{SEARCH_PATH} must list folders with config groups; found no folder {missing[0][0]}")


def _by_hydras_grammar(word: str) -> list[list[str]]:
    try:
        found = OverridesParser.create().parse_override(word).value()
    except (HydraException, ValueError):
        return []
    return [[str(folder) for folder in found]] if isinstance(found, list) else []


def _is_found(folder: str) -> bool:
    return not _is_path(folder) or _folder(folder).is_dir()


def _is_path(folder: str) -> bool:
    """Not a package, and nothing that only hydra can interpolate."""
    return not folder.startswith("pkg://") and "${" not in folder


def _folder(path: str) -> Path:
    return Path(path.removeprefix("file://")).expanduser().absolute()


def _as_url(folder: str) -> str:
    return f"file://{_folder(folder)}" if _is_path(folder) else folder
