"""What waits for the journal: within quota in the order it came, over quota parked, and which of it is next."""

import asyncio
import itertools
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence

from socmon import log, metrics
from socmon.event import Record, Source
from socmon.quotas import BATCH_BYTES, LONG_S, RECORD_BYTES, Buckets, Overruns, Parking, SourceKey

MAX_BATCH = 1000
MAX_BATCH_BYTES = 4 * 1024 * 1024

_log = log.get("intake")
_numbers = itertools.count()


class Offering:
    """Records of one emit or offer, and of one source if they are parked.

    Attributes:
        written: done when they may be acknowledged.
        offered: nobody waits for that; so they take up room where they wait.
        number: grows in the order in which they were handed in.
    """

    def __init__(self, records: Sequence[Record], *, offered: bool) -> None:
        self.records = records
        self.written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.offered = offered
        self.number = next(_numbers)
        self.source = _key(records[0].source)
        self.size_bytes = sum(len(record.data) for record in records)
        self.room_bytes = BATCH_BYTES + self.size_bytes + RECORD_BYTES * len(records) if offered else 0


class Waiting:
    """The buffer before the journal.

    Args:
        buffer_records: within quota, at most; `put` does not look, its caller does.
        over_quota_bytes: of parked ones that nobody waits for.

    Attributes:
        held: records within quota.
    """

    def __init__(self, buffer_records: int, over_quota_bytes: int) -> None:
        self._buffer_records = buffer_records
        self._queue: deque[Offering] = deque()
        self._parking: Parking[Offering] = Parking(over_quota_bytes)
        self._buckets = Buckets()
        self._overruns = Overruns()
        self._rarely = log.Rarely()
        self.limit = self._buckets.limit
        self.held = 0
        metrics.INTAKE_CAPACITY.set(buffer_records)

    def __bool__(self) -> bool:
        return bool(self._queue or self._parking)

    def __iter__(self) -> Iterator[Offering]:
        yield from self._queue
        yield from self._parking

    @property
    def within(self) -> bool:
        """Whether records within quota wait."""
        return bool(self._queue)

    @property
    def room(self) -> int:
        """How many records within quota may be put."""
        return max(0, self._buffer_records - self.held)

    def has_room(self, records: int) -> bool:
        """Whether so many more may be put; into an empty buffer any number."""
        return not self.held or self.held + records <= self._buffer_records

    def put(self, batch: Sequence[Record]) -> list[Offering]:
        """Take all of `batch`, of a sender that waits; what is within quota and what of each source is over it."""
        within, over = self._judged(batch)
        taken = self._line_up(within, offered=False)
        for records in over.values():
            taken += self._park(records, offered=False)
        self._show()
        return taken

    def put_what_fits(self, batch: Sequence[Record]) -> tuple[int, Mapping[str, int]]:
        """Take what there is room for; how many these are, and what the others stand for by the reason."""
        within, over = self._judged(batch)
        room = self.room
        dropped = Counter(buffer_full=counted(within[room:]))
        taken = self._line_up(within[:room], offered=True)
        for source, records in over.items():
            fitting = self._parking.fitting(source, records)  # beside those of the sources before
            dropped["over_quota"] += counted(records[fitting:])
            if fitting < len(records):
                self._tell_loss(source, counted(records[fitting:]))
            taken += self._park(records[:fitting], offered=True)
        self._show()
        return sum(len(offering.records) for offering in taken), +dropped

    def over_quota(self, source: Source, records: int) -> bool:
        """Whether `records` more of `source` would be parked."""
        return self._is_over(_key(source), records, time.monotonic_ns())

    def holds_back(self, collector: str, peer: str | None) -> bool:
        """Whether records of `collector` are parked; of `peer` alone, unless it is None."""
        return any(key[0] == collector and peer in {None, key[1]} for key in self._parking.sources)

    def withdraw(self, offering: Offering) -> bool:
        """Take back `offering`; False if it waits no more."""
        if offering not in self._queue:
            return self._parking.remove(offering)
        self._queue.remove(offering)
        self.held -= len(offering.records)
        return True

    def take(self, *, parked: bool) -> list[Offering]:
        """What the next frame is made of, in order; what is parked only if it may go and nothing within quota waits."""
        offerings: list[Offering] = []
        count = size_bytes = 0
        while self._queue:
            count += len(self._queue[0].records)
            size_bytes += self._queue[0].size_bytes
            if offerings and (count > MAX_BATCH or size_bytes > MAX_BATCH_BYTES):
                break
            offerings.append(self._queue.popleft())
            self.held -= len(offerings[-1].records)
        if parked and not offerings:
            offerings = self._parking.take(MAX_BATCH, MAX_BATCH_BYTES)
            # It counts: else whoever floods would have its quota besides, ahead of others.
            for offering in offerings:
                self._buckets.spend(offering.source, len(offering.records), time.monotonic_ns())
        self._show()
        return offerings

    def _is_over(self, source: SourceKey, records: int, now_ns: int) -> bool:
        # Behind parked ones newer ones park too: a source's order is kept.
        return source in self._parking or not self._buckets.allow(source, records, now_ns)

    def _judged(self, batch: Sequence[Record]) -> tuple[Sequence[Record], dict[SourceKey, list[Record]]]:
        """What is within quota, and what is over it by source. All that a source has in `batch` is one or the other."""
        now_ns = time.monotonic_ns()
        over: dict[SourceKey, list[Record]] = {}
        for source, records in _by_source(batch).items():
            if self._is_over(source, len(records), now_ns):
                over[source] = records
                if self._overruns.long(source, now_ns):
                    self._tell(source)
            else:
                self._buckets.spend(source, len(records), now_ns)
        return ([record for record in batch if _key(record.source) not in over] if over else batch), over

    def _tell_loss(self, source: SourceKey, records: int) -> None:
        if records := self._rarely.times("over_quota", records):
            collector, peer = source
            _log.warning(
                "a source floods, what there is no room for is dropped",
                component=collector,
                source=peer,
                records=records,
            )

    def _tell(self, source: SourceKey) -> None:
        collector, peer = source
        _log.warning(
            "source stays over its quota and waits for all others; quiet it, or raise quota_per_s",
            component=collector,
            source=peer,
            quota_per_s=self._buckets.quota(collector),
            for_s=LONG_S,
        )

    def _line_up(self, within: Sequence[Record], *, offered: bool) -> list[Offering]:
        queued = [Offering(part, offered=offered) for part in parts(within)]
        self._queue += queued
        self.held += len(within)
        return queued

    def _park(self, over: Sequence[Record], *, offered: bool) -> list[Offering]:
        parked = [Offering(part, offered=offered) for part in parts(over)]
        for offering in parked:
            self._parking.put(offering)
        return parked

    def _show(self) -> None:
        metrics.INTAKE_HELD.set(self.held)
        metrics.INTAKE_OVER_QUOTA.set(self._parking.records)


def counted(records: Sequence[Record]) -> int:
    """Collected records that `records` stand for."""
    return sum(record.count for record in records)


def parts(batch: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Slices of `batch` that one journal frame takes."""
    start = size_bytes = 0
    for index, record in enumerate(batch):
        size_bytes += len(record.data)
        if index - start >= MAX_BATCH or (index > start and size_bytes > MAX_BATCH_BYTES):
            yield batch[start:index]
            start, size_bytes = index, len(record.data)
    if start < len(batch):
        yield batch[start:]


def _key(source: Source) -> SourceKey:
    return source.collector, source.peer


def _by_source(batch: Sequence[Record]) -> dict[SourceKey, list[Record]]:
    first = batch[0].source if batch else None
    if first is not None and all(record.source is first for record in batch):  # as of a file; 20 µs for 1,000
        return {_key(first): list(batch)}
    found: dict[SourceKey, list[Record]] = {}
    for record in batch:
        found.setdefault(_key(record.source), []).append(record)
    return found
