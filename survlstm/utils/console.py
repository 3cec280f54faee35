"""Make writing to the console safe: a missing character, a closed pipe or a full disk never ends a command."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

# Replacements for the characters beyond ASCII in survlstm's own lines; any other that a stream lacks becomes "?".
PLAIN = str.maketrans(
    {
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{MINUS SIGN}": "-",
        "\N{HORIZONTAL ELLIPSIS}": "...",
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{MIDDLE DOT}": "*",
        "\N{PLUS-MINUS SIGN}": "+-",
        "\N{RIGHTWARDS ARROW}": "->",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{INFINITY}": "inf",
    }
)


class LenientStream:
    """A text stream whose ``write`` and ``flush`` never raise; every other attribute is that of the wrapped stream.

    A character that the stream's encoding lacks is replaced. Once the reader has closed the pipe (``| head``) or the
    disk is full, further output is dropped.

    Attributes:
        lost: The error after which output was dropped; None if all was written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        """Write as much of a text as can be written.

        Args:
            text: The text; a character that the stream's encoding lacks is replaced.

        Returns:
            The length of ``text`` in characters, also where its output is lost.
        """
        try:
            if self.lost is None:
                self._stream.write(_encodable(text, self._stream))
        except OSError as error:
            self._lose(error)
        # The stream was closed elsewhere.
        except ValueError:
            pass
        return len(text)

    def flush(self) -> None:
        """Flush the stream unless its output is lost."""
        try:
            if self.lost is None:
                self._stream.flush()
        except OSError as error:
            self._lose(error)
        except ValueError:
            pass

    def _lose(self, error: OSError) -> None:
        self.lost = error
        # The interpreter flushes the stream's buffer at exit and would fail again: redirect it to the null device.
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def lenient(stream: TextIO) -> LenientStream:
    """Wrap a stream in a ``LenientStream``.

    Args:
        stream: The stream, such as ``sys.stdout``.

    Returns:
        The wrapped stream; ``stream`` itself if it is wrapped already.
    """
    return stream if isinstance(stream, LenientStream) else LenientStream(stream)


@contextlib.contextmanager
def lenient_console() -> Iterator[None]:
    """Make ``sys.stdout`` and ``sys.stderr`` lenient until the block ends, and flush them there."""
    before = sys.stdout, sys.stderr
    # Python sets a stream to None if it was closed before the start (>&-).
    with open(os.devnull, "w", encoding="utf-8") as null:
        out, err = lenient(sys.stdout or null), lenient(sys.stderr or null)
        sys.stdout, sys.stderr = out, err
        try:
            yield
        finally:
            out.flush()
            err.flush()
            sys.stdout, sys.stderr = before


def lost_output() -> OSError | None:
    """Return the error that lost output of ``sys.stdout``; None if all of it was written."""
    sys.stdout.flush()
    lost = getattr(sys.stdout, "lost", None)
    return lost if isinstance(lost, OSError) else None


def _encodable(text: str, stream: TextIO) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        return "".join(_replaced(character, encoding) for character in text)


def _replaced(character: str, encoding: str) -> str:
    try:
        character.encode(encoding)
        return character
    except UnicodeEncodeError:
        return character.translate(PLAIN) if ord(character) in PLAIN else "?"
