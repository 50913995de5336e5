"""The fuzz target of the parsers of web servers' logs, JSON and Zeek's logs over random bytes and a few seeds."""

import pytest
from fuzz.fuzz_web import one_input
from hypothesis import given, settings
from hypothesis import strategies as st
from watchdog import watchdog

WORDS = [
    *(b'"', b" ", b"\\", b"[", b"]", b", ", b"{", b"}", b":", b"-", b"1", b"\xff", b"\\x", b"%25", b"\\ud800"),
    *(b", client: 1.1.1.1", b', request: "GET /', b'", host: "', b" [23/Nov/2026:10:00:03 +0700] ", b" not found: "),
    *(b'"status":200', b'"method":"GET"', b'"uri":"/"', b"[client 1.1.1.1] ", b" failed (2: ", b"9" * 400),
    *(b'"trans_id":1', b'"orig_h":', b'"answers":[', b'"conn_state":"S0"', b'"message":'),
]


@pytest.mark.parametrize(
    "seed", [b"", b"\xff", b"[" * 9000, b'{"a":' * 9000, b"99999999999999999999}", b"1e309}", b"\\"]
)
def test_seed_raises_no_bug(seed: bytes) -> None:
    one_input(seed)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.lists(st.sampled_from(WORDS), max_size=30).map(b"".join))
def test_random_bytes_and_words_of_the_formats_raise_no_bug(data: bytes) -> None:
    one_input(data)


@pytest.mark.parametrize("word", WORDS)
def test_the_longest_line_of_one_word_takes_no_long_time(word: bytes) -> None:
    with watchdog(f"a line of {word!r}"):
        one_input((word * 65_536)[:65_536])
