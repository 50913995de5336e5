"""Kills (-9) of the daemon, restarts of Kafka: each record once in the journal, each alert's last word on a topic."""

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from field import Field, failure_line, field_in, wait_for
from kafka_kit import MISSING, Broker, broker_in, is_here

from socmon.journal import Journal

LOGS, ALERTS = "logs", "alerts"
PARTITIONS = 3
COLLECTOR, FORWARDER = "bus", "upward"
_SESSION_MS = 2_000  # of Kafka, which a busy machine may let stand still for a second
# Where the daemon is killed, and whether Kafka is killed and started again meanwhile; "" is: once it has read on.
KILLS = [
    *(("journal.appended", False), ("", True), ("outbox.replied", False), ("journal.write:2:300", True)),
    *(("alerts.committed:2", False), ("", True), ("journal.appended:3", False), ("outbox.replied:2", True)),
    *(("alerts.committed", False), ("", True)),
]


class NumberedProducer:
    """Writes numbered lines to each partition in turn, from a thread, until `finish`; outages it sits out."""

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="numbered producer")
        self.sent = 0

    async def _run(self) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._servers, enable_idempotence=True)
        await producer.start()
        try:
            while not self._end.is_set():
                lines = [
                    failure_line(number, f"web-{number % PARTITIONS}") for number in range(self.sent, self.sent + 9)
                ]
                sent = [
                    await producer.send(LOGS, line.encode(), partition=number % PARTITIONS)
                    for number, line in enumerate(lines, self.sent)
                ]
                await asyncio.gather(*sent)
                self.sent += len(lines)
                await asyncio.sleep(0.05)
        finally:
            await producer.stop()

    @contextmanager
    def running(self) -> Iterator["NumberedProducer"]:
        self._thread.start()
        try:
            yield self
        finally:
            self.finish()

    def finish(self) -> None:
        self._end.set()
        self._thread.join(120)
        assert not self._thread.is_alive()


def configure(place: Field, broker: Broker) -> None:
    bus: dict[str, Any] = {"kind": "kafka", "servers": [broker.servers], "tls": False}
    reading = {"topics": [LOGS], "member": "one", "start": "beginning", "session_timeout_s": 2, "timeout_s": 10}
    # A forwarder that is told soon that Kafka is gone.
    writing = {"topic": ALERTS, "timeout_s": 2}
    place.configure([], collectors={COLLECTOR: bus | reading}, forwarders={FORWARDER: bus | writing})


def journalled(place: Field) -> dict[str, list[bytes]]:
    """What the journal has of each peer, in its order."""
    found: dict[str, list[bytes]] = defaultdict(list)
    journal = Journal.open(place.state / "journal", read_only=True)
    for batch in journal.read_after(0):
        for record in batch.records:
            if record.source.collector == COLLECTOR:
                found[record.source.peer].append(record.data)
    journal.close()
    return found


def settled(place: Field, lines: int) -> bool:
    """Whether every line is journalled and matched, and every alert is written."""
    reading = place.reading()
    account, backlog = reading.ledger.accounts.get(COLLECTOR), reading.backlogs.get(FORWARDER)
    if account is None or backlog is None:
        return False
    return account.journalled >= lines and not backlog.pending and not backlog.waiting


def matched(place: Field) -> int:
    return place.account(COLLECTOR).evaluated


def run_until_killed(place: Field, broker: Broker, failpoint: str, *, restart: bool) -> None:
    if restart and failpoint:  # Kafka and the daemon come up together
        broker.kill()
        broker.start()
    place.start_daemon(failpoint)
    daemon, begun = place.daemon, place.log_start
    assert daemon is not None
    if not failpoint:
        wait_for(lambda: place.events("daemon.log", "partitions taken up", begun), "partitions taken up", timeout_s=180)
        broker.kill()
        broker.start()
        broker.wait()
        before = matched(place)
        wait_for(lambda: matched(place) > before, "records after the restart", timeout_s=180)
        daemon.kill()
    wait_for(lambda: daemon.poll() is not None, f"killed at {failpoint}", timeout_s=180)
    assert daemon.returncode == -9, (place.root / "daemon.log").read_text()[-3000:]


@pytest.mark.timeout(1200)
@pytest.mark.skipif(not is_here(), reason=MISSING)
def test_ten_kills_and_five_restarts_of_kafka_lose_no_record_and_double_none(tmp_path: Path) -> None:
    assert len(KILLS) == 10
    with broker_in(tmp_path / "kafka", session_ms=_SESSION_MS) as broker, field_in(tmp_path / "field") as place:
        asyncio.run(broker.make_topic(LOGS, PARTITIONS))
        asyncio.run(broker.make_topic(ALERTS, PARTITIONS))
        configure(place, broker)
        with NumberedProducer(broker.servers).running() as producer:
            for failpoint, restart in KILLS:
                run_until_killed(place, broker, failpoint, restart=restart)
            place.start_daemon()
            broker.kill()  # the fifth
            broker.start()
            broker.wait()
            producer.finish()
        wait_for(partial(settled, place, producer.sent), "all journalled, matched and written", timeout_s=180)
        place.stop_daemon()

        check_records(place, asyncio.run(broker.read(LOGS)), producer.sent)
        check_alerts(place, asyncio.run(broker.read(ALERTS)))
        print(f"{producer.sent} records over {len(KILLS)} kills")


def check_records(place: Field, topic: dict[int, list[Any]], sent: int) -> None:
    """The journal holds what the topic holds, in the order of each partition."""
    expected = {f"{LOGS}/{number}": [each.value for each in messages] for number, messages in topic.items()}
    assert sum(map(len, expected.values())) == sent
    assert journalled(place) == expected
    account = place.account(COLLECTOR)
    assert (account.evaluated, account.in_flight) == (sent, 0)


def check_alerts(place: Field, topic: dict[int, list[Any]]) -> None:
    """Whoever keeps the last message of each key has every alert as it is; what came twice is the same bytes."""
    messages = [each for part in topic.values() for each in part]
    last = {each.key.decode(): json.loads(each.value)["revision"] for each in messages}
    bodies: dict[tuple[str, int], set[bytes]] = defaultdict(set)
    for each in messages:
        body = json.loads(each.value)
        bodies[body["epoch"], body["seq"]].add(each.value)

    assert last == {alert.id: alert.revision for alert in place.reading().alerts}
    assert len(last) > 5
    assert all(len(same) == 1 for same in bodies.values())
    print(f"{len(messages)} messages of {len(bodies)} releases of {len(last)} alerts")
