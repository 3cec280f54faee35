"""The console: what is written there never stops a command, whatever the stream can encode and whoever has left."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

# What survlstm's own lines hold beyond ASCII, where a stream has no such character; anything else becomes "?".
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
    """A text stream whose ``write`` and ``flush`` never raise; all else is the stream's own.

    A character that its encoding lacks is replaced. Once the reader has gone (``| head``) or nothing more can be
    written (a full disk), what is written is dropped, and ``lost`` says why.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        """Write what can be written; returns the length of ``text``."""
        try:
            if self.lost is None:
                self._stream.write(_encodable(text, self._stream))
        except OSError as error:
            self._lose(error)
        # Closed by somebody else.
        except ValueError:
            pass
        return len(text)

    def flush(self) -> None:
        """Flush, where there is still something to flush to."""
        try:
            if self.lost is None:
                self._stream.flush()
        except OSError as error:
            self._lose(error)
        except ValueError:
            pass

    def _lose(self, error: OSError) -> None:
        self.lost = error
        # What stands in its buffer goes nowhere: else the interpreter would stumble over it at its end.
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def lenient(stream: TextIO) -> LenientStream:
    """The stream, made lenient once."""
    return stream if isinstance(stream, LenientStream) else LenientStream(stream)


@contextlib.contextmanager
def lenient_console() -> Iterator[None]:
    """``sys.stdout`` and ``sys.stderr`` are lenient until the block ends, and flushed at its end."""
    before = sys.stdout, sys.stderr
    # A stream is None where it was closed before Python began (>&-).
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        out, err = lenient(sys.stdout or nowhere), lenient(sys.stderr or nowhere)
        sys.stdout, sys.stderr = out, err
        try:
            yield
        finally:
            out.flush()
            err.flush()
            sys.stdout, sys.stderr = before


def lost_output() -> OSError | None:
    """Why not all that was written to ``sys.stdout`` has arrived; None where it has."""
    sys.stdout.flush()
    lost = getattr(sys.stdout, "lost", None)
    return lost if isinstance(lost, OSError) else None


def _encodable(text: str, stream: TextIO) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        return "".join(_character(character, encoding) for character in text)


def _character(character: str, encoding: str) -> str:
    try:
        character.encode(encoding)
        return character
    except UnicodeEncodeError:
        return character.translate(PLAIN) if ord(character) in PLAIN else "?"
