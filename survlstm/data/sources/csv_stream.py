"""The bytes of a CSV file as pyarrow can parse them: always UTF-8, and no row longer than two blocks."""

from __future__ import annotations

import codecs
from pathlib import Path

import pyarrow as pa

# Stands for each byte that is not UTF-8. Unicode keeps this character for internal use, so no text holds it.
NOT_UTF8 = "\ufdd0"
# Stands for the middle of a row that is too long to parse: longer than any id or code may be.
_CUT = b"x" * 1000


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError), "registered for decoding"
    return NOT_UTF8, error.end


codecs.register_error("survlstm_mark", _mark)


def open_bytes(path: Path) -> pa.NativeFile:
    """Open a file for reading, decompressed where its name ends in .gz, in any case."""
    return pa.input_stream(str(path), compression="gzip" if path.name.lower().endswith(".gz") else None)


class Utf8Stream:
    """The decompressed bytes of a file, with what pyarrow stumbles over replaced, and remembered.

    pyarrow ends with an exception that quotes the row where a row of the wrong width holds a byte that is not UTF-8,
    and where a row is longer than two blocks. Each such byte becomes ``NOT_UTF8`` here, and a row that fills a whole
    block loses its middle, which leaves it malformed or with a cell that is too long for any id or code.

    ``quote_seen`` says whether a double quote was among the bytes: a quote that never closes makes the parser swallow
    every line up to the next quote. Synthea writes no quotes, so a search for one costs next to nothing, and only a
    file that has some pays for counting its lines.
    """

    def __init__(self, path: Path) -> None:
        self._stream = open_bytes(path)
        self._decoder = codecs.getincrementaldecoder("utf-8")("survlstm_mark")
        self._pending = b""
        self.quote_seen = False
        self.is_marked = False

    @property
    def closed(self) -> bool:
        return self._stream.closed

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, as a file object has it; none at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        while len(self._pending) < size:
            block = self._block(size)
            self._pending += block
            if not block:
                break
        # Nearly always all of it: bytes wait only behind a replaced one, which is longer than what it replaces.
        found, self._pending = self._pending[:size], self._pending[size:]
        return found

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._stream.close()

    def _block(self, size: int) -> bytes:
        block = self._full(size)
        if len(block) == size and not _has_line_break(block):
            while block and not _has_line_break(block):
                block = self._full(size)
            starts = [place for mark in (b"\n", b"\r") if (place := block.find(mark)) >= 0]
            block = _CUT + block[min(starts, default=len(block)) :]
        self.quote_seen = self.quote_seen or b'"' in block
        if block.isascii() and not self._decoder.getstate()[0]:
            return block
        text = self._decoder.decode(block, final=not block)
        self.is_marked = self.is_marked or NOT_UTF8 in text
        return text.encode("utf-8")

    def _full(self, size: int) -> bytes:
        """``size`` bytes, fewer only at the end: a decompressor may give fewer at a time."""
        parts = [self._stream.read(size)]
        while parts[-1] and sum(map(len, parts)) < size:
            parts.append(self._stream.read(size - sum(map(len, parts))))
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _has_line_break(block: bytes) -> bool:
    return b"\n" in block or b"\r" in block
