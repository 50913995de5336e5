"""The fuzz target over any bytes, over changes of a valid file anywhere, and over entries that nest without end."""

import pytest
from fuzz.fuzz_rule_cache import one_input
from hypothesis import given, settings
from hypothesis import strategies as st

SEEDS = [
    b"",
    b"\0",
    b"socmon rules 1\n\0",
    b"socmon rules 1\n\0" + b"\0" * 32 + b"\x80",
    b"\x81\xa9documents" + b"\x91" * 5_000,
    b"\x84\xa9documents\x90\xa6errors\x90\xacplaceholders\x90\xaaunexpanded\x90",
    b"\xdf\xff\xff\xff\xff",
]


@pytest.mark.parametrize("seed", SEEDS, ids=range(len(SEEDS)))
def test_seeds(seed: bytes) -> None:
    one_input(seed)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes(data: bytes) -> None:
    one_input(data)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 40_000), st.integers(0, 3), st.binary(max_size=8))
def test_any_change_of_a_valid_file(place: int, kind: int, more: bytes) -> None:
    one_input(place.to_bytes(4) + bytes([kind]) + more)
