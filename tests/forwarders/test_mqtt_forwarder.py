"""Forwarder `mqtt` with a real mosquitto: what is accepted, what is sent again, where it goes."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from feed_kit import alert, release
from harness import FakeContext, until
from mqtt_kit import USER, Broker, broker_in, needs_mosquitto, strange_broker

from forwarders.mqtt import MqttForwarder, MqttSettings
from socmon.errors import BlockedError, ComponentError
from socmon.outgoing import Outcome, Released

pytestmark = needs_mosquitto
Context = FakeContext[MqttSettings]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker_in(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


def context_of(port: int, **options: Any) -> Context:
    return FakeContext(MqttSettings.model_validate({"port": port, "tls": False} | options), name="bus")


@asynccontextmanager
async def forwarding(context: Context) -> AsyncIterator[MqttForwarder]:
    forwarder = MqttForwarder(context)
    try:
        await forwarder.open()
        yield forwarder
    finally:
        await forwarder.close()


def batch(forwarder: MqttForwarder, first: int, last: int, **changes: Any) -> list[Released]:
    return [
        Released(seq, alert(seq).id, release(seq), forwarder.render(alert(seq, **changes), release(seq)))
        for seq in range(first, last + 1)
    ]


async def received(subscriber: aiomqtt.Client, count: int) -> list[tuple[str, dict[str, Any]]]:
    async with asyncio.timeout(30):
        found: list[tuple[str, dict[str, Any]]] = []
        async for message in subscriber.messages:
            assert isinstance(message.payload, bytes)
            found.append((str(message.topic), json.loads(message.payload)))
            if len(found) == count:
                break
    return found


async def test_alerts_come_whole_in_order_to_the_topic_of_their_level(broker: Broker) -> None:
    async with forwarding(context_of(broker.port)) as forwarder, broker.client() as subscriber:
        await subscriber.subscribe("socmon/alerts/+", qos=1)
        items = batch(forwarder, 1, 40)  # more than a broker lets be unanswered

        assert await forwarder.send(items) == [Outcome(item.id, "accepted") for item in items]

        found = await received(subscriber, 40)
    assert [each for _, each in found] == [json.loads(item.body) for item in items]
    assert {topic for topic, _ in found} == {f"socmon/alerts/{alert(1).level}"}


async def test_nobody_who_subscribes_is_no_reason_to_keep_an_alert(broker: Broker) -> None:
    context = context_of(broker.port, topic="nobody/listens")
    async with forwarding(context) as forwarder:
        assert await forwarder.send(batch(forwarder, 1, 2)) == [
            Outcome(1, "accepted", "no_subscribers"),
            Outcome(2, "accepted", "no_subscribers"),
        ]
    assert [entry["topic"] for entry in context.logged if entry["log_level"] == "warning"] == ["nobody/listens"]


@pytest.mark.parametrize(
    ("agency", "level"),
    [
        ("000.00.08.H07", "000.00.08.H07"),
        ("", "_"),
        ("a/b", "a_b"),
        ("#", "_"),
        ("+\0\n", "___"),
        ("x" * 500, "x" * 128),
    ],
)
async def test_what_an_alert_holds_adds_no_level_to_the_topic(broker: Broker, agency: str, level: str) -> None:
    async with forwarding(context_of(broker.port, topic="t/{agency}/{level}")) as forwarder:
        (item,) = batch(forwarder, 1, 1, agency=agency)
        async with broker.client() as subscriber:
            await subscriber.subscribe("t/#", qos=1)
            await forwarder.send([item])
            ((topic, _),) = await received(subscriber, 1)
    assert topic == f"t/{level}/{alert(1).level}"


async def test_a_broker_that_restarts_is_connected_to_again(broker: Broker) -> None:
    async with forwarding(context_of(broker.port, topic="again")) as forwarder:
        await forwarder.send(batch(forwarder, 1, 1))
        broker.restart()
        connection = forwarder._connection
        assert connection is not None
        await until(connection.lost.done, 30)
        outcomes = await forwarder.send(batch(forwarder, 2, 2))
        assert [outcome.status for outcome in outcomes] == ["accepted"]


async def test_a_broker_with_tls_and_a_password_is_used(broker: Broker) -> None:
    secure = {"tls": True, "ca": broker.ca, "username": USER, "password": f"file:{broker.password}"}
    async with forwarding(context_of(broker.tls_port, **secure)) as forwarder:
        assert [each.status for each in await forwarder.send(batch(forwarder, 1, 1))] == ["accepted"]


async def test_who_may_not_publish_there_is_blocked_and_nothing_is_given_up(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write alerts/high\n")
    with broker_in(tmp_path / "strict", acl_file=str(acl)) as strict:
        context = context_of(strict.port, topic="alerts/{level}")
        async with forwarding(context) as forwarder:
            denied = batch(forwarder, 2, 2, level="low")
            with pytest.raises(BlockedError, match="'alerts/low': not authorized; correct username or topic") as caught:
                await forwarder.send(denied)
            assert caught.value.reason == "not_authorized"

            allowed = batch(forwarder, 1, 1, level="high")
            outcomes = await forwarder.send([*allowed, *denied])
            assert [outcome.status for outcome in outcomes] == ["accepted", "retry"]


PUBACK_1 = b"\x40\x02\x00\x01"


async def test_what_is_not_acknowledged_in_time_is_sent_again(tmp_path: Path) -> None:
    async with strange_broker(PUBACK_1) as port:
        context = context_of(port, timeout_s=3)
        async with forwarding(context) as forwarder:
            outcomes = await forwarder.send(batch(forwarder, 1, 3))
    assert [outcome.status for outcome in outcomes] == ["accepted", "retry", "retry"]
    assert [entry["alerts"] for entry in context.logged] == [2]

    async with strange_broker(b"") as port, forwarding(context_of(port, timeout_s=3)) as forwarder:
        with pytest.raises(ComponentError, match=r"acknowledged nothing for 3 s"):
            await forwarder.send(batch(forwarder, 1, 3))


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"\x40\x04\x00\x01\x99\x00", "rejected"),
        (b"\x40\x04\x00\x01\x97\x00", ComponentError),
        (b"\x40\x04\x00\x01\x90\x00", BlockedError),
        (b"\xe0\x02\x8b\x00", ComponentError),
        (b"\xff" * 40, ComponentError),
    ],
)
async def test_every_answer_of_a_broker_means_something(answer: bytes, status: str | type[ComponentError]) -> None:
    async with strange_broker(answer) as port, forwarding(context_of(port)) as forwarder:
        item = batch(forwarder, 1, 1)
        if isinstance(status, str):
            assert [outcome.status for outcome in await forwarder.send(item)] == [status]
        else:
            with pytest.raises(status, match=rf"127\.0\.0\.1:{port}"):
                await forwarder.send(item)


@pytest.mark.parametrize("topic", ["a/#", "a/+", "{level", "{host}", "{level!r}", "{level:>9}", "$SYS/x", "a\0", "{0}"])
def test_a_topic_that_cannot_be_published_to_is_refused(topic: str) -> None:
    with pytest.raises(ValueError, match="topic"):
        context_of(1883, topic=topic)
