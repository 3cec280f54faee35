"""Read the config groups and the keys of a command, with their values and explanations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from survlstm.config.compose import MISSING, Composition, compose_unresolved
from survlstm.config.composition_errors import group_choices
from survlstm.config.explanations import read_explanations, section_schema
from survlstm.config.overrides import added_config_folders, normalise_arguments
from survlstm.config.schema.section import Section

LAUNCHER = "hydra/launcher"


class Group(NamedTuple):
    """A config group.

    Attributes:
        name: The group, with a ``+`` in front if the config has no choice of it that could be replaced.
        choice: The chosen file; ``null`` if none is.
        choices: The names of all files.
        text: The explanation; empty if the schema has none.
    """

    name: str
    choice: str
    choices: list[str]
    text: str


class Key(NamedTuple):
    """A key with a value.

    Attributes:
        setting: The key and its value as an override writes them, with interpolations made readable.
        text: The explanation; empty if the schema has none.
    """

    setting: str
    text: str


class KeySection(NamedTuple):
    """The keys of a section that a config group fills.

    Attributes:
        name: The name of the group; empty for the keys of all other sections.
        keys: The keys.
    """

    name: str
    keys: list[Key]


class CommandKeys(NamedTuple):
    """The config groups and the keys of a command.

    Attributes:
        groups: The config groups.
        sections: The keys, in the order of the config; those outside groups last.
    """

    groups: list[Group]
    sections: list[KeySection]


def read_command_keys(command: str, schema: type[Section], arguments: Sequence[str]) -> CommandKeys:
    """Compose a command line and explain each of its config groups and keys.

    Args:
        command: The command, whose config is the file of that name in ``conf/``.
        schema: The schema of the config.
        arguments: The arguments after the name of the command. Words that are no overrides are ignored.

    Returns:
        The groups and the keys, with the values that the command line gives them.

    Raises:
        ConfigError: The overrides do not compose, see ``survlstm.config.compose.check_overrides``.
    """
    words = [word for word in normalise_arguments(arguments) if word.startswith("-") or "=" in word]
    composition = compose_unresolved(command, [word for word in words if not word.startswith("sweep.resume=")])
    texts = read_explanations(schema)
    names = [group for group in composition.choices if not group.startswith("hydra/")]
    in_order = sorted(names, key=[*schema.model_fields, *names].index)
    groups = [_group(name, composition, texts.get(name, "")) for name in in_order]
    if command == "train":
        groups.append(_group(LAUNCHER, composition, ""))
    others = {key: value for key, value in composition.values.items() if key not in in_order}
    by_section = {name: {name: composition.values[name]} for name in in_order if name in composition.values}
    sections = [KeySection(name, list(_keys(schema, values))) for name, values in [*by_section.items(), ("", others)]]
    return CommandKeys([*groups, *_added_groups(composition)], [section for section in sections if section.keys])


def load_schema(path: str) -> type[Section]:
    """Import the schema of a command.

    Args:
        path: The module and the class, as in ``survlstm.config.schema.run:RunConfig``.

    Returns:
        The class.
    """
    module, _, name = path.partition(":")
    schema: type[Section] = getattr(import_module(module), name)
    return schema


def format_value(value: Any) -> str:
    """Format a composed value as an override writes it.

    Args:
        value: A value without resolved interpolations.

    Returns:
        The text of the value. An interpolation is replaced by what it stands for: ``<key>`` for the value of another
        key, ``$NAME or default`` for an environment variable, ``DATE`` and ``TIME`` for the time of the start.
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {format_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(format_value, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text, previous = str(value), None
    while text != previous:
        # The innermost interpolations first.
        text, previous = re.sub(r"\$\{([^{}]*)\}", lambda found: _readable(found[1]), text), text
    return text


def _readable(interpolation: str) -> str:
    resolver, colon, argument = interpolation.partition(":")
    if not colon:
        return f"<{interpolation}>"
    if resolver == "oc.env":
        name, comma, default = argument.partition(",")
        return f"${name} or {default.strip().strip(chr(39))}" if comma else f"${name}"
    if resolver == "now":
        return "TIME" if "%H" in argument else "DATE"
    return f"<{resolver} {argument}>"


def _group(name: str, composition: Composition, text: str) -> Group:
    choice = composition.choices.get(name)
    return Group(name, choice or "null", group_choices(name, composition.overrides), text)


def _added_groups(composition: Composition) -> list[Group]:
    """Return the groups of the user's own config folders of which the config has no choice yet."""
    folders = added_config_folders(composition.overrides)
    names = {path.parent.name for folder in folders for path in folder.glob("*/*.yaml")}
    return [
        Group(f"+{name}", "null", group_choices(name, composition.overrides), "")
        for name in sorted(names - composition.choices.keys())
    ]


def _keys(schema: type[Section], values: Mapping[str, Any], prefix: str = "") -> Iterator[Key]:
    """Explain the values of a section and of the sections in it, except the name of its class."""
    texts = read_explanations(schema)
    for name, value in values.items():
        section = section_schema(schema, name, value) if isinstance(value, dict) else None
        if section is not None:
            yield from _keys(section, value, f"{prefix}{name}.")
        elif name != "_target_":
            setting = f"{prefix}{name} (required)" if value == MISSING else f"{prefix}{name}={format_value(value)}"
            yield Key(setting, texts.get(name, ""))
