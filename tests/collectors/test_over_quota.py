"""Within one collector: who is over quota goes to the journal apart, and holds back nobody else."""

import asyncio
from pathlib import Path

import pytest
from file_kit import append, file_collector, file_context
from file_kit import numbered as numbered_lines
from harness import LIMIT_S, running, until
from tcp_kit import Sender, lines, listening, numbered, tcp_context

from collectors import _apart, syslog_tcp
from collectors.syslog_tcp import SyslogTcpCollector

FLOODER, OTHER = "127.0.0.2", "127.0.0.3"


def of(context_lines: list[bytes], word: bytes) -> list[bytes]:
    return [line for line in context_lines if word in line]


async def test_a_sender_over_its_quota_does_not_hold_back_another_one() -> None:
    context = tcp_context()
    context.over = {FLOODER: asyncio.Event()}
    flood = numbered(1, 9000)
    async with listening(context):
        with Sender(context, source=FLOODER) as flooder, Sender(context, source=OTHER) as other:
            await flooder.send(lines(*flood))
            await until(lambda: context.waiting)
            await other.send(lines(b"<1>other"))
            await until(lambda: context.lines == [b"<1>other"])

            context.over[FLOODER].set()
            await until(lambda: len(context.lines) == 9001)

    assert of(context.lines, b"sshd") == flood


async def test_a_sender_far_over_its_quota_is_slowed_alone_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_apart, "MAX_APART_BYTES", 3_000_000)
    context = tcp_context()
    context.over = {FLOODER: asyncio.Event()}
    flood = [message + b"x" * 900 for message in numbered(1, 20_000)]
    async with listening(context) as collector:
        with Sender(context, source=FLOODER) as flooder, Sender(context, source=OTHER) as other:
            await until(lambda: len(collector._connections) == 2)
            sending = asyncio.create_task(flooder.send(lines(*flood)))
            await until(lambda: collector.must_wait(FLOODER))
            reading = {each.peer: each._transport.is_reading() for each in collector._connections}
            with Sender(context, source=FLOODER) as later:
                await later.send(lines(b"<1>later"))
                await until(lambda: len(collector._connections) == 3)
                assert [each._transport.is_reading() for each in collector._of(FLOODER)] == [False, False]
                await other.send(lines(b"<1>other"))
                await until(lambda: context.lines == [b"<1>other"])
                assert collector._over_quota.size_bytes < 2_000_000  # half, and a read more
                assert not sending.done()

                context.over[FLOODER].set()
                await until(lambda: len(context.lines) == 20_002)
            await sending

    assert reading == {FLOODER: False, OTHER: True}
    assert of(context.lines, b"sshd") == flood
    assert set(context.counts) == {"received", "received_bytes"}


async def test_a_sender_that_is_within_its_quota_again_keeps_its_order() -> None:
    context = tcp_context()
    context.over = {FLOODER: asyncio.Event()}
    async with listening(context):
        with Sender(context, source=FLOODER) as flooder:
            await flooder.send(lines(*numbered(1, 3000)))
            await until(lambda: context.waiting)
            await flooder.send(lines(*numbered(3001, 6000)))
            context.over[FLOODER].set()
            await flooder.send(lines(*numbered(6001, 9000)))
            await until(lambda: len(context.lines) == 9000)

    assert context.lines == numbered(1, 9000)


async def test_a_stop_counts_what_a_sender_over_its_quota_could_not_hand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog_tcp, "STOP_S", 0.05)
    monkeypatch.setattr(syslog_tcp, "LEAVE_S", 0.05)
    context = tcp_context()
    context.over = {FLOODER: asyncio.Event()}
    async with listening(context):
        with Sender(context, source=FLOODER) as flooder, Sender(context, source=OTHER) as other:
            await flooder.send(lines(*numbered(1, 3000)))
            await other.send(lines(b"<1>other"))
            await until(lambda: context.counts["received"] == 3001 and context.waiting and context.lines)

    assert context.lines == [b"<1>other"]
    assert context.counts["dropped.not_journalled"] == 3000


async def test_a_stop_waits_for_a_sender_over_its_quota_while_there_is_time() -> None:
    context = tcp_context()
    context.over = {FLOODER: asyncio.Event()}
    async with listening(context):
        with Sender(context, source=FLOODER) as flooder:
            await flooder.send(lines(*numbered(1, 3000)))
            await until(lambda: context.counts["received"] == 3000 and context.waiting)
        context.over[FLOODER].set()

    assert context.lines == numbered(1, 3000)
    assert set(context.counts) == {"received", "received_bytes"}


async def test_a_failure_to_hand_in_what_is_over_quota_ends_the_collector() -> None:
    context = tcp_context()
    context.over = {FLOODER: asyncio.Event()}
    collector = SyslogTcpCollector(context)
    run = asyncio.create_task(collector.run())
    await until(lambda: context.logged)
    with Sender(context, source=FLOODER) as flooder:
        await flooder.send(lines(*numbered(1, 3000)))
        await until(lambda: context.waiting)
        context.failure = OSError("gone")
        context.over[FLOODER].set()
        with pytest.raises(OSError, match="gone"):
            await asyncio.wait_for(run, LIMIT_S)

    assert context.lines == []


async def test_a_huge_file_does_not_hold_back_the_others(tmp_path: Path) -> None:
    huge, small = tmp_path / "huge.log", tmp_path / "small.log"
    context = file_context(huge, small)
    context.over = {str(huge): asyncio.Event()}
    append(huge, *numbered_lines(1, 20_000))
    append(small, b"first")
    async with running(file_collector(context)):
        await until(lambda: context.lines == [b"first"])
        append(small, b"second")
        await until(lambda: context.lines == [b"first", b"second"])

        context.over[str(huge)].set()
        await until(lambda: len(context.lines) == 20_002)

    assert of(context.lines, b"sshd") == numbered_lines(1, 20_000)


async def test_a_file_over_its_quota_is_read_on_as_soon_as_its_block_is_through(tmp_path: Path) -> None:
    huge = tmp_path / "huge.log"
    context = file_context(huge, poll_s=60)  # so nothing but the end of a block wakes it
    context.over = {str(huge): _AlwaysOver()}
    append(huge, *numbered_lines(1, 20_000))
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 20_000)

    assert context.lines == numbered_lines(1, 20_000)


class _AlwaysOver(asyncio.Event):
    """Its records may go, and are over quota all the same."""

    def is_set(self) -> bool:
        return False

    async def wait(self) -> bool:  # type: ignore[override]  # a Literal there
        return True


async def test_after_a_stop_amid_a_block_over_quota_a_file_goes_on_where_it_was(tmp_path: Path) -> None:
    huge = tmp_path / "huge.log"
    context = file_context(huge)
    context.over = {str(huge): asyncio.Event()}
    append(huge, *numbered_lines(1, 5000))
    async with running(file_collector(context)):
        await until(lambda: context.waiting)
    again = file_context(huge, positions=context.positions)
    async with running(file_collector(again)):
        await until(lambda: len(again.lines) == 5000)

    assert context.lines == []
    assert again.lines == numbered_lines(1, 5000)
