"""Read JSON and YAML files of unknown origin as plain values, without running or looking up anything.

The files in the folder of a run, a sweep, a search or a bundle are data, whoever wrote them. No ``${...}`` in them is
resolved and nothing that they name is imported. Every stored config is checked by
``survlstm.config.validation.validate_stored``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml  # type: ignore[import-untyped]
from pydantic import TypeAdapter, ValidationError

from survlstm.utils.errors import first_line

# 64 MiB, far more than survlstm writes: metrics.json with a hundred landmarks has a few megabytes.
MOST_JSON_BYTES = 1 << 26
# A config has a few thousand bytes; the YAML parser takes seconds for a megabyte.
MOST_CONFIG_BYTES = 1 << 18
# A config is four levels deep; the list of an outcome's codes may be long.
MOST_LEVELS, MOST_VALUES = 16, 100_000

T = TypeVar("T")


def read_bytes(path: Path, *, most: int) -> bytes:
    """Return the content of a file.

    Args:
        path: The file.
        most: The largest size that is read, in bytes.

    Returns:
        The whole content.

    Raises:
        ValueError: The file is larger, or is a pipe, a socket or a device.
        OSError: The file can't be read.
    """
    status = path.stat()
    # Opening a pipe would wait for ever. Opening a folder gives the system's own error.
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise ValueError(f"{path.name} is not a file")
    with path.open("rb") as stream:
        # read() reserves all that it is asked for: no more than the file holds, for a process that is short of memory.
        content = stream.read(min(most, os.fstat(stream.fileno()).st_size) + 1)
    if len(content) > most:
        raise ValueError(f"{path.name} must have at most {most:,} bytes; found {max(status.st_size, len(content)):,}")
    return content


def read_json(path: Path, *, most: int = MOST_JSON_BYTES) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        most: The largest size that is read, in bytes.

    Returns:
        The plain value.

    Raises:
        ValueError: As for ``read_bytes`` and ``parse_json``.
        OSError: The file can't be read.
    """
    return parse_json(read_bytes(path, most=most))


def read_yaml(path: Path, *, most: int = MOST_CONFIG_BYTES) -> Any:
    """Read a YAML file.

    Args:
        path: The file.
        most: The largest size that is read, in bytes.

    Returns:
        The plain value; None for an empty file.

    Raises:
        ValueError: As for ``read_bytes`` and ``parse_yaml``.
        OSError: The file can't be read.
    """
    return parse_yaml(read_bytes(path, most=most))


def parse_json(content: bytes) -> Any:
    """Parse strict JSON.

    Args:
        content: The text in UTF-8, UTF-16 or UTF-32.

    Returns:
        The plain value.

    Raises:
        ValueError: The content is anything else, is nested too deeply, or holds NaN or an infinity, which JSON does not
            have.
    """
    try:
        return json.loads(content, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("values must not be nested so deeply") from error


def parse_yaml(content: bytes) -> Any:
    """Parse YAML into plain values.

    Tags that make objects are refused, and so are aliases, by which a few lines can become gigabytes.

    Args:
        content: The text in UTF-8.

    Returns:
        The plain value; dates and times stay text. None for an empty text.

    Raises:
        ValueError: The content is anything else.
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


# Dates and times stay text, and 1e-3 is a number, as in Hydra's YAML.
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


def find_fault(values: Any, *, allow_interpolations: bool = False) -> str:
    """Explain why values can't be a stored config.

    A stored config is a mapping of plain values of limited depth and number, without interpolations.

    Args:
        values: What a file holds.
        allow_interpolations: Accept interpolations, for arguments of a command that are compared and never resolved.

    Returns:
        The first fault that was found, with its key; empty if there is none.
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
        elif isinstance(value, str) and "${" in value and not allow_interpolations:
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
    """Make a dataclass or named tuple from plain values.

    Args:
        kind: The class, whose fields have type annotations.
        plain: A mapping with exactly the fields of ``kind``, each of its type: no value is converted.

    Returns:
        An instance of ``kind``.

    Raises:
        ValueError: A field is missing, unknown or of another type; the message names it.
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
            reason = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise ValueError(f"{name} of {kind.__name__} is invalid: {reason}") from error
    return kind(**values)


@cache
def _checks(kind: type) -> dict[str, Callable[[Any], Any]]:
    names = [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else kind._fields  # type: ignore[attr-defined]
    hints = get_type_hints(kind)

    def check(name: str) -> Callable[[Any], Any]:
        adapter = TypeAdapter(hints[name])
        return lambda value: adapter.validate_python(value, strict=True)

    return {name: check(name) for name in names}
