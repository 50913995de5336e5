"""The first stage: what collectors hand in is journalled, in batches and in arrival order, before anything else."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from socmon import failpoints, log, metrics, parsers
from socmon.errors import JournalError
from socmon.event import Record, Source
from socmon.journal import Drop, Journal, UnwritableError
from socmon.sections import IntakeSettings, JournalSettings
from socmon.watchdog import Pulse

MAX_BATCH = 1000
MAX_BATCH_BYTES = 4 * 1024 * 1024
_MAX_SOURCES = 10_000
_SAMPLES = 20  # records that a source's format is settled from
_DROPS_LATE_S = 1.0  # docs/semantics.md, "Ledger"
_COALESCE_S = 0.005  # docs/semantics.md, "Durability order"
_TURN_S = 1.0  # between two turns of the writer, though nothing comes in
_RETRY_S = 1.0  # a full disk is looked at again this often

_log = log.get("intake")


class _Offering:
    """Records of one emit or offer; `written` is done when they may be acknowledged."""

    def __init__(self, records: Sequence[Record], written: asyncio.Future[None]) -> None:
        self.records = records
        self.written = written
        self.size_bytes = sum(len(record.data) for record in records)


class Intake:
    """Owns the buffer before the journal, and the journal's only writer thread."""

    def __init__(self, journal: Journal, intake: IntakeSettings, journalling: JournalSettings) -> None:
        self._journal = journal
        self._buffer_records = intake.buffer_records
        self._tick_s = intake.tick_s
        self._fsync_each_batch = journalling.fsync == "batch"
        self._fsync_interval_s = _COALESCE_S if self._fsync_each_batch else journalling.fsync_interval_s
        # Threads of its own: a shared pool could be full of somebody's calls that hang.
        self._thread = ThreadPoolExecutor(1, "journal")
        self._sync_thread = ThreadPoolExecutor(1, "journal-sync")
        self._queue: deque[_Offering] = deque()
        self._held = 0
        self._drops: dict[tuple[str, str], int] = {}
        self._sources = journal.sources()
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._dirty = asyncio.Event()
        self._unsynced: dict[str, dict[str, bytes]] = {}  # collector → stream → newest position
        self._waiting_sync: list[_Offering] = []
        self._savers: dict[str, list[_Saved]] = {}
        self._closing = False
        self._paused = False
        self.appended = asyncio.Event()  # set at each append; matching clears it
        self.failing = ""  # why nothing can be journalled now; "" when all is well
        self.pulse = Pulse("journal writer")

    # ── the collectors' side ─────────────────────────────────────────────────────────────────────────────────────

    async def emit(self, batch: Sequence[Record]) -> None:
        """See Context.emit."""
        for part in _parts(batch):
            while self._paused or (self._held and self._held + len(part) > self._buffer_records):
                self._room.clear()
                await self._room.wait()
            offering = _Offering(part, asyncio.get_running_loop().create_future())
            self._put(offering)
            try:
                await asyncio.shield(offering.written)
            except asyncio.CancelledError:
                await self._withdraw(offering)
                raise

    async def _withdraw(self, offering: _Offering) -> None:
        """The collector is stopped: what is not being written yet is not written, so that positions tell the truth."""
        if offering in self._queue:
            self._queue.remove(offering)
            self._held -= len(offering.records)
            self._room.set()
        else:
            await asyncio.shield(offering.written)

    def offer(self, batch: Sequence[Record]) -> int:
        """See Context.offer; the caller counts what was not taken, with `no_room` as the reason."""
        room = 0 if self._paused else max(0, self._buffer_records - self._held)
        taken = batch[:room]
        for part in _parts(taken):
            self._put(_Offering(part, asyncio.get_running_loop().create_future()))
        return len(taken)

    @property
    def no_room(self) -> str:
        """Why records are not taken, when they are not."""
        return "store_failing" if self._paused else "buffer_full"

    def drop(self, collector: str, reason: str, records: int) -> None:
        """Enter records lost before the journal into the ledger, at most a second late."""
        if not self._drops:
            asyncio.get_running_loop().call_later(_DROPS_LATE_S, self._work.set)
        self._drops[collector, reason] = self._drops.get((collector, reason), 0) + records

    def pause(self) -> None:
        """Make senders wait (emit) or lose (offer), while alerts cannot be stored (docs/semantics.md, "Disk full")."""
        self._paused = True

    def resume(self) -> None:
        """Take records again."""
        self._paused = False
        self._room.set()

    async def saved(self, collector: str) -> AsyncIterator[tuple[str, bytes]]:
        """See Context.saved."""
        saver = _Saved()
        self._savers.setdefault(collector, []).append(saver)
        try:
            while True:
                yield await saver.take()
        finally:
            self._savers[collector].remove(saver)

    def _put(self, offering: _Offering) -> None:
        self._queue.append(offering)
        self._held += len(offering.records)
        self._work.set()

    # ── the journal's side ───────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Journal until `close`; a disk that is full makes everything wait, and is tried again each second.

        Raises:
            JournalError: the disk failed; the process must end, and open the journal anew.
        """
        idle_since_s = time.monotonic()
        taken: list[_Offering] = []
        try:
            while not (self._closing and not self._queue and not self._drops):
                tick_due_s = max(0.0, idle_since_s + self._tick_s - time.monotonic())
                await until(self._work, min(tick_due_s, _TURN_S))
                self.pulse.beat()
                self._work.clear()
                taken, records = self._take()
                tick = not records and time.monotonic() - idle_since_s >= self._tick_s
                if records or self._drops or tick:
                    await self._append(records, tick=tick)
                    idle_since_s = time.monotonic()
                for offering in taken:
                    self._acknowledge(offering)
                if self._queue:
                    self._work.set()
        finally:
            for offering in (*taken, *self._queue, *self._waiting_sync):
                offering.written.cancel()  # nobody will answer for it any more

    def _take(self) -> tuple[list[_Offering], list[Record]]:
        offerings: list[_Offering] = []
        count = size_bytes = 0
        while self._queue:
            count += len(self._queue[0].records)
            size_bytes += self._queue[0].size_bytes
            if offerings and (count > MAX_BATCH or size_bytes > MAX_BATCH_BYTES):
                break
            offerings.append(self._queue.popleft())
        return offerings, self._settled([record for item in offerings for record in item.records])

    async def _append(self, records: list[Record], *, tick: bool) -> None:
        drops, self._drops = self._drops, {}
        rows = [Drop(collector, reason, count) for (collector, reason), count in drops.items()]
        self._held -= len(records)
        await self._append_parts(records, rows, tick=tick)
        self._room.set()
        self.appended.set()
        self._dirty.set()

    async def _append_parts(self, records: list[Record], drops: Sequence[Drop], *, tick: bool) -> None:
        """Append one frame; a record that no frame can hold is dropped, counted, and the others go on."""
        try:
            await self._append_frame(records, drops, tick=tick)
        except UnwritableError as error:
            if len(records) <= 1:
                for record in records:
                    _log.error("a record cannot be journalled, it is dropped", error=str(error))
                    metrics.dropped(record.source.collector, record.count, "unwritable")
                    self.drop(record.source.collector, "unwritable", record.count)
                return
            half = len(records) // 2
            await self._append_parts(records[:half], drops, tick=tick)
            await self._append_parts(records[half:], (), tick=False)
        for record in records:
            if record.position is not None:
                self._unsynced.setdefault(record.source.collector, {})[record.position[0]] = record.position[1]

    async def _append_frame(self, records: list[Record], drops: Sequence[Drop], *, tick: bool) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                number = await loop.run_in_executor(self._thread, lambda: self._write(records, drops, tick=tick))
            except UnwritableError:
                raise
            except JournalError as error:
                if self._journal.broken:
                    raise
                if not self.failing:
                    _log.error("the journal cannot be written, senders wait", error=str(error))
                self.failing = str(error)
                self.pulse.beat()
                await asyncio.sleep(_RETRY_S)
            else:
                break
        if self.failing:
            _log.info("the journal can be written again")
        self.failing = ""
        metrics.JOURNAL_LAST.set(number)

    def _write(self, records: list[Record], drops: Sequence[Drop], *, tick: bool) -> int:
        failpoints.hang("journal.hang")
        batch = self._journal.append(records, written_us=time.time_ns() // 1000, drops=drops, tick=tick)
        metrics.JOURNAL_RECORDS.inc(len(records))
        metrics.JOURNAL_BYTES.inc(sum(len(record.data) for record in records))
        return batch.number

    def _acknowledge(self, offering: _Offering) -> None:
        if self._fsync_each_batch:
            self._waiting_sync.append(offering)
        elif not offering.written.done():
            offering.written.set_result(None)

    def _settled(self, records: list[Record]) -> list[Record]:
        """The records with their sources' formats settled, from the first records that a source ever sent."""
        open_sources = {record.source for record in records if record.source.format == "auto"}
        if not open_sources:
            return records
        settled = {source: self._settle(source, records) for source in open_sources}
        return [
            msgspec.structs.replace(record, source=settled[record.source]) if record.source in settled else record
            for record in records
        ]

    def _settle(self, source: Source, records: list[Record]) -> Source:
        key = (source.collector, source.peer)
        known = self._sources.get(key)
        if known is None or known.format == "auto":
            samples = [record.data for record in records if record.source == source][:_SAMPLES]
            found = parsers.detect(samples)
            known = source if found is None else msgspec.structs.replace(source, format=found, chosen="detected")
            self._sources[key] = known
            while len(self._sources) > _MAX_SOURCES:
                del self._sources[next(iter(self._sources))]
        # Only the format was found out; zone and the rest are the configuration's, which may have changed.
        return msgspec.structs.replace(source, format=known.format, chosen=known.chosen)

    async def sync(self) -> None:
        """Make the journal durable as configured, and tell who waits for that, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._dirty.wait()
            await asyncio.sleep(self._fsync_interval_s)
            self._dirty.clear()
            waiting, self._waiting_sync = self._waiting_sync, []
            positions, self._unsynced = self._unsynced, {}
            await loop.run_in_executor(self._sync_thread, self.durable)
            for offering in waiting:
                if not offering.written.done():
                    offering.written.set_result(None)
            for collector, streams in positions.items():
                for saver in self._savers.get(collector, ()):
                    saver.put(streams)

    def durable(self, number: int | None = None) -> None:
        """Block until the journal is on disk up to frame `number`, or all of it."""
        if number is None or self._journal.synced_number < number:
            with metrics.JOURNAL_SYNC_SECONDS.time():
                metrics.JOURNAL_SYNCED.set(self._journal.sync())

    def close(self) -> None:
        """Take nothing more; `run` ends when what is in the buffer is journalled."""
        self._closing = True
        self._work.set()

    def shutdown(self) -> None:
        """Let go of the threads."""
        self._thread.shutdown()
        self._sync_thread.shutdown()


class _Saved:
    """One listener's positions, only the newest of each stream."""

    def __init__(self) -> None:
        self._newest: dict[str, bytes] = {}
        self._some = asyncio.Event()

    def put(self, streams: dict[str, bytes]) -> None:
        for stream, position in streams.items():
            self._newest.pop(stream, None)
            self._newest[stream] = position
        self._some.set()

    async def take(self) -> tuple[str, bytes]:
        await self._some.wait()
        stream = next(iter(self._newest))
        position = self._newest.pop(stream)
        if not self._newest:
            self._some.clear()
        return stream, position


def _parts(batch: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Slices of `batch` that one journal frame takes."""
    start = size_bytes = 0
    for index, record in enumerate(batch):
        size_bytes += len(record.data)
        if index - start >= MAX_BATCH or (index > start and size_bytes > MAX_BATCH_BYTES):
            yield batch[start:index]
            start, size_bytes = index, len(record.data)
    if start < len(batch):
        yield batch[start:]


async def until(event: asyncio.Event, timeout_s: float) -> bool:
    """Whether `event` is set before `timeout_s` is over."""
    # Not wait_for: before Python 3.12 it loses a cancellation that comes in the same turn as the event.
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
