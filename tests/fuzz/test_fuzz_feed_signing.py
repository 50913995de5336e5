"""Signatures, receipts and files of keys hold under arbitrary bytes, and under small changes of good ones."""

import pytest
from fuzz.fuzz_feed_signing import GOOD, KEY, WHOLE, one_input
from hypothesis import given, settings
from hypothesis import strategies as st

from socmon.feed.keyring import key_set

SET = key_set([KEY], private=True)
PEM = KEY.jwk.as_pem(private=True)
SEEDS = [b"", b"..", GOOD.encode(), WHOLE.encode(), SET, PEM, b"{", b'{"keys":[{}]}', b"[" * 2000, b'{"a":1e999}']


@pytest.mark.parametrize("data", SEEDS)
def test_the_verifier_takes_its_seeds(data: bytes) -> None:
    one_input(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_the_verifier_takes_any_bytes(data: bytes) -> None:
    one_input(data)


@settings(max_examples=200, deadline=None)
@given(seed=st.sampled_from(SEEDS[2:6]), at=st.integers(min_value=0), instead=st.binary(max_size=3))
def test_the_verifier_takes_what_is_damaged(*, seed: bytes, at: int, instead: bytes) -> None:
    place = at % len(seed)
    one_input(seed[:place] + instead + seed[place + 1 :])
