r"""One segment of the journal: its name, its head, and reading frames out of it.

`NNNNNNNNNNNNNNNNNNNN.seg`, N the number of its first frame, or the same with `.zst` once it is compressed:

    "socmon journal\n", u8 version, 16-byte incarnation, u64 first frame number, u64 first sequence,
    u64 received time of the frame before, u32 length and u32 CRC-32 of the carry, u32 CRC-32 of all so far,
    the carry (see carry.py), then frames (see frames.py) up to a zero length or the end of the file

Little-endian. The head is synced before the file gets its name, so a segment that can be seen has a whole one.
"""

from collections.abc import Iterator
from pathlib import Path
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
from socmon.journal.files import File, explained
from socmon.journal.frames import END_BYTES, HEAD_BYTES, Frame, Head, decode, outline, read_head
from socmon.journal.search import Found, find_frame

MAGIC = b"socmon journal\n"
VERSION = 1
HIGHEST = 1 << 64  # above every number
RAW = ".seg"
COMPRESSED = ".seg.zst"

SECTOR_BYTES = 512
_REMEDY = "check its disk, and start again when it can be read"

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
    """One open segment, raw or compressed. Whatever reads raises JournalError if the disk does not answer.

    Attributes:
        header: of this segment.
    """

    def __init__(self, path: Path, file: File | CompressedFile, header: Header) -> None:
        self._path = path
        self._file = file
        self.header = header

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def end(self) -> int:
        """Length of the file in bytes; its data may end before."""
        with explained("read", self._path, _REMEDY):
            return self._file.size()

    def carry(self) -> Carry | None:
        """What was carried into this segment; None if it is damaged."""
        data = self._read(HEADER_BYTES, min(self.header.carry_bytes, self.end()))
        if len(data) != self.header.carry_bytes or crc32(data) != self.header.carry_sum:
            return None
        try:
            return Carry.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None

    def frame(self, offset: int, number: int, end: int) -> Found[Batch] | None:
        """Frame `number`, which begins at `offset`; None where the data end or are damaged.

        Args:
            end: nothing behind this offset is looked at.
        """
        head, payload = self._bytes(offset, end)
        batch = decode(head, payload, number, self.header.incarnation) if head else None
        return None if batch is None else Found(batch, offset, offset + HEAD_BYTES + len(payload))

    def raw_frame(self, offset: int, number: int, end: int) -> Found[Frame] | None:
        """The same, its records not decoded."""
        head, payload = self._bytes(offset, end)
        frame = outline(head, payload, number, self.header.incarnation) if head else None
        return None if frame is None else Found(frame, offset, offset + HEAD_BYTES + len(payload))

    def _bytes(self, offset: int, end: int) -> tuple[Head | None, bytes]:
        head = read_head(self._read(offset, HEAD_BYTES))
        if head is None or offset + head.size > end:
            return None, b""
        return head, self._read(offset + HEAD_BYTES, head.size - HEAD_BYTES)

    def find(self, offset: int, number: int, end: int, below: int = HIGHEST) -> Found[Batch] | None:
        """The first whole frame from `offset` on that is `number` or a later one below `below`; None if none is left.

        Args:
            end: nothing behind this offset is looked at.
        """
        return find_frame(self._read, self.header.incarnation, offset, range(number, below), end)

    def frames(self, end: int) -> Iterator[Found[Batch]]:
        """All whole frames up to `end`, those behind damage too."""
        number, offset = self.header.first_number, self.header.start.offset
        while found := self.frame(offset, number, end) or self.find(offset, number, end):
            yield found
            number, offset = found.batch.number + 1, found.end

    def never_written(self, start: int, end: int) -> bool:
        """Whether a sector of the disk from `start` up to `end` still holds the zeros from before it was written."""
        sectors = range(start - start % SECTOR_BYTES, end - SECTOR_BYTES + 1, SECTOR_BYTES)
        pieces = ((max(start, sector), sector + SECTOR_BYTES) for sector in sectors)
        return any(piece_end - at >= END_BYTES and not any(self._read(at, piece_end - at)) for at, piece_end in pieces)

    def heads(self, place: Place, end: int) -> Iterator[Place]:
        """The places of the frames from `place`, unverified where they look sound: much quicker than reading them.

        The last one is where no frame was found any more; its `first_seq` is 0.
        """
        held, before, number, offset = None, place, place.number, place.offset
        while offset < end:
            head = read_head(self._read(offset, HEAD_BYTES))
            if head is not None and offset + head.size <= end and _follows(before, offset, head.first_seq):
                place, after = Place(number, offset, head.first_seq), offset + head.size
            elif found := self.find(before.offset, number, end):
                place, after = Place(found.batch.number, found.start, found.batch.first_seq), found.end
            else:
                break
            # Held back until the next one bears it out: a damaged head may look sound, and say too much.
            if held is not None and held.first_seq <= place.first_seq:
                yield held
            held, before, number, offset = place, place, place.number + 1, after
        if held is not None:
            yield held
        yield Place(number, offset, 0)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _read(self, offset: int, size: int) -> bytes:
        try:
            return self._file.read_at(offset, size)
        except OSError as error:
            raise JournalError(f"cannot read {self._path}: {error.strerror or error}; {_REMEDY}") from error


def _follows(before: Place, offset: int, first_seq: int) -> bool:
    """Whether a frame at `offset` may begin with `first_seq`: a record takes more than a byte."""
    return before.first_seq <= first_seq <= before.first_seq + offset - before.offset
