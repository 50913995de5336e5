"""Flows become lines of Zeek's conn.log, whatever way they went."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packet_kit import (
    ACK,
    CLIENT,
    FIN,
    RESOLVER,
    RST,
    SERVER,
    START,
    SYN,
    Conversation,
    analysed,
    ip,
    of,
    run,
    spaced,
    tcp,
    udp,
)

from socmon.network import Analysis, Limits
from socmon.network.zeek import stamp


def one(lines: list[dict[str, Any]]) -> dict[str, Any]:
    (line,) = of(lines, "conn")
    return line


def test_a_whole_connection_is_one_line_with_all_that_zeek_says() -> None:
    talk = Conversation(server_port=9999).open().client(b"x" * 100).server(b"y" * 500).close()

    line = one(analysed(spaced(talk.frames)))

    assert line.pop("uid").startswith("C")
    assert line == {
        "_path": "conn", "ts": START, "id.orig_h": CLIENT, "id.orig_p": 50000, "id.resp_h": SERVER, "id.resp_p": 9999,
        "proto": "tcp", "duration": 0.07, "orig_bytes": 100, "resp_bytes": 500, "conn_state": "SF", "missed_bytes": 0,
        "history": "ShADdFf", "orig_pkts": 5, "orig_ip_bytes": 300, "resp_pkts": 3, "resp_ip_bytes": 620, "ip_proto": 6,
    }  # fmt: skip


def test_the_same_packets_give_the_same_lines() -> None:
    frames = spaced(Conversation().open().client(b"x").close().frames)

    assert analysed(frames) == analysed(frames)


C: tuple[str, int] = (CLIENT, 50000)
S: tuple[str, int] = (SERVER, 9999)


@pytest.mark.parametrize(
    ("packets", "state", "history"),
    [
        ([(C, S, SYN, 1)], "S0", "S"),
        ([(C, S, SYN, 1), (S, C, SYN | ACK, 5)], "S1", "Sh"),
        ([(C, S, SYN, 1), (S, C, RST | ACK, 0)], "REJ", "Sr"),
        ([(C, S, SYN, 1), (S, C, SYN | ACK, 5), (C, S, RST, 2)], "RSTO", "ShR"),
        ([(C, S, SYN, 1), (S, C, SYN | ACK, 5), (C, S, ACK, 2), (S, C, RST, 6)], "RSTR", "ShAr"),
        ([(C, S, SYN, 1), (C, S, RST, 2)], "RSTOS0", "SR"),
        ([(C, S, SYN, 1), (C, S, FIN, 2)], "SH", "SF"),
        ([(C, S, SYN, 1), (S, C, SYN | ACK, 5), (C, S, FIN | ACK, 2)], "S2", "ShF"),
        ([(C, S, SYN, 1), (S, C, SYN | ACK, 5), (S, C, FIN | ACK, 6)], "S3", "Shf"),
        ([(S, C, SYN | ACK, 5)], "OTH", "^h"),
        ([(S, C, SYN | ACK, 5), (C, S, ACK, 2)], "S1", "^hA"),
        ([(C, S, ACK, 2), (S, C, ACK, 6)], "OTH", "Aa"),
        ([(C, S, SYN | FIN, 2)], "SH", "I"),
    ],
)
def test_states_and_histories_are_zeeks(
    packets: list[tuple[tuple[str, int], tuple[str, int], int, int]], state: str, history: str
) -> None:
    line = one(analysed(spaced(tcp(*source, *target, flags, seq) for source, target, flags, seq in packets)))

    assert (line["conn_state"], line["history"]) == (state, history)
    assert (line["id.orig_h"], line["id.resp_h"]) == (CLIENT, SERVER)


def test_a_port_used_again_after_its_end_is_a_second_line() -> None:
    talk = Conversation().open().client(b"a").close()
    again = Conversation().open().client(b"bb").close()

    first, second = of(analysed(spaced(talk.frames + again.frames)), "conn")

    assert (first["orig_bytes"], second["orig_bytes"]) == (1, 2)
    assert first["uid"] != second["uid"]


def test_what_is_sent_twice_counts_once_as_bytes_and_twice_as_packets() -> None:
    talk = Conversation(server_port=9999).open().client(b"x" * 100)

    line = one(analysed(spaced([*talk.frames, talk.frames[-1]])))

    assert (line["orig_bytes"], line["orig_pkts"], line["history"]) == (100, 4, "ShADT")


def test_a_flood_of_syns_leaves_the_established_connection() -> None:
    talk = Conversation().open()
    flood = [tcp(f"10.0.{index // 250}.{index % 250}", 1234, SERVER, 80, SYN) for index in range(1_000)]
    talk.client(b"still here")
    frames = spaced([*talk.frames[:3], *flood, *talk.frames[3:]], apart=0.0001)

    lines, analysis = run(frames, limits=Limits(flows=10, half_open=100))

    assert [line["orig_bytes"] for line in of(lines, "conn") if line["id.orig_h"] == CLIENT] == [10]
    assert analysis.counts.half_open_evicted == 900
    assert analysis.counts.evicted == 0


def test_the_attempt_that_waited_longest_is_pushed_out_first() -> None:
    frames = [tcp(f"10.0.0.{number}", 1234, SERVER, 80, SYN) for number in (1, 2, 3, 4)]

    lines = of(analysed(spaced(frames), limits=Limits(half_open=2)), "conn")

    assert [line["id.orig_h"][-1] for line in lines] == ["1", "2", "3", "4"]


def test_too_many_flows_push_out_the_quietest_of_those_that_would_end_next() -> None:
    frames = [frame for port in range(100) for frame in (udp(CLIENT, port, SERVER, 9), udp(SERVER, 9, CLIENT, port))]

    lines, analysis = run(spaced(frames), limits=Limits(flows=10))

    assert len(of(lines, "conn")) == 100
    assert analysis.counts.evicted == 90


def test_silence_ends_a_flow_and_what_comes_later_is_another() -> None:
    ask, answer = udp(CLIENT, 4000, SERVER, 9), udp(SERVER, 9, CLIENT, 4000)

    lines = analysed([(START, ask), (START + 1, answer), (START + 50, ask), (START + 112, ask)])

    assert [line["orig_pkts"] for line in of(lines, "conn")] == [2, 1]


def test_an_attempt_without_an_answer_is_told_of_after_five_seconds() -> None:
    lines: list[bytes] = []
    analysis = Analysis(lines.append)
    analysis.packet(tcp(*C, *S, SYN), START)
    analysis.advance(START + 4.9)
    before = len(lines)
    analysis.advance(START + 6)

    assert (before, len(lines)) == (0, 1)


def test_pings_and_other_protocols_are_flows_too() -> None:
    frames = [
        ip(CLIENT, SERVER, 1, b"\x08\0" + bytes(62)),
        ip(SERVER, CLIENT, 1, bytes(64)),
        ip(CLIENT, SERVER, 89, bytes(9)),
    ]

    ping, other = of(analysed(spaced(frames)), "conn")

    assert (ping["proto"], ping["id.orig_p"], ping["id.resp_p"], ping["orig_bytes"], ping["resp_pkts"]) == (
        "icmp",
        8,
        0,
        56,
        1,
    )
    assert (other["proto"], other["ip_proto"], other["orig_pkts"]) == ("unknown_transport", 89, 1)


def test_an_answer_that_is_seen_alone_is_turned_round() -> None:
    line = one(analysed(spaced([udp(RESOLVER, 123, CLIENT, 40000)])))

    assert (line["id.orig_h"], line["id.resp_p"], line["history"], line["conn_state"]) == (CLIENT, 123, "^d", "SHR")


def test_a_clock_that_goes_back_a_little_is_held_and_one_set_back_begins_anew() -> None:
    ask, answer = udp(CLIENT, 4000, SERVER, 9), udp(SERVER, 9, CLIENT, 4000)

    lines = of(analysed([(START, ask), (START - 1, answer), (START - 5_000, ask), (float("nan"), answer)]), "conn")

    assert [(line["ts"], line["orig_pkts"], line["resp_pkts"]) for line in lines] == [
        (START, 1, 1),
        (START - 5_000, 1, 1),
    ]


def test_what_is_too_short_is_counted() -> None:
    lines, analysis = run(spaced([b"", b"short", tcp(*C, *S, SYN)[:40]]))

    assert (lines, analysis.counts.bad, analysis.counts.packets) == ([], 3, 3)


@given(st.floats(0, 1e12) | st.builds(lambda s, ns: s + ns / 1e9, st.integers(0, 2**32), st.integers(0, 10**9 - 1)))
def test_a_time_is_written_as_round_would_have_it(ts: float) -> None:
    assert repr(stamp(ts)) == repr(round(ts, 6))
