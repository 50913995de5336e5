"""ARP, DHCP and ICMP errors are read by scapy: within bounds, and not at all where it is not installed."""

import sys

import pytest
from packet_kit import CLIENT, SERVER, START, analysed, arp, datagram, dhcp, ip, ipv4, ipv6, of, run, spaced, udp

from socmon.network import Limits, rare

MAC = "02:00:00:00:00:01"


def test_who_asks_for_an_address_and_who_says_to_have_it() -> None:
    asked, answered = of(analysed(spaced([arp(1, CLIENT, SERVER), arp(2, SERVER, CLIENT)])), "arp")

    assert asked == {
        "_path": "arp", "ts": START, "operation": "request", "id.orig_h": CLIENT, "id.resp_h": SERVER,
        "orig_l2_addr": MAC, "resp_l2_addr": "00:00:00:00:00:00",
    }  # fmt: skip
    assert (answered["operation"], answered["id.orig_h"]) == ("reply", SERVER)


def test_a_dhcp_message_says_who_wants_what() -> None:
    lines = analysed(spaced([udp("0.0.0.0", 68, "255.255.255.255", 67, dhcp(3, host=b"p\xff\n"))]))

    (line,), (conn,) = of(lines, "dhcp"), of(lines, "conn")
    assert line == {
        "_path": "dhcp", "ts": START, "uids": [conn["uid"]], "mac": MAC, "host_name": "p\\xff\n",
        "requested_addr": "192.0.2.77", "msg_types": ["REQUEST"],
    }  # fmt: skip
    assert conn["service"] == "dhcp"


def test_an_icmp_error_names_the_packet_it_is_about() -> None:
    quoted = ipv4(CLIENT, SERVER, 17, datagram(4000, 9))

    (line,) = of(analysed(spaced([ip(SERVER, CLIENT, 1, b"\x03\x03" + bytes(6) + quoted)])), "icmp")

    assert (line["icmp_type"], line["icmp_code"], line["message"], line["proto"]) == (3, 3, "port unreachable", "icmp")
    assert [line[f"inner.{part}"] for part in ("orig_h", "orig_p", "resp_h", "resp_p", "proto")] == [
        CLIENT, 4000, SERVER, 9, "udp",
    ]  # fmt: skip


def test_an_icmp_error_of_ipv6_too() -> None:
    quoted = ipv6("2001:db8::1", "2001:db8::2", 6, bytes.fromhex("1f900050") + bytes(16))
    frame = ip("2001:db8::2", "2001:db8::1", 58, b"\x01\x04" + bytes(6) + quoted)

    (line,) = of(analysed(spaced([frame])), "icmp")

    assert (line["message"], line["proto"], line["inner.orig_p"]) == ("port unreachable", "icmp6", 8080)


def test_a_ping_is_no_error() -> None:
    lines, analysis = run(spaced([ip(CLIENT, SERVER, 1, b"\x08\0" + bytes(30))]))

    assert (of(lines, "icmp"), analysis.counts.rare) == ([], 0)


@pytest.mark.parametrize("frame", [arp(1, CLIENT, SERVER)[:30], arp(7, CLIENT, SERVER)], ids=["cut", "other"])
def test_what_is_cut_or_of_another_kind_makes_no_line(frame: bytes) -> None:
    lines, analysis = run(spaced([frame]))

    assert (lines, analysis.counts.rare) == ([], 1)


def test_no_more_is_read_in_a_second_than_the_bound_and_the_rest_is_counted() -> None:
    frames = [(START + index * 0.001, arp(1, CLIENT, SERVER)) for index in range(10)] + [
        (START + 1, arp(1, CLIENT, SERVER))
    ]

    lines, analysis = run(frames, limits=Limits(rare_packets=4))

    assert (len(lines), analysis.counts.rare_skipped) == (5, 6)


def test_a_time_that_is_used_up_is_a_bound_too() -> None:
    lines, analysis = run(spaced([arp(1, CLIENT, SERVER)] * 9), limits=Limits(rare_s=0.0))

    assert (lines, analysis.counts.rare_skipped) == ([], 9)


def test_whatever_scapy_raises_is_a_bad_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    def deep(_packet: object, _ts: float) -> None:
        raise RecursionError

    monkeypatch.setattr(rare, "_arp", deep)

    lines, analysis = run(spaced([arp(1, CLIENT, SERVER)]))

    assert (lines, analysis.counts.bad) == ([], 1)


def test_without_scapy_packets_are_counted_and_all_else_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rare, "_loaded", [])
    monkeypatch.setitem(sys.modules, "scapy.main", None)  # so that importing it fails

    lines, analysis = run(spaced([arp(1, CLIENT, SERVER), udp(CLIENT, 1, SERVER, 2)]))

    assert ([line["_path"] for line in lines], analysis.counts.rare_skipped) == (["conn"], 1)
    assert not rare.prepare()


def test_scapys_tables_never_come_from_pickles() -> None:
    assert rare.prepare()
    assert sys.modules["scapy.main"].SCAPY_CACHE_FOLDER is None
