"""Docstrings as Markdown: sections, indented blocks and simple tables."""

import pytest

from scripts.docstring_markdown import to_markdown

TABLE = """Before.

========  ===========  =======
what      visit clock  other
========  ===========  =======
step j    from visit   a | b
          j to j+1
unit      visits       days
========  ===========  =======

After."""

MARKDOWN = r"""Before.

| what | visit clock | other |
| --- | --- | --- |
| step j | from visit j to j+1 | a \| b |
| unit | visits | days |

After."""


@pytest.mark.parametrize(
    ("docstring", "markdown"),
    [
        (TABLE, MARKDOWN),
        (f"{TABLE}\n\n{TABLE}", f"{MARKDOWN}\n\n{MARKDOWN}"),
        ("A formula::\n\n    a = b", "A formula:\n\n    a = b"),
        ("A formula.\n\n::\n\n    a = b", "A formula.\n\n    a = b"),
        ("Do it.\n\nExample:\n    >>> 1", "Do it.\n\nExamples:\n    >>> 1"),
        ("See the Example: it helps.", "See the Example: it helps."),
        ("A slice [::2], a path a::b.", "A slice [::2], a path a::b."),
    ],
)
def test_markup_of_another_language_becomes_markdown(docstring, markdown):
    assert to_markdown(docstring) == markdown
