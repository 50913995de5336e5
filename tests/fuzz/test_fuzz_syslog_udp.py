"""Hostile datagrams never break the `syslog_udp` collector; each is accounted for."""

from fuzz.fuzz_syslog_udp import one_input
from hypothesis import example, given, settings
from hypothesis import strategies as st

pieces = st.sampled_from([b"\n", b"\r", b"\0", b"\r\n", b" ", b"<34>", b"1 2026", b"\xff\xfe", b"x" * 499])
datagrams = st.one_of(st.binary(max_size=600), st.lists(pieces, max_size=10).map(b"".join))


@settings(max_examples=200)
@given(sent=st.lists(datagrams, max_size=20))
@example(sent=[b""])
@example(sent=[b"\n\0\r\n", b"<1>a"])
@example(sent=[b"\0" * 60_000, b"x" * 60_000])
@example(sent=[b"<1>a\n<2>b\n", b"12 <1>counted"])
def test_any_datagram_is_a_record_or_counted(sent: list[bytes]) -> None:
    one_input(sent)
