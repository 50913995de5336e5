"""Messages of an MQTT 5 broker at QoS 1, acknowledged when the journal has them (OASIS MQTT 5.0, section 4.3.2)."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

import msgspec
from msgspec import Struct
from pydantic import Field, field_validator

from collectors._beating import beating
from collectors._seen_messages import SeenMessages, digest_of
from socmon.component import BEAT_S, Collector, CollectorSettings, Context
from socmon.event import Record, Source
from socmon.log import Rarely
from socmon.mqtt.connection import NEVER_SUBSCRIBED, Connection, Message
from socmon.mqtt.settings import BrokerSettings

MAX_TOPICS = 10_000  # who may publish may make up topics
OTHER_TOPICS = "#"  # no topic is called so
MAX_TOPIC_CHARS = 512
# No more in one call of `emit`, so that they come into one frame of the journal, with the position that tells of all.
BATCH_BYTES = 4 * 1024 * 1024
BATCH_RECORDS = 1000
# What may wait: then nothing more is read. Only brokers that send more than in_flight come there, as mosquitto 2.0 may.
MAX_WAITING = 1000
MAX_WAITING_BYTES = 16 * 1024 * 1024
GATHER_S = 0.05
_STOP_S = 2.5
_WEEK_S = 604_800


class MqttSettings(BrokerSettings, CollectorSettings):
    """Options of `kind: mqtt`."""

    client_id: str = Field(
        min_length=1,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="Name of our session at the broker; no other client may have it.",
    )
    topics: list[str] = Field(
        min_length=1,
        max_length=100,
        description="Topics to subscribe to, such as dc/+/temperature, dc/# or $share/GROUP/dc/#. One that is taken "
        "out stays subscribed as long as the broker keeps the session; to end that, change client_id.",
    )
    retained: bool = Field(
        default=False,
        description="Take what the broker retains of a topic when it is subscribed to for the first time. It is a "
        "state of unknown age, so mostly no event.",
    )
    session_expiry_s: int = Field(
        default=_WEEK_S,
        ge=60,
        le=4_294_967_295,
        description="Seconds for which the broker shall keep our session, with what is published meanwhile, while we "
        "are away; 4294967295 is for ever. The broker may allow less, and its own limits on what waits hold besides.",
    )
    in_flight: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="Messages that the broker may send before the first of them is acknowledged (receive maximum).",
    )
    max_bytes: int = Field(
        default=65_536,
        ge=256,
        le=1_048_576,
        description="Longest message, in bytes. The rest of a longer one is cut off and the cut counted as too_long. "
        "What is longer than 4 MiB the broker does not send, and does not tell of.",
    )
    timeout_s: float = Field(
        default=15.0, gt=0, le=600, description="Seconds until an attempt to connect or to subscribe is given up."
    )

    @field_validator("topics")
    @classmethod
    def _are_filters(cls, filters: list[str]) -> list[str]:
        for text in filters:
            if text == NEVER_SUBSCRIBED:
                raise ValueError(f"{text!r} has a use of its own; take another topic")
            if problem := _problem_of(text):
                raise ValueError(f"{text[:60]!r} is no topic to subscribe to: {problem}")
        return filters


class _Fresh(Struct, frozen=True):
    """A message that the journal does not have yet."""

    number: int
    digest: bytes
    repeated: bool
    record: Record


class MqttCollector(Collector[MqttSettings]):
    """Takes messages of one session that the broker keeps. A record is the payload of a message; its peer is the topic.

    While the journal is behind, nothing is acknowledged, and after `in_flight` messages the broker waits. What it sends
    again though the journal has it is acknowledged and not journalled; the journal's position tells, so that holds
    across a kill (docs/adr/0042-mqtt-once.md). Messages published at QoS 0 come at most once, as their sender wanted.
    """

    settings_type: ClassVar[type[MqttSettings]] = MqttSettings

    def __init__(self, context: Context[MqttSettings]) -> None:
        super().__init__(context)
        self._sources: dict[str, Source] = {}
        self._rarely = Rarely()
        self._seen = SeenMessages()
        self._waiting: list[Message] = []  # at QoS 1, in the order of receipt
        self._waiting_bytes = 0
        self._due = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._gathered: list[Record] = []  # at QoS 0
        self._gathered_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Take messages until cancelled; once.

        Raises:
            ComponentError: the broker is not there, refuses us, or has ended the connection.
        """
        settings, context = self.settings, self.context
        self._seen = SeenMessages.decode(context.position(settings.client_id))
        self._connection = connection = Connection(
            settings,
            settings.client_id,
            owner=context.name,
            session_s=settings.session_expiry_s,
            in_flight=settings.in_flight,
            received=self._take,
        )
        tasks: list[asyncio.Task[None]] = []
        try:
            with beating(context):
                await connection.open(settings.timeout_s)
            if not connection.resumed:
                self._seen.clear()
            self._tell(connection)
            # Tasks of their own: nothing may hold up the beat.
            for name, work in (("to the journal", self._pass_on), ("confirming", self._confirm)):
                tasks.append(asyncio.create_task(work(connection), name=f"collector {context.name}, {name}"))
            with beating(context):
                await connection.subscribe_all(
                    settings.topics, retained=settings.retained, timeout_s=settings.timeout_s
                )
            context.log.info("subscribed", broker=settings.place, topics=len(settings.topics))
            ends: list[asyncio.Future[None]] = [*tasks, connection.lost]
            while not any(each.done() for each in ends):
                context.beat()
                await asyncio.wait(ends, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    await task
            raise connection.failure()
        finally:
            for task in tasks:
                task.cancel()
            try:
                with beating(context):
                    if tasks:  # another run must know whether what was being journalled is in the journal
                        await asyncio.wait(tasks, timeout=_STOP_S)
            finally:
                connection.shut()
                self._hand_in()  # what has come meanwhile too

    def _tell(self, connection: Connection) -> None:
        settings, log = self.settings, self.context.log
        log.info("connected", broker=settings.place, resumed=connection.resumed)
        if settings.exposed:
            log.warning("the password crosses the network in the clear, set tls", broker=settings.place)
        if connection.kept_s < settings.session_expiry_s:
            log.warning(
                "the broker keeps our session for less time than configured",
                broker=settings.place,
                kept_s=connection.kept_s,
                session_expiry_s=settings.session_expiry_s,
            )

    # ── what comes in ────────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, message: Message) -> None:
        if not message.qos:
            self._gather(message)
            return
        self._waiting.append(message)
        self._waiting_bytes += len(message.payload)
        if len(self._waiting) >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES:
            self._connection.pause()
        self._due.set()

    def _gather(self, message: Message) -> None:
        """At QoS 0 nobody waits for an answer: what finds no room is dropped, and counted."""
        self.context.counters.error("qos_0")
        if times := self._rarely.times("qos_0"):
            self.context.log.warning(
                "messages are published at QoS 0, what is lost of them nobody knows", topic=message.topic, times=times
            )
        self._gathered.append(self._record(message))
        self._gathered_bytes += len(self._gathered[-1].data)
        if len(self._gathered) >= BATCH_RECORDS or self._gathered_bytes >= BATCH_BYTES:
            self._hand_in()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._hand_in)

    def _hand_in(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        records, self._gathered, self._gathered_bytes = self._gathered, [], 0
        if records:
            self.context.offer(records)

    def _record(self, message: Message) -> Record:
        settings, counters = self.settings, self.context.counters
        data = message.payload
        counters.received(1, len(data))
        if len(data) > settings.max_bytes:
            data = data[: settings.max_bytes]
            counters.error("too_long")
            if times := self._rarely.times("too_long"):
                self.context.log.warning(
                    "message cut at max_bytes", topic=message.topic, size_bytes=len(message.payload), times=times
                )
        return Record(data, self._source_of(message.topic), message.received_us)

    def _source_of(self, topic: str) -> Source:
        """The source that a topic is; beyond MAX_TOPICS of them one for all others."""
        peer = topic[:MAX_TOPIC_CHARS]
        known = self._sources.get(peer)
        if known is None and len(self._sources) >= MAX_TOPICS:
            self.context.counters.error("too_many_topics")
            if times := self._rarely.times("too_many_topics"):
                self.context.log.warning("more topics than are told apart", topics=MAX_TOPICS, topic=topic, times=times)
            peer = OTHER_TOPICS
            known = self._sources.get(peer)
        if known is None:
            known = self._sources[peer] = self.source(peer)
        return known

    # ── to the journal ───────────────────────────────────────────────────────────────────────────────────────────

    async def _pass_on(self, connection: Connection) -> None:
        """Journal what waits, then acknowledge it, for ever."""
        while True:
            await self._due.wait()
            self._due.clear()
            while self._waiting:
                count, fresh = self._next_batch()
                await self._journal(fresh)
                for message in self._waiting[:count]:
                    connection.acknowledge(message)
                    self._seen.answer(message.number)
                    self._waiting_bytes -= len(message.payload)
                del self._waiting[:count]
                self._acknowledged.set()
                connection.resume()

    async def _confirm(self, connection: Connection) -> None:
        """Forget what the broker has read the acknowledgement of, for ever: so a position tells of a few messages."""
        while True:
            await self._acknowledged.wait()
            self._acknowledged.clear()
            answered = self._seen.answered
            await connection.barrier(self.settings.timeout_s)
            self._seen.forget(answered)

    def _next_batch(self) -> tuple[int, list[_Fresh]]:
        """How many of those that wait are dealt with next, and which of these the journal must get."""
        count = size_bytes = 0
        fresh: list[_Fresh] = []
        for message in self._waiting[:BATCH_RECORDS]:
            digest = digest_of(message.topic, message.payload)
            if message.repeated and self._seen.has(message.number, digest):
                self.context.counters.error("repeated")
            else:
                size_bytes += min(len(message.payload), self.settings.max_bytes)
                if fresh and size_bytes > BATCH_BYTES:
                    break
                fresh.append(_Fresh(message.number, digest, message.repeated, self._record(message)))
            count += 1
        return count, fresh

    async def _journal(self, fresh: Sequence[_Fresh]) -> None:
        """Return when the journal has all of it.

        One call of `emit` after the other, and each comes whole into one frame, as none mixes those within their quota
        with others: so its last position can tell of all topics what the journal then has.
        """
        if any(not each.repeated for each in fresh):  # what the broker repeats it sends before anything new
            self._seen.answer_all()
        for part in self._parts(fresh):
            for each in part:
                self._seen.add(each.number, each.digest)
            *records, last = [each.record for each in part]
            position = (self.settings.client_id, self._seen.encode())
            await self.context.emit([*records, msgspec.structs.replace(last, position=position)])

    def _parts(self, fresh: Sequence[_Fresh]) -> list[list[_Fresh]]:
        """What is within its quota together, then each topic that is over it."""
        by_source: dict[Source, list[_Fresh]] = {}
        for each in fresh:
            by_source.setdefault(each.record.source, []).append(each)
        over = [source for source, theirs in by_source.items() if self.context.over_quota(source, len(theirs))]
        within = [each for each in fresh if each.record.source not in over]
        return [part for part in (within, *(by_source[source] for source in over)) if part]


def _problem_of(text: str) -> str:
    """What is wrong with a topic filter (MQTT 5.0, sections 4.7 and 4.8.2); "" for a good one."""
    if not text or "\0" in text or len(text.encode("utf-8", "surrogatepass")) > 65_535:
        return "it must have 1 to 65535 bytes"
    shared, topics = text.startswith("$share/"), text
    if shared:
        group, _, topics = text.removeprefix("$share/").partition("/")
        if not group or not topics or "+" in group or "#" in group:
            return "write $share/GROUP/TOPICS"
    levels = topics.split("/")
    if any(("#" in level or "+" in level) and len(level) > 1 for level in levels) or "#" in levels[:-1]:
        return "+ stands for one whole level, # for all that follow, at the end"
    return ""
