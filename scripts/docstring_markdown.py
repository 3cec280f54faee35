"""Convert what docstrings write in reStructuredText to Markdown, for the API reference that scripts/docs builds.

An extension of griffe, which mkdocs.yml names. It converts a section ``Example:``, ``::`` before an indented block, and
simple tables.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

RULE = re.compile(r"=+( +=+)+")


class DocstringMarkdown(griffe.Extension):
    """Convert the docstring of every object that griffe has read."""

    def on_object(self, *, obj: griffe.Object, loader: griffe.GriffeLoader, **kwargs: Any) -> None:
        """Convert the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)


def to_markdown(docstring: str) -> str:
    """Return a docstring without the parts of reStructuredText that Markdown shows as they are written.

    Args:
        docstring: The docstring, without indentation in common.

    Returns:
        The same with sections called ``Examples:``, without ``::``, and with tables of Markdown.
    """
    # griffe knows the section by its plural only, and shows another heading as a box of running text.
    text = re.sub(r"^Example:$", "Examples:", docstring, flags=re.MULTILINE)
    text = re.sub(r"^( *)::\n\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"(?<=\S)::$", ":", text, flags=re.MULTILINE)
    lines: list[str] = []
    table: list[str] = []
    rules = 0
    for line in text.splitlines():
        is_rule = RULE.fullmatch(line) is not None
        rules += is_rule
        (table if is_rule or table else lines).append(line)
        if rules == 3:
            lines += markdown_table(table)
            table, rules = [], 0
    return "\n".join(lines + table)


def markdown_table(lines: list[str]) -> list[str]:
    """Convert a simple table of reStructuredText.

    Args:
        lines: Its lines: a rule, the header, a rule, rows and a rule. A line whose first cell is empty continues the
            row above it.

    Returns:
        The lines of a table in Markdown.
    """
    starts = [found.start() for found in re.finditer("=+", lines[0])]
    spans = list(zip(starts, [*starts[1:], None], strict=True))
    rows: list[list[str]] = []
    for line in lines[1:-1]:
        if RULE.fullmatch(line):
            continue
        cells = [line[start:end].strip().replace("|", "\\|") for start, end in spans]
        if cells[0]:
            rows.append(cells)
        else:
            rows[-1] = [f"{above} {cell}".strip() for above, cell in zip(rows[-1], cells, strict=True)]
    rows.insert(1, ["---"] * len(spans))
    return [f"| {' | '.join(row)} |" for row in rows]
