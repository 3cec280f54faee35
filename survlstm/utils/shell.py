"""Command lines of survlstm as a message or a page shows them: quoted for a shell, here and nowhere else."""

from __future__ import annotations

import shlex
import sys


def format_command(*words: str) -> str:
    """``survlstm`` with these words; pasted into a POSIX shell, it gives survlstm exactly these words."""
    return shlex.join(["survlstm", *words])


def this_command() -> str:
    """The command line that started this process."""
    program, *words = sys.argv
    # Hydra's parser gets the verb as a part of the program's name.
    return shlex.join([*(program.split() if program.startswith("survlstm ") else [program]), *words])
