"""Explain why overrides do not compose, with the nearest valid key or choice and without ids of subjects."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hydra import compose
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from survlstm.config.conf_dir import conf_dir
from survlstm.config.overrides import added_config_folders
from survlstm.config.validation import dotted_keys, nearest_key, renamed
from survlstm.utils.errors import first_line

# Keys whose values are ids of subjects, which no message may show.
SUBJECT_KEYS = frozenset({"subject", "subjects"})


def explain_composition_error(error: Exception, config_name: str, overrides: Sequence[str]) -> str:
    """Summarise an error of Hydra in one sentence, with the nearest valid key or group choice.

    Args:
        error: The error of Hydra or OmegaConf.
        config_name: A file of ``conf/``, without its suffix.
        overrides: The overrides that do not compose.

    Returns:
        The sentence, in which a value of an override may occur, see ``without_ids``.
    """
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


def _explain_key(key: str, config_name: str, overrides: Sequence[str]) -> str:
    known = _known_keys(config_name, [override for override in overrides if _key(override) != key])
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


def _known_keys(config_name: str, overrides: Sequence[str]) -> list[str]:
    try:
        return dotted_keys(compose(config_name, overrides=list(overrides)))
    # Another override is wrong as well.
    except (HydraException, OmegaConfBaseException):
        return dotted_keys(compose(config_name))


def group_choices(group: str, overrides: Sequence[str]) -> list[str]:
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


def without_ids(message: str, overrides: Sequence[str]) -> str:
    """Replace the ids of subjects in a message about overrides.

    Args:
        message: The message.
        overrides: The overrides that it is about.

    Returns:
        The message with ``…`` instead of every value of a key that names subjects.
    """
    for override in overrides:
        if names_subjects(override):
            message = message.replace(override.partition("=")[2] or override, "…")
    return message


def names_subjects(override: str) -> bool:
    """Return whether the value of an override is an id, or ids, of subjects."""
    return _key(override) in SUBJECT_KEYS


def _key(override: str) -> str:
    return override.lstrip("+~").split("=")[0].split("@")[0]
