"""Compose configs in Python as the commands do, and leave the state of Hydra, torch and the generators as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from hydra import version
from hydra.core.global_hydra import GlobalHydra

from survlstm.config.compose import check_overrides
from survlstm.config.overrides import format_override, refuse_sweep_options
from survlstm.config.schema.section import SectionT
from survlstm.training.seeding import random_states, restore_random_states
from survlstm.utils.errors import ConfigError

# Overrides as on the command line, one or several, or Python values by dotted key.
Overrides = str | Sequence[str] | Mapping[str, Any]
PathLike = str | os.PathLike[str]


def override_words(
    overrides: Overrides,
    *,
    function: str,
    config_dir: PathLike | None = None,
    paths: Mapping[str, PathLike | None] | None = None,
) -> list[str]:
    """Write overrides as the words of a command line.

    Args:
        overrides: Texts such as ``trainer.epochs=5``, or a mapping such as ``{"trainer.epochs": 5}``.
        function: Name of the function that takes them, for messages.
        config_dir: A folder with config groups of the user; None for none.
        paths: Paths by their key, which are added as overrides unless they are None.

    Returns:
        The words, the flag of ``config_dir`` first.

    Raises:
        ConfigError: One of the overrides is a flag or an option of a sweep, or has a value that a config can't have.
    """
    if isinstance(overrides, str):
        words = [overrides]
    elif isinstance(overrides, Mapping):
        # The path of a run to resume is read as it is, without Hydra's grammar.
        words = [
            f"{key}={value}" if key == "resume" else format_override(key, value) for key, value in overrides.items()
        ]
    else:
        words = [str(word) for word in overrides]
    flags = [word for word in words if word.startswith("-")]
    if flags:
        raise ConfigError(
            f"survlstm.{function} takes overrides, written key=value; found the flag {flags[0]}, which is for the "
            "command line. A folder with config groups is the argument config_dir"
        )
    refuse_sweep_options(words, f"survlstm.{function}")
    words += [f"{key}={os.fspath(path)}" for key, path in (paths or {}).items() if path is not None]
    return words if config_dir is None else [f"--config-dir={os.fspath(config_dir)}", *words]


def compose_one(command: str, words: list[str], schema: type[SectionT]) -> SectionT:
    """Compose and validate the config of a command.

    Args:
        command: The command, whose config is the file of that name in ``conf/``.
        words: The words as ``override_words`` returns them.
        schema: The schema of the config.

    Returns:
        The validated config.

    Raises:
        ConfigError: The message names the key, the value found, the values allowed and the nearest valid key.
    """
    with hydra_left_alone():
        (config,) = check_overrides(command, words, schema)
    return config


@contextmanager
def hydra_left_alone() -> Iterator[None]:
    """Let the block compose configs also inside a running Hydra app, whose state is restored at the end."""
    base, running = version.getbase(), GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = running
        # setbase would warn of old versions, and refuse the placeholder that stands there before the first use.
        version.VersionBase.instance().version_base = base


@contextmanager
def generators_left_alone() -> Iterator[None]:
    """Restore the random generators and torch's choice of deterministic kernels at the end of the block."""
    states = random_states()
    is_deterministic = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    # A property made at run time, of which the type checker does not know.
    fills = getattr(torch.utils.deterministic, "fill_uninitialized_memory")  # noqa: B009
    try:
        yield
    finally:
        restore_random_states(states)
        torch.use_deterministic_algorithms(is_deterministic, warn_only=only_warns)
        setattr(torch.utils.deterministic, "fill_uninitialized_memory", fills)  # noqa: B010
