"""The batch reader holds under arbitrary bytes, and under small changes of good ones."""

import zlib

import msgspec
import pytest
from feed_kit import message
from fuzz.fuzz_feed_batch import one_input
from hypothesis import given, settings
from hypothesis import strategies as st

GOOD = b"[" + message(1) + b"," + message(2) + b"]"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.parametrize(
    "data", [b"", GOOD, zlib.compress(GOOD, wbits=31), b"[" * 5000, b'["\\ud800"]', b"[1e999]", b"[" + b"{" * 900]
)
def test_the_batch_reader_takes_its_seeds(data: bytes) -> None:
    one_input(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_the_batch_reader_takes_any_bytes(data: bytes) -> None:
    one_input(data)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(GOOD) - 1), instead=st.binary(max_size=4), compressed=st.booleans())
def test_the_batch_reader_takes_a_damaged_batch(*, at: int, instead: bytes, compressed: bool) -> None:
    damaged = GOOD[:at] + instead + GOOD[at + 1 :]
    one_input(zlib.compress(damaged, wbits=31) if compressed else damaged)


@settings(max_examples=200, deadline=None)
@given(member=st.sampled_from(sorted(msgspec.json.decode(message()))), value=JSON)
def test_the_batch_reader_takes_any_value_in_any_member(member: str, value: object) -> None:
    event = msgspec.json.decode(message())
    one_input(msgspec.json.encode([event | {member: value}, value]))
