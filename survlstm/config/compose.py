"""Compose the configs of a command line, and check all of them before anything starts."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from survlstm.config.class_loader import search_beside
from survlstm.config.composition_errors import explain_composition_error, names_subjects, without_ids
from survlstm.config.conf_dir import conf_dir
from survlstm.config.overrides import SWEEP_FLAGS, added_config_folders, compose_overrides, read_flags
from survlstm.config.schema.section import SectionT
from survlstm.config.validation import validate
from survlstm.utils.errors import ConfigError, first_line
from survlstm.utils.nested import flatten

# Composing one config takes 0.05 s.
MOST_COMBINATIONS = 50
# How a config file writes a value that must be given.
MISSING = "???"


def check_overrides(config_name: str, arguments: list[str], schema: type[SectionT]) -> list[SectionT]:
    """Compose and validate the configs that Hydra is about to run.

    Args:
        config_name: A file of ``conf/``, without its suffix.
        arguments: The flags and overrides of the command line.
        schema: The schema of the config.

    Returns:
        One validated config, or those of a sweep: all combinations of up to 50, and every value of every swept key of
        more. An empty list if a flag asks Hydra for information, or for the composed config of values that are not
        complete yet.

    Raises:
        ConfigError: The message names the key, the value found, the values allowed and the nearest valid key.
    """
    flags = read_flags(arguments)
    if flags.help or flags.hydra_help or flags.info or flags.shell_completion:
        return []
    overrides = compose_overrides(arguments)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        combinations = _combinations(overrides, sweep=flags.multirun)
        composed = [_compose(config_name, combination) for combination in combinations]
        if flags.cfg and any(map(_is_incomplete, composed)):
            for config in composed:
                _resolved_values(config)
            return []
        return [validate(config, schema) for config in composed]


def _combinations(overrides: list[str], *, sweep: bool) -> list[list[str]]:
    """Return the overrides of every config to check.

    Of a sweep with more than MOST_COMBINATIONS jobs, each value is combined with the first values of the other keys.
    """
    parsed = _parse(overrides)
    if not sweep:
        return [overrides]
    # glob(…) is expanded by Hydra from the config folder when the sweep starts.
    values = [
        _values(each, override) for each, override in zip(parsed, overrides, strict=True) if "glob(" not in override
    ]
    if math.prod(map(len, values)) <= MOST_COMBINATIONS:
        return [list(combination) for combination in itertools.product(*values)]
    first = [options[0] for options in values]
    others = [
        [*first[:index], option, *first[index + 1 :]] for index, options in enumerate(values) for option in options[1:]
    ]
    return [first, *others]


def _values(parsed: Override, override: str) -> list[str]:
    if not parsed.is_sweep_override():
        return [override]
    key = parsed.get_key_element()
    values = [f"{key}={value}" for value in parsed.sweep_string_iterator()]
    if not values:
        raise ConfigError(f"{key} must sweep over at least one value; found {override!r}")
    if len(set(values)) < len(values):
        raise ConfigError(f"{key} must sweep over each value once; found {override!r}")
    return values


def _parse(overrides: list[str]) -> list[Override]:
    parser = OverridesParser.create()
    parsed = []
    for override in overrides:
        try:
            parsed.append(parser.parse_override(override))
        except (HydraException, ValueError) as error:
            home = ". For the home folder write $HOME: ~ is not expanded there" if "=~" in override else ""
            message = f"an override must read key=value; found {override!r}: {first_line(error)}{home}"
            raise ConfigError(without_ids(message, overrides)) from (None if names_subjects(override) else error)
        if not parsed[-1].key_or_group:
            raise ConfigError(f"an override must read key=value; found {override!r}, which has no key")
    return parsed


def _compose(config_name: str, overrides: list[str]) -> DictConfig:
    return _compose_with_choices(config_name, overrides)[0]


def _compose_with_choices(config_name: str, overrides: list[str]) -> tuple[DictConfig, dict[str, str | None]]:
    """Return the composed config without Hydra's own, and the choice of every config group."""
    search_beside(added_config_folders(overrides))
    try:
        composed = compose(config_name, overrides=overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        # verbose=true shows the cause too, which may contain an id.
        cause = None if any(map(names_subjects, overrides)) else error
        raise ConfigError(without_ids(explain_composition_error(error, config_name, overrides), overrides)) from cause

    with flag_override(composed, ["struct", "readonly"], False):
        hydra_config = composed.pop("hydra")
    if config_name == "train":
        _refuse_another_sweep_folder(hydra_config)
    return composed, dict(hydra_config.runtime.choices)


def _refuse_another_sweep_folder(hydra_config: DictConfig) -> None:
    """Raise ConfigError if the jobs of a sweep would not be in the folder with survlstm's record of the sweep."""
    found = OmegaConf.to_container(hydra_config.sweep, resolve=False)["dir"]  # type: ignore[index,call-overload]
    if found != "${output_dir}":
        raise ConfigError(f"hydra.sweep.dir must stay as it is; found {found!r}. Set output_dir={found} instead")


class Composition(NamedTuple):
    """What a command line composes, before validation.

    Attributes:
        values: The composed config as nested plain values, with interpolations as they are written, and ``???`` for a
            required value that is not given.
        choices: The choice of each config group of the config; None if nothing is chosen.
        overrides: The overrides, without flags.
    """

    values: dict[str, Any]
    choices: dict[str, str | None]
    overrides: list[str]


def compose_unresolved(config_name: str, arguments: list[str]) -> Composition:
    """Compose a command line for showing it; of a sweep, its first job.

    Args:
        config_name: A file of ``conf/``, without its suffix.
        arguments: The flags and overrides of the command line.

    Returns:
        The composition, without the config of Hydra itself.

    Raises:
        ConfigError: The arguments do not compose, see ``check_overrides``.
    """
    overrides = compose_overrides(arguments)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        first = _combinations(overrides, sweep=read_flags(arguments).multirun)[0]
        composed, choices = _compose_with_choices(config_name, first)
    return Composition(_plain_values(composed, resolve=False), choices, first)


def compose_values(config_name: str, overrides: list[str]) -> dict[str, Any]:
    """Compose overrides and resolve interpolations, without validation.

    Args:
        config_name: A file of ``conf/``, without its suffix.
        overrides: Overrides as ``compose_overrides`` returns them, without flags and without sweeps.

    Returns:
        The composed config as nested plain values, without the section ``hydra``.

    Raises:
        ConfigError: The overrides do not compose, see ``check_overrides``, or an interpolation can't be resolved.
    """
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return _resolved_values(_compose(config_name, overrides))


def _resolved_values(composed: DictConfig) -> dict[str, Any]:
    try:
        return _plain_values(composed, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {first_line(error)}") from error


def _is_incomplete(composed: DictConfig) -> bool:
    return MISSING in flatten(_plain_values(composed, resolve=False)).values()


def _plain_values(composed: DictConfig, *, resolve: bool) -> dict[str, Any]:
    values = OmegaConf.to_container(composed, resolve=resolve)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def refuse_sweep(command: str, work: str, arguments: list[str]) -> None:
    """Raise ConfigError if a command without sweeps gets the flag for one.

    Args:
        command: The command.
        work: What it does once, as in "writes one cohort", for the message.
        arguments: The arguments of the command.

    Raises:
        ConfigError: ``-m`` or ``--multirun`` is among the arguments.
    """
    if SWEEP_FLAGS & set(arguments):
        raise ConfigError(f"survlstm {command} {work}; leave out -m and run it once per value")
