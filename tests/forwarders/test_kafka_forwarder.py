"""Forwarder `kafka` against a real broker: order, repeats, refusals, and a producer that is made anew."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import pytest
from aiokafka.errors import OutOfOrderSequenceNumber
from feed_kit import alert, release
from harness import FakeContext
from kafka_kit import Broker

from forwarders.kafka import KafkaForwarder, KafkaSettings
from socmon.errors import BlockedError, ComponentError
from socmon.outgoing import Released

_numbers = count()


@asynccontextmanager
async def writing(broker: Broker, **changes: Any) -> AsyncIterator[KafkaForwarder]:
    options = {"servers": [broker.servers], "tls": False, "timeout_s": 10}
    forwarder = KafkaForwarder(FakeContext(KafkaSettings.model_validate(options | changes)))
    await forwarder.open()
    try:
        yield forwarder
    finally:
        await forwarder.close()


@pytest.fixture
async def topic(kafka: Broker) -> str:
    name = f"alerts-{next(_numbers)}"
    await kafka.make_topic(name, 3, **{"max.message.bytes": "20000"})
    return name


def one(forwarder: KafkaForwarder, seq: int, number: int, *, padding: int = 0, revision: int = 1) -> Released:
    place = release(seq, destination="bus", stream="alerts", revision=revision)
    return Released(seq, alert(number).id, place, forwarder.render(alert(number), place) + b" " * padding)


async def written(broker: Broker, topic: str) -> list[tuple[int, str, int]]:
    """(partition, alert, seq) of all messages, in the order of each partition."""
    messages = [each for part in (await broker.read(topic)).values() for each in part]
    assert all(each.key.decode() == json.loads(each.value)["id"] for each in messages)
    assert all(dict(each.headers)["id"] == each.key for each in messages)
    return [(each.partition, each.key.decode(), int(dict(each.headers)["seq"])) for each in messages]


async def test_an_alert_is_a_message_under_its_id_and_revisions_keep_their_order(kafka: Broker, topic: str) -> None:
    async with writing(kafka, topic=topic) as forwarder:
        batch = [one(forwarder, seq, seq % 10, revision=seq // 10 + 1) for seq in range(1, 101)]

        outcomes = await forwarder.send(batch)

    assert {(outcome.status, outcome.code) for outcome in outcomes} == {("accepted", "")}
    found = await written(kafka, topic)
    assert sorted(seq for _, _, seq in found) == list(range(1, 101))
    for number in range(10):
        of_one = [(part, seq) for part, name, seq in found if name == alert(number).id]
        assert len({part for part, _ in of_one}) == 1
        assert [seq for _, seq in of_one] == sorted(seq for _, seq in of_one)
    (first,) = [each for part in (await kafka.read(topic)).values() for each in part if each.value == batch[0].body]
    headers = {name: value.decode() for name, value in first.headers}
    assert headers == {"id": alert(1).id, "epoch": batch[0].release.epoch, "seq": "1", "revision": "1"}


async def test_a_second_forwarder_repeats_what_it_is_given_byte_for_byte(kafka: Broker, topic: str) -> None:
    """A repeat is accepted: Kafka does not know what it has, a reader does."""
    async with writing(kafka, topic=topic) as first, writing(kafka, topic=topic) as second:
        batch = [one(first, seq, seq) for seq in (1, 2, 3)]
        await first.send(batch[:2])

        outcomes = await second.send(batch)

        assert [outcome.status for outcome in outcomes] == ["accepted"] * 3
        assert second.render(alert(1), batch[0].release) == batch[0].body
    messages = [each for part in (await kafka.read(topic)).values() for each in part]
    assert sorted(each.value for each in messages) == sorted(each.body for each in (*batch, *batch[:2]))
    assert len({(each.value, each.headers) for each in messages}) == 3


async def test_one_that_is_too_large_is_rejected_and_takes_no_other_along(kafka: Broker, topic: str) -> None:
    async with writing(kafka, topic=topic, max_bytes=100_000) as forwarder:
        sizes = {1: 0, 2: 30_000, 3: 0, 4: 0, 5: 120_000, 6: 0, 7: 0}

        outcomes = await forwarder.send([one(forwarder, seq, seq, padding=size) for seq, size in sizes.items()])
        left = [outcome.id for outcome in outcomes if outcome.status == "retry"]
        again = await forwarder.send([one(forwarder, seq, seq) for seq in left]) if left else []

    by_id = {outcome.id: outcome for outcome in [*outcomes, *again]}
    assert {number: by_id[number].code for number in sizes if by_id[number].status == "rejected"} == {
        2: "too_large",
        5: "too_large",
    }
    assert {by_id[number].status for number in (1, 3, 4, 6, 7)} == {"accepted"}
    assert {seq for _, _, seq in await written(kafka, topic)} == {1, 3, 4, 6, 7}


async def test_behind_a_revision_that_failed_the_newer_one_is_sent_again_too(kafka: Broker, topic: str) -> None:
    async with writing(kafka, topic=topic) as forwarder:
        batch = [one(forwarder, 1, 1), one(forwarder, 2, 1), one(forwarder, 3, 2)]

        outcomes = forwarder._outcomes(batch, {1: TimeoutError(), 2: None, 3: None})

        assert [outcome.status for outcome in outcomes] == ["retry", "retry", "accepted"]


async def test_a_producer_that_is_stuck_is_replaced(kafka: Broker, topic: str) -> None:
    async with writing(kafka, topic=topic) as forwarder:
        await forwarder.send([one(forwarder, 1, 1)])
        stuck = forwarder._producer
        assert stuck is not None
        # The broker has one message of this producer, which now says it has sent a hundred.
        for part in await stuck.partitions_for(topic):
            stuck._txn_manager.increment_sequence_number((topic, part), 100)

        with pytest.raises(ComponentError, match=OutOfOrderSequenceNumber.__name__):
            await forwarder.send([one(forwarder, 2, 1)])
        outcomes = await forwarder.send([one(forwarder, 2, 1)])

        assert [outcome.status for outcome in outcomes] == ["accepted"]
        assert forwarder._producer is not stuck
    assert [seq for _, _, seq in await written(kafka, topic)] == [1, 2]


async def test_a_topic_that_is_not_there_waits_for_a_person(kafka: Broker) -> None:
    async with writing(kafka, topic="no-such-topic") as forwarder:
        with pytest.raises(BlockedError, match="no-such-topic") as failure:
            await forwarder.send([one(forwarder, 1, 1)])
    assert failure.value.reason == "kafka_no_topic"


async def test_a_broker_that_hangs_is_told_in_time_and_the_next_try_is_another_producers(
    kafka: Broker, topic: str
) -> None:
    async with writing(kafka, topic=topic, timeout_s=5) as forwarder:
        await forwarder.send([one(forwarder, 1, 1)])
        kafka.halt()
        try:
            with pytest.raises(ComponentError, match="does not answer in time"):
                await forwarder.send([one(forwarder, 2, 2), one(forwarder, 3, 2)])
        finally:
            kafka.go_on()
        assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

        outcomes = None
        while outcomes is None:
            with suppress(ComponentError):  # it has just come back
                outcomes = await forwarder.send([one(forwarder, 2, 2), one(forwarder, 3, 2)])

    assert [outcome.status for outcome in outcomes] == ["accepted", "accepted"]
    # What the broker had in its socket it writes when it comes back: a repeat, under the same seq.
    assert {seq for _, _, seq in await written(kafka, topic)} == {1, 2, 3}


async def test_brokers_that_are_not_there_are_told() -> None:
    settings = KafkaSettings(servers=["127.0.0.1:1"], tls=False, topic="alerts", timeout_s=5)
    forwarder = KafkaForwarder(FakeContext(settings))
    with pytest.raises(ComponentError, match=r"Kafka at 127\.0\.0\.1:1: .*[Cc]onnect"):
        await forwarder.send([one(forwarder, 1, 1)])
    await forwarder.close()
