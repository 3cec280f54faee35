"""Command-line overrides → proof that they compose and validate, before anything is made or started."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from survlstm.config.overrides import SWEEP_FLAGS, added_config_folders, compose_lines, read_flags
from survlstm.config.schema import conf_dir
from survlstm.config.section import SectionT
from survlstm.config.validation import leaf_keys, nearest_key, renamed, validate
from survlstm.utils.errors import ConfigError, first_line

# Composing takes a twentieth of a second.
MOST_COMBINATIONS = 50
# Keys whose values are ids.
OF_SUBJECTS = frozenset({"subject", "subjects"})


def check_overrides(config_name: str, arguments: list[str], schema: type[SectionT]) -> list[SectionT]:
    """Compose and validate what hydra is about to run; of a sweep, every value of every swept key.

    Returns the validated configs: one, or those of a sweep; none where hydra is only asked to show something. Raises
    ConfigError with the key, what was found, what is allowed and the nearest valid key.
    """
    flags = read_flags(arguments)
    if flags.help or flags.hydra_help or flags.info or flags.shell_completion:
        return []
    lines = compose_lines(arguments)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        combinations = _combinations(lines, sweep=flags.multirun)
        return [validate(_compose(config_name, combination), schema) for combination in combinations]


def _combinations(lines: list[str], *, sweep: bool) -> list[list[str]]:
    """The overrides of one run, or of every job of a sweep; of a large sweep each value, beside the others' first."""
    parsed = _parse(lines)
    if not sweep:
        return [lines]
    # glob(…) needs the config folder to expand; hydra does that when the sweep starts.
    values = [_values(override, line) for override, line in zip(parsed, lines, strict=True) if "glob(" not in line]
    if math.prod(map(len, values)) <= MOST_COMBINATIONS:
        return [list(combination) for combination in itertools.product(*values)]
    first = [options[0] for options in values]
    others = [
        [*first[:place], option, *first[place + 1 :]] for place, options in enumerate(values) for option in options[1:]
    ]
    return [first, *others]


def _values(override: Override, line: str) -> list[str]:
    if not override.is_sweep_override():
        return [line]
    key = override.get_key_element()
    values = [f"{key}={value}" for value in override.sweep_string_iterator()]
    if not values:
        raise ConfigError(f"{key} must sweep over at least one value; found {line!r}")
    if len(set(values)) < len(values):
        raise ConfigError(f"{key} must sweep over each value once; found {line!r}")
    return values


def _parse(lines: list[str]) -> list[Override]:
    parser = OverridesParser.create()
    parsed = []
    for line in lines:
        try:
            parsed.append(parser.parse_override(line))
        except (HydraException, ValueError) as error:
            home = ". For the home folder write $HOME: ~ is not expanded there" if "=~" in line else ""
            said = f"an override must read key=value; found {line!r}: {first_line(error)}{home}"
            raise ConfigError(_without_ids(said, lines)) from (None if _key(line) in OF_SUBJECTS else error)
        if not parsed[-1].key_or_group:
            raise ConfigError(f"an override must read key=value; found {line!r}, which has no key")
    return parsed


def _compose(config_name: str, lines: list[str]) -> DictConfig:
    try:
        composed = compose(config_name, overrides=lines, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        # With verbose=true the cause is shown as well.
        shown = None if any(_key(line) in OF_SUBJECTS for line in lines) else error
        raise ConfigError(_without_ids(_explain(error, config_name, lines), lines)) from shown

    with flag_override(composed, ["struct", "readonly"], False):
        of_hydra = composed.pop("hydra")
    if config_name == "train":
        _refuse_another_sweep_folder(of_hydra)
    return composed


def _refuse_another_sweep_folder(of_hydra: DictConfig) -> None:
    """ConfigError where hydra would make a sweep elsewhere than in the folder that survlstm keeps its record in."""
    found = OmegaConf.to_container(of_hydra.sweep, resolve=False)["dir"]  # type: ignore[index,call-overload]
    if found != "${output_dir}":
        raise ConfigError(f"hydra.sweep.dir must stay as it is; found {found!r}. Set output_dir={found} instead")


def _without_ids(said: str, lines: list[str]) -> str:
    """A sentence about overrides without the ids of subjects in them."""
    for line in lines:
        if _key(line) in OF_SUBJECTS:
            said = said.replace(line.partition("=")[2] or line, "…")
    return said


def _explain(error: Exception, config_name: str, lines: list[str]) -> str:
    """Hydra's own message in one sentence, with the nearest valid key or group choice."""
    message = str(error)
    choice = re.search(r"Could not (?:find|load) '([^']+)/([^'/]+)'", message)
    launcher = re.search(r"Could not (?:load|find) 'hydra/launcher/(joblib|submitit)", message)
    unknown_key = re.search(r"[Cc]ould not (?:override|delete)[^']*'([^']+)'", message)
    if launcher:
        return f"hydra/launcher needs the extra {launcher[1]} here: pip install 'survlstm[{launcher[1]}]'"
    if choice:
        group, found = choice.groups()
        choices = _choices(group, lines)
        nearest = nearest_key(found, choices)
        hint = f"; the nearest is {group}={nearest}" if nearest else ""
        return f"{group} must be one of {', '.join(choices)}; found {found!r}{hint}"
    if unknown_key:
        return _explain_key(unknown_key[1].split("@")[0], config_name, lines)
    if "must be a string or a list" in message:
        return f"{message}: a group takes the name of one of its files; leave the override out for none"
    if "Ambiguous value" in message:
        return f"{first_line(error)}: several values are a sweep, which needs -m; a list is written key=[a,b]"
    return first_line(error)


def _explain_key(key: str, config_name: str, lines: list[str]) -> str:
    known = leaf_keys(compose(config_name, overrides=[line for line in lines if _key(line) != key]))
    present = renamed(key)
    if present:
        return f"{key} is now called {present}; write {present} instead"
    groups = [path.name for path in conf_dir().iterdir() if path.is_dir()]
    section = key.split(".", maxsplit=1)[0]
    if section in groups and not any(name.startswith(f"{section}.") for name in known):
        named = ", ".join(_choices(section, lines))
        return f"{key} needs {section} to be chosen first: add {section}=, one of {named}"
    nearest = nearest_key(key, [*known, *groups])
    hint = f"; the nearest valid key is {nearest}" if nearest else ""
    return f"{key} is not a known key{hint}"


def _choices(group: str, lines: list[str]) -> list[str]:
    """The files of a group, in survlstm's own folder and in those that the search path adds."""
    folders = [conf_dir(), *(Path(folder) for folder in added_config_folders(lines))]
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def _key(line: str) -> str:
    return line.lstrip("+~").split("=")[0].split("@")[0]


def compose_values(config_name: str, lines: list[str]) -> dict[str, Any]:
    """What the overrides compose to, resolved; ConfigError as in ``check_overrides``."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        values = OmegaConf.to_container(_compose(config_name, lines), resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def refuse_sweep(verb: str, does: str, arguments: list[str]) -> None:
    """ConfigError where a verb that makes no sweep is asked for one."""
    if SWEEP_FLAGS & set(arguments):
        raise ConfigError(f"survlstm {verb} {does}; leave out -m and call it once for each")
