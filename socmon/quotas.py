"""Quotas: which records may go to the journal at once, and where the others wait. Pure, on the caller's clock.

Why it is so: docs/adr/0033-over-quota-waits-for-detection.md; what it promises: docs/semantics.md, "Quotas".
"""

from collections import OrderedDict, deque
from collections.abc import Collection, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from socmon.event import Record

SECOND_NS = 1_000_000_000
RECORD_BYTES = 200  # what Python needs around the bytes of a record
BATCH_BYTES = 1500  # and around a batch that waits, with a lane of its own
MAX_SOURCES = 10_000
LONG_S = 60
_GAP_S = 10
_TOLD_EVERY_S = 3600
_MAX_OVERRUNS = 1_000

SourceKey = tuple[str, str]
"""(collector, peer)."""


class Buckets:
    """A token bucket for each source, which holds one second of its collector's quota.

    Args:
        max_sources: buckets at most; sources beyond these share one for each collector. A full bucket is no bucket.
    """

    def __init__(self, *, max_sources: int = MAX_SOURCES) -> None:
        self._max_sources = max_sources
        self._per_s: dict[str, int] = {}
        # When the bucket will be full again: all its state (the virtual scheduling of ITU-T I.371, annex A).
        self._full_ns: OrderedDict[SourceKey, int] = OrderedDict()

    def limit(self, collector: str, per_s: int) -> None:
        """Give each source of `collector` a quota of `per_s` records a second; 0 is none, as before this is called."""
        self._per_s.pop(collector, None)
        if per_s:
            self._per_s[collector] = per_s

    def quota(self, collector: str) -> int:
        """Records a second; 0 where there is no quota."""
        return self._per_s.get(collector, 0)

    def allow(self, source: SourceKey, records: int, now_ns: int) -> bool:
        """Whether `records` more of `source` are within its quota at `now_ns`, which never goes back."""
        per_s = self.quota(source[0])
        if not per_s:
            return True
        left_ns = max(0, self._full_ns.get(self._bucket(source, now_ns), 0) - now_ns)
        return records * _cost_ns(per_s) <= per_s * _cost_ns(per_s) - left_ns

    def spend(self, source: SourceKey, records: int, now_ns: int) -> None:
        """Take the tokens of `records`, or all there are."""
        per_s = self.quota(source[0])
        if not per_s:
            return
        bucket, cost_ns = self._bucket(source, now_ns), _cost_ns(per_s)
        full_ns = max(now_ns, self._full_ns.get(bucket, 0)) + records * cost_ns
        self._full_ns[bucket] = min(full_ns, now_ns + per_s * cost_ns)
        self._full_ns.move_to_end(bucket)

    def _bucket(self, source: SourceKey, now_ns: int) -> SourceKey:
        if source in self._full_ns:
            return source
        while self._full_ns and self._full_ns[next(iter(self._full_ns))] <= now_ns:
            self._full_ns.popitem(last=False)
        return source if len(self._full_ns) < self._max_sources else (source[0], "")


def _cost_ns(per_s: int) -> int:
    """Time that one token takes to come, rounded up: never more of them than `per_s` a second."""
    return -(-SECOND_NS // per_s)


class Batch(Protocol):
    """What is parked: records of one source, which are taken together.

    Attributes:
        source: whose they are.
        size_bytes: of their data.
        room_bytes: what they take of the room; 0 where the sender waits, so that its own bounds hold.
    """

    records: Sequence[Record]
    source: SourceKey
    size_bytes: int
    room_bytes: int


BatchT = TypeVar("BatchT", bound=Batch)


class Parking(Generic[BatchT]):
    """Where records over their quota wait: in order within a source, and the sources take turns.

    A source never takes up more than what is left free, so one gets half the room, two get a third each, and
    whoever comes next finds some (the dynamic threshold of Choudhury and Hahne, IEEE/ACM Transactions on Networking
    6(2), 1998).

    Args:
        room_bytes: of all batches together, those of senders that wait left out.

    Attributes:
        records: how many wait.
    """

    def __init__(self, room_bytes: int) -> None:
        self._room_bytes = room_bytes
        self._taken_bytes: dict[SourceKey, int] = {}
        self._free_bytes = room_bytes
        self._lanes: OrderedDict[SourceKey, deque[BatchT]] = OrderedDict()  # whose turn it is first
        self.records = 0

    def __contains__(self, source: SourceKey) -> bool:
        return source in self._lanes

    @property
    def sources(self) -> Collection[SourceKey]:
        """Of which something waits."""
        return self._lanes.keys()

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def __iter__(self) -> Iterator[BatchT]:
        return (batch for lane in self._lanes.values() for batch in lane)

    def fitting(self, source: SourceKey, records: Sequence[Record]) -> int:
        """How many of `records`, from their start, there is room for."""
        left_bytes = (self._free_bytes - self._taken_bytes.get(source, 0)) // 2 - BATCH_BYTES
        for index, record in enumerate(records):
            left_bytes -= RECORD_BYTES + len(record.data)
            if left_bytes < 0:
                return index
        return len(records)

    def put(self, batch: BatchT) -> None:
        """Let `batch` wait behind those of its source; `fitting` has said that there is room."""
        self._lanes.setdefault(batch.source, deque()).append(batch)
        self._count(batch, 1)

    def remove(self, batch: BatchT) -> bool:
        """Take back `batch`; False if it waits no more."""
        lane = self._lanes.get(batch.source)
        if lane is None or batch not in lane:
            return False
        lane.remove(batch)
        self._left(batch, lane)
        return True

    def take(self, max_records: int, max_bytes: int) -> list[BatchT]:
        """The next batches, so many together at most (but one in any case); whoever gave last is last in turn."""
        taken: list[BatchT] = []
        while self._lanes:
            source, lane = next(iter(self._lanes.items()))
            gave = 0
            while lane and (not taken or (len(lane[0].records) <= max_records and lane[0].size_bytes <= max_bytes)):
                batch = lane.popleft()
                max_records -= len(batch.records)
                max_bytes -= batch.size_bytes
                taken.append(batch)
                gave += 1
                self._left(batch, lane)
            if lane:
                if gave:
                    self._lanes.move_to_end(source)
                break
        return taken

    def _left(self, batch: BatchT, lane: deque[BatchT]) -> None:
        self._count(batch, -1)
        if not lane:
            del self._lanes[batch.source]
            self._taken_bytes.pop(batch.source, None)

    def _count(self, batch: BatchT, sign: int) -> None:
        self.records += sign * len(batch.records)
        if batch.room_bytes:
            self._free_bytes -= sign * batch.room_bytes
            self._taken_bytes[batch.source] = self._taken_bytes.get(batch.source, 0) + sign * batch.room_bytes


class Overruns:
    """Decides when to tell of a source that stays over its quota: after LONG_S, then hourly; one source a minute."""

    def __init__(self) -> None:
        self._since_ns: OrderedDict[SourceKey, tuple[int, int]] = OrderedDict()  # since when, and last when
        self._told_ns: OrderedDict[SourceKey, int] = OrderedDict()

    def long(self, source: SourceKey, now_ns: int) -> bool:
        """Note that `source` is over its quota at `now_ns`; whether to tell of it now."""
        since_ns, last_ns = self._since_ns.pop(source, (now_ns, now_ns))
        if now_ns - last_ns > _GAP_S * SECOND_NS:
            since_ns = now_ns
        self._since_ns[source] = (since_ns, now_ns)
        if len(self._since_ns) > _MAX_OVERRUNS:
            self._since_ns.popitem(last=False)
        newest_ns = next(reversed(self._told_ns.values()), None)
        if (
            now_ns - since_ns < LONG_S * SECOND_NS
            or (source in self._told_ns and now_ns - self._told_ns[source] < _TOLD_EVERY_S * SECOND_NS)
            or (newest_ns is not None and now_ns - newest_ns < LONG_S * SECOND_NS)
        ):
            return False
        self._told_ns.pop(source, None)
        self._told_ns[source] = now_ns
        if len(self._told_ns) > _MAX_OVERRUNS:
            self._told_ns.popitem(last=False)
        return True
