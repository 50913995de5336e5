"""The fuzz target of the control socket over seeds, random bytes, and small changes of good requests."""

import pytest
from fuzz.fuzz_control import one_input
from hypothesis import given, settings
from hypothesis import strategies as st

GOOD = b'{"v":1,"verb":"feed.retry","arguments":{"ids":[1,2],"destination":"ncsc","dry_run":true}}'
SEEDS = [
    b"",
    GOOD,
    b'{"v":1,"verb":"alerts.test"}',
    b'{"v":1e400,"verb":""}',
    b'{"v":1,"verb":"\\ud800","arguments":{"to":["\\ud800"]}}',
    b'{"v":1,"verb":"\xff"}',
    b"[" * 100_000,
    b'{"v":1,"verb":"x","arguments":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    b'{"v":1,"verb":"feed.retry","arguments":{"ids":[1e400]}}',
    b'{"v":1,"verb":"feed.retry","arguments":{"ids":[' + b"9" * 5000 + b"]}}",
]


@pytest.mark.parametrize("seed", SEEDS, ids=range(len(SEEDS)))
def test_seed_raises_no_bug(seed: bytes) -> None:
    one_input(seed)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_raise_no_bug(data: bytes) -> None:
    one_input(data)


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(GOOD) - 1), instead=st.binary(max_size=4))
def test_damaged_requests_raise_no_bug(at: int, instead: bytes) -> None:
    one_input(GOOD[:at] + instead + GOOD[at + 1 :])
