"""The fuzz target of the syslog parser over random bytes and a few seeds."""

import pytest
from fuzz.fuzz_rfc3164 import one_input
from hypothesis import given, settings
from hypothesis import strategies as st

SEEDS = [
    b"",
    b"\xff\xfe\x00",
    b"Failed password for \xff from ::1%\xff port 99999 ssh2",
    b"message repeated 9999999 times: [ Failed a for b from c port 1]",
    b"message repeated 2 times: [ message repeated 2 times: [ Failed a for b from 1.1.1.1 port 1]]",
    b" : TTY= ; COMMAND=",
    b"<999>Feb 30 99:99:99 ",
    b"Feb 29 23:59:60.9999999999 h x",
    b"2199-12-31T23:59:60-23:59 h x: y",
    "Nov 2٣ 10:00:02 h sshd[٣]: port ٣".encode(),
]


@pytest.mark.parametrize("seed", SEEDS)
def test_seed_raises_no_bug(seed: bytes) -> None:
    one_input(seed)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_raise_no_bug(data: bytes) -> None:
    one_input(data)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b"Failed ", b"Accepted ", b" for ", b" from ", b" port ", b"1", b"::1", b": ", b" ; ", b"TTY=", b"[", b"]"]
        )
    ).map(b"".join)
)
def test_words_of_the_grammar_in_any_order_raise_no_bug(data: bytes) -> None:
    one_input(data)
