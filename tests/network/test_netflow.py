"""Flow records of all versions become lines of Zeek's conn log: what an exporter said, and nothing more."""

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netflow_kit import (
    EXPORT_S,
    EXPORTER,
    FIELDS4,
    FIELDS6,
    UPTIME_MS,
    a_set,
    decoded,
    ends,
    flow,
    ipfix,
    records,
    specifiers,
    template,
    v5,
    v9,
    variable,
)

from socmon.addresses import address
from socmon.network.flow_line import conn_state
from socmon.network.netflow import Decoder

TEMPLATE9, TEMPLATE10 = a_set(0, template(256, FIELDS4)), a_set(2, template(256, FIELDS4))


def the_line(*datagrams: bytes) -> dict[str, Any]:
    """The one flow that these make."""
    decoder = Decoder()
    (line,) = decoded(decoder, *datagrams)
    assert decoder.counts.malformed == 0
    return line


EXPECTED = {
    "_path": "conn",
    "ts": EXPORT_S - 4.0,
    "id.orig_h": "10.0.0.3",
    "id.orig_p": 1027,
    "id.resp_h": "198.51.100.7",
    "id.resp_p": 443,
    "proto": "tcp",
    "ip_proto": 6,
    "duration": 2.5,
    "conn_state": "S2",
    "orig_pkts": 13,
    "orig_ip_bytes": 1003,
    "netflow.tcp_flags": 0x1B,
    "netflow.tos": 0,
    "netflow.in_if": 1,
    "netflow.out_if": 2,
    "netflow.exporter": EXPORTER,
}


@pytest.mark.parametrize(
    ("datagram", "version"),
    [
        (v5(flow(3), engine=7), 5),
        (v9(TEMPLATE9, a_set(256, records(FIELDS4, flow(3))), source=7), 9),
    ],
)
def test_every_field_of_a_flow_stands_in_its_line(datagram: bytes, version: int) -> None:
    line = the_line(datagram)

    assert line.pop("uid").startswith("C")
    assert line == EXPECTED | {"netflow.version": version, "netflow.domain": 7}


def test_ipfix_counts_uptimes_from_the_start_that_an_option_tells() -> None:
    scope = (257).to_bytes(2, "big") + b"\0\2\0\1" + specifiers([(149, 4), (160, 8)])
    boot_ms = EXPORT_S * 1000 - UPTIME_MS
    option = a_set(257, (7).to_bytes(4, "big") + boot_ms.to_bytes(8, "big"))

    line = the_line(ipfix(a_set(3, scope), option, TEMPLATE10, a_set(256, records(FIELDS4, flow(3))), domain=7))

    line.pop("uid")
    assert line == EXPECTED | {"netflow.version": 10, "netflow.domain": 7}


def test_ipfix_without_that_option_takes_the_time_of_the_export() -> None:
    line = the_line(ipfix(TEMPLATE10, a_set(256, records(FIELDS4, flow(3)))))

    assert line["ts"] == EXPORT_S
    assert "duration" not in line


NTP_S = EXPORT_S + 2_208_988_800


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ((150, 4, EXPORT_S - 4), (151, 4, EXPORT_S - 2)),
        ((152, 8, EXPORT_S * 1000 - 4000), (153, 8, EXPORT_S * 1000 - 2000)),
        ((154, 8, NTP_S - 4 << 32 | 0x7FF), (155, 8, NTP_S - 2 << 32)),  # the last 11 bits mean nothing
        ((156, 8, NTP_S - 4 << 32), (157, 8, NTP_S - 2 << 32)),
        ((158, 4, 4_000_000), (159, 4, 2_000_000)),
    ],
)
def test_each_unit_of_time_says_the_same(start: tuple[int, int, int], end: tuple[int, int, int]) -> None:
    fields = [*FIELDS4[:9], start[:2], end[:2]]
    values = flow(3) | {start[0]: start[2], end[0]: end[2]}

    line = the_line(ipfix(a_set(2, template(256, fields)), a_set(256, records(fields, values))))

    assert (line["ts"], line["duration"]) == (EXPORT_S - 4.0, 2.0)


def test_microseconds_are_kept() -> None:
    fields = [*FIELDS4[:9], (156, 8), (157, 8)]
    half = {156: NTP_S - 4 << 32 | 1 << 31, 157: NTP_S << 32 | 123_457 * (1 << 32) // 1_000_000 + 1}

    line = the_line(ipfix(a_set(2, template(256, fields)), a_set(256, records(fields, flow(3) | half))))

    assert (line["ts"], line["duration"]) == (EXPORT_S - 3.5, 3.623457)


def test_uptimes_go_on_behind_their_largest_number() -> None:
    before, after = (1 << 32) - 3000, 1500  # the clock began anew between start and end
    values = flow(3, _22=before, _21=after)

    line = the_line(v9(TEMPLATE9, a_set(256, records(FIELDS4, values)), uptime_ms=2000))

    assert (line["ts"], line["duration"]) == (EXPORT_S - 5.0, 4.5)


def test_a_flow_that_ends_a_little_after_its_export_is_no_flow_of_fifty_days() -> None:
    line = the_line(v9(TEMPLATE9, a_set(256, records(FIELDS4, flow(3, _22=UPTIME_MS - 100, _21=UPTIME_MS + 50)))))

    assert (line["ts"], line["duration"]) == (EXPORT_S - 0.1, 0.15)


def test_a_time_that_makes_no_sense_is_replaced_by_that_of_the_export() -> None:
    fields = [*FIELDS4[:9], (152, 8)]

    line = the_line(ipfix(a_set(2, template(256, fields)), a_set(256, records(fields, flow(3, _152=(1 << 64) - 1)))))

    assert line["ts"] == EXPORT_S


def test_ports_of_icmp_are_type_and_code_as_in_zeek() -> None:
    told_by_port = the_line(v5(flow(3, _4=1, _7=0, _11=3 << 8 | 1)))
    fields = [*FIELDS6[:2], (4, 1), (139, 2)]
    told_apart = the_line(
        ipfix(a_set(2, template(256, fields)), a_set(256, records(fields, flow(3, six=True, _4=58, _139=128 << 8))))
    )

    assert (told_by_port["proto"], told_by_port["id.orig_p"], told_by_port["id.resp_p"]) == ("icmp", 3, 1)
    assert (told_apart["proto"], told_apart["id.orig_p"], told_apart["id.resp_p"]) == ("icmp", 128, 0)
    assert "conn_state" not in told_by_port


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        (0x02, "S0"),  # a SYN that nobody answered, or whose answer was a reset
        (0x06, "RSTOS0"),
        (0x03, "SH"),
        (0x12, "S1"),
        (0x1B, "S2"),
        (0x16, "RSTO"),
        (0x1F, "RSTO"),
        (0x14, "OTH"),  # the answer of a closed port: its sender began nothing
        (0x18, "OTH"),
        (0x00, ""),
    ],
)
def test_flags_of_one_direction_say_what_zeek_would_say_of_it(flags: int, state: str) -> None:
    assert conn_state(flags) == state
    assert the_line(v5(flow(3, _6=flags))).get("conn_state", "") == state


def test_sampled_flags_say_nothing_about_the_state() -> None:
    sampled = the_line(v5(flow(3, _6=2), sampling=1 << 14 | 100))
    every_packet = the_line(v5(flow(3, _6=2), sampling=1 << 14 | 1))

    assert "conn_state" not in sampled
    assert sampled["netflow.sampling"] == 100
    assert every_packet["conn_state"] == "S0"


def test_numbers_are_as_sampled_and_the_sampling_is_told() -> None:
    line = the_line(v5(flow(3), sampling=1 << 14 | 100))

    assert (line["orig_pkts"], line["netflow.sampling"]) == (13, 100)


def test_sampling_of_options_counts_for_later_flows_each_by_its_sampler() -> None:
    option9 = (257).to_bytes(2, "big") + b"\0\4\0\x08" + specifiers([(1, 4), (48, 1), (50, 4)])
    told = b"".join(
        bytes(4) + bytes([sampler]) + interval.to_bytes(4, "big") for sampler, interval in ((1, 10), (2, 500))
    )
    fields = [*FIELDS4, (48, 1)]
    flows = records(fields, flow(1, _48=1), flow(2, _48=2), flow(3, _48=3))
    decoder = Decoder()

    lines = decoded(
        decoder, v9(a_set(1, option9), a_set(257, told)), v9(a_set(0, template(256, fields)), a_set(256, flows))
    )

    assert [line.get("netflow.sampling") for line in lines] == [10, 500, None]


def test_sampling_told_as_taken_and_skipped_packets_is_one_number() -> None:
    option = (257).to_bytes(2, "big") + b"\0\3\0\1" + specifiers([(302, 4), (305, 4), (306, 4)])
    everything = (257).to_bytes(2, "big") + b"\0\3\0\1" + specifiers([(149, 4), (305, 4), (306, 4)])
    values = b"".join(number.to_bytes(4, "big") for number in (7, 1, 999))
    fields = [*FIELDS4, (302, 4)]
    decoder = Decoder()

    (by_sampler,) = decoded(
        decoder,
        ipfix(a_set(3, option), a_set(257, values)),
        ipfix(a_set(2, template(256, fields)), a_set(256, records(fields, flow(1, _302=7)))),
    )
    (by_domain,) = decoded(
        decoder,
        ipfix(a_set(3, everything), a_set(257, values), domain=2),
        ipfix(TEMPLATE10, a_set(256, records(FIELDS4, flow(1))), domain=2),
    )

    assert (by_sampler["netflow.sampling"], by_domain["netflow.sampling"]) == (1000, 1000)


def test_both_directions_of_one_record_are_both_sides() -> None:
    fields = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (6, 1), (2, 4), (1, 4), (2, 4, 29305), (1, 4, 29305)]
    body = records(fields[:8], flow(3)) + (5).to_bytes(4, "big") + (600).to_bytes(4, "big")

    line = the_line(ipfix(a_set(2, template(256, fields)), a_set(256, body)))

    assert (line["orig_pkts"], line["orig_ip_bytes"], line["resp_pkts"], line["resp_ip_bytes"]) == (13, 1003, 5, 600)
    assert "conn_state" not in line


def test_fields_of_other_enterprises_and_of_variable_length_are_passed_over() -> None:
    fields = [(95, 65535), (8, 4), (12, 4), (1, 2, 9), (96, 65535, 311), (7, 2), (11, 2), (4, 1), (1, 3)]
    body = b""
    for number, name in enumerate([b"", b"http", b"x" * 300]):
        each = flow(number)
        body += variable(name, long=len(name) > 254) + records([(8, 4), (12, 4)], each) + b"\xff\xff"
        body += variable(b"\0" * 7, long=True) + records([(7, 2), (11, 2), (4, 1), (1, 3)], each)

    lines = decoded(Decoder(), ipfix(a_set(2, template(256, fields)), a_set(256, body)))

    assert [(ends(line), line["orig_ip_bytes"]) for line in lines] == [
        ((f"10.0.0.{number}", 1024 + number, "198.51.100.7", 443, "tcp"), 1000 + number) for number in range(3)
    ]


def test_a_template_of_both_families_says_which_of_them_counts() -> None:
    fields = [(8, 4), (12, 4), (27, 16), (28, 16), (4, 1)]
    four = flow(3) | {27: "::", 28: "::"}
    six = flow(3, six=True) | {8: "0.0.0.0", 12: "0.0.0.0"}

    lines = decoded(Decoder(), v9(a_set(0, template(256, fields)), a_set(256, records(fields, four, six))))

    assert [line["id.orig_h"] for line in lines] == ["10.0.0.3", "2001:db8::4"]


def test_records_without_addresses_are_counted_and_no_lines() -> None:
    fields, decoder = [(1, 4), (2, 4)], Decoder()

    assert decoded(decoder, ipfix(a_set(2, template(256, fields)), a_set(256, records(fields, flow(1), flow(2))))) == []
    assert decoder.counts.not_a_flow == 2


def test_the_same_datagram_gives_the_same_uids_and_every_flow_another_one() -> None:
    first, second = v5(flow(3), flow(3)), v5(flow(3), flow(3), sequence=2)

    uids = [[line["uid"] for line in decoded(Decoder(), each)] for each in (first, first, second)]
    elsewhere = [line["uid"] for line in decoded(Decoder(), first, exporter="192.0.2.2")]

    assert uids[0] == uids[1]
    assert len({*uids[0], *uids[2], *elsewhere}) == 6


def of_bytes(data: bytes, *, six: bool) -> dict[int, Any]:
    """Any flow; cheaper to draw than each of its fields."""
    found, at = dict[int, Any](), 0
    for element, length in FIELDS6 if six else FIELDS4:
        part = data[at : at + length]
        found[element] = str(ip_address(part)) if element in (8, 12, 27, 28) else int.from_bytes(part, "big")
        at += length
    return found | {element: found[element] % (UPTIME_MS + 1) for element in (21, 22)}


flows4 = st.binary(min_size=37, max_size=37).map(lambda data: of_bytes(data, six=False))
flows6 = st.binary(min_size=61, max_size=61).map(lambda data: of_bytes(data, six=True))


def expected_of(told: dict[int, Any], *, six: bool) -> dict[str, Any]:
    """What a line says of a flow, found as simply as can be."""
    port = (told[11] >> 8, told[11] & 255) if told[4] in (1, 58) else (told[7], told[11])
    found = {
        "id.orig_h": address(told[27 if six else 8]),
        "id.resp_h": address(told[28 if six else 12]),
        "id.orig_p": port[0],
        "id.resp_p": port[1],
        "proto": {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp"}.get(told[4], "unknown_transport"),
        "ip_proto": told[4],
        "orig_pkts": told[2],
        "orig_ip_bytes": told[1],
        "ts": (EXPORT_S * 1000 - UPTIME_MS + told[22]) / 1000,
        "netflow.tcp_flags": told[6],
        "netflow.tos": told[5],
        "netflow.in_if": told[10],
        "netflow.out_if": told[14],
    }
    return found | ({"duration": (told[21] - told[22]) / 1000} if told[21] >= told[22] else {})


@settings(max_examples=60)
@given(told=st.lists(flows4, min_size=1, max_size=24))
@example(told=[flow(1, _1=2**32 - 1)])
def test_v5_says_what_was_encoded(told: list[dict[int, Any]]) -> None:
    lines = decoded(Decoder(), v5(*told))

    assert [line | expected_of(each, six=False) for line, each in zip(lines, told, strict=True)] == lines


@settings(max_examples=60)
@given(told=st.lists(flows6, min_size=1, max_size=10), order=st.permutations(FIELDS6), ours=st.booleans())
def test_templates_say_what_was_encoded_whatever_their_order(
    told: list[dict[int, Any]], order: list[tuple[int, int]], *, ours: bool
) -> None:
    sets = template(300, order), a_set(300, records(order, *told))
    datagram = v9(a_set(0, sets[0]), sets[1]) if ours else v9(a_set(0, template(299, FIELDS4) + sets[0]), sets[1])

    lines = decoded(Decoder(), datagram)

    assert [line | expected_of(each, six=True) for line, each in zip(lines, told, strict=True)] == lines


@settings(max_examples=60)
@given(told=st.lists(flows4, min_size=1, max_size=10), lengths=st.permutations([4, 5, 6, 7, 8]))
def test_ipfix_says_what_was_encoded_in_whatever_length(told: list[dict[int, Any]], lengths: list[int]) -> None:
    fields = [*FIELDS4[:7], (2, lengths[0]), (1, lengths[1]), (10, lengths[2] - 1), (14, lengths[3] - 1)]

    lines = decoded(Decoder(), ipfix(a_set(2, template(256, fields)), a_set(256, records(fields, *told))))

    timeless = [{k: v for k, v in expected_of(each, six=False).items() if k not in ("ts", "duration")} for each in told]
    assert [line | each for line, each in zip(lines, timeless, strict=True)] == lines
