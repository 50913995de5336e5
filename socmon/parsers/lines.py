"""Lines of a stream of bytes, bounded: what `parse` and `replay` call a line is what the collector `file` does."""

from collections.abc import Iterator
from typing import BinaryIO, Protocol, cast

MAX_LINE_BYTES = 65_536  # as the collector's `max_bytes` by default
_BOM = b"\xef\xbb\xbf"
_HELD_BYTES = MAX_LINE_BYTES + len(_BOM) + len(b"\r\n")  # so much tells a line that must be cut from one that need not
_BLOCK_BYTES = 256 * 1024


class _Buffered(Protocol):
    """Any file of `io` that is buffered; BinaryIO does not say so."""

    def read1(self, size: int, /) -> bytes:
        """At most `size` bytes, as soon as there are any; none at the end."""


class Lines:
    """The lines of `stream` without their ends, empty ones too; the rest of one that is too long is passed over.

    A byte order mark (RFC 3629, section 6) at the start is left out. At most about 330 KiB are held.

    Attributes:
        cut: lines so far of which only the first MAX_LINE_BYTES bytes were handed out.

    Raises:
        OSError, EOFError, zlib.error: whatever reading `stream` raises.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = cast("_Buffered", stream)
        self._mark = _BOM
        self.cut = 0

    def __iter__(self) -> Iterator[bytes]:
        for lines in self.blocks():
            yield from lines

    def blocks(self) -> Iterator[list[bytes]]:
        """The same lines, as many at a time as one read gives: that costs a tenth of reading them one by one."""
        rest, returns = b"", False
        while read := self._stream.read1(_BLOCK_BYTES):
            returns = returns or b"\r" in read
            lines = (rest + read).split(b"\n")
            rest = lines.pop()[:_HELD_BYTES]
            if lines:
                yield self._finished(lines, returns=returns)
                returns = b"\r" in rest
        if rest and rest != self._mark:
            yield self._finished([rest], returns=returns)

    def _finished(self, lines: list[bytes], *, returns: bool) -> list[bytes]:
        lines[0] = lines[0].removeprefix(self._mark)
        self._mark = b""
        if returns:
            lines = [line.removesuffix(b"\r") for line in lines]
        if max(map(len, lines)) > MAX_LINE_BYTES:
            self.cut += sum(len(line) > MAX_LINE_BYTES for line in lines)
            lines = [line[:MAX_LINE_BYTES] for line in lines]
        return lines
