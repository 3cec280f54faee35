"""Format the help of a command: usage, examples, config groups and keys, at most 80 columns wide."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from survlstm.cli.command_help import FLAGS, GROUPS, HELP, CommandHelp
from survlstm.cli.usage import SUMMARIES

WIDTH = 80
# The column of the explanations.
COLUMN = 30


def format_help(command: str, arguments: list[str]) -> str:
    """Format the help of a command.

    Args:
        command: The name of the command.
        arguments: The arguments after it. The help shows the values and config groups that its overrides choose.

    Returns:
        The text, with a line break at its end.

    Raises:
        ConfigError: The overrides do not compose, see ``survlstm.config.compose.check_overrides``.
    """
    if command not in HELP:
        parser = import_module(f"survlstm.cli.{command}").make_parser()
        return str(parser.format_help())
    shown = HELP[command]
    parts = [
        f"survlstm {command}: {SUMMARIES[command]}\n",
        f"Usage: survlstm {command} {shown.usage}\n",
        format_examples(command, shown.examples),
        *([_block("Arguments", shown.arguments)] if shown.arguments else []),
        *_format_config(command, shown, arguments),
        _block("Flags", FLAGS),
    ]
    return "\n".join(parts)


def format_examples(command: str, examples: Sequence[str]) -> str:
    """Format the examples of a command.

    Args:
        command: The name of the command.
        examples: The words after ``survlstm`` and the name of the command, one text per example.

    Returns:
        A heading and one line per example.
    """
    return "".join(["Examples:\n", *(f"  survlstm {command} {example}\n" for example in examples)])


def argument_help(command: str, examples: Sequence[str]) -> dict[str, Any]:
    """Return the settings of a parser of arguments whose help looks like that of the other commands.

    Args:
        command: The name of the command.
        examples: As for ``format_examples``.

    Returns:
        Keyword arguments of ``argparse.ArgumentParser``.
    """
    return {
        "prog": f"survlstm {command}",
        "description": f"survlstm {command}: {SUMMARIES[command]}",
        "epilog": f"{format_examples(command, examples)}\n{_block('Flags of every command', FLAGS[:2])}",
        "formatter_class": partial(argparse.RawDescriptionHelpFormatter, width=WIDTH, max_help_position=COLUMN),
        "add_help": False,
    }


def _format_config(command: str, shown: CommandHelp, arguments: list[str]) -> Iterator[str]:
    # Pydantic, OmegaConf and Hydra are imported with these, which the other commands' help need not wait for.
    from survlstm.cli.config_keys import load_schema, read_command_keys

    keys = read_command_keys(command, load_schema(shown.schema), arguments)
    groups = [
        (f"{group.name}={group.choice}", f"{group.text or GROUPS.get(group.name, '')} {_one_of(group.choices)}".strip())
        for group in keys.groups
    ]
    if groups:
        yield _block("Config groups, written group=choice, with what is chosen", groups)
    for section in keys.sections:
        heading = f"Keys of {section.name}" if section.name else "Other keys" if len(keys.sections) > 1 else "Keys"
        yield _block(f"{heading}, written key=value", [(key.setting, key.text) for key in section.keys])
    if any("<" in key.setting for section in keys.sections for key in section.keys):
        yield "A name in angle brackets stands for the value of that key.\n"


def _one_of(choices: Sequence[str]) -> str:
    return f"One of {', '.join(choices)}." if choices else ""


def _block(heading: str, entries: Sequence[tuple[str, str]]) -> str:
    return "".join([f"{heading}:\n", *(_entry(left, text) for left, text in entries)])


def _entry(left: str, text: str) -> str:
    """Format two columns; a left text that is too long for its column stands on lines of its own."""
    lines = textwrap.wrap(left, WIDTH, initial_indent="  ", subsequent_indent=" " * 6, break_on_hyphens=False)
    texts = textwrap.wrap(text, WIDTH - COLUMN, break_on_hyphens=False)
    if texts and len(lines) == 1 and len(lines[0]) < COLUMN - 1:
        lines = [f"{lines[0]:<{COLUMN}}{texts.pop(0)}"]
    return "".join(f"{line}\n" for line in [*lines, *(" " * COLUMN + line for line in texts)])
