"""The bounded line reader: what a line is, for `parse`, `replay` and the collector alike."""

import io
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors._tail import Start, Tail
from socmon.event import Source
from socmon.parsers.lines import MAX_LINE_BYTES, Lines

BOM = b"\xef\xbb\xbf"
SIZES = (0, 1, MAX_LINE_BYTES - 1, MAX_LINE_BYTES, MAX_LINE_BYTES + 1, MAX_LINE_BYTES + 5, 3 * MAX_LINE_BYTES)
ENDS = (b"\n", b"\r\n", b"\r\r\n")


def collected(log: Path) -> list[bytes]:
    """What the collector `file` makes of it."""
    tail = Tail(Source("logs", str(log)), Start(None, 1), max_bytes=MAX_LINE_BYTES, rotate_wait_s=0)
    records = []
    while (block := tail.read()).more:
        records += [record.data for record in block.records]
    tail.close()
    return records


def test_lines_are_those_of_the_collector_at_every_length(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"".join(b"x" * size + end + b"after\n" for size, end in product(SIZES, ENDS)))

    with log.open("rb") as stream:
        lines = Lines(stream)
        read = [line for line in lines if line]

    assert read == collected(log)
    assert lines.cut == 3 * 3 + 1  # the carriage return that is not part of the end makes one more too long


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=5), max_size=20))
def test_short_lines_are_those_between_newlines(parts: list[bytes]) -> None:
    data = b"\r\n".join(parts)
    expected = data.removeprefix(BOM).split(b"\n")

    read = list(Lines(io.BytesIO(data)))

    assert read == [line.removesuffix(b"\r") for line in expected[: None if expected[-1] else -1]]


def test_an_empty_line_is_a_line() -> None:
    assert list(Lines(io.BytesIO(b"\na\n\r\n\nb"))) == [b"", b"a", b"", b"", b"b"]


@pytest.mark.parametrize("size", [1, MAX_LINE_BYTES])
def test_byte_order_mark_is_left_out_at_the_start_only(size: int) -> None:
    lines = Lines(io.BytesIO(BOM + b"x" * size + b"\r\n" + BOM + b"y\n"))

    assert list(lines) == [b"x" * size, BOM + b"y"]
    assert lines.cut == 0


def test_a_huge_line_is_never_held() -> None:
    class Endless(io.RawIOBase):
        left = 200_000_000
        largest = 0

        def readable(self) -> bool:
            return True

        def read1(self, size: int, /) -> bytes:
            self.largest = max(self.largest, size)
            given = min(size, self.left)
            self.left -= given
            return b"x" * given

    stream = Endless()
    lines = Lines(stream)  # type: ignore[arg-type]  # all that is asked of the stream is `read1`

    assert [len(line) for line in lines] == [MAX_LINE_BYTES]
    assert lines.cut == 1
    assert stream.largest <= 4 * MAX_LINE_BYTES


def test_a_byte_order_mark_alone_is_no_line() -> None:
    assert list(Lines(io.BytesIO(BOM))) == []
