"""What a test needs to drive a component by itself: a Context that remembers, and bounded waiting."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import structlog
from structlog.testing import LogCapture

from socmon.component import Collector, Counters, Settings
from socmon.event import Record, Source

SettingsT = TypeVar("SettingsT", bound=Settings)

_STOP_S = 30.0
LIMIT_S = 30.0
"""For what takes a moment: generous, since a machine may be slow and busy; less than the longest `poll_s`, 60 s."""


class FakeCounters(Counter[str]):
    """The counts as a dict: `received`, `received_bytes`, `dropped.REASON`, `error.REASON`."""

    def received(self, records: int, size_bytes: int) -> None:
        self["received"] += records
        self["received_bytes"] += size_bytes

    def dropped(self, records: int, reason: str) -> None:
        self[f"dropped.{reason}"] += records

    def error(self, reason: str) -> None:
        self[f"error.{reason}"] += 1


class FakeContext(Generic[SettingsT]):
    """A Context whose journal is a list.

    A restarted component gets a new one with what the journal knows: `FakeContext(settings, positions=old.positions)`.

    Attributes:
        batches: what was emitted or offered, in order.
        positions: the last journalled position of each stream; of the given ones too.
        counts: what the component told `counters`, see FakeCounters.
        logged: each log call as a dict of `event`, `log_level` and its keys.
        gate: cleared, `emit` waits until it is set again: a socmon that is full.
        waiting: how many calls of `emit` stand at the gate, or wait for the quota.
        failure: raised by the next `emit`, which then journals nothing.
        room: how many more records `offer` takes; None means all.
        over: peers that are over their quota; `emit` of one's records waits until its event is set.
        beats: how often the component said that it moves.
    """

    def __init__(
        self, settings: SettingsT, *, name: str = "test", positions: Mapping[str, bytes] | None = None
    ) -> None:
        self.name = name
        self.settings = settings
        self.counts = FakeCounters()
        self.counters: Counters = self.counts
        self.batches: list[list[Record]] = []
        self.positions = dict(positions or {})
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0
        self.failure: Exception | None = None
        self.room: int | None = None
        self.over: dict[str, asyncio.Event] = {}
        self.beats = 0
        capture = LogCapture()
        self.logged = capture.entries
        self.log = structlog.wrap_logger(
            None, processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(0)
        )
        self._unsaved: dict[str, bytes] = {}
        self._journalled = asyncio.Event()

    @property
    def records(self) -> list[Record]:
        """All records of all batches, in order."""
        return [record for batch in self.batches for record in batch]

    @property
    def lines(self) -> list[bytes]:
        """The bytes of each record, in order."""
        return [record.data for record in self.records]

    async def emit(self, batch: Sequence[Record]) -> None:
        self.waiting += 1
        try:
            await self.gate.wait()
            for peer in {record.source.peer for record in batch} & self.over.keys():
                await self.over[peer].wait()
        finally:
            self.waiting -= 1
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        self._journal(batch)

    def offer(self, batch: Sequence[Record]) -> int:
        taken = batch if self.room is None else batch[: self.room]
        if self.room is not None:
            self.room -= len(taken)
        self._journal(taken)
        if len(taken) < len(batch):
            self.counters.dropped(len(batch) - len(taken), "full")
        return len(taken)

    def free_room(self) -> int:
        return sys.maxsize if self.room is None else self.room

    def over_quota(self, source: Source, records: int) -> bool:  # noqa: ARG002  the contract's signature
        return source.peer in self.over and not self.over[source.peer].is_set()

    def position(self, stream: str) -> bytes | None:
        return self.positions.get(stream)

    async def saved(self) -> AsyncIterator[tuple[str, bytes]]:
        while True:
            await self._journalled.wait()
            self._journalled.clear()
            newest, self._unsaved = self._unsaved, {}
            for stream, position in newest.items():
                yield stream, position

    def beat(self) -> None:
        self.beats += 1

    def _journal(self, batch: Sequence[Record]) -> None:
        self.batches.append(list(batch))
        reached = dict(record.position for record in batch if record.position is not None)
        self.positions.update(reached)
        self._unsaved.update(reached)
        self._journalled.set()


@asynccontextmanager
async def running(collector: Collector[SettingsT]) -> AsyncIterator[asyncio.Task[None]]:
    """Run `collector` while the body runs, then cancel it; if it fails, the body ends at once with its exception."""
    body = asyncio.current_task()
    task = asyncio.create_task(collector.run(), name=f"run {collector.context.name}")

    def interrupt(ended: asyncio.Task[None]) -> None:
        if body is not None and _failure(ended) is not None:
            body.cancel()

    task.add_done_callback(interrupt)
    try:
        yield task
    except asyncio.CancelledError:
        failure = _failure(task)
        if failure is None or body is None:
            raise
        body.uncancel()
        raise failure from None
    finally:
        task.remove_done_callback(interrupt)
        task.cancel()
        await asyncio.wait([task], timeout=_STOP_S)
    assert task.done(), f"{task.get_name()} did not stop within {_STOP_S} s of its cancellation"
    if (failure := _failure(task)) is not None:
        raise failure


async def until(condition: Callable[[], object], timeout_s: float = LIMIT_S) -> None:
    """Wait until `condition()` is true; TimeoutError after `timeout_s` seconds."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.002)


def _failure(task: asyncio.Task[None]) -> BaseException | None:
    return None if not task.done() or task.cancelled() else task.exception()
