"""Hostile packets never break an analysis, nor make it hold more than its bounds."""

from fuzz.fuzz_packets import one_input
from hypothesis import example, given, settings
from hypothesis import strategies as st
from packet_kit import (
    CLIENT,
    RESOLVER,
    SERVER,
    START,
    Conversation,
    arp,
    client_hello,
    dhcp,
    dns_answer,
    dns_query,
    ethernet,
    ip,
    ipv4,
    ipv6,
    server_hello,
    tls_record,
    udp,
)

_HTTP = (
    Conversation()
    .open()
    .client(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
    .server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
)
_TLS = (
    Conversation(port=50001, server_port=443)
    .open()
    .client(tls_record(client_hello()))
    .server(tls_record(server_hello()))
)
_ERROR = b"\x03\x03\0\0\0\0\0\0" + ipv4(SERVER, CLIENT, 17, b"\0\x35\xff\xff\0\x08\0\0")
FRAMES = [
    *_HTTP.close().frames,
    *_TLS.frames,
    udp(CLIENT, 4000, RESOLVER, 53, dns_query("www.example.com")),
    udp(
        RESOLVER,
        53,
        CLIENT,
        4000,
        dns_answer("www.example.com", [(1, 60, bytes(4)), (16, 5, b"\x03abc"), (5, 9, b"\xc0\x0c")]),
    ),
    Conversation(server_port=53).client(b"\0\x05abcde").frames[0],
    arp(1, CLIENT, SERVER),
    udp("0.0.0.0", 68, "255.255.255.255", 67, dhcp(3)),
    ip(CLIENT, SERVER, 1, _ERROR),
    ip("2001:db8::1", "2001:db8::2", 58, b"\x01\x04\0\0\0\0\0\0" + ipv6("2001:db8::2", "2001:db8::1", 17, bytes(8))),
    ip("2001:db8::1", "2001:db8::2", 0, b"\x2c\0" + bytes(6) + b"\x11\0\0\x01" + bytes(4) + bytes(16)),
    ethernet(ipv4(CLIENT, SERVER, 17, bytes(24), fragment=0x2000)),
    ethernet(ipv4(CLIENT, SERVER, 17, bytes(24), fragment=3)),
    ip(CLIENT, SERVER, 47, b"\0\0\x08\0" + ipv4(SERVER, CLIENT, 4, ipv4(CLIENT, SERVER, 17, bytes(8)))),
    udp(CLIENT, 5000, SERVER, 4789, b"\x08" + bytes(7) + arp(2, SERVER, CLIENT)),
    udp(
        CLIENT,
        5000,
        SERVER,
        2152,
        b"\x34\xff\0\x10" + bytes(7) + b"\x85\x01\0\0\0" + ipv4(CLIENT, SERVER, 6, bytes(20)),
    ),
    udp(CLIENT, 5000, SERVER, 3544, b"\0\x01\0\0" + bytes(9) + ipv6("2001:db8::1", "2001:db8::2", 6, bytes(20))),
    ethernet(
        b"\x11\0" + bytes(6) + b"\x00\x21" + ipv4(CLIENT, SERVER, 6, bytes(20)), 0x8864, tags=[(0x88A8, 1), (0x8100, 2)]
    ),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real frame with some bytes changed, and perhaps cut."""
    frame = bytearray(draw(st.sampled_from(FRAMES)))
    for at, value in draw(st.lists(st.tuples(st.integers(12, 200), st.integers(0, 255)), max_size=6)):
        if at < len(frame):
            frame[at] = value
    return bytes(frame[: draw(st.integers(0, len(frame)))]) if draw(st.booleans()) else bytes(frame)


times = st.one_of(
    st.floats(START, START + 400), st.sampled_from([float("nan"), float("inf"), -1.0, 0.0, 1e300, 4_294_967_295.0])
)
links = st.sampled_from([1, 1, 1, 1, 0, 9, 101, 104, 105, 113, 127, 192, 228, 239, 276, 999])


@settings(max_examples=100, deadline=None)
@given(packets=st.lists(st.tuples(st.one_of(mutated(), mutated(), st.binary(max_size=100)), times, links), max_size=15))
@example(packets=[(b"", START, 1)])
@example(packets=[(frame, START, 1) for frame in FRAMES])
@example(packets=[(frame, START + index * 61, 1) for index, frame in enumerate(FRAMES * 2)])
def test_any_packets_are_read_within_bounds(packets: list[tuple[bytes, float, int]]) -> None:
    one_input(packets)
