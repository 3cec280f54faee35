"""Validate a composed or a stored config against its schema, with one sentence per wrong key."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Sequence
from functools import cache
from typing import Any, get_args

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import ValidationError

from survlstm.config.schema.foreign import FOREIGN
from survlstm.config.schema.section import Section, SectionT
from survlstm.utils.errors import ConfigError, first_line
from survlstm.utils.stored_files import find_fault


class _BoundedRepr(reprlib.Repr):
    """A bounded ``repr``: values from a command line stay whole, long content of a file is shortened."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 200
        self.maxlist = self.maxtuple = self.maxdict = 20


bounded_repr = _BoundedRepr().repr


def validate(composed: DictConfig, schema: type[SectionT], *, finished: bool = False) -> SectionT:
    """Validate a config that Hydra has composed.

    The config is the user's own, so its interpolations, such as ``${oc.env:NAME}``, are resolved.

    Args:
        composed: The composed config.
        schema: The schema of the config.
        finished: Whether the run has finished, so that the export need no longer exist.

    Returns:
        The validated config, without interpolations.

    Raises:
        ConfigError: Every wrong key has one line in the message.
    """
    try:
        values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = str(error.full_key)
        raise ConfigError(f"{key} has no value and needs one; set {key}=VALUE") from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {first_line(error)}") from error
    # The user's own config may name any class.
    return _validated(values, schema, finished=finished, allow=None)


def validate_stored(
    values: Any, schema: type[SectionT], *, finished: bool = False, allow: Sequence[str] = ()
) -> SectionT:
    """Validate a config that was read from a file.

    A stored config is data and may come from anyone. An interpolation in it is refused, never resolved. A class that is
    not part of survlstm is not imported unless ``allow`` names it: its section is accepted, but can't be instantiated.

    Args:
        values: The content of the file.
        schema: The schema of the config.
        finished: Whether the run has finished, so that the export need no longer exist.
        allow: Dotted names of classes that the user's own command permits.

    Returns:
        The validated config.

    Raises:
        ConfigError: Every wrong key has one line in the message.
    """
    return _validated(values, schema, finished=finished, allow=allow)


def _validated(values: Any, schema: type[SectionT], *, finished: bool, allow: Sequence[str] | None) -> SectionT:
    if schema.is_plain:
        fault = find_fault(values)
        if fault:
            raise ConfigError(fault)
    try:
        return schema.model_validate(values, context={"finished": finished, "allow": allow})
    except ValidationError as error:
        known = _dotted(values) if isinstance(values, dict) else []
        raise ConfigError("\n".join(_describe_error(dict(details), known) for details in error.errors())) from error


# Sections of earlier versions, and their present names.
RENAMED = {"judgement": "evaluation", "tracker": "logger"}


def renamed(key: str) -> str | None:
    """Return the present name of a key of an earlier version, and None for any other key.

    Args:
        key: A dotted key, or the name of a section.

    Returns:
        The key with the present name of its section; None if its section has not been renamed.

    Example:
        >>> renamed("judgement.baselines")
        'evaluation.baselines'
    """
    first, dot, rest = key.partition(".")
    return f"{RENAMED[first]}{dot}{rest}" if first in RENAMED else None


def dotted_keys(composed: DictConfig) -> list[str]:
    """Return every dotted key of a composed config, sections included.

    Args:
        composed: The composed config; its interpolations are not resolved.

    Returns:
        Keys such as ``trainer`` and ``trainer.epochs``, each section before its own keys.
    """
    values = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(values, dict)
    return _dotted(values)


@cache
def schema_keys(schema: type[Section]) -> frozenset[str]:
    """Return every dotted key that a config of the schema may have with any choice of groups, except ``_target_``.

    Args:
        schema: The schema of a config.

    Returns:
        Dotted keys, sections included.
    """
    keys: set[str] = set()
    for name, field in schema.model_fields.items():
        if field.alias == "_target_":
            continue
        keys.add(name)
        for section in _sections_in(field.annotation):
            keys |= {f"{name}.{key}" for key in schema_keys(section)}
    return frozenset(keys)


def _sections_in(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections_in(part)]


def _dotted(values: dict[Any, Any]) -> list[str]:
    """List every dotted key, those of sections too: a section may be what a misspelt key means."""
    keys = []
    for name, value in values.items():
        keys.append(str(name))
        if isinstance(value, dict):
            keys += [f"{name}.{key}" for key in _dotted(value)]
    return keys


def nearest_key(key: str, known: list[str]) -> str | None:
    """Find the valid key that a misspelt key most likely means.

    Args:
        key: The misspelt key, dotted.
        known: The valid keys, sections included.

    Returns:
        A key with the same last part, else the one with the closest spelling; None if no spelling is close.
    """
    last = key.rsplit(".", maxsplit=1)[-1]
    same_last = [name for name in known if name.split(".")[-1] == last and name != key]
    if same_last:
        return same_last[0]
    others = [name for name in known if name != key]
    if "." in key:
        # A dotted key means a value, so a section is not a useful suggestion.
        others = [name for name in others if not any(other.startswith(f"{name}.") for other in others)]
    close = difflib.get_close_matches(key, others, n=1, cutoff=0.6)
    if close:
        return close[0]
    by_last = {name.split(".")[-1]: name for name in known if name != key}
    close = difflib.get_close_matches(last, list(by_last), n=1, cutoff=0.5)
    return by_last[close[0]] if close else None


def _describe_error(error: dict[str, Any], known: list[str]) -> str:
    """Describe one error of pydantic: the key, the value found and the values allowed."""
    # The location of an error in a union contains the tag of the member, which is not part of the key.
    parts = [str(part) for part in error["loc"] if "." not in str(part) and part != "none"]
    key = ".".join(parts) or "config"
    value = error["input"]
    if error["type"] == "extra_forbidden":
        return _unknown_key(key, value, known)
    if error["type"] == "missing":
        return f"{key} is missing; set {key}=VALUE"
    if error["type"] == "value_error":
        return _invalid_value(key, str(error["ctx"]["error"]))
    if error["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        return _unknown_choice(key, error)
    allowed = error["msg"].replace("Input should be", "must be").replace("String should", "must")
    return f"{key}: {allowed}; found {bounded_repr(value)}"


def _invalid_value(key: str, message: str) -> str:
    if message.startswith(("must name a class", "must be the dotted name")):
        return f"{key}._target_ {message}"
    return message if message.startswith(f"{key}.") else f"{key}: {message}"


def _unknown_choice(key: str, error: dict[str, Any]) -> str:
    value = error["input"]
    if key == "clock":
        return f"clock.kind must be visit, landmark or days; found {bounded_repr(_value_of(value, 'kind'))}"
    own = error["ctx"].get("expected_tags", "").replace(f", '{FOREIGN}'", "")
    found = bounded_repr(_value_of(value, "_target_"))
    return f"{key}._target_ must be one of {own}, or the dotted name of another class; found {found}"


def _unknown_key(key: str, value: Any, known: list[str]) -> str:
    if present := renamed(key):
        return f"{key} is now called {present}; write {present} instead"
    section = key.rpartition(".")[0]
    valid = [name for name in known if name not in {key, section} and not name.startswith(f"{key}.")]
    nearest = nearest_key(key, valid)
    hint = f"; the nearest valid key is {nearest}" if nearest else ""
    return f"{key} is not a known key (found value {bounded_repr(value)}){hint}"


def _value_of(section: Any, key: str) -> Any:
    """Return the value of a section's key, None if it has none; a value that is not a section is returned itself."""
    return section.get(key) if isinstance(section, dict) else section
