"""What sources over their quota have sent goes to the journal apart, so that nobody else waits behind it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from socmon.component import Context
from socmon.event import Record

BATCH_RECORDS = 4000  # the next batch is at hand while one is journalled
# What may wait of all together. A sender is slowed when it has more of it than is left free, so one gets half, two
# get a third each, and whoever comes next finds some. Half is as much as may wait of all who are within their quota:
# at a stop, what a sender had sent before is then still read.
MAX_APART_BYTES = 16 * 1024 * 1024
RECORD_BYTES = 200  # what Python needs around each message


class Apart:
    """One task for each source that is over its quota.

    Args:
        changed: called when one has ended; `check` then says how.
    """

    def __init__(self, name: str, changed: Callable[[], None]) -> None:
        self._name = name
        self._changed = changed
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failure: BaseException | None = None

    def __contains__(self, peer: str) -> bool:
        return peer in self._tasks

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, peer: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` for `peer`, which has none yet."""
        task = asyncio.create_task(work, name=f"collector {self._name}, over quota: {peer}")
        self._tasks[peer] = task
        task.add_done_callback(lambda ended: self._end(peer, ended))

    def check(self) -> None:
        """Raises what a task has failed with."""
        if self._failure is not None:
            raise self._failure

    async def ended(self) -> None:
        """Wait until all have ended."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    async def stop(self) -> None:
        """Cancel all, and wait: of what is being written it must be known whether it is."""
        for task in self._tasks.values():
            task.cancel()
        await self.ended()

    def cancel(self) -> None:
        """Cancel all."""
        for task in self._tasks.values():
            task.cancel()

    def _end(self, peer: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(peer) is task:  # it may have a new one
            del self._tasks[peer]
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failure = failure
        self._changed()


class _Lane:
    """What one sender has waiting, and what of it is being journalled."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.batch: list[Record] = []
        self.size_bytes = 0


class Lanes:
    """Senders over their quota, each with what it has waiting.

    Args:
        moved: called when a sender has less waiting than before.
        changed: see Apart.

    Attributes:
        size_bytes: of all that waits, with what Python needs around it.
    """

    def __init__(self, context: Context[Any], moved: Callable[[str], None], changed: Callable[[], None]) -> None:
        self._context = context
        self._moved = moved
        self._tasks = Apart(context.name, changed)
        self._lanes: dict[str, _Lane] = {}
        self.check = self._tasks.check
        self.ended = self._tasks.ended
        self.cancel = self._tasks.cancel
        self.size_bytes = 0

    def __contains__(self, peer: str) -> bool:
        return peer in self._lanes

    @property
    def records(self) -> int:
        """How many wait or are being journalled."""
        return sum(len(lane.records) + len(lane.batch) for lane in self._lanes.values())

    def put(self, peer: str, records: list[Record]) -> None:
        """Let `records` wait behind what `peer` has waiting."""
        if not records:
            return
        lane = self._lanes.get(peer)
        if lane is None:
            lane = self._lanes[peer] = _Lane()
            self._tasks.begin(peer, self._pass_on(peer, lane))
        lane.records += records
        self._count(lane, size_of(records))

    def part(self, records: list[Record]) -> list[Record]:
        """Those of `records` that may be emitted together; the others, of senders over their quota, wait here."""
        by_peer: dict[str, list[Record]] = {}
        for record in records:
            by_peer.setdefault(record.source.peer, []).append(record)
        over = {
            peer: theirs
            for peer, theirs in by_peer.items()
            if peer in self._lanes or self._context.over_quota(theirs[0].source, len(theirs))
        }
        for peer, theirs in over.items():
            self.put(peer, theirs)
        return [record for record in records if record.source.peer not in over] if over else records

    def crowded(self, *, share: float = 1.0) -> set[str]:
        """Who has more than `share` of what is left free for others."""
        free_bytes = MAX_APART_BYTES - self.size_bytes
        return {peer for peer, lane in self._lanes.items() if lane.size_bytes > share * free_bytes}

    async def _pass_on(self, peer: str, lane: _Lane) -> None:
        while lane.records:
            lane.batch, lane.records = lane.records[:BATCH_RECORDS], lane.records[BATCH_RECORDS:]
            await self._context.emit(lane.batch)
            self._count(lane, -size_of(lane.batch))
            lane.batch = []
            if not lane.records:
                del self._lanes[peer]
            self._moved(peer)

    def _count(self, lane: _Lane, size_bytes: int) -> None:
        lane.size_bytes += size_bytes
        self.size_bytes += size_bytes


def size_of(records: list[Record]) -> int:
    """Bytes that `records` take up."""
    return sum([len(record.data) for record in records]) + RECORD_BYTES * len(records)
