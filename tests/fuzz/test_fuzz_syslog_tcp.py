"""Hostile bytes on a TCP connection never break the `syslog_tcp` collector; their pieces hide nothing."""

from fuzz.fuzz_syslog_tcp import one_input
from hypothesis import example, given, settings
from hypothesis import strategies as st

pieces = st.sampled_from(
    [b"\n", b"\r", b"\0", b"\r\n", b" ", b"<", b">", b"<34>", b"1", b"17 ", b"3 <1>", b"5 <1>ab", b"300 ", b"x" * 299]
)


@settings(max_examples=300)
@given(data=st.one_of(st.binary(max_size=2000), st.lists(pieces, max_size=40).map(b"".join)))
@example(data=b"")
@example(data=b"\n\0\r\n")
@example(data=b"9999999 <1>" + b"x" * 400_000)
@example(data=b"a\n" * 30_000)
@example(data=b"1 a" * 30_000)
@example(data=b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"\x00" * 32)
@example(data=b"<1>a\n2 <\n3 <1\n4 <1>")
def test_any_bytes_are_messages(data: bytes) -> None:
    one_input(data)
