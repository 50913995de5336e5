"""Finding the next whole frame behind damage, by what every frame begins with; its checksum tells its number.

The checksum is a CRC, so it is linear: two numbers that differ by exclusive-or of `d` give checksums that differ by `d`
times x to as many bits as follow the number, modulo the polynomial. Divided back, the difference between the checksum
that a frame has and the one it would have as frame 0 is its number (Ross Williams, "A painless guide to CRC error
detection algorithms", 1993; the polynomial of IEEE 802.3, reflected, as zlib.crc32 has it).
"""

from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from socmon.journal.batch import Batch
from socmon.journal.frames import (
    HEAD_BYTES,
    MAX_FRAME_BYTES,
    MIN_FRAME_BYTES,
    Frame,
    Head,
    checksum_of,
    decode,
    read_head,
)

_CHUNK_BYTES = 1024 * 1024
_ANCHOR = b"\0\x9b"  # the highest byte of first_seq, and the array of eleven columns that the payload is
_ANCHOR_AT = HEAD_BYTES - 1
_NUMBERED_BYTES = 20  # between the start of the number and the payload, as the checksum is taken
_POLYNOMIAL = 0xEDB88320
_LOW_BITS = 32

# Records may hold what looks like heads, even on purpose: the time for one try is that for so many bytes, and all tries
# together may take that for so many bytes per byte searched. A frame that is then not tried is lost with the damage.
_TRY_BYTES = 64 * 1024
_SPARE_BYTES = 4 * MAX_FRAME_BYTES
_EFFORT = 32


BatchT = TypeVar("BatchT", Batch, Frame)


class Found(NamedTuple, Generic[BatchT]):
    """A whole frame, and where in its segment it begins and ends."""

    batch: BatchT
    start: int
    end: int


def find_frame(
    read: Callable[[int, int], bytes], incarnation: UUID, offset: int, numbers: range, end: int
) -> Found[Batch] | None:
    """The first whole frame from `offset` up to `end` whose number is one of `numbers`; None if there is none.

    Args:
        read: (offset, size) → the bytes of the segment there; fewer where it ends.
        numbers: of the frames that may be there, the frame that was looked for at `offset` first.
    """
    spent = -_SPARE_BYTES
    for start, head in _heads(read, offset, end):
        possible = range(numbers.start, min(numbers.stop, numbers.start + (start - offset) // MIN_FRAME_BYTES + 1))
        if not possible or spent > _EFFORT * (start - offset):
            continue
        spent += head.size + _TRY_BYTES
        payload = read(start + HEAD_BYTES, head.size - HEAD_BYTES)
        for number in _numbers_of(head, payload, incarnation, possible):
            if batch := decode(head, payload, number, incarnation):
                return Found(batch, start, start + head.size)
    return None


def _heads(read: Callable[[int, int], bytes], offset: int, end: int) -> Iterator[tuple[int, Head]]:
    """What may be the head of a frame that ends before `end`, and where."""
    for at in range(offset, end, _CHUNK_BYTES):
        data = read(at, min(_CHUNK_BYTES + HEAD_BYTES, end - at))
        anchor = data.find(_ANCHOR, _ANCHOR_AT)
        while anchor >= 0:
            place = anchor - _ANCHOR_AT
            head = read_head(data[place : place + HEAD_BYTES])
            if head is not None and at + place + head.size <= end:
                yield at + place, head
            anchor = data.find(_ANCHOR, anchor + 1)


def _numbers_of(head: Head, payload: bytes, incarnation: UUID, possible: range) -> list[int]:
    """Which of the possible numbers fit the checksum: of those with the same high bits at most one."""
    fitting = []
    for high in {possible[0] >> _LOW_BITS, possible[-1] >> _LOW_BITS}:
        lowest = high << _LOW_BITS
        difference = head.checksum ^ checksum_of(head, payload, lowest, incarnation)
        number = lowest + _divide(difference, _NUMBERED_BYTES + len(payload))
        if number in possible:
            fitting.append(number)
    return fitting


def _divide(polynomial: int, size: int) -> int:
    """`polynomial` divided by x to the bits of `size` bytes: the CRC register before that many zero bytes went in."""
    for power, bit in enumerate(f"{size:b}"[::-1]):
        if bit == "1":
            polynomial = _product(polynomial, _BACK[power])
    return polynomial


def _product(one: int, other: int) -> int:
    product = 0
    for bit in range(31, -1, -1):
        if one >> bit & 1:
            product ^= other
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return product


def _powers_back() -> list[int]:
    """Powers of x to minus 8, 16, 32 … bits, as far as the size of a frame goes."""
    power = 1 << 31  # x to 0
    for _ in range(8):
        power = (power ^ _POLYNOMIAL) << 1 | 1 if power >> 31 else power << 1
    powers = [power]
    while len(powers) <= MAX_FRAME_BYTES.bit_length():
        powers.append(_product(powers[-1], powers[-1]))
    return powers


_BACK = _powers_back()
