"""Fuzz target: packets as anybody may send them, read by an analysis."""

import json

from socmon.network import Analysis, Limits

_LIMITS = Limits(flows=8, half_open=8, buffered=4_000, datagrams=2, questions=3, rare_packets=3)


def one_input(packets: list[tuple[bytes, float, int]]) -> None:
    """Nothing raises; every line is whole; nothing is held when all has ended.

    Args:
        packets: frame, time and link type.
    """
    lines: list[bytes] = []
    analysis = Analysis(lines.append, limits=_LIMITS)
    for frame, ts, link in packets:
        analysis.packet(frame, ts, link)
        assert len(analysis._flows) <= 8 + 4 * 8
        assert analysis._budget.left > -2 * 65_536
    analysis.finish()
    assert (analysis.counts.packets, analysis.counts.events) == (len(packets), len(lines))
    assert (len(analysis._flows), analysis._budget.left) == (0, _LIMITS.buffered)
    assert analysis._services._questions.left == _LIMITS.questions
    for line in lines:
        read = json.loads(line.decode())
        assert b"\n" not in line
        assert read["_path"] in {"conn", "dns", "ssl", "http", "arp", "icmp", "dhcp"}
        assert 0 <= read["ts"] < 253_402_300_800
        assert read.get("duration", 0) >= 0
    again: list[bytes] = []
    other = Analysis(again.append, limits=_LIMITS)
    for frame, ts, link in packets:
        other.packet(frame, ts, link)
    other.finish()
    assert lines == again
