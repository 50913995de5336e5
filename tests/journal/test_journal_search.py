"""A frame is found by its bytes wherever it is, and its number is read out of its checksum."""

from uuid import UUID

from hypothesis import example, given, settings
from hypothesis import strategies as st
from journal.samples import NOW_US, record

from socmon.journal import Batch
from socmon.journal.frames import END_BYTES, HEAD_BYTES, encode
from socmon.journal.search import Found, find_frame

INCARNATION = UUID(int=7)


def frame(number: int, *, size_bytes: int = 40) -> tuple[Batch, bytes]:
    numbered = Batch(number, 0, NOW_US, [record(0, size_bytes=size_bytes)], [], tick=False)
    return numbered, encode(numbered, INCARNATION)[:-END_BYTES]


def find(data: bytes, numbers: range, offset: int = 0) -> Found[Batch] | None:
    return find_frame(lambda at, size: data[at : at + size], INCARNATION, offset, numbers, len(data))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 1 << 63), st.integers(0, 100), st.binary(max_size=300), st.integers(0, 5000))
@example((1 << 32) - 1, 1, bytes(300), 40)
@example((1 << 32) - 1, 0, bytes(300), 40)
def test_a_frame_is_found_behind_anything_with_its_number(
    wanted: int, later: int, damage: bytes, size_bytes: int
) -> None:
    damage += bytes(28 * later)  # no frame is smaller
    batch, data = frame(wanted + later, size_bytes=size_bytes)

    found = find(damage + data, range(wanted, 1 << 64))

    assert found is not None
    assert (found.batch.number, found.batch.records[0].data) == (batch.number, batch.records[0].data)
    assert (found.start, found.end) == (len(damage), len(damage) + len(data))


def test_a_frame_with_another_number_than_could_be_there_is_none() -> None:
    _, data = frame(9)

    assert find(data, range(10, 1 << 64)) is None
    assert find(data, range(1, 9)) is None
    assert find(data, range(8, 1 << 64)) is None, "no frame has room before it"
    assert find(data[:-1], range(9, 10)) is None


def test_a_frame_across_two_pieces_of_what_is_read_is_found() -> None:
    _, data = frame(3)

    for before in range((1 << 20) - HEAD_BYTES - 2, (1 << 20) + 2):
        found = find(bytes(before) + data, range(1, 1 << 64))
        assert found is not None
        assert found.start == before


def test_records_full_of_heads_cost_bounded_work_and_a_later_frame_is_still_found() -> None:
    large = 8 << 20
    false_head = large.to_bytes(4, "little") + b"sum." + (1).to_bytes(8, "little") + b"\x9b"
    hostile = false_head * 20_000 + bytes(large)
    _, data = frame(3)
    read_bytes = 0

    def read(at: int, size: int) -> bytes:
        nonlocal read_bytes
        read_bytes += size
        return (hostile + data)[at : at + size]

    found = find_frame(read, INCARNATION, 0, range(1, 9), len(hostile) + len(data))

    assert found is not None
    assert found.start == len(hostile)
    assert read_bytes < 40 * len(hostile)
