"""Capture files of every form are read; one that is damaged gives what is whole before the damage, and says where."""

import io
from contextlib import suppress
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packet_kit import (
    START,
    pcap,
    pcapng_block,
    pcapng_interface,
    pcapng_packet,
    pcapng_section,
    read_back,
)

from socmon.errors import ParseError
from socmon.network import read_capture

FRAMES = [(START, b"first frame"), (START + 1.5, b"second"), (START + 2, b"")]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_pcap_is_read_in_both_orders_and_both_units(order: str, nanoseconds: bool) -> None:
    packets = read_back(pcap(FRAMES, order=order, nanoseconds=nanoseconds, link=113))

    assert [(round(ts, 6), link, frame) for ts, link, frame in packets] == [(ts, 113, frame) for ts, frame in FRAMES]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("resolution", "units"), [(None, 10**6), (9, 10**9), (3, 10**3), (0x80 | 20, 2**20), (0, 1)])
def test_pcapng_is_read_with_the_time_as_its_interface_counts_it(
    order: str, resolution: int | None, units: int
) -> None:
    file = pcapng_section(order=order) + pcapng_interface(resolution=resolution, order=order)
    file += pcapng_packet(b"frame", 1_764_174_645 * units + units // 4, order=order)

    ((ts, link, frame),) = read_back(file)

    assert (round(ts, 6), link, frame) == (1_764_174_645 + round((units // 4) / units, 6), 1, b"frame")


def test_each_packet_is_of_its_interface_and_each_section_has_its_own() -> None:
    file = pcapng_section() + pcapng_interface(link=1) + pcapng_interface(link=113, resolution=9)
    file += pcapng_packet(b"a", 5 * 10**9, interface=1) + pcapng_block(5, bytes(12)) + pcapng_packet(b"b", 6 * 10**6)
    file += (
        pcapng_section(order=">") + pcapng_interface(link=101, order=">") + pcapng_packet(b"c", 7 * 10**6, order=">")
    )

    assert read_back(file) == [(5.0, 113, b"a"), (6.0, 1, b"b"), (7.0, 101, b"c")]


def test_simple_and_old_packet_blocks_are_read() -> None:
    file = pcapng_section() + pcapng_interface() + pcapng_packet(b"a", 5 * 10**6)
    file += pcapng_block(3, pack("<I", 3) + b"sim")
    file += pcapng_block(2, pack("<HHIIII", 0, 9, 0, 6 * 10**6, 3, 3) + b"old")

    assert read_back(file) == [(5.0, 1, b"a"), (5.0, 1, b"sim"), (6.0, 1, b"old")]


def test_options_of_an_interface_may_shift_its_time() -> None:
    shifted = pcapng_block(1, pack("<HHI", 1, 0, 0) + pack("<HHqHH", 14, 8, -100, 0, 0))

    assert read_back(pcapng_section() + shifted + pcapng_packet(b"a", 500 * 10**6)) == [(400.0, 1, b"a")]


class Slow(io.BytesIO):
    """Gives a byte at a time, as a pipe may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 1))


def test_a_pipe_that_gives_little_at_a_time_is_no_damage() -> None:
    assert len(list(read_capture(Slow(pcap(FRAMES))))) == 3


PCAPNG = pcapng_section() + pcapng_interface() + pcapng_packet(b"first frame", 5) + pcapng_packet(b"second", 6)


@pytest.mark.parametrize("file", [pcap(FRAMES[:2]), PCAPNG], ids=["pcap", "pcapng"])
def test_a_file_cut_anywhere_gives_what_is_whole_before_and_says_where_it_ends(file: bytes) -> None:
    whole = read_back(file)
    between = []
    for cut in range(1, len(file)):
        packets: list[tuple[float, int, bytes]] = []
        failure = damage(file[:cut], packets)
        assert packets == whole[: len(packets)]
        if failure is None:
            between.append(cut)
        else:
            assert f"byte {cut}" in failure
    assert len(between) == (2 if file is not PCAPNG else 3)  # between packets or blocks nothing is missing


def damage(file: bytes, packets: list[tuple[float, int, bytes]]) -> str | None:
    """What is wrong with a file, if anything is; its packets are added to `packets`."""
    try:
        packets.extend(read_capture(io.BytesIO(file)))
    except ParseError as failure:
        return str(failure)
    return None


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (b"", "byte 0"),
        (b"GET / HTTP/1.1\r\n", "no capture file"),
        (pcap([])[:24] + pack("<IIII", 1, 1, 2**31, 1), "byte 24 is said to have 2147483648"),
        (pcapng_section() + pack("<III", 6, 8, 8), "byte 28 is said to have 8"),
        (pcapng_section() + pack("<II", 6, 2**32 - 4), "byte 28"),
        (pcapng_section() + pcapng_interface()[:-4] + pack("<I", 99), "does not end with its length"),
        (pcapng_section() + pcapng_packet(b"a", 1), "interface 0"),
        (pcapng_section() + pcapng_block(6, b"abcd"), "cut off"),
        (pcapng_section() + pcapng_block(1, b"abcd"), "cut off"),
        (pack("<III", 0x0A0D0D0A, 28, 7) + bytes(16), "byte order"),
    ],
)
def test_damage_is_told_with_its_place(file: bytes, says: str) -> None:
    with pytest.raises(ParseError, match=says):
        read_back(file)


@settings(max_examples=150)
@given(
    file=st.sampled_from([PCAPNG, pcap(FRAMES), pcap(FRAMES, order=">")]),
    changes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=5),
)
def test_any_bytes_are_read_or_refused(file: bytes, changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(file)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    with suppress(ParseError):
        for _, link, frame in read_capture(io.BytesIO(bytes(damaged))):
            assert len(frame) <= len(file)
            assert 0 <= link <= 0xFFFF
