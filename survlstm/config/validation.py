"""A composed or a stored config → a typed value of survlstm.config.schema, or a sentence for each key that is wrong."""

from __future__ import annotations

import difflib
import reprlib
from functools import cache
from typing import Any, get_args

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import ValidationError

from survlstm.config.section import Section, SectionT
from survlstm.utils.errors import ConfigError, first_line
from survlstm.utils.stored_files import find_fault


class _Shown(reprlib.Repr):
    """A value in a sentence: whole where a person wrote it, and no page of a file's content."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 200
        self.maxlist = self.maxtuple = self.maxdict = 20


shown = _Shown().repr


def validate(composed: DictConfig, schema: type[SectionT], *, finished: bool = False) -> SectionT:
    """The composed config as a typed value; a ConfigError names every key that is wrong, one line each.

    The config is the user's own: its interpolations, such as ``${oc.env:NAME}``, are resolved, and the result is plain.
    Of a ``finished`` run the export need not stand where it stood.
    """
    try:
        values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = str(error.full_key)
        raise ConfigError(f"{key} has no value and needs one; set {key}=VALUE") from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {first_line(error)}") from error
    return _validated(values, schema, finished=finished)


def validate_stored(values: Any, schema: type[SectionT], *, finished: bool = False) -> SectionT:
    """A config that a file holds as a typed value; ConfigError as in ``validate``.

    A stored config is data, whoever wrote the file: an interpolation in it is refused and never resolved, and only the
    classes that ``schema`` names may be a ``_target_``, before anything is imported.
    """
    return _validated(values, schema, finished=finished)


def _validated(values: Any, schema: type[SectionT], *, finished: bool) -> SectionT:
    if schema.is_plain:
        fault = find_fault(values)
        if fault:
            raise ConfigError(fault)
    try:
        return schema.model_validate(values, context={"finished": finished})
    except ValidationError as error:
        known = _dotted(values) if isinstance(values, dict) else []
        raise ConfigError("\n".join(_sentence(dict(fault), known) for fault in error.errors())) from error


# Sections by the name that they had once, and the one that they have now.
RENAMED = {"judgement": "evaluation", "tracker": "logger"}


def renamed(key: str) -> str | None:
    """Return the present name of a key of an earlier version; None for any other key.

    Example:
        >>> renamed("judgement.baselines")
        'evaluation.baselines'
    """
    first, dot, rest = key.partition(".")
    return f"{RENAMED[first]}{dot}{rest}" if first in RENAMED else None


def leaf_keys(composed: DictConfig) -> list[str]:
    """Every dotted key of a composed config, sections included."""
    values = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(values, dict)
    return _dotted(values)


@cache
def leaf_keys_of_schema(schema: type[Section]) -> frozenset[str]:
    """Every dotted key that a config of ``schema`` may have, whichever its groups choose; not a ``_target_``."""
    keys: set[str] = set()
    for name, field in schema.model_fields.items():
        if field.alias == "_target_":
            continue
        keys.add(name)
        for section in _sections_in(field.annotation):
            keys |= {f"{name}.{key}" for key in leaf_keys_of_schema(section)}
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
    """The valid key that a misspelt one most likely meant: same last part anywhere, else the closest spelling."""
    last = key.rsplit(".", maxsplit=1)[-1]
    same_last = [name for name in known if name.split(".")[-1] == last and name != key]
    if same_last:
        return same_last[0]
    others = [name for name in known if name != key]
    if "." in key:
        # A section is no answer to a misspelt key in it.
        others = [name for name in others if not any(other.startswith(f"{name}.") for other in others)]
    close = difflib.get_close_matches(key, others, n=1, cutoff=0.6)
    if close:
        return close[0]
    by_last = {name.split(".")[-1]: name for name in known if name != key}
    close = difflib.get_close_matches(last, list(by_last), n=1, cutoff=0.5)
    return by_last[close[0]] if close else None


def _sentence(fault: dict[str, Any], known: list[str]) -> str:
    """What is wrong with one key: the key, what was found, what is allowed."""
    # A union's location names the member that was tried; that is no part of the key.
    parts = [str(part) for part in fault["loc"] if "." not in str(part) and part != "none"]
    key = ".".join(parts) or "config"
    found = fault["input"]
    if fault["type"] == "extra_forbidden":
        section = key.rpartition(".")[0]
        valid = [name for name in known if name not in {key, section} and not name.startswith(f"{key}.")]
        nearest = nearest_key(key, valid)
        hint = f"; the nearest valid key is {nearest}" if nearest else ""
        if present := renamed(key):
            hint = f": it is now called {present}"
        return f"{key} is not a known key (found value {shown(found)}){hint}"
    if fault["type"] == "missing":
        return f"{key} is missing; set {key}=VALUE"
    if fault["type"] == "value_error":
        said = str(fault["ctx"]["error"])
        return said if said.startswith(f"{key}.") else f"{key}: {said}"
    if fault["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        if key == "clock":
            return f"clock.kind must be visit or landmark; found {shown(_named(found, 'kind'))}"
        allowed = fault["ctx"].get("expected_tags", "")
        return f"{key}._target_ must be one of {allowed}; found {shown(_named(found, '_target_'))}"
    allowed = fault["msg"].replace("Input should be", "must be").replace("String should", "must")
    return f"{key}: {allowed}; found {shown(found)}"


def _named(section: Any, key: str) -> Any:
    """What a section calls itself by ``key``; None where it does not."""
    return section.get(key) if isinstance(section, dict) else section
