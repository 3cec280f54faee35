"""Read the explanations of config keys from the docstrings of their schemas."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from survlstm.config.schema.section import Section


@cache
def read_explanations(schema: type[Section]) -> Mapping[str, str]:
    """Return the explanation of each key of a schema, from the ``Attributes:`` of its docstring and of its bases'.

    Args:
        schema: The schema of a config or of a section.

    Returns:
        One line of text for each key that has an explanation, in the notation of a config: ``null`` instead of None,
        ``_target_`` instead of ``target``. A key without an explanation is missing.
    """
    documented: dict[str, str] = {}
    for base in reversed(schema.__mro__):
        if issubclass(base, Section):
            documented |= _attributes(base.__doc__ or "")
    return {
        field.alias or name: _as_in_a_config(documented[name])
        for name, field in schema.model_fields.items()
        if name in documented
    }


def section_schemas(schema: type[Section], key: str) -> list[type[Section]]:
    """Return the schemas that the section at a key may have; one per choice of a group, none if it is a value.

    Args:
        schema: The schema that has the key.
        key: The key, without dots.

    Returns:
        The schemas in the order of the annotation.
    """
    field = schema.model_fields.get(key)
    return [] if field is None else _sections_in(field.annotation)


def section_schema(schema: type[Section], key: str, values: Mapping[str, Any]) -> type[Section] | None:
    """Return the schema of a section: of several that are possible, the one that fits the composed values best.

    Args:
        schema: The schema that has the key.
        key: The key of the section, without dots.
        values: The composed values of the section; interpolations need not be resolved.

    Returns:
        The schema; None if the key's value is not a section.
    """
    schemas = section_schemas(schema, key)
    return max(schemas, key=lambda each: _fit(each, values), default=None)


def _fit(schema: type[Section], values: Mapping[str, Any]) -> int:
    """Count the keys that a schema and a section share, minus those that only one of them has."""
    fields = {field.alias or name: field.annotation for name, field in schema.model_fields.items()}
    tags = {name: get_args(kind) for name, kind in fields.items() if get_origin(kind) is Literal}
    if any(name in values and values[name] not in allowed for name, allowed in tags.items() if len(allowed) == 1):
        return -len(values) - len(fields)
    shared = fields.keys() & values.keys()
    return 3 * len(shared) - len(fields) - len(values)


def _sections_in(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    # Not in the values of a mapping or a list: there a section is a part of one value.
    if get_origin(annotation) in {Annotated, Union, UnionType}:
        return [section for part in get_args(annotation) for section in _sections_in(part)]
    return []


def _attributes(docstring: str) -> dict[str, str]:
    """Parse the section ``Attributes:`` of a docstring in Google style."""
    found: dict[str, str] = {}
    name = None
    lines = inspect.cleandoc(docstring).splitlines()
    start = lines.index("Attributes:") + 1 if "Attributes:" in lines else len(lines)
    for line in lines[start:]:
        if line and not line.startswith(" "):
            break
        named = re.fullmatch(r" {4}(\w+): (.+)", line)
        if named:
            name = named[1]
            found[name] = named[2]
        elif name is not None:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found


def _as_in_a_config(text: str) -> str:
    return re.sub(r"\bNone\b", "null", text).replace("``", "")
