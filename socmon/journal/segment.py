r"""One segment of the journal: its name, its head, and reading frames out of it.

`NNNNNNNNNNNNNNNNNNNN.seg`, N the number of its first frame, or the same with `.zst` once it is compressed:

    "socmon journal\n", u8 version, 16-byte incarnation, u64 first frame number, u64 first sequence,
    u64 received time of the frame before, u32 length and u32 CRC-32 of the carry, u32 CRC-32 of all so far,
    the carry (see carry.py), then frames (see frames.py) up to a zero length or the end of the file

Little-endian. The head is synced before the file gets its name, so a segment that can be seen has a whole one.
"""

from collections.abc import Iterator
from struct import Struct as Layout
from types import TracebackType
from typing import Self
from uuid import UUID
from zlib import crc32

import msgspec
from msgspec import Struct

from socmon.errors import JournalError
from socmon.journal.batch import Batch
from socmon.journal.carry import Carry
from socmon.journal.compressed import CompressedFile
from socmon.journal.files import File
from socmon.journal.frames import HEAD_BYTES, decode, read_head

MAGIC = b"socmon journal\n"
VERSION = 1
RAW = ".seg"
COMPRESSED = ".seg.zst"

_HEADER = Layout("<15sB16sQQQII")
_SUM = Layout("<I")
HEADER_BYTES = _HEADER.size + _SUM.size


class Place(Struct, frozen=True):
    """Where a frame begins in its segment.

    Attributes:
        first_seq: what the frame says; 0 where there is none.
    """

    number: int
    offset: int
    first_seq: int


class Header(Struct, frozen=True):
    """The fixed part of a segment's head.

    Attributes:
        written_us: received time of the last frame before this segment.
        carry_bytes: length of the carry behind the header.
        carry_sum: its CRC-32.
    """

    incarnation: UUID
    first_number: int
    first_seq: int
    written_us: int
    carry_bytes: int = 0
    carry_sum: int = 0

    def encode(self, carry: bytes) -> bytes:
        """The whole head of a segment, `carry` included."""
        fixed = _HEADER.pack(
            MAGIC,
            VERSION,
            self.incarnation.bytes,
            self.first_number,
            self.first_seq,
            self.written_us,
            len(carry),
            crc32(carry),
        )
        return fixed + _SUM.pack(crc32(fixed)) + carry

    @property
    def start(self) -> Place:
        """The place of the first frame."""
        return Place(self.first_number, HEADER_BYTES + self.carry_bytes, self.first_seq)


def read_header(data: bytes) -> Header:
    """Raises JournalError, without the path, if a segment does not begin with `data`."""
    if data[: len(MAGIC)] != MAGIC:
        raise JournalError(f"not a journal segment (begins with {data[:16]!r})")
    version = data[len(MAGIC)] if len(data) > len(MAGIC) else 0
    if len(data) >= HEADER_BYTES and _SUM.unpack_from(data, _HEADER.size)[0] == crc32(data[: _HEADER.size]):
        _, version, incarnation, *rest = _HEADER.unpack_from(data)
        if version == VERSION:
            return Header(UUID(bytes=incarnation), *rest)
    elif version == VERSION:
        raise JournalError("the head of the segment is damaged")
    raise JournalError(f"journal version {version}, this socmon reads version {VERSION}")


class SegmentFile:
    """One open segment, raw or compressed. Damage reads as the end; nothing here raises OSError.

    Attributes:
        header: of this segment.
    """

    def __init__(self, file: File | CompressedFile, header: Header) -> None:
        self._file = file
        self.header = header

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def end(self) -> int:
        """Length of the file in bytes; its data may end before."""
        try:
            return self._file.size()
        except OSError:
            return 0

    def carry(self) -> Carry | None:
        """What was carried into this segment; None if it is damaged."""
        data = self._read(HEADER_BYTES, min(self.header.carry_bytes, self.end()))
        if len(data) != self.header.carry_bytes or crc32(data) != self.header.carry_sum:
            return None
        try:
            return Carry.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None

    def frame(self, offset: int, number: int, end: int) -> tuple[Batch, int] | None:
        """Frame `number`, which begins at `offset`, and where the next one begins; None at the end of the data.

        Args:
            end: nothing behind this offset is looked at.
        """
        head = read_head(self._read(offset, HEAD_BYTES))
        if head is None or offset + head.size > end:
            return None
        payload = self._read(offset + HEAD_BYTES, head.size - HEAD_BYTES)
        batch = decode(head, payload, number, self.header.incarnation)
        return None if batch is None else (batch, offset + head.size)

    def heads(self, place: Place, end: int) -> Iterator[Place]:
        """The places of the frames from `place`, unverified: much quicker than reading them.

        The last one is where no frame was found any more; its `first_seq` is 0.
        """
        number, offset = place.number, place.offset
        while (head := read_head(self._read(offset, HEAD_BYTES))) is not None and offset + head.size <= end:
            yield Place(number, offset, head.first_seq)
            number, offset = number + 1, offset + head.size
        yield Place(number, offset, 0)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _read(self, offset: int, size: int) -> bytes:
        try:
            return self._file.read_at(offset, size)
        except OSError:
            return b""
