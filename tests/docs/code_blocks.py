"""The code of README.md and the pages: fenced blocks and commands in running text, with page and line."""

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
# bash: commands to type. python, yaml, json: code and files. text: output, or a sketch that nobody is to type; lines of
# output that begin with "$ survlstm" are commands whose output follows, and a test compares it.
LANGUAGES = ("bash", "python", "yaml", "json", "text")
FENCE = "```"
INLINE = re.compile(r"(?<!`)`(survlstm [^`]+)`(?!`)")
# In running text it stands for words that the reader has to choose, so that the command is a sketch.
ELLIPSIS = "…"


class Block(NamedTuple):
    """A fenced block, or a command in running text.

    Attributes:
        page: The path of the page, relative to the repository.
        line: The number of its first line of code.
        language: What the fence names; empty if it names nothing.
        text: The code.
    """

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page of prose that shows code."""
    # CHANGELOG.md shows none.
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "examples").rglob("*.md")),
    ]


def blocks(*languages: str) -> list[Block]:
    """The fenced blocks of all pages, page by page; only those of ``languages`` if some are named."""
    found = [block for page in pages() for block in read_blocks(page.read_text(encoding="utf-8"), _name(page))]
    return [block for block in found if not languages or block.language in languages]


def inline_commands() -> list[Block]:
    """The commands between single backticks that say what to type, in all pages."""
    return [
        Block(_name(page), number, "bash", command)
        for page in pages()
        for number, line in _prose(page.read_text(encoding="utf-8"))
        for command in INLINE.findall(line)
        if ELLIPSIS not in command
    ]


def read_blocks(text: str, page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page's text.

    Raises:
        AssertionError: A block has no end.
    """
    start, language, code = 0, "", list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith(FENCE):
            code.append(line)
        elif start:
            yield Block(page, start + 1, language, dedent("\n".join(code)) + "\n")
            start = 0
        else:
            start, language, code = number, line.strip().removeprefix(FENCE).partition(" ")[0], []
    assert not start, f"{page}:{start}: the block has no end"


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines outside of fenced blocks, with their numbers."""
    is_inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith(FENCE):
            is_inside = not is_inside
        elif not is_inside:
            yield number, line


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))
