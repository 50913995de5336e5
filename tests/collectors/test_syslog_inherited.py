"""Collectors on sockets that a service manager holds: nothing that waits in them is lost, no drop is told twice."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from harness import until
from manager_kit import passed, tcp_socket, udp_socket
from tcp_kit import Sender, tcp_context
from tcp_kit import listening as tcp_listening
from udp_kit import UdpContext, listening, numbered, send, udp_context

from collectors._receiving import STREAM
from collectors.syslog_udp import SyslogUdpCollector
from socmon.errors import ComponentError


@pytest.fixture
def udp() -> Iterator[socket.socket]:
    with closing(udp_socket()) as held:
        yield held


@pytest.fixture
def small_udp() -> Iterator[socket.socket]:
    """One that has room for fewer than 200 messages."""
    with closing(udp_socket(buffer_bytes=64 * 1024)) as held:
        yield held


def send_to(held: socket.socket, *messages: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for message in messages:
            sender.sendto(message, held.getsockname())


def next_context(before: UdpContext) -> UdpContext:
    """Of the same collector after a restart: it knows what the journal has."""
    after = udp_context(**before.settings.model_dump())
    after.positions = before.positions
    return after


def logged(context: UdpContext, event: str) -> list[dict[str, object]]:
    return [dict(entry) for entry in context.logged if entry["event"] == event]


async def test_what_was_sent_while_it_was_down_arrives_after_the_start(
    udp: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = udp_context()
    with passed(monkeypatch, ("net", udp)):
        async with listening(context):
            send_to(udp, *numbered(1, 10))
            await until(lambda: len(context.lines) == 10)
        send_to(udp, *numbered(11, 200))
        again = next_context(context)
        async with listening(again):
            await until(lambda: len(again.lines) == 190)
    assert context.lines + again.lines == numbered(1, 200)
    assert [entry["inherited"] for entry in logged(again, "listening")] == [True]
    assert all(record.position is None for record in context.records + again.records)


async def test_a_stop_leaves_what_it_has_not_read_to_the_next_start(
    udp: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = udp_context()
    with passed(monkeypatch, ("net", udp)):
        async with listening(context):
            send_to(udp, *numbered(1, 300))  # it does not come to read before it is stopped
        assert context.lines == []
        again = next_context(context)
        async with listening(again):
            await until(lambda: len(again.lines) == 300)
    assert again.lines == numbered(1, 300)
    assert not any("dropped" in name for name in (*context.counts, *again.counts))


async def test_drops_while_it_was_down_are_told_once(small_udp: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = [udp_context(receive_buffer_bytes=64 * 1024)]
    with passed(monkeypatch, ("net", small_udp)):
        for _ in range(3):
            context = contexts[-1]
            send_to(small_udp, *numbered(1, 1000))
            async with listening(context):
                await until(lambda: len(context.lines) + context.counts["dropped.kernel"] == 1000)  # noqa: B023  awaited in its round
                send_to(small_udp, b"<1>last")
                await until(lambda: context.lines[-1] == b"<1>last")  # noqa: B023  awaited in its round
            contexts.append(next_context(context))
    for context in contexts[:3]:
        assert 0 < context.counts["dropped.kernel"] < 1000
        assert context.counts["received"] == 1001
        assert STREAM in context.positions


async def test_drops_of_another_socket_are_not_taken_for_told(
    small_udp: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = udp_context(receive_buffer_bytes=64 * 1024)
    with passed(monkeypatch, ("net", small_udp)):
        async with listening(context):
            send_to(small_udp, *numbered(1, 1000))
            await until(lambda: len(context.lines) + context.counts["dropped.kernel"] == 1000)
    again = next_context(context)
    with closing(udp_socket(buffer_bytes=64 * 1024)) as other, passed(monkeypatch, ("net", other)):
        async with listening(again):
            send_to(other, *numbered(1, 1000))
            await until(lambda: len(again.lines) + again.counts["dropped.kernel"] == 1000)
    assert again.counts["dropped.kernel"] > 0


async def test_drops_are_told_again_to_a_journal_that_lost_the_record_which_said_so(
    small_udp: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectors._datagrams._AGAIN_S", 0)
    context = udp_context(receive_buffer_bytes=64 * 1024)
    with passed(monkeypatch, ("net", small_udp)):
        async with listening(context):
            monkeypatch.setattr(context, "free_room", lambda: 1000)  # which is gone when the records are handed in
            context.room = 0
            send_to(small_udp, *numbered(1, 1000))
            await until(lambda: context.counts["dropped.full"])
            assert STREAM not in context.positions
            context.room = None
            send_to(small_udp, b"<1>a")
            await until(lambda: context.lines)
        told = context.counts["dropped.kernel"]
        again = next_context(context)
        async with listening(again):
            send_to(small_udp, b"<1>b")
            await until(lambda: again.lines)
    assert told > 0
    assert again.counts["dropped.kernel"] == 0


async def test_a_larger_buffer_of_the_unit_is_not_made_smaller(
    udp: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_bytes = udp.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    context = udp_context(receive_buffer_bytes=64 * 1024)
    with passed(monkeypatch, ("net", udp)):
        async with listening(context):
            pass
    assert udp.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == before_bytes


async def test_the_address_of_the_unit_counts_and_a_difference_is_told(
    udp: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = udp_context(address="127.0.0.9", port=1)
    with passed(monkeypatch, ("net", udp)):
        async with listening(context):
            send(context, b"<1>a")
            await until(lambda: context.lines)
    told = logged(context, "the service manager's socket counts, not the configured address")
    assert [(entry["address"], entry["port"], entry["configured"]) for entry in told] == [
        (*udp.getsockname(), "127.0.0.9 port 1")
    ]


async def test_a_socket_of_the_wrong_kind_ends_the_collector_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        closing(tcp_socket()) as tcp,
        passed(monkeypatch, ("net", tcp)),
        pytest.raises(ComponentError, match="not a datagram socket") as caught,
    ):
        await SyslogUdpCollector(udp_context()).run()
    assert not caught.value.retry


async def test_a_connection_made_while_it_was_down_is_served_after_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    context, again = tcp_context(), tcp_context()
    with closing(tcp_socket()) as tcp, passed(monkeypatch, ("net", tcp)):
        async with tcp_listening(context):
            with Sender(context) as sender:
                await sender.send(b"<1>before\n")
                await until(lambda: context.lines)
        with Sender(context) as sender:
            await sender.send(b"<1>while it was down\n")
            async with tcp_listening(again):
                await until(lambda: again.lines)
    assert (context.lines, again.lines) == ([b"<1>before"], [b"<1>while it was down"])
