"""The first stage: what collectors hand in is journalled, in batches and in arrival order, before anything else."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from socmon import failpoints, log, metrics, parsers
from socmon.errors import JournalError
from socmon.event import Record, Source
from socmon.journal import Drop, Journal, UnwritableError
from socmon.sections import IntakeSettings, JournalSettings
from socmon.waiting import Offering, Waiting, counted, parts
from socmon.watchdog import Pulse

_MAX_SOURCES = 10_000
_SAMPLES = 20  # records that a source's format is settled from
_DROPS_LATE_S = 1.0  # docs/semantics.md, "Ledger"
_COALESCE_S = 0.005  # docs/semantics.md, "Durability order"
_TURN_S = 1.0  # between two turns of the writer, though nothing comes in
_RETRY_S = 1.0  # a full disk is looked at again this often

_log = log.get("intake")


class Intake:
    """Owns the buffer before the journal, and the journal's only writer thread."""

    def __init__(self, journal: Journal, intake: IntakeSettings, journalling: JournalSettings) -> None:
        self._journal = journal
        self._tick_s = intake.tick_s
        self._fsync_each_batch = journalling.fsync == "batch"
        self._fsync_interval_s = _COALESCE_S if self._fsync_each_batch else journalling.fsync_interval_s
        # Threads of its own: a shared pool could be full of somebody's calls that hang.
        self._thread = ThreadPoolExecutor(1, "journal")
        self._sync_thread = ThreadPoolExecutor(1, "journal-sync")
        self._waiting = Waiting(intake.buffer_records, intake.over_quota_bytes)
        self._detected = 0  # the last frame that detection has taken in
        self._drops: dict[tuple[str, str], int] = {}
        self._sources = journal.sources()
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._dirty = asyncio.Event()
        self._unsynced: dict[str, dict[str, bytes]] = {}  # collector → stream → newest position
        self._newest: dict[tuple[str, str], int] = {}  # (collector, stream) → the offering of its newest position
        self._waiting_sync: list[Offering] = []
        self._savers: dict[str, list[_Saved]] = {}
        self._closing = self._hurried = False
        self._paused = False
        self.appended = asyncio.Event()  # set at each append; matching clears it
        self.may_detect = asyncio.Event()  # cleared while a stop empties the collectors: writing comes first
        self.may_detect.set()
        self.failing = ""  # why nothing can be journalled now; "" when all is well
        self.pulse = Pulse("journal writer")

    # ── the collectors' side ─────────────────────────────────────────────────────────────────────────────────────

    def limit(self, collector: str, quota_per_s: int) -> None:
        """Give each source of `collector` a quota of so many records a second; 0 is none, as before this is called."""
        self._waiting.limit(collector, quota_per_s)

    async def emit(self, batch: Sequence[Record]) -> None:
        """See Context.emit."""
        offerings: list[Offering] = []
        try:
            for part in parts(batch):
                while self._paused or not self._waiting.has_room(len(part)):
                    self._room.clear()
                    await self._room.wait()
                offerings += self._waiting.put(part)
                self._work.set()
            for offering in offerings:
                await asyncio.shield(offering.written)
        except asyncio.CancelledError:
            await self._withdraw(offerings)
            raise

    async def _withdraw(self, offerings: Sequence[Offering]) -> None:
        """The collector is stopped: what is not being written yet is not written, so that positions tell the truth."""
        writing = [offering for offering in offerings if not self._waiting.withdraw(offering)]
        self._room.set()
        for offering in writing:
            await asyncio.shield(offering.written)

    def offer(self, batch: Sequence[Record]) -> tuple[int, Mapping[str, int]]:
        """See Context.offer; how many are taken, and what the others stand for by the reason; the caller counts it."""
        if self._paused:
            return 0, {"store_failing": counted(batch)}
        self._work.set()
        return self._waiting.put_what_fits(batch)

    def free_room(self) -> int:
        """See Context.free_room."""
        return 0 if self._paused else self._waiting.room

    def over_quota(self, source: Source, records: int) -> bool:
        """See Context.over_quota."""
        return self._waiting.over_quota(source, records)

    def holds_back(self, collector: str, peer: str | None) -> bool:
        """See Waiting.holds_back."""
        return self._waiting.holds_back(collector, peer)

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

    # ── the journal's side ───────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Journal until `close`; a disk that is full makes everything wait, and is tried again each second.

        Raises:
            JournalError: the disk failed; the process must end, and open the journal anew.
        """
        idle_since_s = time.monotonic()
        taken: list[Offering] = []
        try:
            while not (self._closing and not self._waiting and not self._drops):
                tick_due_s = max(0.0, idle_since_s + self._tick_s - time.monotonic())
                await until(self._work, min(tick_due_s, _TURN_S))
                self.pulse.beat()
                self._work.clear()
                taken = self._waiting.take(parked=self._parked_may_go)
                records = self._settled([record for offering in taken for record in self._in_order(offering)])
                tick = not records and time.monotonic() - idle_since_s >= self._tick_s
                if records or self._drops or tick:
                    await self._append(records, tick=tick)
                    idle_since_s = time.monotonic()
                for offering in taken:
                    self._acknowledge(offering)
                taken = []
                if self._waiting.within or (self._waiting and self._parked_may_go):
                    self._work.set()
        finally:
            left = [*taken, *self._waiting]
            lost = sum(counted(each.records) for each in left if each.offered and not each.written.done())
            if lost:
                _log.warning("records taken in are lost, the journal did not take them", records=lost)
            for offering in (*left, *self._waiting_sync):
                offering.written.cancel()  # nobody will answer for it any more

    @property
    def _parked_may_go(self) -> bool:
        """Whether detection has caught up, so that whoever comes next waits for one batch at most."""
        return self._hurried or self._detected >= self._journal.last_number

    def detected(self, number: int) -> None:
        """Detection has come to frame `number`; at the end of the journal, what is over its quota may go on."""
        self._detected = number
        if self._waiting and self._parked_may_go:
            self._work.set()

    async def _append(self, records: list[Record], *, tick: bool) -> None:
        drops, self._drops = self._drops, {}
        rows = [Drop(collector, reason, count) for (collector, reason), count in drops.items()]
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
                for drop in drops if records else ():  # with the next frame then
                    self.drop(drop.collector, drop.reason, drop.count)
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

    def _in_order(self, offering: Offering) -> Iterator[Record]:
        """Its records; those that were parked, and so overtaken, do not set back the position of their stream."""
        for record in offering.records:
            if record.position is None or not offering.offered:  # whoever emits a stream waits, and is not overtaken
                yield record
                continue
            stream = (record.source.collector, record.position[0])
            newest = self._newest[stream] = max(offering.number, self._newest.get(stream, 0))
            yield record if newest == offering.number else msgspec.structs.replace(record, position=None)

    def _acknowledge(self, offering: Offering) -> None:
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

    def hurry(self) -> None:
        """The stop begins: until `close`, detection waits for what is over its quota, and not the other way round."""
        self._hurried = True
        self.may_detect.clear()
        self._work.set()

    def close(self) -> None:
        """Take nothing more; `run` ends when what is in the buffer is journalled."""
        self._closing = self._hurried = True
        self.may_detect.set()
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


async def until(event: asyncio.Event, timeout_s: float) -> bool:
    """Whether `event` is set before `timeout_s` is over."""
    # Not wait_for: before Python 3.12 it loses a cancellation that comes in the same turn as the event.
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
