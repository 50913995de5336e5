"""Bytes of any kind in a journal's files raise nothing but JournalError, and only when it is opened."""

import msgspec
import pytest
from fuzz.fuzz_journal import one_input
from hypothesis import given, settings
from hypothesis import strategies as st

from socmon.event import Source

SOURCE = msgspec.to_builtins(Source("auth", "peer"))
# Columns as frames.py writes them, and then what it never would.
SOUND = [1, False, [], [SOURCE], ["s"], 0, 0, None, 1, [[0, b"p"]], [b"line"]]
SEEDS = [
    SOUND,
    [*SOUND[:5], 7, *SOUND[6:]],
    [*SOUND[:5], [0, 0], *SOUND[6:]],
    [*SOUND[:9], [[3, b"p"]], *SOUND[10:]],
    [1 << 63, *SOUND[1:]],
    [*SOUND[:3], [{**SOURCE, "more": "x"}], *SOUND[4:]],
    [],
]


@pytest.mark.parametrize("columns", SEEDS)
@pytest.mark.parametrize("place", [2, 5])
def test_a_forged_frame_is_read_or_passed_over(place: int, columns: list[object]) -> None:
    one_input(bytes([place]) + msgspec.msgpack.encode(columns))


@pytest.mark.parametrize("place", [2, 3])
def test_nesting_without_end_is_passed_over(place: int) -> None:
    source = b"\x81\xa1x" + b"\x91" * 100_000 + b"\xc0"
    one_input(bytes([place]) + b"\x9b\x01\xc2\x90\x91" + source)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 8), st.binary(max_size=300))
def test_any_bytes_anywhere(place: int, data: bytes) -> None:
    one_input(bytes([place]) + data)
