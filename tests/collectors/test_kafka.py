"""Collector `kafka` as a member of a group of a real broker: positions, acknowledgements, partitions that move."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from itertools import count
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import RecordsToDelete
from harness import LIMIT_S, FakeContext, running, until
from kafka_kit import Broker
from pydantic import ValidationError

from collectors._kafka_settings import KafkaSettings
from collectors.kafka import KafkaCollector
from socmon.errors import BlockedError, ComponentError
from socmon.kafka import end

_numbers = count()


def name() -> str:
    """Of a topic, a group and a collector that no other test has."""
    return f"t{next(_numbers)}"


def settings(broker: Broker, topic: str, **changes: Any) -> KafkaSettings:
    options = {"servers": [broker.servers], "tls": False, "topics": [topic], "group": topic, "start": "beginning"}
    return KafkaSettings.model_validate(options | {"session_timeout_s": 10, "timeout_s": 20} | changes)


def values(first: int, end: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, end)]


@asynccontextmanager
async def reading(context: FakeContext[KafkaSettings]) -> AsyncIterator[FakeContext[KafkaSettings]]:
    """The collector runs, and has its partitions."""
    async with running(KafkaCollector(context)):
        await until(lambda: told(context, "partitions taken up"))
        yield context


def told(context: FakeContext[Any], event: str) -> list[dict[str, Any]]:
    return [dict(entry) for entry in context.logged if entry["event"] == event]


async def committed_until(broker: Broker, topic: str, expected: dict[int, int]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while await broker.committed(topic, topic) != expected:
            await asyncio.sleep(0.02)


async def test_each_partition_is_a_peer_read_in_order_and_a_restart_goes_on(kafka: Broker) -> None:
    topic = name()
    await kafka.make_topic(topic, 2)
    await kafka.send(topic, *values(0, 1500), partition=0)
    await kafka.send(topic, b"x\r\n", None, b"\0", partition=1)

    context = FakeContext(settings(kafka, topic), name=topic)
    async with reading(context):
        await until(lambda: len(context.records) == 1501)
        await committed_until(kafka, topic, {0: 1500, 1: 1})

    by_peer = {record.source.peer: record for record in context.records}
    assert [record.data for record in context.records if record.source.peer == f"{topic}/0"] == values(0, 1500)
    assert by_peer[f"{topic}/1"].data == b"x"
    assert context.positions == {f"{topic}/0": b"1500", f"{topic}/1": b"1"}
    assert context.counts["error.empty"] == 2
    assert context.counts["received"] == 1501

    await kafka.send(topic, b"next", partition=0)
    again = FakeContext(context.settings, name=topic, positions=context.positions)
    async with reading(again):
        await until(lambda: again.records)
    assert again.lines == [b"next"]


async def test_the_journal_decides_where_a_restart_goes_on_not_the_group(kafka: Broker) -> None:
    """As after a kill, when the journal has more than the group was told."""
    topic = name()
    await kafka.make_topic(topic)
    await kafka.send(topic, *values(0, 10))
    async with reading(FakeContext(settings(kafka, topic), name=topic)) as context:
        await until(lambda: len(context.records) == 10)
    await kafka.send(topic, *values(10, 20))

    ahead = FakeContext(context.settings, name=topic, positions={f"{topic}/0": b"15"})
    async with reading(ahead):
        await until(lambda: len(ahead.records) == 5)
    assert ahead.lines == values(15, 20)

    # The group is ahead only by what another socmon of it has in its journal.
    behind = FakeContext(context.settings, name=topic, positions={f"{topic}/0": b"3"})
    await kafka.send(topic, b"20")
    async with reading(behind):
        await until(lambda: behind.records)
    assert behind.lines == [b"20"]


async def test_nothing_is_committed_that_the_journal_has_not_taken(kafka: Broker) -> None:
    topic = name()
    await kafka.make_topic(topic)
    context = FakeContext(settings(kafka, topic), name=topic)
    context.gate.clear()
    async with reading(context):
        await kafka.send(topic, *values(0, 5))
        await until(lambda: context.waiting)
        beats = context.beats
        await until(lambda: context.beats > beats + 3)
        assert await kafka.committed(topic, topic) == {0: 0}

        context.gate.set()
        await committed_until(kafka, topic, {0: 5})
    assert context.lines == values(0, 5)


async def test_a_stop_while_the_journal_is_full_commits_and_loses_nothing(kafka: Broker) -> None:
    topic = name()
    await kafka.make_topic(topic)
    context = FakeContext(settings(kafka, topic), name=topic)
    async with reading(context):
        await kafka.send(topic, *values(0, 3))
        await until(lambda: len(context.records) == 3)
        context.gate.clear()
        await kafka.send(topic, *values(3, 6))
        await until(lambda: context.waiting)
    assert await kafka.committed(topic, topic) == {0: 3}

    again = FakeContext(context.settings, name=topic, positions=context.positions)
    async with reading(again):
        await until(lambda: len(again.records) == 3)
    assert context.lines + again.lines == values(0, 6)


async def test_a_partition_over_its_quota_keeps_no_other_waiting(kafka: Broker) -> None:
    topic = name()
    await kafka.make_topic(topic, 2)
    context = FakeContext(settings(kafka, topic), name=topic)
    context.over[f"{topic}/0"] = asyncio.Event()
    async with reading(context):
        await kafka.send(topic, b"flood", partition=0)
        await until(lambda: context.waiting)
        await kafka.send(topic, b"quiet", partition=1)
        await until(lambda: context.lines == [b"quiet"])
        context.over[f"{topic}/0"].set()
        await until(lambda: context.lines == [b"quiet", b"flood"])


async def test_partitions_move_to_a_second_socmon_and_back_and_each_record_is_in_one_journal(kafka: Broker) -> None:
    topic = name()
    await kafka.make_topic(topic, 4)
    one = FakeContext(settings(kafka, topic), name=f"{topic}-1")
    two = FakeContext(settings(kafka, topic), name=f"{topic}-2")

    async def send(first: int) -> None:
        for partition in range(4):
            await kafka.send(topic, *values(first, first + 50), partition=partition)

    async with reading(one):
        await send(0)
        await until(lambda: len(one.records) == 200)
        async with reading(two):
            await until(lambda: len(told(one, "partitions taken up")) >= 2)
            await send(50)
            await until(lambda: len(one.records) + len(two.records) == 400)
            assert len({record.source.peer for record in two.records}) == 2
        await until(lambda: len(told(one, "partitions taken up")) >= 3)
        await send(100)
        await until(lambda: len(one.records) + len(two.records) == 600)

    for partition in range(4):
        both = [each for each in one.records + two.records if each.source.peer == f"{topic}/{partition}"]
        assert sorted(int(record.data) for record in both) == list(range(150))


async def test_records_that_retention_took_are_counted_and_the_oldest_left_are_next(kafka: Broker) -> None:
    topic = name()
    await kafka.make_topic(topic)
    await kafka.send(topic, *values(0, 20))
    async with kafka.admin() as admin:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=12)})

    context = FakeContext(settings(kafka, topic), name=topic, positions={f"{topic}/0": b"5"})
    async with reading(context):
        await until(lambda: len(context.records) == 8)

    assert context.lines == values(12, 20)
    assert context.counts["dropped.expired"] == 7
    assert context.counts["received"] == 15
    (entry,) = told(context, "records were deleted before they were read, the oldest left are next")
    assert (entry["partition"], entry["position"], entry["goes_on"], entry["lost"]) == (f"{topic}/0", 5, 12, 7)


async def test_a_topic_that_was_made_anew_is_read_from_its_beginning_and_told(kafka: Broker) -> None:
    topic = name()
    await kafka.make_topic(topic)
    await kafka.send(topic, *values(0, 3))
    context = FakeContext(settings(kafka, topic), name=topic, positions={f"{topic}/0": b"70"})
    async with reading(context):
        await until(lambda: len(context.records) == 3)
        assert told(context, "a position is behind the end of its partition, which is read anew")
        assert context.counts["error.out_of_range"] == 1
    assert context.positions == {f"{topic}/0": b"3"}
    await kafka.send(topic, b"3")

    again = FakeContext(context.settings, name=topic, positions=context.positions)
    async with reading(again):
        await until(lambda: again.records)
    assert again.lines == [b"3"]


async def test_a_first_start_at_the_end_passes_over_what_is_there_and_loses_nothing_after(kafka: Broker) -> None:
    topic = name()
    await kafka.make_topic(topic)
    await kafka.send(topic, b"old")
    context = FakeContext(settings(kafka, topic, start="end"), name=topic)
    async with reading(context):
        assert await kafka.committed(topic, topic) == {0: 1}
    await kafka.send(topic, b"while it was down")
    async with reading(FakeContext(context.settings, name=topic)) as again:
        await until(lambda: again.records)
    assert again.lines == [b"while it was down"]

    async with kafka.admin() as admin:
        await admin.create_partitions({topic: _more(2)})
    await kafka.send(topic, b"of a new partition", partition=1)
    async with reading(FakeContext(context.settings, name=topic)) as third:
        await until(lambda: third.records)
    assert third.lines == [b"of a new partition"]


def _more(partitions: int) -> Any:
    from aiokafka.admin import NewPartitions  # noqa: PLC0415

    return NewPartitions(total_count=partitions)


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_messages_are_read_and_too_long_ones_cut(kafka: Broker, compression: str) -> None:
    topic = name()
    await kafka.make_topic(topic)
    await kafka.send(topic, b"short", b"x" * 300, b"y" * 256, compression_type=compression)
    context = FakeContext(settings(kafka, topic, max_bytes=256), name=topic)
    async with reading(context):
        await until(lambda: len(context.records) == 3)
    assert context.lines == [b"short", b"x" * 256, b"y" * 256]
    assert context.counts["error.too_long"] == 1


async def test_what_a_transaction_took_back_is_not_read(kafka: Broker) -> None:
    topic = name()
    await kafka.make_topic(topic)
    async with kafka.producer(transactional_id=topic) as producer:
        async with producer.transaction():
            await producer.send(topic, b"kept")
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"taken back")
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send(topic, b"kept too")
    context = FakeContext(settings(kafka, topic), name=topic)
    async with reading(context):
        await until(lambda: len(context.records) == 2)
    assert context.lines == [b"kept", b"kept too"]


async def test_a_journal_that_fails_ends_the_collector_and_the_next_one_reads_again(kafka: Broker) -> None:
    topic = name()
    await kafka.make_topic(topic)
    context = FakeContext(settings(kafka, topic), name=topic)
    context.failure = ComponentError("no")
    await kafka.send(topic, *values(0, 3))
    with pytest.raises(ComponentError, match="no"):
        async with running(KafkaCollector(context)):
            await asyncio.sleep(60)
    async with reading(FakeContext(context.settings, name=topic, positions=context.positions)) as again:
        await until(lambda: len(again.records) == 3)
    assert again.lines == values(0, 3)


async def read_while_it_hangs(context: FakeContext[KafkaSettings], broker: Broker) -> None:
    async with reading(context):
        broker.halt()
        await asyncio.sleep(60)


async def test_brokers_that_hang_end_the_collector_with_all_it_began_and_the_next_one_goes_on(kafka: Broker) -> None:
    """A member that went on by itself would keep its partitions, and read nothing."""
    topic = name()
    await kafka.make_topic(topic)
    context = FakeContext(settings(kafka, topic, session_timeout_s=0.5, timeout_s=1), name=topic)
    try:
        # Which request meets the silence first decides what is said of it; each sentence names the brokers.
        with pytest.raises(ComponentError, match=r"Kafka at 127\.0\.0\.1:\d+"):
            await read_while_it_hangs(context, kafka)
        await until(lambda: len(asyncio.all_tasks()) == 1)
    finally:
        kafka.go_on()
    await kafka.send(topic, b"after it")

    async with reading(FakeContext(settings(kafka, topic), name=topic)) as again:
        await until(lambda: again.lines == [b"after it"])


async def test_a_fetch_that_is_under_way_at_the_end_cancels_nobody_but_itself(kafka: Broker) -> None:
    """aiokafka lets its cancellation out; taken for the collector's own it ended it, silently and for good."""
    for ending in (AIOKafkaConsumer.stop, partial(end, timeout_s=LIMIT_S)):
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka.servers, group_id=name())
        await consumer.start()
        await consumer.topics()  # by its answer the fetcher waits for partitions, with nothing under way
        consumer._fetcher._pending_tasks.add(fetch := asyncio.create_task(asyncio.Event().wait()))
        with pytest.raises(asyncio.CancelledError) if ending is AIOKafkaConsumer.stop else nullcontext():
            await ending(consumer)
        assert fetch.cancelled()
        await consumer._client.close()
    await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_a_topic_that_is_not_there_is_named(kafka: Broker) -> None:
    context = FakeContext(settings(kafka, "no-such-topic"))
    with pytest.raises(BlockedError, match=r"no such topic.*no-such-topic") as failure:
        async with running(KafkaCollector(context)):
            await asyncio.sleep(60)
    assert failure.value.reason == "kafka_no_topic"


async def test_a_position_that_is_none_is_not_guessed_at(kafka: Broker) -> None:
    topic = name()
    await kafka.make_topic(topic)
    context = FakeContext(settings(kafka, topic), name=topic, positions={f"{topic}/0": b"\x01\x02"})
    with pytest.raises(ComponentError, match="another version of socmon") as failure:
        async with running(KafkaCollector(context)):
            await asyncio.sleep(60)
    assert not failure.value.retry


async def test_brokers_that_are_not_there_are_told_apart_from_silence() -> None:
    context = FakeContext(KafkaSettings(servers=["127.0.0.1:1"], tls=False, topics=["a"]))
    with pytest.raises(ComponentError, match=r"Kafka at 127\.0\.0\.1:1: .*[Cc]onnect"):
        async with running(KafkaCollector(context)):
            await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"servers": ["kafka"]}, "is no broker; write HOST:PORT"),
        ({"servers": ["kafka:99999"]}, "is no broker"),
        ({"topics": ["a b"]}, "is no topic"),
        ({"topics": [".."]}, "is no topic"),
        ({"username": "u"}, "username and password go together"),
        ({"cert": "/c"}, "cert and key go together"),
        ({"tls": False, "ca": "/ca"}, "of no use without tls"),
        ({"session_timeout_s": 30}, "make it longer"),
        ({"member": "a/b"}, "pattern"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        KafkaSettings.model_validate({"servers": ["kafka:9093"], "topics": ["a"]} | changes)
