"""A half-typed command line → what may come next, by hydra's completion, which knows one command of one word."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection

FLAGS = frozenset({"-sc", "--shell-completion"})


def complete(
    arguments: list[str],
    *,
    verbs: Collection[str],
    composed: Collection[str],
    hydra: Callable[[str, list[str]], None],
) -> None:
    """Answer ``survlstm -sc install=bash`` and the query that the installed function makes.

    ``verbs`` are completed here; behind one of the ``composed`` ones ``hydra``, called with the verb, completes groups
    and keys.
    """
    if not any(word.startswith("query=") for word in arguments):
        hydra("train", arguments)
        return
    line = os.environ.get("COMP_LINE", "")
    words = line.split()
    if len(words) < 2 or (len(words) == 2 and not line.endswith(" ")):
        sys.stdout.write(" ".join(verbs))
        return
    if words[1] not in composed:
        return
    rest = line.split(words[1], 1)[1]
    os.environ["COMP_LINE"] = f"{words[0]}{rest}"
    hydra(words[1], arguments)
