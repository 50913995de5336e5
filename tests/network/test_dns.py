"""DNS messages become lines of Zeek's dns.log, a question with its answer; what cannot be is counted."""

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packet_kit import (
    ACK,
    CLIENT,
    RESOLVER,
    START,
    Conversation,
    analysed,
    dns_answer,
    dns_name,
    dns_query,
    of,
    run,
    spaced,
    udp,
)

from socmon.network import Limits
from socmon.network.dns_records import Malformed, name


def asked(data: bytes, *, number: int = 4000) -> bytes:
    return udp(CLIENT, number, RESOLVER, 53, data)


def answered(data: bytes, *, number: int = 4000) -> bytes:
    return udp(RESOLVER, 53, CLIENT, number, data)


def test_a_question_and_its_answer_are_one_line() -> None:
    records = [(5, 60, dns_name("cdn.example.net")), (1, 30, bytes((192, 0, 2, 80)))]
    frames = spaced([asked(dns_query("WWW.Example.com")), answered(dns_answer("www.example.com", records))])

    (line,) = of(analysed(frames), "dns")

    assert line.pop("uid").startswith("C")
    assert line == {
        "_path": "dns", "ts": START, "id.orig_h": CLIENT, "id.orig_p": 4000, "id.resp_h": RESOLVER, "id.resp_p": 53,
        "proto": "udp", "trans_id": 7, "rtt": 0.01, "query": "www.example.com",
        "qclass": 1, "qclass_name": "C_INTERNET",
        "qtype": 1, "qtype_name": "A", "rcode": 0, "rcode_name": "NOERROR", "AA": False, "TC": False, "RD": True,
        "RA": True, "Z": 0, "answers": ["cdn.example.net", "192.0.2.80"], "TTLs": [60.0, 30.0], "rejected": False,
        "opcode": 0, "opcode_name": "query",
    }  # fmt: skip


def test_a_name_that_does_not_exist_and_a_refusal_are_told_apart() -> None:
    frames = [answered(dns_answer("a.b", rcode=3, number=1)), answered(dns_answer("a.b", rcode=5, number=2))]

    missing, refused = of(analysed(spaced(frames)), "dns")

    assert (missing["rcode_name"], missing["rejected"]) == ("NXDOMAIN", False)
    assert (refused["rcode_name"], refused["rejected"]) == ("REFUSED", True)


def test_a_question_without_an_answer_is_told_when_its_flow_ends() -> None:
    (line,) = of(analysed(spaced([asked(dns_query("lost.example"))])), "dns")

    assert line["query"] == "lost.example"
    assert "rcode" not in line


def test_an_answer_to_another_question_leaves_the_first_one_waiting() -> None:
    frames = [asked(dns_query("a.example")), answered(dns_answer("b.example")), answered(dns_answer("a.example"))]

    lines = of(analysed(spaced(frames)), "dns")

    assert [(line["query"], line.get("rtt")) for line in lines] == [("b.example", None), ("a.example", 0.02)]


def test_no_more_questions_wait_than_there_is_room_for() -> None:
    frames = spaced([asked(dns_query("a.example", number=number), number=number) for number in range(1, 9)])

    lines, _ = run(frames, limits=Limits(questions=3))

    assert len(of(lines, "dns")) == 8
    assert [line["_path"] for line in lines[:5]] == ["dns"] * 5  # told at once


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [
        (28, bytes.fromhex("20010db8000000000000000000000001"), "2001:db8::1"),
        (15, b"\0\x0a" + dns_name("mx.example"), "mx.example"),
        (16, b"\x03abc\x02de", "TXT 3 abc TXT 2 de"),
        (16, b"\x02\xff\n", "TXT 2 \\xff\n"),
        (33, bytes(6) + dns_name("srv.example"), "srv.example"),
        (12, b"\xc0\x0c", "q.example"),
        (44, b"\x01\x01\xab\xcd", "SSHFP: abcd"),
        (6, dns_name("ns.example") + dns_name("root.example") + bytes(20), "ns.example"),
    ],
)
def test_values_are_written_as_zeek_writes_them(kind: int, data: bytes, value: str) -> None:
    (line,) = of(analysed(spaced([answered(dns_answer("q.example", [(kind, 5, data)]))])), "dns")

    assert line["answers"] == [value]


def header(*, answers: int = 0) -> bytes:
    return pack("!6H", 7, 0x8180, 1, answers, 0, 0)


@pytest.mark.parametrize(
    "message",
    [
        b"\0\x07",
        header() + b"\xc0\x0c\0\x01\0\x01",
        header() + b"\x01a\xc0\x0c\0\x01\0\x01",
        header() + b"\xc0\xff\0\x01\0\x01",
        header() + b"\xc0\x12\0\x01\0\x01\x01a\0",  # forwards
        header() + b"\x40" + bytes(70),
        header() + b"\x3fa\0\x01",
        header(answers=1) + b"\x01a\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x03abc",
        header(answers=1) + b"\x01a\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x05\xff\xff",
        pack("!6H", 7, 0, 9, 0, 0, 0) + (b"\x01a\0\0\x01\0\x01" * 9),
        header() + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\x01\0\x01",
    ],
)
def test_a_message_that_cannot_be_is_one_bad_packet_and_no_line(message: bytes) -> None:
    lines, analysis = run(spaced([answered(message)]))

    assert of(lines, "dns") == []
    assert analysis.counts.bad == 1


def test_messages_over_tcp_come_in_any_pieces() -> None:
    query, answer = dns_query("a.example", 16), dns_answer("a.example", [(16, 9, b"\x01x")], qtype=16)
    talk = Conversation(server_port=53).open()
    for byte in pack("!H", len(query)) + query:
        talk.client(bytes((byte,)))
    talk.server((pack("!H", len(answer)) + answer) * 2).close()

    first, second = of(analysed(spaced(talk.frames)), "dns")

    assert (first["proto"], first["query"], first["answers"]) == ("tcp", "a.example", ["TXT 1 x"])
    assert "rtt" in first
    assert "rtt" not in second


def test_a_stream_whose_beginning_is_lost_is_not_guessed_at() -> None:
    talk = Conversation(server_port=53).open()
    lost = b"\0\x20" + bytes(40_000)
    frames = [*talk.frames, *[talk.send(True, ACK, lost[at : at + 1000]) for at in range(0, 40_000, 1000)][1:]]

    assert of(analysed(spaced(frames)), "dns") == []


labels = st.lists(st.binary(min_size=1, max_size=20), max_size=6)


@given(labels, st.binary(max_size=30))
def test_a_name_is_read_back_and_ends_where_it_ends(parts: list[bytes], behind: bytes) -> None:
    data = b"".join(bytes((len(part),)) + part for part in parts) + b"\0"

    assert name(data + behind, 0) == (b".".join(parts).lower().decode("utf-8", "backslashreplace"), len(data))


@given(st.binary(max_size=300), st.integers(0, 299))
def test_any_bytes_are_a_name_or_refused_soon(data: bytes, at: int) -> None:
    try:
        found, end = name(data, at)
    except (Malformed, IndexError):
        return
    assert len(found) <= 4 * 255
    assert at < end <= len(data)
