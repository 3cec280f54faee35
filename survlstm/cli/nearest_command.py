"""Name the command that an unknown first word most likely means."""

from __future__ import annotations

import difflib

from survlstm.cli.usage import COMMANDS

# Words of other programs, or of this one for something else, and the command that does what they ask for. Words that
# only misspell a command are not listed: the closest spelling is found without the table.
ALIASES = {
    "resume": "train resume=RUN",
    "continue": "train resume=RUN",
    "fit": "train",
    "sweep": "train -m",
    "test": "evaluate run=RUN",
    "eval": "evaluate run=RUN",
    "diff": "compare RUN RUN",
    "search": "tune",
    "optimize": "tune",
    "summarise": "summarize SWEEP",
    "summary": "summarize SWEEP",
    "list": "runs",
    "ls": "runs",
    "repeat": "rerun RUN",
    "reproduce": "rerun RUN",
    "bundle": "export run=RUN output=BUNDLE",
    "score": "predict bundle=BUNDLE data.path=EXPORT",
    "generate": "simulate output=DIR",
    "help": "--help",
    "version": "--version",
}


def describe_unknown_command(word: str) -> str:
    """Describe a first word that is no command, with the nearest command.

    Args:
        word: The first word of the command line.

    Returns:
        One sentence with the word and the command that it most likely means, and one that lists the commands.
    """
    return f"{_nearest(word)}. The commands are {', '.join(COMMANDS)}"


def _nearest(word: str) -> str:
    alias = ALIASES.get(word.lower())
    if alias is not None:
        return f"{word!r} is not a command; write survlstm {alias}"
    if "=" in word:
        key = word.partition("=")[0]
        return f"a command must come first, as in survlstm train {key}=VALUE; found {key}="
    close = difflib.get_close_matches(word.lower(), COMMANDS, n=1)
    hint = f"; the nearest is {close[0]}" if close else ""
    return f"{word!r} is not a command{hint}"
