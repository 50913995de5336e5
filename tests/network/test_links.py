"""What carries IP packets, on links and in tunnels, makes no difference to the flow that is found."""

from struct import pack

import pytest
from packet_kit import CLIENT, SERVER, START, analysed, datagram, ethernet, ip, ipv4, ipv6, of, run, spaced, udp

PACKET = ipv4(CLIENT, SERVER, 17, datagram(4000, 9, b"data"))
PACKET6 = ipv6("2001:db8::1", "2001:db8::2", 17, datagram(4000, 9, b"data"))
FRAME = ethernet(PACKET)
MAC = bytes(6)

LINKS = {
    "VLAN": (1, ethernet(PACKET, tags=[(0x8100, 5)])),
    "QinQ": (1, ethernet(PACKET, tags=[(0x88A8, 5), (0x8100, 6)])),
    "MPLS": (1, ethernet(bytes.fromhex("0000203f 0000213f") + PACKET, 0x8847)),
    "PPPoE": (1, ethernet(bytes.fromhex("1100 0001 0040 0021") + PACKET, 0x8864)),
    "PPPoE, short protocol": (1, ethernet(bytes.fromhex("1100 0001 0040 21") + PACKET, 0x8864)),
    "LLC and SNAP": (1, ethernet(bytes.fromhex("aaaa03000000 0800") + PACKET, len(PACKET) + 8)),
    "backbone": (1, ethernet(bytes(4) + MAC + MAC + b"\x08\0" + PACKET, 0x88E7)),
    "VN-Tag": (1, ethernet(bytes(4) + b"\x08\0" + PACKET, 0x8926)),
    "padded": (1, FRAME + bytes(30)),
    "NULL": (0, b"\x02\0\0\0" + PACKET),
    "LOOP": (108, b"\0\0\0\x02" + PACKET),
    "PPP": (9, bytes.fromhex("ff03 0021") + PACKET),
    "RAW": (101, PACKET),
    "IPV4": (228, PACKET),
    "C-HDLC": (104, bytes.fromhex("0f00 0800") + PACKET),
    "cooked": (113, bytes(14) + b"\x08\0" + PACKET),
    "cooked 2": (276, b"\x08\0" + bytes(18) + PACKET),
    "NFLOG": (239, b"\x02\0\0\0" + pack("<HHI", 5, 1, 7) + pack("<HH", len(PACKET) + 4, 9) + PACKET),
    "radiotap": (127, b"\0\0\x08\0" + bytes(4) + b"\x88\x01" + bytes(24) + bytes.fromhex("aaaa03000000 0800") + PACKET),
    "options": (101, ipv4(CLIENT, SERVER, 17, datagram(4000, 9, b"data"), options=b"\x94\x04\0\0")),
}


@pytest.mark.parametrize("name", LINKS)
def test_a_packet_is_found_on_every_link(name: str) -> None:
    link, frame = LINKS[name]

    (line,) = of(analysed([(START, frame)], link=link), "conn")

    assert (line["id.orig_h"], line["id.orig_p"], line["id.resp_h"], line["id.resp_p"]) == (CLIENT, 4000, SERVER, 9)


@pytest.mark.parametrize(
    ("protocol", "payload"),
    [
        (0, b"\x11\0" + bytes(6) + datagram(4000, 9)),
        (60, b"\x2b\0" + bytes(6) + b"\x11\x01" + bytes(14) + datagram(4000, 9)),
        (44, b"\x11\0\0\0\0\0\0\x01" + datagram(4000, 9)),
        (51, b"\x11\x04" + bytes(22) + datagram(4000, 9)),
    ],
)
def test_extension_headers_are_passed_over(protocol: int, payload: bytes) -> None:
    (line,) = of(analysed(spaced([ip("2001:db8::1", "2001:db8::2", protocol, payload)])), "conn")

    assert (line["id.orig_h"], line["id.orig_p"], line["proto"]) == ("2001:db8::1", 4000, "udp")


TUNNELS = {
    "gre": ip("10.0.0.1", "10.0.0.2", 47, b"\0\0\x08\0" + PACKET),
    "gre with key and number": ip("10.0.0.1", "10.0.0.2", 47, b"\x30\0\x08\0" + bytes(8) + PACKET),
    "gre of frames": ip("10.0.0.1", "10.0.0.2", 47, b"\0\0\x65\x58" + FRAME),
    "pptp": ip("10.0.0.1", "10.0.0.2", 47, b"\x30\x81\x88\x0b" + bytes(12) + b"\xff\x03\0\x21" + PACKET),
    "erspan": ip("10.0.0.1", "10.0.0.2", 47, b"\x10\0\x88\xbe" + bytes(12) + FRAME),
    "ip in ip": ip("10.0.0.1", "10.0.0.2", 4, PACKET),
    "vxlan": udp("10.0.0.1", 999, "10.0.0.2", 4789, b"\x08" + bytes(7) + FRAME),
    "geneve": udp("10.0.0.1", 999, "10.0.0.2", 6081, b"\x01\0\x65\x58" + bytes(8) + FRAME),
    "gtpv1": udp("10.0.0.1", 999, "10.0.0.2", 2152, b"\x30\xff\0\0" + bytes(4) + PACKET),
    "gtpv1 with an extension": udp(
        "10.0.0.1", 999, "10.0.0.2", 2152, b"\x34\xff\0\0" + bytes(7) + b"\x85\x01\0\0\0" + PACKET
    ),
}


@pytest.mark.parametrize("name", TUNNELS)
def test_the_flow_within_a_tunnel_is_found(name: str) -> None:
    lines = of(analysed(spaced([TUNNELS[name]])), "conn")

    assert (CLIENT, 4000, SERVER, 9) in [
        tuple(line[f"id.{end}"] for end in ("orig_h", "orig_p", "resp_h", "resp_p")) for line in lines
    ]
    assert len(lines) == (2 if "999" in str(lines) else 1)  # a tunnel over UDP is a flow itself


def test_teredo_and_six_in_four_carry_ipv6() -> None:
    teredo = udp("10.0.0.1", 999, "10.0.0.2", 3544, b"\0\x01\0\0" + bytes(9) + b"\0\0" + bytes(6) + PACKET6)
    sit = ip("10.0.0.1", "10.0.0.2", 41, PACKET6)

    for frame in (teredo, sit):
        assert "2001:db8::1" in [line["id.orig_h"] for line in of(analysed(spaced([frame])), "conn")]


def test_tunnels_within_tunnels_end_somewhere() -> None:
    packet = PACKET
    for _ in range(40):
        packet = ipv4(CLIENT, SERVER, 4, packet)

    lines, analysis = run(spaced([ethernet(packet)]))

    assert (lines, analysis.counts.other) == ([], 1)


def parts(data: bytes, size: int) -> list[bytes]:
    """The fragments of one datagram."""
    cuts = range(0, len(data), size)
    return [
        ethernet(
            ipv4(CLIENT, SERVER, 17, data[at : at + size], fragment=at // 8 | (0x2000 if at + size < len(data) else 0))
        )
        for at in cuts
    ]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2), (2, 2, 0, 1, 3)])
def test_fragments_are_one_datagram_in_whatever_order_they_come(order: tuple[int, ...]) -> None:
    frames = parts(datagram(4000, 9, bytes(3000)), 800)

    lines, analysis = run(spaced([frames[index] for index in order]))

    (line,) = of(lines, "conn")
    assert (line["orig_pkts"], line["orig_ip_bytes"], line["id.orig_p"]) == (1, 3028, 4000)
    assert (analysis.counts.fragments, analysis.counts.fragments_lost) == (len(order), 0)


def test_fragments_whose_rest_never_comes_are_given_up_and_counted() -> None:
    frames = parts(datagram(4000, 9, bytes(3000)), 800)

    lines, analysis = run([(START, frames[0]), (START + 31, frames[1]), (START + 32, frames[3])])

    assert (lines, analysis.counts.fragments_lost) == ([], 2)


def test_fragments_of_ipv6_are_put_together() -> None:
    data = datagram(4000, 9, bytes(1000))
    first = ip("2001:db8::1", "2001:db8::2", 44, b"\x11\0\0\x01\0\0\0\x09" + data[:512])
    second = ip("2001:db8::1", "2001:db8::2", 44, b"\x11\0\x02\0\0\0\0\x09" + data[512:])

    (line,) = of(analysed(spaced([second, first])), "conn")

    assert (line["orig_pkts"], line["id.resp_p"]) == (1, 9)


def test_what_no_link_is_known_for_is_counted() -> None:
    lines, analysis = run([(START, PACKET)], link=9999)

    assert (lines, analysis.counts.other) == ([], 1)
