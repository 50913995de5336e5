"""Topics of Apache Kafka, read as a member of a consumer group (Kafka protocol, fetch and group requests)."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaConnectionError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
)

from collectors._apart import Apart
from collectors._beating import beating
from collectors._kafka_messages import records_of
from collectors._kafka_positions import Known, Start, decode, partition_of, start_of, stream_of
from collectors._kafka_settings import KafkaSettings
from socmon.component import BEAT_S, Collector, Context
from socmon.errors import ComponentError
from socmon.event import Record
from socmon.kafka import FAILURES, end, trouble, why_unreachable
from socmon.log import Rarely
from socmon.worker import Worker

BATCH_RECORDS = 1000
COMMIT_S = 1.0  # offsets of the group are for others, so they need not be newer
# Together less than the 5 s that the daemon gives collectors to stop.
SAFE_S = 2.0  # what was journalled last is on disk after journal.fsync_interval_s
COMMIT_WAIT_S = 0.7
STOP_S = 1.5
FETCH_BYTES = 16 * 1024 * 1024  # of one broker, at once
_NEVER_MS = 2**31 - 1


class KafkaCollector(Collector[KafkaSettings]):
    """Reads the partitions that the group gives it. A record is the value of a message; keys and headers are not kept.

    The journal's positions count: at each assignment a partition is read on behind them (see `start_of`), and the group
    is told an offset only when what is before it is in the journal and safe on disk.
    """

    settings_type: ClassVar[type[KafkaSettings]] = KafkaSettings
    _ran: ClassVar[set[str]] = set()
    """Collectors that ran in this process, by name: of what they journalled last it is not known that it is on disk."""

    def __init__(self, context: Context[KafkaSettings]) -> None:
        super().__init__(context)
        self._rarely = Rarely()
        self._moved = asyncio.Event()  # a batch was journalled, positions are safe, or partitions came
        self._busy = Apart(context.name, self._moved.set)
        self._new: set[TopicPartition] = set()  # ours, and not positioned yet
        self._next: dict[TopicPartition, int] = {}  # ours: the offset to come
        self._safe: dict[TopicPartition, int] = {}  # behind what is in the journal and on disk
        self._committed: dict[TopicPartition, int] = {}
        self._safe_at_first = context.name not in self._ran
        self._assignments = 0
        self._commit_due_s = 0.0
        self._heard_s = 0.0

    async def run(self) -> None:
        """Read until cancelled; once.

        Raises:
            ComponentError: the brokers cannot be reached, refuse us, or are gone.
        """
        with beating(self.context):
            options = await self._options()
        self._consumer = AIOKafkaConsumer(**options, **self._reading())
        self._ran.add(self.context.name)
        self._following = asyncio.create_task(self._follow(), name=f"collector {self.context.name}, what is safe")
        try:
            with beating(self.context):
                await self._join(options)
            await self._receive()
        except FAILURES as error:
            raise trouble(self.settings, error) from error
        finally:
            await self._busy.stop()
            try:
                await self._leave()
            finally:
                self._following.cancel()

    def _reading(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "client_id": f"socmon-{self.context.name}",
            "group_id": settings.group,
            "group_instance_id": settings.member,
            "session_timeout_ms": int(settings.session_timeout_s * 1000),
            "heartbeat_interval_ms": int(settings.session_timeout_s * 1000 / 3),
            "request_timeout_ms": int(settings.timeout_s * 1000),
            # A journal that is full is no reason to leave the group.
            "max_poll_interval_ms": _NEVER_MS,
            "fetch_max_bytes": FETCH_BYTES,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "isolation_level": "read_committed",
        }

    async def _options(self) -> dict[str, Any]:
        """How to connect; reads keys and password."""
        settings = self.settings
        if settings.exposes_password:
            self.context.log.warning("the account is told to the brokers without encryption", servers=settings.where)
        worker = Worker(f"collector {self.context.name}")
        try:
            async with asyncio.timeout(settings.timeout_s):
                return await worker.run(lambda: settings.connection(settings.tls_context() if settings.tls else None))
        except TimeoutError as error:
            raise ComponentError(f"the keys were not read within {settings.timeout_s:g} s; check the disk") from error
        finally:
            worker.close()

    async def _join(self, options: dict[str, Any]) -> None:
        """Connect, and ask to become a member of the group."""
        try:
            await self._asked(self._consumer.start())
        except KafkaConnectionError as error:
            raise await why_unreachable(self.settings, options) from error
        if missing := set(self.settings.topics) - await self._asked(self._consumer.topics()):
            raise UnknownTopicOrPartitionError(", ".join(sorted(missing)))
        self._consumer.subscribe(self.settings.topics, listener=_Listener(self))
        self.context.log.info("connected", servers=self.settings.where, group=self.settings.group)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _receive(self) -> None:
        loop = asyncio.get_running_loop()
        self._heard_s = loop.time()
        while True:
            self.context.beat()
            self._busy.check()
            if self._following.done():
                self._following.result()
            self._moved.clear()
            with beating(self.context):
                if self._new:
                    await self._take_up(set(self._new))
                if loop.time() >= self._commit_due_s:
                    self._commit_due_s = loop.time() + COMMIT_S
                    await self._commit()
                if loop.time() >= self._heard_s + self.settings.timeout_s:
                    await self._probe()
                    self._heard_s = loop.time()
            for part, messages in (await self._fetch()).items():
                self._heard_s = loop.time()
                self._begin(part, messages)

    async def _fetch(self) -> Mapping[TopicPartition, Sequence[ConsumerRecord[bytes, bytes]]]:
        """What has come of partitions that are not busy; returns within half a beat, and when something has moved."""
        free = [part for part in self._next if stream_of(*part) not in self._busy]
        if self._next and not free:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S / 2):
                    await self._moved.wait()
            return {}
        fetching = asyncio.ensure_future(self._consumer.getmany(*free, timeout_ms=500, max_records=BATCH_RECORDS))
        moving = asyncio.ensure_future(self._moved.wait())
        try:
            await asyncio.wait([fetching, moving], timeout=BEAT_S / 2, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in (fetching, moving):
                wait.cancel()
            await asyncio.wait([fetching, moving])
        try:
            return {} if fetching.cancelled() else fetching.result()
        except OffsetOutOfRangeError as error:  # retention was faster than we
            for part in error.args[0]:
                if self._next.pop(part, None) is not None:
                    self._new.add(part)
        except (IllegalStateError, NoOffsetForPartitionError):
            pass  # of an assignment that is over, or before it had positions
        return {}

    def _begin(self, part: TopicPartition, messages: Sequence[ConsumerRecord[bytes, bytes]]) -> None:
        """Journal `messages` beside what comes of other partitions, unless the partition is not ours any more."""
        expected = self._next.get(part)
        if expected is None or not messages:
            return
        messages = [message for message in messages if message.offset >= expected]
        if messages:
            self._next[part] = messages[-1].offset + 1
            self._busy.begin(stream_of(*part), self._journal(self._records(part, messages)))

    async def _journal(self, records: list[Record]) -> None:
        if records:
            await self.context.emit(records)
            self.context.counters.received(len(records), sum(len(record.data) for record in records))

    def _records(self, part: TopicPartition, messages: Sequence[ConsumerRecord[bytes, bytes]]) -> list[Record]:
        source, now_us = self.source(stream_of(*part)), time.time_ns() // 1000
        records, found = records_of(messages, source, received_us=now_us, max_bytes=self.settings.max_bytes)
        for reason, times in found.items():
            for _ in range(times):
                self.context.counters.error(reason)
        if found["too_long"] and (times := self._rarely.times("too_long", found["too_long"])):
            self.context.log.warning("message cut at max_bytes", peer=source.peer, times=times)
        return records

    async def _probe(self) -> None:
        """Whether anybody is there, when nothing has come for long: aiokafka itself would try for ever."""
        await self._asked(self._consumer.end_offsets([TopicPartition(self.settings.topics[0], 0)]))

    async def _asked(self, request: Any) -> Any:
        async with asyncio.timeout(self.settings.timeout_s):
            return await request

    # ── positions ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _take_up(self, parts: set[TopicPartition]) -> None:
        """Go on in partitions that are ours now."""
        assignment = self._assignments
        firsts = await self._asked(self._consumer.beginning_offsets(parts))
        ends = await self._asked(self._consumer.end_offsets(parts))
        committed = {part: await self._asked(self._consumer.committed(part)) for part in parts}
        unknown = {part.topic for part in parts if committed[part] is None and self._journalled(part) is None}
        known_topics = {topic for topic in unknown if await self._is_known(topic)} if unknown else set()
        if assignment != self._assignments:
            return  # they are not ours any more
        begun = {}
        for part in parts:
            known = Known(self._journalled(part), committed[part], firsts[part], ends[part])
            at = "beginning" if part.topic in known_topics else self.settings.start
            start = start_of(known, unknown_at=at)
            self._tell(part, known, start)
            self._consumer.seek(part, start.offset)
            self._new.discard(part)
            self._next[part] = start.offset
            self._committed[part] = -1 if committed[part] is None else committed[part]
            if self._safe_at_first and known.journalled is not None:
                self._safe.setdefault(part, known.journalled)
            if start.offset not in {known.journalled, known.committed}:
                begun[part] = self._safe[part] = start.offset
        await self._commit(begun)
        self.context.log.info("partitions taken up", partitions=sorted(stream_of(*part) for part in parts))

    async def _is_known(self, topic: str) -> bool:
        """Whether the journal or the group has a position in any partition of `topic`."""
        for number in self._consumer.partitions_for_topic(topic) or ():
            part = TopicPartition(topic, number)
            if self._journalled(part) is not None or await self._asked(self._consumer.committed(part)) is not None:
                return True
        return False

    def _journalled(self, part: TopicPartition) -> int | None:
        stream = stream_of(*part)
        data = self.context.position(stream)
        return None if data is None else decode(data, stream)

    def _tell(self, part: TopicPartition, known: Known, start: Start) -> None:
        if not start.trouble:
            return
        about = {"partition": stream_of(*part), "position": max(known.journalled or 0, known.committed or 0)}
        self.context.counters.error("out_of_range")
        if start.trouble == "ahead":
            self.context.log.error(
                "a position is behind the end of its partition, which is read anew", **about, goes_on=start.offset
            )
            return
        self.context.counters.received(start.lost, 0)
        self.context.counters.dropped(start.lost, "expired")
        self.context.log.error(
            "records were deleted before they were read, the oldest left are next",
            **about,
            goes_on=start.offset,
            lost=start.lost,
        )

    async def _follow(self) -> None:
        """Note what is in the journal and safe."""
        async for stream, position in self.context.saved():
            found, offset = partition_of(stream), decode(position, stream)
            part = TopicPartition(*found) if found else None
            # Of a partition that is read anew, one from before may still come.
            if part and offset <= self._next.get(part, offset):
                self._safe[part] = offset
                self._moved.set()

    async def _commit(self, begun: Mapping[TopicPartition, int] | None = None) -> None:
        """Tell the group what is safe, of the partitions that are ours; `begun` also where it has gone back."""
        offsets = {
            part: self._safe[part] for part in self._committed if self._safe.get(part, -1) > self._committed[part]
        } | dict(begun or {})
        if not offsets:
            return
        try:
            await self._asked(self._consumer.commit(offsets))
        except (CommitFailedError, IllegalStateError):
            # They have been given to others meanwhile, or the group comes together anew.
            self.context.counters.error("not_committed")
        else:
            self._committed |= offsets

    # ── partitions that go ───────────────────────────────────────────────────────────────────────────────────────

    def assigned(self, parts: set[TopicPartition]) -> None:
        """These are ours from now on."""
        self._assignments += 1
        self._new = set(parts)
        self._moved.set()

    async def give_up(self) -> None:
        """None is ours any more: whoever gets them must know what we have journalled."""
        self._assignments += 1
        ours = sorted(stream_of(*part) for part in self._next)
        self._new.clear()
        self._next.clear()
        await self._busy.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(SAFE_S):
                while any(self._unsafe(part) for part in self._committed):
                    self._moved.clear()
                    await self._moved.wait()
        try:
            await self._commit()
        except FAILURES:
            self.context.counters.error("not_committed")  # the next request says what is wrong
        self._committed.clear()
        if ours:
            self.context.log.info("partitions given up", partitions=ours)

    def _unsafe(self, part: TopicPartition) -> bool:
        """Whether something was journalled that may not be on disk yet."""
        journalled = self._journalled(part)
        return journalled is not None and journalled > max(self._committed[part], self._safe.get(part, -1))

    async def _leave(self) -> None:
        """Leave the group; the partitions go to others at once, unless we have a name to come back under."""
        with beating(self.context):
            try:
                async with asyncio.timeout(SAFE_S + COMMIT_WAIT_S):
                    await self.give_up()
            except FAILURES as error:
                self.context.log.debug("the group was not left in order", error=str(error))
            finally:
                await end(self._consumer, STOP_S)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Hears what the group gives and takes. What it raised, aiokafka would only log."""

    def __init__(self, collector: KafkaCollector) -> None:
        self._collector = collector

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:  # noqa: ARG002  all, always
        await self._collector.give_up()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._collector.assigned(assigned)
