"""Describe the content of a cell by its kind, so that a message never quotes a patient's data."""

from __future__ import annotations

import re
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

from survlstm.utils.errors import SurvlstmError

_PACKAGE = Path(__file__).parents[1]
# What these say is of files, memory and devices. Other errors of libraries quote the value that they stumbled over.
_SAYS_NO_DATA = (SurvlstmError, OSError, RuntimeError, MemoryError, KeyboardInterrupt, SystemExit)

_DAY = r"\d{4}-\d{2}-\d{2}"
# In this order: the first form that fits is the kind.
_KINDS = (
    ("date", re.compile(_DAY)),
    ("time", re.compile(rf"{_DAY}[T ]\d{{2}}:\d{{2}}.*")),
    ("date in another form", re.compile(r"(\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d{2})|\d{4}[./]\d{1,2}[./]\d{1,2})( .*)?")),
    ("number", re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")),
    ("UUID", re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")),
)


def kind_of_content(text: str) -> str:
    """Say what a text is without quoting it: "a date", "a number", "12 characters of text"."""
    kind = _kind(text)
    if kind == "empty cell":
        return "an empty cell"
    return f"{len(text.strip()):,} characters of text" if kind == "text" else f"a {kind}"


def is_words(text: str) -> bool:
    """Whether a text is printable and none of the kinds that have a form of their own: a date, a number, a UUID."""
    return text.isprintable() and _kind(text) == "text"


def kinds_of_content(texts: Iterable[str]) -> str:
    """Count texts by their kind, the most frequent first: "3 texts, 2 dates, 1 number"."""
    kinds = Counter(_kind(text) for text in texts)
    return ", ".join(f"{number:,} {kind}{'' if number == 1 else 's'}" for kind, number in kinds.most_common())


def list_known_names(names: Sequence[str], known: Iterable[str]) -> str:
    """List the names that are ``known`` and count the others by kind: anything else may be a patient's data."""
    listed = set(known)
    shown = [name for name in dict.fromkeys(names) if name in listed]
    others = [name for name in names if name not in listed]
    if not others:
        return ", ".join(shown) or "nothing"
    said = f"{len(others):,} {'name' if len(others) == 1 else 'names'} not shown here ({kinds_of_content(others)})"
    return f"{', '.join(shown)} and {said}" if shown else said


def describe_error(error: BaseException) -> str:
    """What may be kept of an error: its type and its words, or its place in the code where its words may quote data."""
    kind = type(error).__name__
    return (
        f"{kind}: {error}"
        if isinstance(error, _SAYS_NO_DATA)
        else f"{kind} in {last_line_in_package(error.__traceback__)}"
    )


def traceback_without_message(error: BaseException) -> str:
    """A traceback without the words of the error."""
    return "Traceback (most recent call last):\n" + "".join(traceback.format_tb(error.__traceback__))


def last_line_in_package(passed: TracebackType | None) -> str:
    """The last line of this package that an error passed through."""
    place = "unknown code"
    while passed is not None:
        file = Path(passed.tb_frame.f_code.co_filename)
        if file.is_relative_to(_PACKAGE):
            place = f"{file.relative_to(_PACKAGE.parent)}:{passed.tb_lineno}"
        passed = passed.tb_next
    return place


def _kind(text: str) -> str:
    text = text.strip()
    if not text:
        return "empty cell"
    return next((kind for kind, form in _KINDS if form.fullmatch(text)), "text")
