"""Hostile requests never break the `http` collector: they are read, or refused."""

import zlib

from fuzz.fuzz_http import one_input
from hypothesis import example, given, settings
from hypothesis import strategies as st

WORDS = [*(bytes([char]) for char in b'[]{},:"\\\n \xff'), b"\r\n", b'{"a":1}', b"null", b"\xef\xbb\xbf", b"1e9"]
pieces = st.sampled_from(WORDS)
objects = st.lists(st.sampled_from([b"{}", b'{"a":[1,{"b":"],}"}]}', b'{"\\u00e9":"\xc3\xa9"}', b"3"]), max_size=9)
arrays = objects.map(lambda each: b"[" + b",".join(each) + b"]")
bodies = st.one_of(st.binary(max_size=600), st.lists(pieces, max_size=40).map(b"".join), arrays)


@settings(max_examples=300)
@given(how=st.integers(0, 2), body=bodies)
@example(how=0, body=b"\x01")  # found: the beginning of a position
@example(how=0, body=b"\x01" + b"\xff" * 8)
@example(how=0, body=b"\n" * 500)
@example(how=1, body=b"[" * 20_000)
@example(how=1, body=b"[" + b",".join([b"{}"] * 201) + b"]")
@example(how=2, body=zlib.compress(b"\0" * 400_000, wbits=31))
@example(how=2, body=zlib.compress(b"", wbits=31) * 1002)
@example(how=0, body=b"\x01" + bytes(7) + b"\xff" + b"\xff" * 28 * 65)
def test_any_body_is_read_or_refused(how: int, body: bytes) -> None:
    one_input(bytes([how]) + body)
