"""Words of a sweep's command → what hydra is to run, in which folder, and which job is which."""

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
from survlstm.sweeps.record import RESUME, count_values, read_sweep_record, recorded_words, write_sweep_record
from survlstm.utils.errors import ConfigError

MOST_CHARACTERS = 120


class SweepWords(NamedTuple):
    """The words for hydra; ``resumed`` is the folder of a sweep that is to be completed."""

    words: list[str]
    resumed: Path | None


def read_sweep_words(words: Sequence[str]) -> SweepWords:
    """Take ``sweep.resume=SWEEP`` out of a command's words; without others, those that the sweep began with hold."""
    named = [word for word in words if word.startswith(RESUME)]
    rest = [word for word in words if not word.startswith(RESUME)]
    if not named:
        return SweepWords(rest, None)
    folder = Path(named[-1].removeprefix(RESUME)).expanduser().absolute()
    recorded = read_sweep_record(folder)
    asked = [word for word in rest if word not in {"-m", "--multirun"}]
    if any(word.startswith("output_dir=") for word in asked):
        raise ConfigError(f"{RESUME}{folder} goes on in that folder; leave out output_dir")
    if overrides_of(asked):
        _refuse_another(folder, recorded.words, asked)
    else:
        config_dir = read_flags(asked).config_dir
        asked = [*asked, *recorded_words(folder, recorded, config_dir=config_dir)]
    return SweepWords(["-m", *asked, quote_override(f"output_dir={folder}")], folder)


def record_words(folder: Path, words: Sequence[str]) -> None:
    """Keep what a sweep was asked for, so that it can be completed."""
    write_sweep_record(folder, overrides_of(words), config_dir=read_flags(words).config_dir)


def overrides_of(words: Sequence[str]) -> list[str]:
    """A command's words without hydra's flags and their values."""
    return list(read_flags(words).overrides)


def swept_keys(words: Sequence[str]) -> list[str]:
    """The keys that take several values, in the order of the words."""
    return _keys(words, swept=True)


def fixed_keys(words: Sequence[str]) -> list[str]:
    """The keys that are the same for all jobs: no part of a job's name."""
    return _keys(words, swept=False)


def planned_jobs(words: Sequence[str]) -> int | None:
    """How many combinations the words make; None where a sweeper decides as it goes."""
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
    """The folder of a job: its swept overrides, with a sum of them where they can't be a file's name as they are."""
    name = re.sub(r"[^\w.,=+-]+", "_", overrides).lstrip(".")
    if name == overrides and 0 < len(name) <= MOST_CHARACTERS:
        return name
    digest = hashlib.sha256(overrides.encode()).hexdigest()[:8]
    return f"{name[:MOST_CHARACTERS]}-{digest}" if overrides else "job"


def _refuse_another(folder: Path, recorded: list[str], asked: list[str]) -> None:
    """The jobs that have ended must be jobs of what is asked for: only values of the swept keys may change."""
    swept = swept_keys(recorded)
    before, now = (
        {word for word in overrides_of(words) if word.split("=")[0] not in swept} for words in (recorded, asked)
    )
    if before != now or set(swept) != set(swept_keys(asked)):
        named = sorted(f"without {word}" for word in before - now) + sorted(now - before)
        other_keys = f"swept then: {', '.join(swept)}; now: {', '.join(swept_keys(asked)) or 'nothing'}"
        changed = ", ".join(named or [other_keys])
        raise ConfigError(
            f"a sweep is completed with the overrides it began with; in {folder} the jobs so far were run otherwise "
            f"({changed}). Leave all of them out to take the recorded ones, or set another output_dir"
        )
