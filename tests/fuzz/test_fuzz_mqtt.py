"""Collector `mqtt` survives any topic, payload, packet and position."""

import asyncio

from fuzz.fuzz_mqtt import one_input, one_packet
from hypothesis import example, given
from hypothesis import strategies as st


@given(st.binary(max_size=600))
@example(b"")
@example(b"\x01")
@example(b"\x01" + bytes(9))
@example(b"\x01" + bytes(20))
@example(b"\xff/\xed\xa0\x80\0x")
@example(b"a" * 600)
def test_any_bytes_are_a_message_and_perhaps_a_position(data: bytes) -> None:
    one_input(data)


@given(st.binary(max_size=200))
@example(b"\0\x01t\0\x07\0payload")
@example(b"\0\x01\xff\0\x07\0payload")
def test_any_packet_is_a_message_or_none(data: bytes) -> None:
    asyncio.run(one_packet(data))


def test_a_good_packet_is_a_message() -> None:
    (message,) = asyncio.run(one_packet(b"\0\x01t\0\x07\0payload"))

    assert (message.topic, message.payload, message.number) == ("t", b"payload", 7)
