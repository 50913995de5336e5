"""The TCP collector and real senders: what arrives, from whom, in which order, and what a full journal does."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from harness import until
from listening_kit import each_spelling, where
from tcp_kit import Sender, TcpContext, counted, lines, listening, numbered, tcp_context

from collectors import syslog_tcp
from socmon.event import Record


@pytest.mark.parametrize("frame", [lines, counted])
async def test_messages_arrive_in_order_in_both_framings(frame: Callable[..., bytes]) -> None:
    context = tcp_context()
    async with listening(context):
        with Sender(context) as sender:
            data = frame(*numbered(1, 5000))
            await sender.send(data)
            await until(lambda: len(context.lines) == 5000)
    assert context.lines == numbered(1, 5000)
    assert context.counts == {"received": 5000, "received_bytes": len(data)}
    assert max(map(len, context.batches)) <= 1000


async def test_records_say_where_they_come_from_and_when() -> None:
    context = tcp_context(format="rfc3164", timezone="Asia/Ho_Chi_Minh")
    async with listening(context):
        with Sender(context) as sender:
            await sender.send(lines(*numbered(1, 3)))
            await until(lambda: len(context.lines) == 3)
    source = context.records[0].source
    assert (source.collector, source.peer, source.format, source.zone) == (
        "net",
        "127.0.0.1",
        "rfc3164",
        "Asia/Ho_Chi_Minh",
    )
    assert source.authenticated
    assert all(record.position is None for record in context.records)
    assert len({record.received_us for record in context.records}) == 1


@each_spelling
async def test_ipv4_and_ipv6_senders_have_one_spelling(address: str, source: str, target: str, peer: str) -> None:
    context = tcp_context(address=address)
    async with listening(context):
        with Sender(context, source=source, target=target) as sender:
            await sender.send(lines(b"<1>one"))
            await until(lambda: context.records)
    assert context.records[0].source.peer == peer


async def test_a_few_messages_wait_a_moment_for_others_and_travel_together() -> None:
    context = tcp_context()
    loop = asyncio.get_running_loop()
    async with listening(context):
        with Sender(context) as sender, Sender(context) as other:
            began_s = loop.time()
            for number in range(10):
                await sender.send(lines(*numbered(number, number)))
                await other.send(counted(*numbered(number, number)))
            await until(lambda: len(context.lines) == 20)
            passed_s = loop.time() - began_s
    assert len(context.batches) <= passed_s / syslog_tcp.GATHER_S + 2


class _SlowContext(TcpContext):
    """A journal that takes a moment for each batch, as a disk does."""

    async def emit(self, batch: Sequence[Record]) -> None:
        await asyncio.sleep(0.002)
        await super().emit(batch)


async def test_a_steady_trickle_travels_in_batches_of_50_ms() -> None:
    context = _SlowContext(tcp_context().settings)
    loop = asyncio.get_running_loop()
    async with listening(context):
        with Sender(context) as sender:
            began_s = loop.time()
            for number in range(200):
                await sender.send(lines(*numbered(number, number)))
                await asyncio.sleep(0.001)
            await until(lambda: len(context.lines) == 200)
            passed_s = loop.time() - began_s
    assert context.lines == numbered(0, 199)
    assert len(context.batches) <= passed_s / syslog_tcp.GATHER_S + 2


async def test_a_message_sent_byte_by_byte_arrives_whole() -> None:
    context = tcp_context()
    data = lines(b"<1>slow one") + counted(b"<1>slow two")
    async with listening(context):
        with Sender(context) as sender:
            for at in range(len(data)):
                await sender.send(data[at : at + 1])
                await asyncio.sleep(0)
            await until(lambda: len(context.lines) == 2)
    assert context.lines == [b"<1>slow one", b"<1>slow two"]


async def test_many_connections_at_once_lose_and_mix_nothing() -> None:
    context = tcp_context(max_connections_per_source=200)

    async def send(number: int) -> None:
        with Sender(context) as sender:
            for step in range(20):
                message = b"<1>%d says %d" % (number, step)
                await sender.send(lines(message) if number % 2 else counted(message))
                await asyncio.sleep(0)

    async with listening(context) as collector:
        sending = []
        for number in range(200):
            sending.append(asyncio.create_task(send(number)))
            await asyncio.sleep(0)
        await asyncio.gather(*sending)
        await until(lambda: len(context.lines) == 4000 and not collector._connections)
    for number in range(200):
        mine = [line for line in context.lines if line.startswith(b"<1>%d says" % number)]
        assert mine == [b"<1>%d says %d" % (number, step) for step in range(20)]


async def test_a_full_journal_slows_the_sender_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog_tcp, "MAX_WAITING_BYTES", 200_000)
    context = tcp_context()
    messages = [message + b"x" * 900 for message in numbered(1, 30_000)]
    async with listening(context) as collector:
        with Sender(context) as sender, Sender(context) as other:
            await until(lambda: len(collector._connections) == 2)
            context.gate.clear()
            sending = asyncio.create_task(sender.send(lines(*messages)))
            await until(lambda: collector.full)
            assert collector._waiting_bytes < 200_000 + 2 * syslog_tcp.BUFFER_BYTES
            await other.send(lines(b"<1>other"))
            with Sender(context) as later:
                await later.send(lines(b"<1>later"))
                await until(lambda: len(collector._connections) == 3)
                assert not any(connection._transport.is_reading() for connection in collector._connections)
                assert context.lines == []
                assert not sending.done()
                context.gate.set()
                await until(lambda: len(context.lines) == 30_002)
            await sending
    assert [line for line in context.lines if b"sshd" in line] == messages
    assert set(context.counts) == {"received", "received_bytes"}


async def test_a_restart_listens_on_the_same_port_at_once() -> None:
    context = tcp_context()
    async with listening(context):
        port = where(context)[1]
        sender = Sender(context)
        await sender.send(lines(b"<1>before"))
        await until(lambda: context.lines)
    await sender.ended()
    again = tcp_context(port=port)
    async with listening(again):
        with Sender(again) as other:
            await other.send(lines(b"<1>after"))
            await until(lambda: again.lines)
    sender.close()
    assert (context.lines, again.lines) == ([b"<1>before"], [b"<1>after"])


async def test_a_failing_journal_ends_the_run_and_what_it_did_not_take_is_counted() -> None:
    context = tcp_context()
    context.failure = OSError("the journal is gone")

    async def send() -> None:
        async with listening(context):
            with Sender(context) as sender:
                await sender.send(lines(*numbered(1, 7)))
                await until(lambda: False)

    with pytest.raises(OSError, match="the journal is gone"):
        await send()
    assert context.counts["received"] == context.counts["dropped.not_journalled"] == 7
