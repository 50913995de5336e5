"""Hostile datagrams never break the decoder of flows."""

from fuzz.fuzz_netflow import one_input, one_state
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netflow_kit import FIELDS4, FIELDS6, a_set, flow, ipfix, records, template, v5, v9

_WORDS = (0, 1, 2, 3, 4, 5, 8, 10, 16, 256, 257, 65535, 22, 12, 27, 28, 0x8001, 34, 48, 156)
_words = st.sampled_from(_WORDS).map(lambda word: word.to_bytes(2, "big"))
_bodies = st.one_of(
    st.binary(max_size=120),
    st.lists(_words, max_size=40).map(b"".join),
    st.sampled_from([template(256, FIELDS4), template(257, FIELDS6), b"\1\1\0\2\0\1\0\x95\0\4\0\x22\0\4"]),
    st.integers(0, 9).map(lambda number: records(FIELDS4, flow(number))),
)
_sets = st.builds(a_set, st.sampled_from([0, 1, 2, 3, 4, 255, 256, 257, 65535]), _bodies)
_datagrams = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda sets, number: v9(*sets, source=number), st.lists(_sets, max_size=5), st.integers(0, 3)),
    st.builds(lambda sets, number: ipfix(*sets, domain=number), st.lists(_sets, max_size=5), st.integers(0, 3)),
    st.builds(lambda count: v5(*map(flow, range(count))), st.integers(0, 3)),
)
_cut = st.builds(lambda datagram, at: datagram[: len(datagram) - at], _datagrams, st.integers(0, 30))


@settings(max_examples=150)
@given(datagrams=st.lists(st.one_of(_datagrams, _cut), max_size=6))
@example(datagrams=[v9(a_set(0, template(256, [(95, 0)])))])
@example(datagrams=[ipfix(a_set(2, template(256, [(95, 65535)] * 3)), a_set(256, b"\xff\xff\xff" * 3))])
@example(datagrams=[b"\0\x05\xff\xff" + bytes(20)])
def test_any_datagram_is_flows_or_counted(datagrams: list[bytes]) -> None:
    one_input(datagrams)


@settings(max_examples=100)
@given(state=st.binary(max_size=80))
def test_any_state_is_known_again_or_refused(state: bytes) -> None:
    one_state(state)
