"""Format command lines for messages and pages, quoted for a POSIX shell."""

from __future__ import annotations

import shlex
import sys


def format_command(*words: str) -> str:
    """Return the command ``survlstm`` with arguments, so that a POSIX shell passes on exactly these arguments.

    Args:
        *words: The subcommand and its arguments, unquoted.

    Returns:
        The command line, with quotes where a shell needs them.

    Example:
        >>> format_command("train", "resume=my run")
        "survlstm train 'resume=my run'"
    """
    return shlex.join(["survlstm", *words])


def this_command() -> str:
    """Return the command line that started this process."""
    program, *words = sys.argv
    # For Hydra's parser the subcommand is made a part of the program's name.
    return shlex.join([*(program.split() if program.startswith("survlstm ") else [program]), *words])
