"""Compose the configs of a command line, and check all of them before anything starts."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from survlstm.config.conf_dir import conf_dir
from survlstm.config.overrides import SWEEP_FLAGS, added_config_folders, compose_overrides, read_flags
from survlstm.config.schema.section import SectionT
from survlstm.config.validation import dotted_keys, nearest_key, renamed, validate
from survlstm.utils.errors import ConfigError, first_line

# Composing one config takes 0.05 s.
MOST_COMBINATIONS = 50
# Keys whose values are ids of subjects, which no message may show.
SUBJECT_KEYS = frozenset({"subject", "subjects"})


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
        if flags.cfg and any(OmegaConf.missing_keys(config) for config in composed):
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
            raise ConfigError(_without_ids(message, overrides)) from (None if _key(override) in SUBJECT_KEYS else error)
        if not parsed[-1].key_or_group:
            raise ConfigError(f"an override must read key=value; found {override!r}, which has no key")
    return parsed


def _compose(config_name: str, overrides: list[str]) -> DictConfig:
    return _compose_with_choices(config_name, overrides)[0]


def _compose_with_choices(config_name: str, overrides: list[str]) -> tuple[DictConfig, dict[str, str | None]]:
    """Return the composed config without Hydra's own, and the choice of every config group."""
    try:
        composed = compose(config_name, overrides=overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        # verbose=true shows the cause too, which may contain an id.
        cause = None if any(_key(override) in SUBJECT_KEYS for override in overrides) else error
        raise ConfigError(_without_ids(_explain(error, config_name, overrides), overrides)) from cause

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


def _without_ids(message: str, overrides: list[str]) -> str:
    """Replace the ids of subjects in a message about overrides."""
    for override in overrides:
        if _key(override) in SUBJECT_KEYS:
            message = message.replace(override.partition("=")[2] or override, "…")
    return message


def _explain(error: Exception, config_name: str, overrides: list[str]) -> str:
    """Summarise an error of Hydra in one sentence, with the nearest valid key or group choice."""
    message = str(error)
    choice = re.search(r"Could not (?:find|load) '([^']+)/([^'/]+)'", message)
    launcher = re.search(r"Could not (?:load|find) 'hydra/launcher/(joblib|submitit)", message)
    unknown_key = re.search(r"[Cc]ould not (?:override|delete)[^']*'([^']+)'", message)
    if launcher:
        return f"this hydra/launcher needs the extra {launcher[1]}: pip install 'survlstm[{launcher[1]}]'"
    if choice:
        group, found = choice.groups()
        choices = group_choices(group, overrides)
        nearest = nearest_key(found, choices)
        hint = f"; the nearest is {group}={nearest}" if nearest else ""
        return f"{group} must be one of {', '.join(choices)}; found {found!r}{hint}"
    if unknown_key:
        return _explain_key(unknown_key[1].split("@")[0], config_name, overrides)
    if "must be a string or a list" in message:
        return f"{message}: a group must be the name of one of its files; leave the override out for none"
    if "Ambiguous value" in message:
        return f"{first_line(error)}: several values are a sweep, which needs -m; a list is written key=[a,b]"
    return first_line(error)


def _explain_key(key: str, config_name: str, overrides: list[str]) -> str:
    known = dotted_keys(compose(config_name, overrides=[override for override in overrides if _key(override) != key]))
    present = renamed(key)
    if present:
        return f"{key} is now called {present}; write {present} instead"
    groups = [path.name for path in conf_dir().iterdir() if path.is_dir()]
    section = key.split(".", maxsplit=1)[0]
    if section in groups and not any(name.startswith(f"{section}.") for name in known):
        named = ", ".join(group_choices(section, overrides))
        return f"{key} needs a choice of {section} first: add {section}=, one of {named}"
    nearest = nearest_key(key, [*known, *groups])
    hint = f"; the nearest valid key is {nearest}" if nearest else ""
    return f"{key} is not a known key{hint}"


def group_choices(group: str, overrides: list[str]) -> list[str]:
    """List the choices of a config group, in ``conf/`` and in the folders that the search path adds.

    Args:
        group: The config group, as in ``model`` or ``hydra/launcher``.
        overrides: Overrides as ``compose_overrides`` returns them.

    Returns:
        The names of the group's files, sorted; empty if there is no such group.

    Raises:
        ConfigError: ``hydra.searchpath`` names a folder that does not exist.
    """
    folders = [conf_dir(), *(Path(folder) for folder in added_config_folders(overrides))]
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def _key(override: str) -> str:
    return override.lstrip("+~").split("=")[0].split("@")[0]


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
        composed = _compose(config_name, overrides)
        try:
            return _plain_values(composed, resolve=True)
        except OmegaConfBaseException as error:
            raise ConfigError(f"{error.full_key}: {first_line(error)}") from error


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
