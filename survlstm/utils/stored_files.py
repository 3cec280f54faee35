"""Read files that somebody else may have written: plain values of bounded size, in which nothing is looked up.

Configs, figures and records that stand in the folder of a run, a sweep, a search or a bundle are data. No ``${...}`` in
them is resolved and nothing that they name is imported; every stored config comes through
``survlstm.config.validation.validate_stored``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml  # type: ignore[import-untyped]
from pydantic import TypeAdapter, ValidationError

from survlstm.utils.errors import first_line

# Far more than survlstm writes: metrics.json of a hundred landmarks has some megabytes.
MOST_JSON_BYTES = 1 << 26
# A config has some thousand bytes; the parser takes seconds for a megabyte.
MOST_CONFIG_BYTES = 1 << 18
# A config of survlstm is four levels deep; the list of an outcome's codes may be long.
MOST_LEVELS, MOST_VALUES = 16, 100_000

T = TypeVar("T")


def read_bytes(path: Path, *, most: int) -> bytes:
    """The content of a file; ValueError where it is larger than ``most`` or no file, OSError where it can't be read."""
    found = path.stat()
    # To open a pipe would wait for ever; of a folder the system says what it is.
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise ValueError(f"{path.name} is no file")
    with path.open("rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path.name} must have at most {most:,} bytes; found {max(found.st_size, len(content)):,}")
    return content


def read_json(path: Path, *, most: int = MOST_JSON_BYTES) -> Any:
    """What a JSON file holds; ValueError and OSError as in ``read_bytes`` and ``parse_json``."""
    return parse_json(read_bytes(path, most=most))


def read_yaml(path: Path, *, most: int = MOST_CONFIG_BYTES) -> Any:
    """What a YAML file holds; ValueError and OSError as in ``read_bytes`` and ``parse_yaml``."""
    return parse_yaml(read_bytes(path, most=most))


def parse_json(content: bytes) -> Any:
    """Read JSON; ValueError for anything else, for NaN and infinities too, which JSON does not have."""
    try:
        return json.loads(content, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("values must not be nested so deeply") from error


def parse_yaml(content: bytes) -> Any:
    """Read YAML without tags that make objects, and without aliases, by which a few lines become gigabytes.

    ValueError for anything else.
    """
    try:
        return yaml.load(content.decode(), _PlainLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(first_line(error, with_type=True)) from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"numbers must be finite; found {name}")


def _finite(written: str) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise ValueError(f"numbers must be finite; found {written[:20]}")
    return number


class _PlainLoader(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not read", self.peek_event().start_mark)
        return super().compose_node(parent, index)


# Days and times stay text, and 1e-3 is a number, as it is to hydra.
_PlainLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":float"))]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"[-+]?(\d[\d_]*\.[\d_]*([eE][-+]?\d+)?|\d[\d_]*[eE][-+]?\d+|\.\d[\d_]*([eE][-+]?\d+)?|\.(inf|nan))$", re.I
    ),
    list("-+0123456789."),
)


def find_fault(values: Any, *, words_allowed: bool = False) -> str:
    """Say what keeps ``values`` from being a stored config, with the key; empty where nothing does.

    A config is a mapping of plain values, neither deep nor endless, and no text in it is an interpolation, unless
    ``words_allowed``: words of a command line that are compared and never looked up.
    """
    if not isinstance(values, dict):
        return f"a config must be a mapping of keys to values; found {_kind(values)}"
    waiting: list[tuple[str, Any, int]] = [("", values, 0)]
    seen = 0
    while waiting:
        key, value, level = waiting.pop()
        seen += 1
        if level > MOST_LEVELS or seen > MOST_VALUES:
            return f"a config must have at most {MOST_LEVELS} levels and {MOST_VALUES:,} values; found more at {key}"
        if isinstance(value, dict):
            if not all(isinstance(name, str) for name in value):
                return f"every key of a config must be text; found another below {key or 'the config'}"
            waiting += [(f"{key}.{name}" if key else name, item, level + 1) for name, item in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(key, item, level + 1) for item in value]
        elif isinstance(value, str) and "${" in value and not words_allowed:
            return (
                f"{key} must be a plain value; found an interpolation, ${{...}}. What is stored is not looked up: "
                "write the value itself"
            )
        elif not isinstance(value, str | int | float | None):
            return f"{key} must be a plain value; found {_kind(value)}"
    return ""


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__


def parse_fields(kind: type[T], plain: Any) -> T:
    """A dataclass or named tuple of exactly the fields that ``plain`` holds, each of its type.

    ValueError names the field that is missing, unknown or of another type.
    """
    checks = _checks(kind)  # type: ignore[arg-type]
    if not isinstance(plain, dict) or plain.keys() != checks.keys():
        found = sorted(map(str, plain)) if isinstance(plain, dict) else _kind(plain)
        raise ValueError(f"{kind.__name__} must have the fields {', '.join(checks)}; found {str(found)[:200]}")
    values = {}
    for name, check in checks.items():
        try:
            values[name] = check(plain[name])
        except ValidationError as error:
            said = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise ValueError(f"{name} of {kind.__name__} is not as it must be: {said}") from error
    return kind(**values)


@cache
def _checks(kind: type) -> dict[str, Callable[[Any], Any]]:
    names = [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else kind._fields  # type: ignore[attr-defined]
    hints = get_type_hints(kind)

    def check(name: str) -> Callable[[Any], Any]:
        adapter = TypeAdapter(hints[name])
        return lambda value: adapter.validate_python(value, strict=True)

    return {name: check(name) for name in names}
