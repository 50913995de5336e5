"""Publishes alerts to a topic of a broker at QoS 1, one JSON object a message (OASIS MQTT 5.0, section 4.3.2)."""

import asyncio
import re
from collections.abc import Sequence
from string import Formatter

import msgspec
from msgspec import Struct
from pydantic import Field, field_validator

from forwarders._alert_json import alert_json
from forwarders._reaching import Goal, reach
from socmon.component import Context, Forwarder, ForwarderSettings, Outcome, Release, Released, Step
from socmon.errors import BlockedError, ComponentError
from socmon.event import Alert
from socmon.log import Rarely
from socmon.mqtt.connection import Connection
from socmon.mqtt.settings import BrokerSettings

_STREAM = "alerts"
_MAX_VALUE_CHARS = 128
# What would add a level to the topic, or may not stand in one (section 4.7).
_UNFIT = re.compile(r"[/+#\x00-\x1f\x7f-\x9f\ud800-\udfff]")

# What a broker says of a publication (section 3.4.2.1).
_NOBODY_SUBSCRIBES = 0x10
_REFUSED = 0x80
_NOT_AUTHORIZED = 0x87
_TOPIC_NAME_INVALID = 0x90
_PAYLOAD_FORMAT_INVALID = 0x99


class _Fields(Struct):
    """What of an alert may stand in the topic; of the bytes that were stored, so that a repeat goes where they went."""

    level: str = ""
    agency: str = ""
    system: str = ""
    rule_id: str = ""


class MqttSettings(BrokerSettings, ForwarderSettings):
    """Where to publish."""

    topic: str = Field(
        default="socmon/alerts/{level}",
        min_length=1,
        max_length=1024,
        description="Topic to publish to; {level}, {agency}, {system} and {rule_id} stand for those of the alert.",
    )
    client_id: str = Field(
        default="",
        max_length=128,
        pattern=r"^[\x21-\x7e]*$",
        description="Our name at the broker, of no other client; empty lets the broker choose one.",
    )
    max_events: int = Field(default=100, ge=1, le=10_000, description="Alerts in one batch, at most.")
    timeout_s: float = Field(
        default=30.0, gt=0, le=600, description="Seconds until what the broker has not acknowledged is published again."
    )

    @field_validator("topic")
    @classmethod
    def _is_topic(cls, text: str) -> str:
        known = ", ".join(f"{{{name}}}" for name in _Fields.__struct_fields__)
        try:
            parts = list(Formatter().parse(text))
        except ValueError as error:
            raise ValueError(f"topic is not well formed: {error}; use {known}") from None
        for words, name, spec, conversion in parts:
            if spec or conversion or (name is not None and name not in _Fields.__struct_fields__):
                raise ValueError(f"topic may hold {known}, and nothing else in braces")
            if "+" in words or "#" in words or not words.isprintable():
                raise ValueError("a topic to publish to has no +, no # and no control characters; name one topic")
        if text.startswith("$"):
            raise ValueError("topics that begin with $ are the broker's own; choose another one")
        return text


class MqttForwarder(Forwarder[MqttSettings]):
    """Publishes over one connection. A broker knows no repeats: receivers tell them by `epoch` and `seq`."""

    settings_type = MqttSettings

    def __init__(self, context: Context[MqttSettings]) -> None:
        super().__init__(context)
        self._connection: Connection | None = None
        self._rarely = Rarely()

    @classmethod
    async def trial(cls, name: str, settings: MqttSettings, timeout_s: float) -> Sequence[Step]:
        """The connection alone; nothing is sent, nor are we announced."""
        goal = Goal(settings.host, settings.port, settings.context, cert=settings.cert, ca=settings.ca)
        return (await reach(name, goal, timeout_s)).steps

    def stream(self, alert: Alert) -> str:  # noqa: ARG002  the contract's signature
        """One stream: a broker keeps the order of what one client publishes to one topic."""
        return _STREAM

    def render(self, alert: Alert, release: Release) -> bytes:
        """The alert as one JSON object, as the `file` forwarder writes it.

        Raises:
            ValueError: the alert cannot be written as JSON.
        """
        return alert_json(alert, release)

    async def open(self) -> None:
        """Connect, so that a broker which refuses us shows before there is an alert.

        Raises:
            ComponentError: the broker is not there, not who it should be, or refuses us.
        """
        await self._ready()

    async def send(self, released: Sequence[Released]) -> Sequence[Outcome]:
        """Publish all; the first one that is not acknowledged within `timeout_s`, and all after it, are `retry`.

        Raises:
            ComponentError: not even the first one was acknowledged.
        """
        connection = await self._ready()
        published = [asyncio.ensure_future(self._publish(connection, item)) for item in released]
        try:
            await asyncio.wait(published, timeout=self.settings.timeout_s)
        finally:
            for task in published:
                task.cancel()
            results = await asyncio.gather(*published, return_exceptions=True)
        outcomes: list[Outcome] = []
        for result in results:
            if isinstance(result, BaseException):
                failure = self._failure(result)
                break
            outcomes.append(result)
        else:
            return outcomes
        await self.close()  # what was not acknowledged must not be sent by it later
        if not outcomes:
            raise failure
        left = [Outcome(each.id, "retry") for each in released[len(outcomes) :]]
        self.context.log.warning("batch posted in part, the rest is sent again", alerts=len(left), error=str(failure))
        return outcomes + left

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.shut()
            self._connection = None

    async def _ready(self) -> Connection:
        """A connection that is open; its files are read anew for each."""
        settings = self.settings
        if self._connection is not None and self._connection.lost.done():
            await self.close()
        if self._connection is None:
            connection = Connection(settings, settings.client_id, owner=self.context.name)
            try:
                await connection.open(settings.timeout_s)
            except BaseException:
                connection.shut()
                raise
            if settings.exposed:
                self.context.log.warning(
                    "the password crosses the network in the clear, set tls", broker=settings.place
                )
            self._connection = connection
        return self._connection

    async def _publish(self, connection: Connection, item: Released) -> Outcome:
        """What the broker says of one alert.

        Raises:
            ComponentError: nothing that settles it.
        """
        topic, place = self._topic(item), self.settings.place
        if not connection.takes(topic, item.body):
            return Outcome(item.id, "rejected", "too_large")
        code = await connection.deliver(topic, item.body)
        said = str(code).lower()
        if code.value == _NOBODY_SUBSCRIBES and (times := self._rarely.times("nobody")):
            self.context.log.warning("alerts are published where nobody subscribes", topic=topic, times=times)
        if code.value < _REFUSED:
            return Outcome(item.id, "accepted", "no_subscribers" if code.value == _NOBODY_SUBSCRIBES else "")
        if code.value == _PAYLOAD_FORMAT_INVALID:
            return Outcome(item.id, "rejected", said.replace(" ", "_"))
        what = f"{place} does not take what we publish to {topic!r}: {said}"
        if code.value == _NOT_AUTHORIZED:
            remedy = "correct username or topic, or ask those who run the broker for the right to publish there"
            raise BlockedError(what, reason="not_authorized", remedy=remedy)
        if code.value == _TOPIC_NAME_INVALID:
            raise BlockedError(what, reason="topic", remedy="choose another topic")
        raise ComponentError(what, refused=True)

    def _topic(self, item: Released) -> str:
        values = msgspec.structs.asdict(msgspec.json.decode(item.body, type=_Fields))
        return self.settings.topic.format(**{name: _level_of(value) for name, value in values.items()})

    def _failure(self, result: BaseException) -> ComponentError:
        if isinstance(result, ComponentError):
            return result
        if not isinstance(result, asyncio.CancelledError):
            raise result
        settings = self.settings
        return ComponentError(f"{settings.place} acknowledged nothing for {settings.timeout_s:g} s; look at the broker")


def _level_of(value: str) -> str:
    """`value` as one level of a topic, or a part of one."""
    return _UNFIT.sub("_", value[:_MAX_VALUE_CHARS]) or "_"
