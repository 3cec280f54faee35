"""Read the bytes of a CSV file in a form that pyarrow can parse: valid UTF-8, and no row longer than two blocks."""

from __future__ import annotations

import codecs
from pathlib import Path

import pyarrow as pa

# Replaces each byte that is not UTF-8. Unicode reserves this character for internal use, so no text contains it.
NOT_UTF8 = "\ufdd0"
# Replaces the middle of a row that is too long to parse. It is longer than any id or code may be, so that a row which
# still has the right width is rejected by the check of lengths.
_CUT = b"x" * 1000


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError), "registered for decoding"
    return NOT_UTF8, error.end


codecs.register_error("survlstm_mark", _mark)


def open_bytes(path: Path) -> pa.NativeFile:
    """Open a file for reading, and decompress it where its name ends in .gz, in upper or lower case.

    Args:
        path: The file.

    Returns:
        A stream of the decompressed bytes, which the caller closes.

    Raises:
        OSError: The file can't be opened.
    """
    return pa.input_stream(str(path), compression="gzip" if path.name.lower().endswith(".gz") else None)


class Utf8Stream:
    """A readable binary file object over the decompressed bytes of a file, without what pyarrow can't parse.

    pyarrow raises an exception that quotes the row in two cases: a row of the wrong width contains a byte that is not
    UTF-8, or a row is longer than two blocks. Here each such byte becomes ``NOT_UTF8``. A row that fills a whole block
    loses its middle, which leaves it malformed or with a cell that is too long for any id or code.

    Args:
        path: The file, decompressed where its name ends in .gz.

    Attributes:
        quote_seen: True if a double quote was among the bytes read so far. A quote that is not closed makes the parser
            take every line up to the next quote for one cell. Synthea writes no quotes, so the search for one costs
            next to nothing, and only a file that has some pays for counting its lines.
        is_marked: True if a byte was replaced by ``NOT_UTF8`` so far.

    Raises:
        OSError: The file can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self._stream = open_bytes(path)
        self._decoder = codecs.getincrementaldecoder("utf-8")("survlstm_mark")
        self._pending = b""
        self.quote_seen = False
        self.is_marked = False

    @property
    def closed(self) -> bool:
        """Whether the file is closed, as a file object has it."""
        return self._stream.closed

    def read(self, size: int = -1) -> bytes:
        """Read bytes, with those that pyarrow can't parse replaced.

        Args:
            size: Most bytes to return; all that remain if it is negative.

        Returns:
            At most ``size`` bytes; none at the end of the file.

        Raises:
            OSError: The file can't be read or unpacked.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        while len(self._pending) < size:
            block = self._repaired_block(size)
            self._pending += block
            if not block:
                break
        # Bytes are left over only after a replacement, which is longer than the byte that it replaces.
        block, self._pending = self._pending[:size], self._pending[size:]
        return block

    def readable(self) -> bool:
        """Whether the file can be read, as a file object has it: always."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _repaired_block(self, size: int) -> bytes:
        """Read and repair about ``size`` bytes; none at the end of the file."""
        block = self._read_full(size)
        if len(block) == size and not _has_line_break(block):
            while block and not _has_line_break(block):
                block = self._read_full(size)
            starts = [position for mark in (b"\n", b"\r") if (position := block.find(mark)) >= 0]
            block = _CUT + block[min(starts, default=len(block)) :]
        self.quote_seen = self.quote_seen or b'"' in block
        if block.isascii() and not self._decoder.getstate()[0]:
            return block
        text = self._decoder.decode(block, final=not block)
        self.is_marked = self.is_marked or NOT_UTF8 in text
        return text.encode("utf-8")

    def _read_full(self, size: int) -> bytes:
        """Read ``size`` bytes, fewer only at the end of the file; a decompressor may return fewer at a time."""
        parts = [self._stream.read(size)]
        while parts[-1] and sum(map(len, parts)) < size:
            parts.append(self._stream.read(size - sum(map(len, parts))))
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _has_line_break(block: bytes) -> bool:
    return b"\n" in block or b"\r" in block
