"""A frame: one batch as bytes, valid in one place of one journal only.

    u32 length    of what follows the checksum
    u32 checksum  CRC-32 of length, first_seq and payload, seeded with the journal's incarnation and the frame's number
    u64 first_seq
    payload       MessagePack: columns, with one table of sources and one of streams

Little-endian. A length of zero ends the data of a segment.
"""

from collections.abc import Callable, Iterable
from itertools import repeat
from operator import attrgetter
from struct import Struct as Layout
from typing import Annotated, TypeVar
from uuid import UUID
from zlib import crc32

import msgspec
from msgspec import Raw, Struct

from socmon.errors import JournalError
from socmon.event import Record, Source
from socmon.journal.batch import Batch, Drop

MAX_FRAME_BYTES = 16 * 1024 * 1024

_HEAD = Layout("<IIQ")
_SUMMED = Layout("<IQ")
_SEQ_BYTES = 8
HEAD_BYTES = _HEAD.size
MIN_FRAME_BYTES = HEAD_BYTES + 12  # the array of columns and eleven columns of a byte
END_BYTES = 4  # the zero length behind the last frame

ValueT = TypeVar("ValueT")


class UnwritableError(JournalError):
    """This batch can never be written, on no disk; others can."""


class _Payload(Struct, array_like=True, frozen=True):
    """Columns with an entry a record; a column whose entries are all equal is that one value.

    Attributes:
        received: microseconds after `written_us`, may be negative.
        positions: (index of the stream, bytes) or None; no list at all when no record has one.
    """

    written_us: Annotated[int, msgspec.Meta(ge=0)]
    tick: bool
    drops: list[Drop]
    sources: list[Source]
    streams: list[str]
    source_of: int | list[int]
    received: int | list[int]
    anchor_us: int | list[int | None] | None
    count: int | list[int]
    positions: list[tuple[int, bytes] | None] | None
    data: list[bytes]


class Head(Struct, frozen=True):
    """The first bytes of a frame, read without checking its checksum.

    Attributes:
        size: of the whole frame in bytes.
    """

    size: int
    checksum: int
    first_seq: int


class _Outline(Struct, array_like=True, frozen=True):
    """The columns of a payload, not looked into; the last one has an entry a record."""

    written_us: Raw
    tick: Raw
    drops: Raw
    sources: Raw
    streams: Raw
    source_of: Raw
    received: Raw
    anchor_us: Raw
    count: Raw
    positions: Raw
    data: Raw


class Frame(Struct, frozen=True):
    """A frame whose checksum is right and whose records are still bytes: to be decoded elsewhere.

    Attributes:
        first_seq: see Batch.
        records: how many it holds.
    """

    number: int
    first_seq: int
    records: int
    payload: bytes

    @property
    def next_seq(self) -> int:
        """The sequence of the first record after it."""
        return self.first_seq + self.records

    @classmethod
    def of(cls, batch: Batch) -> "Frame":
        """What `batch.decode` gives back. Raises UnwritableError as `encode` does, whatever its size."""
        return cls(batch.number, batch.first_seq, len(batch.records), _payload(batch))

    def batch(self) -> Batch | None:
        """Its records; None where the bytes are no batch, which their checksum hardly lets happen."""
        try:
            return _from_columns(_decoder.decode(self.payload), self.number, self.first_seq)
        except (msgspec.MsgspecError, IndexError, ValueError, RecursionError):
            return None


_encoder = msgspec.msgpack.Encoder()
_outliner = msgspec.msgpack.Decoder(_Outline)
_decoder = msgspec.msgpack.Decoder(_Payload)
_source_of: Callable[[Record], Source] = attrgetter("source")


def seed_of(incarnation: UUID, number: int) -> int:
    """What the checksum of frame `number` starts from, so that a stale or moved frame never passes for another."""
    return crc32(number.to_bytes(8, "little"), crc32(incarnation.bytes))


def encode(batch: Batch, incarnation: UUID) -> bytes:
    """The frame, with the zero length behind it that ends the data until the next frame is written over it.

    Raises:
        UnwritableError: the frame would be larger than MAX_FRAME_BYTES, or a value cannot be written.
    """
    payload = _payload(batch)
    if HEAD_BYTES + len(payload) > MAX_FRAME_BYTES:
        raise UnwritableError(
            f"a batch of {len(batch.records)} records takes {len(payload)} bytes, a journal frame holds at most "
            f"{MAX_FRAME_BYTES}; append it in smaller batches"
        )
    length = _SEQ_BYTES + len(payload)
    checksum = _checksum(length, batch.first_seq, payload, seed_of(incarnation, batch.number))
    return b"".join((_HEAD.pack(length, checksum, batch.first_seq), payload, bytes(END_BYTES)))


def _payload(batch: Batch) -> bytes:
    try:
        return _encoder.encode(_to_columns(batch))
    except (UnicodeEncodeError, OverflowError) as error:
        raise UnwritableError(
            f"cannot write a batch of {len(batch.records)} records: {error}; "
            "collectors must escape undecodable names and keep numbers within 64 bits"
        ) from error


def read_head(data: bytes) -> Head | None:
    """The head of the frame that `data` begins with; None where no frame can be."""
    if len(data) < HEAD_BYTES:
        return None
    length, checksum, first_seq = _HEAD.unpack_from(data)
    size = length + HEAD_BYTES - _SEQ_BYTES
    return Head(size, checksum, first_seq) if HEAD_BYTES < size <= MAX_FRAME_BYTES else None


def decode(head: Head, payload: bytes, number: int, incarnation: UUID) -> Batch | None:
    """The batch of frame `number`; None if these bytes are not that frame, whole and unharmed."""
    if checksum_of(head, payload, number, incarnation) != head.checksum:
        return None
    try:
        return _from_columns(_decoder.decode(payload), number, head.first_seq)
    except (msgspec.MsgspecError, IndexError, ValueError, RecursionError):
        return None


def outline(head: Head, payload: bytes, number: int, incarnation: UUID) -> Frame | None:
    """Frame `number`, its records not decoded; None if these bytes are not that frame, whole and unharmed."""
    if checksum_of(head, payload, number, incarnation) != head.checksum:
        return None
    try:
        return Frame(number, head.first_seq, _length(_outliner.decode(payload).data), payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _length(array: Raw) -> int:
    """Of an array in MessagePack. Raises ValueError if it is none."""
    head = bytes(memoryview(array)[:5])
    if head and head[0] & 0xF0 == 0x90:
        return head[0] & 0x0F
    if head[:1] in {b"\xdc", b"\xdd"}:
        return int.from_bytes(head[1 : 3 if head[0] == 0xDC else 5])
    raise ValueError("no array")


def checksum_of(head: Head, payload: bytes, number: int, incarnation: UUID) -> int:
    """The checksum that these bytes would have as frame `number`."""
    length = head.size - HEAD_BYTES + _SEQ_BYTES
    return _checksum(length, head.first_seq, payload, seed_of(incarnation, number))


def _checksum(length: int, first_seq: int, payload: bytes, seed: int) -> int:
    return crc32(payload, crc32(_SUMMED.pack(length, first_seq), seed))


def _to_columns(batch: Batch) -> _Payload:
    records = batch.records
    sources = list(map(_source_of, records))
    # Records of one peer share one Source object, and its identity is cheaper to compare than its value.
    identities = list(map(id, sources))
    table = dict(zip(identities, sources, strict=True))
    index = {identity: place for place, identity in enumerate(table)}
    places = [record.position for record in records]
    names = dict.fromkeys(place[0] for place in places if place is not None)
    streams = {name: at for at, name in enumerate(names)}
    return _Payload(
        written_us=batch.written_us,
        tick=batch.tick,
        drops=batch.drops,
        sources=list(table.values()),
        streams=list(streams),
        source_of=_fold([index[identity] for identity in identities]),
        received=_fold([record.received_us - batch.written_us for record in records]),
        anchor_us=_fold([record.anchor_us for record in records]),
        count=_fold([record.count for record in records]),
        positions=[place and (streams[place[0]], place[1]) for place in places] if streams else None,
        data=[record.data for record in records],
    )


def _from_columns(columns: _Payload, number: int, first_seq: int) -> Batch:
    """Raises IndexError or ValueError for columns that do not fit together."""
    size = len(columns.data)
    written_us, streams = columns.written_us, columns.streams
    arrivals = [written_us + after for after in _unfold(columns.received, size)]
    positions: Iterable[tuple[str, bytes] | None] = repeat(None, size)
    if columns.positions is not None:
        named = [place and (streams[place[0]], place[1]) for place in columns.positions]
        positions = _unfold(named, size)
    records = map(
        Record,
        columns.data,
        map(columns.sources.__getitem__, _unfold(columns.source_of, size)),
        arrivals,
        positions,
        _unfold(columns.anchor_us, size),
        _unfold(columns.count, size),
        range(first_seq, first_seq + size),
    )
    return Batch(number, first_seq, written_us, list(records), columns.drops, columns.tick)


def _fold(column: list[ValueT]) -> ValueT | list[ValueT]:
    return column[0] if len(set(column)) == 1 else column


def _unfold(column: ValueT | list[ValueT], size: int) -> Iterable[ValueT]:
    if not isinstance(column, list):
        return repeat(column, size)
    if len(column) != size:
        raise ValueError(f"a column has {len(column)} entries for {size} records")
    return column
