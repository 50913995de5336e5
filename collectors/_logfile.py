"""One opened log file: its complete lines, and the fingerprint that tells it from another file in its place."""

import bz2
import gzip
import hashlib
import lzma
import os
import stat
import time
import zlib
from collections.abc import Callable, Mapping
from itertools import accumulate, islice
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple, cast

from socmon.errors import ComponentError

BLOCK_BYTES = 256 * 1024
_EDGE_BYTES = 256
_DIGEST_BYTES = 8

# What logrotate compresses with and the standard library reads: suffix → opener of a file object.
_DECOMPRESSORS: Mapping[str, Callable[[BinaryIO], object]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
COMPRESSED = tuple(_DECOMPRESSORS)

# What reading raises; all but OSError for a compressed file that is cut short or not what its suffix says.
UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError)

FileId = tuple[int, int]
"""(device, inode)."""


class Position(NamedTuple):
    """Where a stream stands: enough to find its file again, renamed, compressed or copied.

    Attributes:
        since_us: when the collector started for the first time ever.
        known: how many bytes from the file's start the digests vouch for, ≥ offset.
        head, edge: digests of the first and of the last 256 of the known bytes.
        offset: bytes read, up to the end of a line.
    """

    since_us: int
    device: int
    inode: int
    known: int
    head: bytes
    edge: bytes
    offset: int

    @property
    def id(self) -> FileId:
        """The file, unless its inode has been used again."""
        return (self.device, self.inode)

    def prefix(self) -> bytes:
        """Encoded without the offset, which follows as OFFSET: what all positions of a block have in common."""
        return _PREFIX.pack(_VERSION, *self[:-1])

    @classmethod
    def decode(cls, data: bytes, path: str) -> "Position":
        """Raises ComponentError: not a position of this version."""
        if len(data) != _PREFIX.size + OFFSET.size or data[0] != _VERSION:
            raise ComponentError(
                f"cannot go on in {path}: its position {data[:16]!r} was written by another version of socmon; "
                "run that version, or rename the collector to start afresh",
                retry=False,
            )
        _, *known = _PREFIX.unpack_from(data)
        return cls(*known, *OFFSET.unpack_from(data, _PREFIX.size))


_VERSION = 1
_PREFIX = Struct(f">BQQQQ{_DIGEST_BYTES}s{_DIGEST_BYTES}s")
OFFSET = Struct(">Q")


class Lines(NamedTuple):
    """Lines without their ends, and the offset after each.

    Attributes:
        first, last: the first and last bytes of the span, 256 or all of it.
        searching: a line longer than a block was searched in part; the next `peek` goes on.
    """

    lines: list[bytes]
    ends: list[int]
    first: bytes = b""
    last: bytes = b""
    searching: bool = False


class LogFile:
    """A regular file, plain or compressed, and how far it has been read. Every method blocks on the disk.

    Attributes:
        id: stays the same when the file is renamed.
        offset: bytes read, after decompression.
        modified_us: modification time when it was opened, not after that moment.

    Raises:
        UNREADABLE: from the constructor and each method.
        ComponentError: from the constructor: not a regular file.
    """

    def __init__(self, path: str, *, block_bytes: int = BLOCK_BYTES) -> None:
        self.path = path
        self._block_bytes = block_bytes
        self._raw = cast("BinaryIO", open(path, "rb", buffering=0, opener=_open_at_once))  # noqa: SIM115  close() closes it
        self._file = self._raw
        status = os.fstat(self._raw.fileno())
        if not stat.S_ISREG(status.st_mode):
            self._raw.close()
            raise ComponentError(f"cannot follow {path}: it is not a regular file; correct paths", retry=False)
        self.id: FileId = (status.st_dev, status.st_ino)
        decompressor = _DECOMPRESSORS.get(Path(path).suffix)
        self.compressed = decompressor is not None
        if decompressor is not None:
            self._file = cast("BinaryIO", decompressor(self._raw))
        self.rewind()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        self._raw.close()

    def rewind(self) -> None:
        """Begin again, as if the file had been opened now."""
        status = os.fstat(self._raw.fileno())
        self.modified_us = min(status.st_mtime_ns, time.time_ns()) // 1000
        self._held_bytes = None if self.compressed else status.st_size
        self.seek(0)

    def seek(self, offset: int) -> None:
        """Go on at `offset`, which must be the start of a line."""
        self.offset = self._searched = offset
        self._head = self._read_at(0, min(_EDGE_BYTES, offset))
        self._edge = self._edge_before(offset)

    def seek_last_line(self) -> None:
        """Go on after the last line that is complete now; at the end if a block holds no end of line."""
        size = os.fstat(self._raw.fileno()).st_size
        start = max(0, size - self._block_bytes)
        newline = self._read_at(start, size - start).rfind(b"\n")
        self.seek(start + newline + 1 if newline >= 0 or not start else size)

    def peek(self, *, final: bool = False) -> Lines:
        """The lines from the offset on, a block of them at most; `advance` takes them.

        Args:
            final: nobody will write any more: what stands after the last end of line is a line.
        """
        block = self._read_at(self.offset, self._block_bytes)
        end = block.rfind(b"\n") + 1
        if not end and len(block) == self._block_bytes:
            return self._peek_long(block, final=final)
        if not end and final:
            end = len(block)
        if not end:
            return Lines([], [])
        lines = block[:end].removesuffix(b"\n").split(b"\n")
        ends = list(islice(accumulate([len(line) + 1 for line in lines], initial=self.offset), 1, None))
        ends[-1] = self.offset + end  # a final line has no end of line to count
        return Lines(lines, ends, first=block[: min(end, _EDGE_BYTES)], last=block[max(0, end - _EDGE_BYTES) : end])

    def _peek_long(self, start: bytes, *, final: bool) -> Lines:
        """A line longer than a block, of which only the block is kept. Searches one more block for its end."""
        at = max(self._searched, self.offset + len(start))
        block = self._read_at(at, self._block_bytes)
        newline = block.find(b"\n")
        self._searched = at + (newline + 1 if newline >= 0 else len(block))
        if newline < 0 and (block or not final):
            return Lines([], [], searching=bool(block))
        last = self._edge_before(self._searched)
        return Lines([start], [self._searched], first=start[:_EDGE_BYTES], last=last)

    def advance(self, taken: Lines) -> None:
        """Count `taken`, which must not be empty, as read."""
        self.offset = self._searched = taken.ends[-1]
        self._head = (self._head + taken.first)[:_EDGE_BYTES]
        self._edge = (self._edge + taken.last)[-_EDGE_BYTES:]

    def intact(self) -> bool:
        """Whether what was read still stands in the file: False after a truncation, whatever its size is by now."""
        if self.compressed:
            return True
        return self._read_at(0, len(self._head)) == self._head and self._edge_before(self.offset) == self._edge

    def holds(self, position: Position) -> bool:
        """Whether this is the file that `position` was taken in, or a copy of it; a damaged copy is none."""
        try:
            # The start tells most files apart, so that only few are decompressed as far as the edge.
            head = self._read_at(0, min(_EDGE_BYTES, position.known))
            return _digest(head) == position.head and _digest(self._edge_before(position.known)) == position.edge
        except UNREADABLE:
            if self.compressed:
                return False
            raise

    def position(self, since_us: int) -> Position:
        """Where this file has been read to."""
        return Position(since_us, *self.id, self.offset, _digest(self._head), _digest(self._edge), self.offset)

    def anchor_us(self, end: int) -> int | None:
        """The modification time, for a line that ends at `end` and was there when the file was opened; else None."""
        return self.modified_us if self._held_bytes is None or end <= self._held_bytes else None

    def quiet_s(self) -> float:
        """Seconds since the file was written, by the wall clock."""
        return time.time() - os.fstat(self._raw.fileno()).st_mtime

    def written_ns(self) -> int:
        """The modification time as it is now."""
        return os.fstat(self._raw.fileno()).st_mtime_ns

    def unlinked(self) -> bool:
        """Whether the file has no name any more."""
        return os.fstat(self._raw.fileno()).st_nlink == 0

    def _edge_before(self, offset: int) -> bytes:
        start = max(0, offset - _EDGE_BYTES)
        return self._read_at(start, offset - start)

    def _read_at(self, offset: int, size_bytes: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(size_bytes)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for the other end, should an attacker have put a named pipe in the file's place."""
    return os.open(path, flags | os.O_NONBLOCK)
