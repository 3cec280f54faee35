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
# Messages about files, memory and devices. Other errors of libraries quote the value that caused them.
_WITHOUT_DATA = (SurvlstmError, OSError, RuntimeError, MemoryError, KeyboardInterrupt, SystemExit)

_DAY = r"\d{4}-\d{2}-\d{2}"
# The first pattern that matches is the kind, so the order matters.
_KINDS = (
    ("date", re.compile(_DAY)),
    ("time", re.compile(rf"{_DAY}[T ]\d{{2}}:\d{{2}}.*")),
    ("date in another form", re.compile(r"(\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d{2})|\d{4}[./]\d{1,2}[./]\d{1,2})( .*)?")),
    ("number", re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")),
    ("UUID", re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")),
)


def kind_of_content(text: str) -> str:
    """Describe a text without quoting it.

    Args:
        text: The content of a cell or the name of a column; surrounding white space is ignored.

    Returns:
        The kind with its article, as in "a date", "a number" or "an empty cell"; of other texts the length, as in "12
        characters of text".
    """
    kind = _kind(text)
    if kind == "empty cell":
        return "an empty cell"
    return f"{len(text.strip()):,} characters of text" if kind == "text" else f"a {kind}"


def is_words(text: str) -> bool:
    """Return whether a text is printable and not empty, a date, a time, a number or a UUID.

    Args:
        text: The content of a cell; surrounding white space does not count for its kind.

    Returns:
        True for words; False for an empty text, a date, a time, a number, a UUID, or a text with a character that can't
        be printed.
    """
    return text.isprintable() and _kind(text) == "text"


def kinds_of_content(texts: Iterable[str]) -> str:
    """Count texts by their kind, without quoting them.

    Args:
        texts: Contents of cells, or names of columns.

    Returns:
        The number of texts of each kind, the most frequent first, as in "3 texts, 2 dates, 1 number"; empty without
        texts.
    """
    kinds = Counter(_kind(text) for text in texts)
    return ", ".join(f"{number:,} {kind}{'' if number == 1 else 's'}" for kind, number in kinds.most_common())


def list_known_names(names: Sequence[str], known: Iterable[str]) -> str:
    """List the names that are ``known``, and count the others by kind, because they may be data of a patient.

    Args:
        names: The names that were found, such as the header of a table.
        known: The names that may be shown.

    Returns:
        The known names, each once and in the order of ``names``, then the number and the kinds of the others; "nothing"
        if ``names`` is empty.
    """
    listed = set(known)
    shown = [name for name in dict.fromkeys(names) if name in listed]
    others = [name for name in names if name not in listed]
    if not others:
        return ", ".join(shown) or "nothing"
    hidden = f"{len(others):,} {'name' if len(others) == 1 else 'names'} not shown here ({kinds_of_content(others)})"
    return f"{', '.join(shown)} and {hidden}" if shown else hidden


def describe_error(error: BaseException) -> str:
    """Describe an error without quoting data.

    Args:
        error: The error.

    Returns:
        The type and the message, or the type and the last line of this package in the traceback if the message may
        quote data.
    """
    kind = type(error).__name__
    return (
        f"{kind}: {error}"
        if isinstance(error, _WITHOUT_DATA)
        else f"{kind} in {last_line_in_package(error.__traceback__)}"
    )


def traceback_without_message(error: BaseException) -> str:
    """Format a traceback without the error's message, which may quote data.

    Args:
        error: The error; without a traceback only the heading is returned.

    Returns:
        The lines of the traceback, as Python prints them, without the last one.
    """
    return "Traceback (most recent call last):\n" + "".join(traceback.format_tb(error.__traceback__))


def last_line_in_package(frames: TracebackType | None) -> str:
    """Find the last line of this package in a traceback.

    Args:
        frames: The traceback; None if the error was never raised.

    Returns:
        "file:line", the file relative to the folder that holds the package; "unknown code" if no line is in the
        package.
    """
    line = "unknown code"
    while frames is not None:
        file = Path(frames.tb_frame.f_code.co_filename)
        if file.is_relative_to(_PACKAGE):
            line = f"{file.relative_to(_PACKAGE.parent)}:{frames.tb_lineno}"
        frames = frames.tb_next
    return line


def _kind(text: str) -> str:
    text = text.strip()
    if not text:
        return "empty cell"
    return next((kind for kind, form in _KINDS if form.fullmatch(text)), "text")
