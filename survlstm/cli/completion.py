"""Shell completion: commands, flags and folders from survlstm, config groups and keys from Hydra."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout, suppress

from survlstm.cli.usage import COMMANDS
from survlstm.utils.errors import ConfigError

FLAGS = frozenset({"-sc", "--shell-completion"})


def complete(arguments: list[str]) -> None:
    """Install the completion function, or answer its query.

    Hydra completes only programs without subcommands. The command's name is therefore removed from the command line
    before Hydra completes the rest with that command's config.

    Args:
        arguments: ``-sc install=SHELL``, or the query that the installed function makes; the command line to complete
            is then in the environment variable ``COMP_LINE``.
    """
    if not any(argument.startswith("query=") for argument in arguments):
        _complete_with_hydra("train", arguments)
        return
    line = os.environ.get("COMP_LINE", "")
    # The last word is empty if the line ends with a space.
    words = [*line.split(), *([""] if line.endswith(" ") else [])]
    if len(words) < 3:
        _write(COMMANDS)
        return
    _, command, *before, word = words
    if command not in COMMANDS:
        return
    from survlstm.cli.suggestions import suggest

    suggestions = suggest(command, before, word)
    _write(suggestions.words)
    if suggestions.with_keys:
        # A message would stand in the middle of the command line that is being typed.
        with open(os.devnull, "w", encoding="utf-8") as null, redirect_stderr(null):
            found = _query_hydra(command, arguments, before, word)
        _write(found)


def _write(words: Iterable[str]) -> None:
    # fish reads one word a line; bash and zsh split at any white space.
    sys.stdout.writelines(f"{word}\n" for word in words)


def _query_hydra(command: str, arguments: list[str], before: list[str], word: str) -> list[str]:
    """Return the config groups and keys that complete a word, without the groups of other commands."""
    from survlstm.cli.hydra_command import split_words
    from survlstm.config.compose import compose_unresolved

    try:
        _, words = split_words(before, lambda each: "=" not in each)
    except ConfigError:
        return []
    # Hydra searches the folders of the flags that it is called with, not of those in the line to complete.
    folders = [each for each in words if each.startswith("--config-dir=")]
    os.environ["COMP_LINE"] = " ".join(["survlstm", *(each for each in words if each not in folders), word])
    with redirect_stdout(io.StringIO()) as shown, suppress(SystemExit):
        _complete_with_hydra(command, [*arguments, *folders])
    composition = compose_unresolved(command, [])
    known = {"hydra", *composition.values, *composition.choices}
    return [each for each in shown.getvalue().split() if each.startswith("+") or _first_name(each) in known]


def _first_name(word: str) -> str:
    return re.split("[.=/]", word.lstrip("~"), maxsplit=1)[0]


def _complete_with_hydra(config_name: str, arguments: list[str]) -> None:
    from survlstm.cli.hydra_command import run_with_hydra

    # The installed function completes the program that is named here.
    run_with_hydra(config_name, arguments, lambda _: None, program="survlstm")
