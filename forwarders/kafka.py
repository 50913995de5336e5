"""Writes alerts to a topic of Apache Kafka, one message each, through an idempotent producer (KIP-98)."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaConnectionError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
)
from pydantic import Field

from forwarders._alert_json import alert_json
from forwarders._own_thread import in_own_thread
from forwarders._reaching import Goal, reach_all
from socmon.component import Context, Forwarder, ForwarderSettings, Outcome, Release, Released, Step
from socmon.errors import ComponentError
from socmon.event import Alert
from socmon.kafka import FAILURES, TOPIC, Cluster, trouble, why_unreachable
from socmon.tls import Renewed

_STREAM = "alerts"
_CLOSE_S = 5.0
_CANCEL_S = 0.3
_HEAD_BYTES = 4096
# A batch that takes more than so many times `timeout_s` in all is cut: what is answered must be written down.
_SEND_TIMEOUTS = 3
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


class KafkaSettings(Cluster, ForwarderSettings):
    """Options of `kind: kafka`."""

    topic: str = Field(pattern=f"^{TOPIC}$", description="Topic to write to; it must be there already.")
    max_bytes: int = Field(
        default=1_000_000,
        ge=10_000,
        le=8_000_000,
        description="Bytes of one message, at most; no more than the topic's max.message.bytes.",
    )


class KafkaForwarder(Forwarder[KafkaSettings]):
    """Writes to one topic. The key is the alert's id: all it ever says of an alert is in one partition, in order.

    A producer that has failed is never used again: it may be stuck, or still hold what it was given.
    """

    settings_type = KafkaSettings

    def __init__(self, context: Context[KafkaSettings]) -> None:
        super().__init__(context)
        self._keys: Renewed | None = None
        self._options: dict[str, Any] = {}
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        """Read the keys, so that one which is missing or expired shows before there is an alert; connects to nobody.

        Raises:
            ComponentError: they cannot be used, or were not read within `timeout_s`.
        """
        if self.settings.exposes_password:
            self.context.log.warning(
                "the account is told to the brokers without encryption", servers=self.settings.where
            )
        await self._read()

    @classmethod
    async def trial(cls, name: str, settings: KafkaSettings, timeout_s: float) -> Sequence[Step]:
        """The connections to the brokers of `servers` alone; nothing is sent."""
        context = settings.tls_context if settings.tls else lambda: None
        goals = []
        for server in dict.fromkeys(settings.servers):
            host, _, port = server.rpartition(":")
            place = (host.strip("[]"), int(port))
            goals.append(Goal(*place, context, cert=settings.cert, ca=settings.ca, name_in="servers"))
        return await reach_all(name, goals, timeout_s)

    def stream(self, alert: Alert) -> str:  # noqa: ARG002  the contract's signature
        """One stream: messages are written in the order of their release."""
        return _STREAM

    def render(self, alert: Alert, release: Release) -> bytes:
        """The alert as one JSON object, as the `file` forwarder writes it.

        Raises:
            ValueError: the alert cannot be written as JSON.
        """
        return alert_json(alert, release)

    async def send(self, released: Sequence[Released]) -> Sequence[Outcome]:
        """Write the batch, in order. What failed, and what comes behind it of the same alert, is `retry`.

        That repeats, under the same id, epoch and seq, what was written and not answered for in `timeout_s`; nothing is
        begun after three times that.

        Raises:
            ComponentError: nothing is answered for.
        """
        until_s = asyncio.get_running_loop().time() + _SEND_TIMEOUTS * self.settings.timeout_s
        fitting = [item for item in released if len(item.body) <= self.settings.max_bytes]
        failures = await self._write(fitting)
        # Of messages that travelled together the broker refuses all when one is too large for the topic.
        for item in [item for item in fitting if isinstance(failures.get(item.id), _TOO_LARGE)]:
            if asyncio.get_running_loop().time() >= until_s:
                failures[item.id] = TimeoutError()
            else:
                failures |= {item.id: None} | await self._write([item])
        outcomes = self._outcomes(released, failures)
        if again := [outcome.id for outcome in outcomes if outcome.status == "retry"]:
            error = next(error for error in failures.values() if error and not isinstance(error, _TOO_LARGE))
            if len(again) == len(outcomes):
                raise trouble(self.settings, error) from error
            reason = str(trouble(self.settings, error))
            self.context.log.warning("batch written in part, the rest is sent again", alerts=len(again), error=reason)
        return outcomes

    def _outcomes(self, released: Sequence[Released], failures: Mapping[int, Exception | None]) -> list[Outcome]:
        outcomes, behind = [], set[str]()
        for item in released:
            error = failures.get(item.id)
            if len(item.body) > self.settings.max_bytes or isinstance(error, _TOO_LARGE):
                outcomes.append(Outcome(item.id, "rejected", "too_large"))
            elif error is not None or item.alert_id in behind:
                # A reader keeps what it saw last of an alert, so an older revision never comes after a newer one.
                behind.add(item.alert_id)
                outcomes.append(Outcome(item.id, "retry"))
            else:
                outcomes.append(Outcome(item.id, "accepted"))
        return outcomes

    async def close(self) -> None:
        """Give up the producer, and what it still holds: it must not be written after what its successor writes."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        # Not its own `stop`: that first waits until all is written, which with idempotence may be never.
        producer._closed = True  # noqa: SLF001  else it complains that nobody has stopped it
        sender = producer._sender.sender_task  # noqa: SLF001
        with suppress(*FAILURES):
            async with asyncio.timeout(_CLOSE_S):
                await producer.client.close()
                while sender is not None and not sender.done():
                    sender.cancel()  # once more where it still waits for a request
                    await asyncio.wait([sender], timeout=_CANCEL_S)

    async def _write(self, items: Sequence[Released]) -> dict[int, Exception | None]:
        """What each failed with, by id; after a failure the producer is given up."""
        if not items:
            return {}
        writing: dict[int, asyncio.Future[Any]] = {}
        failures: dict[int, Exception | None] = {item.id: TimeoutError() for item in items}
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                producer = await self._ready()
                for item in items:
                    writing[item.id] = await producer.send(
                        self.settings.topic, item.body, key=item.alert_id.encode(), headers=_headers(item)
                    )
                await asyncio.wait(writing.values())
        except (*FAILURES, ComponentError) as error:
            failures = dict.fromkeys(failures, error)
        except BaseException:
            await self.close()
            raise
        for number, future in writing.items():
            if future.done():
                failures[number] = cast("Exception | None", future.exception())
            else:
                future.cancel()
        if any(failures.values()):
            await self.close()
        return failures

    async def _ready(self) -> AIOKafkaProducer:
        """The producer; a new one when the last has failed, or when keys or password were replaced."""
        options = await self._read()
        if self._producer is not None and options == self._options:
            return self._producer
        await self.close()
        self._options = options
        self._producer = AIOKafkaProducer(
            **options,
            client_id=f"socmon-{self.context.name}",
            enable_idempotence=True,
            # What it adds to a message is not counted in max_bytes.
            max_request_size=self.settings.max_bytes + _HEAD_BYTES,
            request_timeout_ms=int(self.settings.timeout_s * 1000),
        )
        try:
            await self._producer.start()
        except KafkaConnectionError as error:
            raise await why_unreachable(self.settings, options) from error
        if self.settings.topic not in (await self._producer.client.fetch_all_metadata()).topics():
            raise UnknownTopicOrPartitionError(self.settings.topic)
        return self._producer

    async def _read(self) -> dict[str, Any]:
        """How to connect, by the files as they are now.

        Raises:
            ComponentError: they cannot be used, or were not read within `timeout_s`.
        """
        timeout_s, remedy = self.settings.timeout_s, "check the disk or mount that holds them"
        name = f"read of the keys of {self.context.name}"
        try:
            async with asyncio.timeout(timeout_s):
                return await in_own_thread(self._connection, name=name, remedy=remedy)
        except TimeoutError as error:
            raise ComponentError(f"the keys were not read within {timeout_s:g} s; {remedy}") from error

    def _connection(self) -> dict[str, Any]:
        if self._keys is None and self.settings.tls:
            self._keys = self.settings.renewed()
        return self.settings.connection(self._keys.current() if self._keys else None)


def _headers(item: Released) -> list[tuple[str, bytes]]:
    """What tells a repeat from a new revision, for readers that look at no body."""
    release = item.release
    named = {"id": item.alert_id, "epoch": release.epoch, "seq": release.seq, "revision": release.revision}
    return [(name, str(value).encode()) for name, value in named.items()]
