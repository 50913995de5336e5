"""Lines of a stream of bytes, bounded: what `parse` and `replay` call a line is what the collector `file` does."""

from collections.abc import Iterator
from typing import BinaryIO

MAX_LINE_BYTES = 65_536  # as the collector's `max_bytes` by default
_BOM = b"\xef\xbb\xbf"
_ASK_BYTES = MAX_LINE_BYTES + len(_BOM) + len(b"\r\n")  # a whole line that need not be cut fits


class Lines:
    """The lines of `stream` without their ends, empty ones too; the rest of one that is too long is passed over.

    A byte order mark (RFC 3629, section 6) at the start is left out. At most about 128 KiB are held.

    Attributes:
        cut: lines so far of which only the first MAX_LINE_BYTES bytes were handed out.

    Raises:
        OSError, EOFError, zlib.error: whatever reading `stream` raises.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.cut = 0

    def __iter__(self) -> Iterator[bytes]:
        mark = _BOM
        while (read := self._stream.readline(_ASK_BYTES)) and read != mark:
            line = read.removeprefix(mark).removesuffix(b"\n").removesuffix(b"\r")
            mark = b""
            while not read.endswith(b"\n") and (read := self._stream.readline(MAX_LINE_BYTES)):
                pass
            if len(line) > MAX_LINE_BYTES:
                self.cut += 1
                line = line[:MAX_LINE_BYTES]
            yield line
