"""Read blocks of shell commands: lines as bash sees them, and the simple commands in each."""

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from tests.docs.code_blocks import Block

OPERATORS = "();<>|&"
# What stands before a command without being one.
KEYWORDS = frozenset({"do", "then", "else", "if", "while", "until", "!"})
HEREDOC = re.compile(r"<<-?\s*['\"]?(\w+)")
# How a page calls the command: as itself, from the environment's folder, or as a module.
CALLS = (
    ("survlstm",),
    (".venv/bin/survlstm",),
    ("/opt/survlstm/bin/survlstm",),
    ("python", "-m", "survlstm"),
    ("python", "scripts/train.py"),
)
# What stands in a page for a value of the reader's, and the value in these tests.
VALUES = ((r"data\.path=/\S+", "data.path=DIR"), (r"\$DATA\b", "DIR"), (r"\$\{PORT:-8000\}", "8000"))


class Line(NamedTuple):
    """One line that is typed: continued lines and here-documents belong to it.

    Attributes:
        place: Page and line number.
        text: The line as it is typed.
    """

    place: str
    text: str


def lines(block: Block) -> Iterator[Line]:
    """Yield the lines of a block that are typed one after the other.

    Raises:
        IndexError: A quote or a continued line has no end.
    """
    remaining = list(enumerate(block.text.splitlines(), block.line))
    while remaining:
        number, text = remaining.pop(0)
        while text.endswith("\\") or _is_quote_open(text):
            text += "\n" + remaining.pop(0)[1]
        opened = HEREDOC.search(text)
        while opened and remaining:
            following = remaining.pop(0)[1]
            text += "\n" + following
            if following == opened[1]:
                break
        if text.strip() and not text.lstrip().startswith("#"):
            yield Line(f"{block.page}:{number}", text)


def _is_quote_open(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return True
    return False


def simple_commands(line: str) -> list[list[str]]:
    """Split a line into its simple commands, each a list of words without assignments, redirections and comments."""
    opened = HEREDOC.search(line)
    typed = line[: opened.start()] if opened else line
    lexer = shlex.shlex(typed.replace("\\\n", " "), posix=True, punctuation_chars=OPERATORS)
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    is_target = False
    for word in lexer:
        if set(word) <= set(OPERATORS):
            is_target = ">" in word or "<" in word
            if not is_target:
                commands.append([])
        elif is_target:
            is_target = False
        elif commands[-1] or (word not in KEYWORDS and not re.match(r"\w+=", word)):
            commands[-1].append(word)
    return [command for command in commands if command]


def survlstm_words(command: list[str]) -> list[str] | None:
    """Return the words after ``survlstm``, however it is called; None if the command is another one."""
    if command[0] == "torchrun":
        start = command.index("-m")
        return command[start + 2 :] if command[start + 1] == "survlstm" else None
    for call in CALLS:
        if tuple(command[: len(call)]) == call:
            return ["train", *command[len(call) :]] if "scripts/train.py" in call else command[len(call) :]
    return None


def fill_in(text: str) -> str:
    """Replace an absolute path of an export, and the variables of the walk-through."""
    for pattern, value in VALUES:
        text = re.sub(pattern, value, text)
    return text
