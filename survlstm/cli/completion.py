"""Shell completion: command names from survlstm, config groups and keys from Hydra."""

from __future__ import annotations

import os
import sys

from survlstm.cli.usage import COMMANDS

FLAGS = frozenset({"-sc", "--shell-completion"})
# The commands that take only overrides; Hydra cannot complete the run folders of the others.
WITH_OVERRIDES = frozenset({"train", "evaluate", "tune", "simulate", "export", "predict", "explain", "serve"})


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
    words = line.split()
    if len(words) < 2 or (len(words) == 2 and not line.endswith(" ")):
        sys.stdout.write(" ".join(COMMANDS))
        return
    program, command = words[:2]
    if command not in WITH_OVERRIDES:
        return
    rest = line.split(command, 1)[1]
    os.environ["COMP_LINE"] = f"{program}{rest}"
    _complete_with_hydra(command, arguments)


def _complete_with_hydra(config_name: str, arguments: list[str]) -> None:
    from survlstm.cli.hydra_command import run_with_hydra

    # The installed function completes the program that is named here.
    run_with_hydra(config_name, arguments, lambda _: None, program="survlstm")
