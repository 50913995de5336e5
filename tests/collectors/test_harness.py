"""The harness itself: what other tests rely on."""

import asyncio

import pytest
from file_kit import file_context
from harness import FakeContext, running, until

from socmon.component import Collector, CollectorSettings
from socmon.errors import ComponentError
from socmon.event import Record, Source


class Emitter(Collector[CollectorSettings]):
    """Emits one record, then fails when told to."""

    settings_type = CollectorSettings
    fails = False

    async def run(self) -> None:
        await self.context.emit([record(1)])
        if self.fails:
            raise ComponentError("the source is gone")
        await asyncio.Event().wait()


def record(number: int, stream: str = "s") -> Record:
    return Record(b"%d" % number, Source("c", "p"), number, (stream, b"%d" % number))


async def test_component_runs_while_the_body_does_and_is_cancelled_after_it() -> None:
    context = FakeContext(CollectorSettings())
    async with running(Emitter(context)) as task:
        await until(lambda: context.records)
        assert not task.done()
    assert task.cancelled()


async def test_failure_of_the_component_ends_the_body_at_once() -> None:
    emitter = Emitter(FakeContext(CollectorSettings()))
    emitter.fails = True
    with pytest.raises(ComponentError, match="the source is gone"):
        async with running(emitter):
            await until(lambda: False)


async def test_failure_of_the_body_stops_the_component() -> None:
    emitter = Emitter(FakeContext(CollectorSettings()))
    with pytest.raises(ZeroDivisionError):
        async with running(emitter) as task:
            raise ZeroDivisionError
    assert task.cancelled()


async def test_waiting_is_bounded() -> None:
    with pytest.raises(TimeoutError):
        await until(lambda: False, timeout_s=0.01)


async def test_failing_emit_journals_nothing_and_the_next_one_works() -> None:
    context = FakeContext(CollectorSettings())
    context.failure = OSError("disk full")
    with pytest.raises(OSError, match="disk full"):
        await context.emit([record(1)])
    await context.emit([record(2)])
    assert context.lines == [b"2"]


async def test_offer_takes_what_there_is_room_for_and_counts_the_rest() -> None:
    context = FakeContext(CollectorSettings())
    context.room = 2
    assert context.offer([record(1), record(2), record(3)]) == 2
    assert context.lines == [b"1", b"2"]
    assert context.counts == {"dropped.full": 1}


async def test_saved_yields_the_newest_position_of_each_stream() -> None:
    context = FakeContext(CollectorSettings())
    await context.emit([record(1, "a"), record(2, "a"), record(3, "b")])
    saved = context.saved()
    assert [await anext(saved), await anext(saved)] == [("a", b"2"), ("b", b"3")]
    await context.emit([record(4, "a")])
    assert await anext(saved) == ("a", b"4")


def test_positions_outlive_a_restart() -> None:
    context = file_context("/var/log/auth.log", positions={"/var/log/auth.log": b"there"})
    assert context.position("/var/log/auth.log") == b"there"
    assert context.position("/var/log/other.log") is None
