"""Parse the command line of a sweep: the overrides to run, the sweep's folder and the names of job folders."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from survlstm.config.overrides import quote_override, read_flags
from survlstm.sweeps.record import ALLOW, RESUME, count_values, read_sweep_record, recorded_words, write_sweep_record
from survlstm.utils.errors import ConfigError

MOST_CHARACTERS = 120


class SweepWords(NamedTuple):
    """The command-line words to pass to Hydra.

    Attributes:
        words: The words, ``-m`` first.
        resumed: The folder of the sweep to complete; None for a new sweep.
    """

    words: list[str]
    resumed: Path | None


def read_sweep_words(words: Sequence[str]) -> SweepWords:
    """Replace ``sweep.resume=SWEEP`` by the overrides that the sweep was started with.

    Args:
        words: The words behind ``survlstm train``.

    Returns:
        The words unchanged if they name no sweep to resume. Otherwise the words to run: the recorded overrides if the
        command has none of its own, else the command's overrides, which may differ from the recorded ones only in the
        values of swept keys.

    Raises:
        ConfigError: If the sweep's record can't be read or run, if ``output_dir`` is given, or if the overrides differ
            in more than values of swept keys.
    """
    named = [word for word in words if word.startswith(RESUME)]
    allow = [word for word in words if word.startswith(ALLOW)] if named else []
    rest = [word for word in words if not word.startswith(RESUME) and word not in allow]
    if not named:
        return SweepWords(rest, None)
    folder = Path(named[-1].removeprefix(RESUME)).expanduser().absolute()
    recorded = read_sweep_record(folder)
    requested = [word for word in rest if word not in {"-m", "--multirun"}]
    if any(word.startswith("output_dir=") for word in requested):
        raise ConfigError(f"{RESUME}{folder} continues in that folder; leave out output_dir")
    if overrides_of(requested):
        _refuse_another_sweep(folder, recorded.words, requested)
    else:
        config_dir = read_flags(requested).config_dir
        requested = [*requested, *recorded_words(folder, recorded, config_dir=config_dir, allow=_classes(allow))]
    return SweepWords(["-m", *requested, quote_override(f"output_dir={folder}")], folder)


def _classes(words: Sequence[str]) -> list[str]:
    """Return the dotted names in words such as ``allow=[mypackage.MyGRU]``."""
    return [name for word in words for name in re.split(r"[\[\],\s'\"]+", word.removeprefix(ALLOW)) if name]


def record_words(folder: Path, words: Sequence[str]) -> None:
    """Write the overrides of a sweep to its folder, so that the sweep can be completed later.

    Args:
        folder: The sweep's folder; it is created if it is missing.
        words: The words behind ``survlstm train``.

    Raises:
        ConfigError: If the folder can't be written, or a flag is not valid.
    """
    write_sweep_record(folder, overrides_of(words), config_dir=read_flags(words).config_dir)


def overrides_of(words: Sequence[str]) -> list[str]:
    """Return the overrides among a command's words, without Hydra's flags and their values.

    Args:
        words: The words behind ``survlstm train``.

    Returns:
        The overrides, in the order of the command line.

    Raises:
        ConfigError: If a flag is unknown, lacks its value, or is not supported by survlstm.
    """
    return list(read_flags(words).overrides)


def swept_keys(words: Sequence[str]) -> list[str]:
    """Return the keys that take several values.

    Args:
        words: The words behind ``survlstm train``.

    Returns:
        The keys in the order of the command line.

    Raises:
        ConfigError: If a flag is not valid, as for ``overrides_of``.
    """
    return _keys(words, swept=True)


def fixed_keys(words: Sequence[str]) -> list[str]:
    """Return the keys that have one value for all jobs; they are no part of a job's folder name.

    Args:
        words: The words behind ``survlstm train``.

    Returns:
        The keys in the order of the command line.

    Raises:
        ConfigError: If a flag is not valid, as for ``overrides_of``.
    """
    return _keys(words, swept=False)


def planned_jobs(words: Sequence[str]) -> int | None:
    """Count the jobs that the overrides expand to.

    Args:
        words: The words behind ``survlstm train``.

    Returns:
        The number of jobs, 1 if no key is swept; None if a Hydra sweeper, or the files of a config group, decide.

    Raises:
        ConfigError: If a flag is not valid, as for ``overrides_of``.
    """
    if any(word.startswith("hydra/sweeper") for word in words):
        return None
    counts = [count_values(found) for found in _parsed(words) if found.is_sweep_override()]
    known = [count for count in counts if count is not None]
    return math.prod(known) if len(known) == len(counts) else None


def _keys(words: Sequence[str], *, swept: bool) -> list[str]:
    return [found.get_key_element() for found in _parsed(words) if found.is_sweep_override() == swept]


def _parsed(words: Sequence[str]) -> list[Override]:
    parser = OverridesParser.create()
    return [parser.parse_override(word) for word in overrides_of(words)]


def job_folder_name(overrides: str) -> str:
    """Return the name of a job's folder: its swept overrides.

    A hash is appended if the overrides are too long, or hold characters that a file name can't have.

    Args:
        overrides: The swept overrides of the job as Hydra joins them, ``key=value,key=value``.

    Returns:
        The name, of at most ``MOST_CHARACTERS`` characters and a hash; "job" without overrides.
    """
    name = re.sub(r"[^\w.,=+-]+", "_", overrides).lstrip(".")
    if name == overrides and 0 < len(name) <= MOST_CHARACTERS:
        return name
    digest = hashlib.sha256(overrides.encode()).hexdigest()[:8]
    return f"{name[:MOST_CHARACTERS]}-{digest}" if overrides else "job"


def _refuse_another_sweep(folder: Path, recorded: list[str], requested: list[str]) -> None:
    """Raise ConfigError if the requested overrides differ from the recorded ones in more than swept values."""
    swept = swept_keys(recorded)
    before, now = (
        {word for word in overrides_of(words) if word.split("=")[0] not in swept} for words in (recorded, requested)
    )
    if before != now or set(swept) != set(swept_keys(requested)):
        named = sorted(f"without {word}" for word in before - now) + sorted(now - before)
        other_keys = f"swept then: {', '.join(swept)}; now: {', '.join(swept_keys(requested)) or 'nothing'}"
        changed = ", ".join(named or [other_keys])
        raise ConfigError(
            f"a sweep must be completed with the overrides it was started with; the jobs in {folder} were run with "
            f"others ({changed}). Leave out all overrides to use the recorded ones, or set another output_dir"
        )
