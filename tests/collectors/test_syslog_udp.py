"""The UDP collector and real senders: what arrives, from whom, what is lost, and that it is counted."""

import asyncio
import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from harness import until
from listening_kit import each_spelling, where
from udp_kit import UdpContext, listening, numbered, send, udp_context

from collectors import _listening, _receiving
from collectors.syslog_udp import SyslogUdpCollector
from socmon.errors import ComponentError
from socmon.instruments import REGISTRY

SMALL = {"receive_buffer_bytes": 64 * 1024}  # room for fewer than 200 messages


def events(context: UdpContext, event: str) -> list[dict[str, object]]:
    return [dict(entry) for entry in context.logged if entry["event"] == event]


def drops_by_proc(listener: socket.socket) -> int:
    """What the column `drops` of /proc/net/udp says of a socket."""
    rows = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()]
    return next(int(row[12]) for row in rows if row[9] == str(os.fstat(listener.fileno()).st_ino))


async def test_each_datagram_is_a_record_in_the_order_of_arrival() -> None:
    context = udp_context()
    async with listening(context):
        for first in range(1, 3000, 100):
            send(context, *numbered(first, first + 99))
            await asyncio.sleep(0)
        await until(lambda: len(context.lines) == 3000)
    assert context.lines == numbered(1, 3000)
    assert context.counts == {"received": 3000, "received_bytes": sum(map(len, numbered(1, 3000)))}
    assert max(map(len, context.batches)) <= 1000


async def test_records_say_where_they_come_from_and_that_nobody_vouches_for_it() -> None:
    context = udp_context(format="rfc3164", timezone="Asia/Ho_Chi_Minh")
    async with listening(context):
        send(context, *numbered(1, 3))
        await until(lambda: len(context.lines) == 3)
    sources = {record.source for record in context.records}
    source = sources.pop()
    assert not sources
    assert (source.collector, source.peer, source.format, source.zone) == (
        "net",
        "127.0.0.1",
        "rfc3164",
        "Asia/Ho_Chi_Minh",
    )
    assert not source.authenticated


@each_spelling
async def test_ipv4_and_ipv6_senders_have_one_spelling(address: str, source: str, target: str, peer: str) -> None:
    context = udp_context(address=address)
    async with listening(context):
        send(context, b"<1>one", source=source, target=target)
        await until(lambda: context.records)
    assert context.records[0].source.peer == peer


async def test_line_ends_and_nuls_behind_a_message_are_no_part_of_it_and_newlines_inside_are() -> None:
    context = udp_context()
    async with listening(context):
        send(context, b"<1>a\n", b"<1>b\r\n", b"<1>c\0", b"<1>d\n\0", b"<1>e\nf")
        await until(lambda: len(context.lines) == 5)
    assert context.lines == [b"<1>a", b"<1>b", b"<1>c", b"<1>d", b"<1>e\nf"]


async def test_an_empty_datagram_is_counted_and_no_record() -> None:
    context = udp_context()
    async with listening(context):
        send(context, b"", b"\n\0", b"<1>a")
        await until(lambda: context.lines)
    assert context.lines == [b"<1>a"]
    assert (context.counts["error.empty"], context.counts["received"]) == (2, 1)


async def test_the_longest_datagram_arrives_whole() -> None:
    longest = b"<1>" + b"x" * (65_507 - 3)  # 65,535 less the headers of IPv4 and UDP
    context = udp_context()
    async with listening(context):
        send(context, longest)
        await until(lambda: context.lines)
    assert context.lines == [longest]


async def test_a_message_longer_than_max_bytes_is_cut_and_counted() -> None:
    context = udp_context(max_bytes=480)
    async with listening(context):
        send(context, b"x" * 480 + b"\n", b"y" * 481)
        await until(lambda: len(context.lines) == 2)
    assert context.lines == [b"x" * 480, b"y" * 480]
    assert context.counts["error.too_long"] == 1
    assert [entry["times"] for entry in events(context, "message cut at max_bytes")] == [1]


async def test_senders_that_allow_does_not_name_are_refused_and_told_of_rarely() -> None:
    context = udp_context(address="0.0.0.0", allow=["127.0.0.1"])
    async with listening(context):
        for _ in range(20):
            send(context, b"<1>no", source="127.0.0.2", target="127.0.0.1")
        send(context, b"<1>yes", source="127.0.0.1", target="127.0.0.1")
        await until(lambda: context.lines)
    assert context.lines == [b"<1>yes"]
    assert (context.counts["error.not_allowed"], context.counts["received"]) == (20, 1)
    refused = events(context, "message refused")
    assert [(entry["reason"], entry["peer"], entry["times"]) for entry in refused] == [
        ("not_allowed", "127.0.0.2", 1)
    ]  # fmt: skip


async def test_made_up_senders_take_no_more_room_than_that_of_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_receiving, "MAX_SOURCES", 4)
    context = udp_context(address="0.0.0.0")
    async with listening(context) as collector:
        for last in range(1, 21):
            send(context, b"<1>a", b"<1>b", source=f"127.0.0.{last}", target="127.0.0.1")
        await until(lambda: len(context.lines) == 40)
        assert len(collector._sources) == 4
    assert [record.source.peer for record in context.records[::2]] == [f"127.0.0.{last}" for last in range(1, 21)]


# ── the kernel's receive buffer ──────────────────────────────────────────────────────────────────────────────────────


async def test_the_size_of_the_receive_buffer_is_told_and_warned_of_when_it_is_less_than_wished() -> None:
    context = udp_context()
    async with listening(context) as collector:
        really_bytes = collector._listener.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    wished_bytes = context.settings.receive_buffer_bytes
    assert [entry["receive_buffer_bytes"] for entry in events(context, "listening")] == [really_bytes]
    assert REGISTRY.get_sample_value("socmon_collector_receive_buffer_bytes", {"component": "net"}) == (really_bytes)
    warned = events(context, "receive buffer is smaller than wished, a burst may be lost")
    assert [entry["wished_bytes"] for entry in warned] == ([wished_bytes] if really_bytes < wished_bytes else [])


async def test_a_receive_buffer_that_the_kernel_refuses_is_warned_of_once(unprivileged: Path) -> None:
    limit_bytes = int(Path("/proc/sys/net/core/rmem_max").read_text())
    context = udp_context(receive_buffer_bytes=limit_bytes + 4096)
    async with listening(context):
        pass
    warned = events(context, "receive buffer is smaller than wished, a burst may be lost")
    assert [(entry["size_bytes"], entry["wished_bytes"]) for entry in warned] == [(limit_bytes, limit_bytes + 4096)]
    assert f"net.core.rmem_max={limit_bytes + 4096}" in str(warned[0]["remedy"])


async def test_what_the_kernel_drops_is_counted_as_received_and_dropped() -> None:
    context = udp_context(**SMALL)
    async with listening(context) as collector:
        send(context, *numbered(1, 2000))  # all at once: the collector does not come to read meanwhile
        dropped = drops_by_proc(collector._listener)
        await until(lambda: len(context.lines) + dropped == 2000)
    assert dropped > 1000
    assert context.lines == numbered(1, 2000 - dropped)
    assert context.counts["dropped.kernel"] == dropped
    assert context.counts["received"] == 2000
    warned = events(context, "the kernel dropped messages, its receive buffer was full")
    assert [entry["records"] for entry in warned] == [dropped]


async def test_what_finds_no_room_in_socmon_waits_in_the_kernel() -> None:
    context = udp_context()
    async with listening(context):
        context.room = 50
        send(context, *numbered(1, 200))
        await until(lambda: context.room == 0)
        looked = context.beats
        await until(lambda: context.beats > looked + 1)
        assert context.lines == numbered(1, 50)
        send(context, *numbered(201, 300))
        context.room = None
        await until(lambda: len(context.lines) == 300)
    assert context.lines == numbered(1, 300)
    assert context.counts["dropped.full"] == 0


async def test_a_flood_leaves_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_receiving, "BATCH_RECORDS", 5)  # so few that a small buffer holds turns of them
    most = 5 * _receiving.TURN_BATCHES
    taken = list[int]()
    context = udp_context()
    async with listening(context):
        send(context, *numbered(1, 4 * most + 1))
        while len(context.lines) < 4 * most + 1:
            before = len(context.lines)
            await asyncio.sleep(0)
            taken.append(len(context.lines) - before)
    assert [count for count in taken if count] == [most, most, most, most, 1]
    assert max(map(len, context.batches)) == 5


async def test_it_says_that_it_moves_also_when_nothing_comes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_receiving, "BEAT_S", 0.01)
    context = udp_context()
    async with listening(context):
        await until(lambda: context.beats > 3)
    assert context.lines == []


# ── the stop and failures ────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_stop_journals_what_the_kernel_still_holds() -> None:
    context = udp_context()
    async with listening(context) as collector:
        send(context, *numbered(1, 2500))
        dropped = drops_by_proc(collector._listener)
    assert context.lines == numbered(1, 2500 - dropped)
    assert context.counts["received"] == 2500


async def test_a_stop_counts_what_the_journal_does_not_take_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_receiving, "STOP_S", 0.05)
    context = udp_context(receive_buffer_bytes=212_992)
    async with listening(context) as collector:
        context.gate.clear()
        send(context, *numbered(1, 1200))
        dropped = drops_by_proc(collector._listener)
    assert context.lines == []
    assert context.counts["dropped.not_journalled"] == 1200 - dropped
    assert context.counts["received"] == 1200
    lost = events(context, "messages received are lost, the journal did not take them")
    assert [entry["records"] for entry in lost] == [1200 - dropped]


async def test_a_port_that_is_taken_is_told_with_the_remedy() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with pytest.raises(ComponentError, match=f"cannot listen on 127.0.0.1 port {port}: another program does"):
            await SyslogUdpCollector(udp_context(port=port)).run()


async def test_a_restart_listens_on_the_same_port_at_once() -> None:
    context = udp_context()
    async with listening(context):
        port = where(context)[1]
    again = udp_context(port=port)
    async with listening(again):
        send(again, b"<1>after")
        await until(lambda: again.lines)
    assert again.lines == [b"<1>after"]


class _BrokenSocket(socket.socket):
    def recvfrom(self, *_: Any) -> Any:
        raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))


async def test_a_socket_that_fails_ends_the_run_for_the_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(address: str, port: int) -> socket.socket:
        listener = _BrokenSocket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind((address, port))
        return listener

    monkeypatch.setattr(_listening, "listen_udp", broken)
    with pytest.raises(ComponentError, match=r"cannot receive on 127\.0\.0\.1: No buffer space available"):
        await SyslogUdpCollector(udp_context()).run()
