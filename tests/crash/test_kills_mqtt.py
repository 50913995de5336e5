"""Kills (-9) of the daemon and restarts of the broker: each message that a broker has is journalled once, and alerts
come to a topic at their last revision.
"""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from field import Field, failure_line, field_in, wait_for
from mqtt_kit import Broker, broker_in, needs_mosquitto
from numbered_publisher import NumberedPublisher
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from socmon.errors import JournalError

MQTT = "sensors"
KILLS = [
    *("journal.appended", "journal.appended:2", "journal.appended:5", "journal.appended:9"),
    *("journal.write:1:{}", "journal.write:3:{}", "journal.write:6:{}"),
    *("", "", ""),  # at no failpoint: wherever the daemon is
]
RESTARTS = {"up": (1, 4, 8), "down": (2, 6)}  # in these rounds the broker restarts, while the daemon runs or does not
ALERTS = "alerts/+"
_NUMBER = re.compile(r" sshd\[(\d+)\]:")


def message(number: int) -> tuple[str, str]:
    return f"hosts/{number % 3}", failure_line(number)


def configure(place: Field, broker: Broker) -> None:
    there = {"kind": "mqtt", "port": broker.port, "tls": False}
    place.configure(
        [],
        collectors={MQTT: there | {"client_id": "socmon", "topics": ["hosts/#"]}},
        forwarders={"bus": there | {"topic": "alerts/{level}"}},
    )


@contextmanager
def publishing(broker: Broker) -> Iterator[NumberedPublisher]:
    publisher = NumberedPublisher(broker.port, message)
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.finish()


def arrived(place: Field) -> list[int]:
    try:
        lines = place.journalled().get(MQTT, [])
    except JournalError:  # the daemon is still making it
        return []
    return [int(found[1]) - 100 for line in lines if (found := _NUMBER.search(line))]


def wait_while_publishing(publisher: NumberedPublisher, condition: Callable[[], object], what: str) -> None:
    def holds() -> bool:
        publisher.more()
        return bool(condition())

    wait_for(holds, what, timeout_s=180)


def live_and_die(place: Field, broker: Broker, publisher: NumberedPublisher, failpoint: str, *, restart: bool) -> None:
    place.start_daemon(failpoint)
    daemon, before = place.daemon, len(arrived(place))
    assert daemon is not None
    wait = partial(wait_while_publishing, publisher)
    if restart:
        wait(lambda: len(arrived(place)) > before or daemon.poll() is not None, "messages are journalled")
        broker.restart()
        before = len(arrived(place))
    if not failpoint:
        wait(lambda: len(arrived(place)) > before + 20, "messages are journalled")
        daemon.kill()
    wait(lambda: daemon.poll() is not None, f"the daemon was not killed at {failpoint}")
    assert daemon.returncode == -9, (place.root / "daemon.log").read_text()[-3000:]


def settled(place: Field, expected: set[int]) -> bool:
    """Whether all is journalled and matched, and every alert has been answered for."""
    numbers = arrived(place)
    if not set(sorted(expected)[-9:]) <= set(numbers):  # the last of each topic
        return False
    reading = place.reading()
    account, backlog = reading.ledger.accounts.get(MQTT), reading.backlogs.get("bus")
    if account is None or backlog is None:
        return False
    # The ledger is of the last checkpoint, and has nothing in flight; what is in the journal may be further.
    return account.evaluated >= len(numbers) and not backlog.pending and not backlog.waiting


def subscriber(broker: Broker, name: str = "analyst") -> aiomqtt.Client:
    """One with a session that lasts."""
    session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    session.SessionExpiryInterval = 3600
    return broker.client(identifier=name, clean_start=False, properties=session)


async def subscribe(broker: Broker) -> None:
    """Begin the sessions: what is published before is nobody's."""
    for name, topics in (("analyst", ALERTS), ("socmon", "hosts/#")):
        async with subscriber(broker, name) as client:
            await client.subscribe(topics, qos=1)


async def delivered(broker: Broker, expected: dict[str, int]) -> list[dict[str, Any]]:
    """What came for the subscriber, until it has the revisions that are expected."""
    came: list[dict[str, Any]] = []
    async with asyncio.timeout(60), subscriber(broker) as client:
        async for each in client.messages:
            assert isinstance(each.payload, bytes)
            came.append(json.loads(each.payload))
            if last_revisions(came) == expected:
                break
    return came


def last_revisions(came: list[dict[str, Any]]) -> dict[str, int]:
    last: dict[str, int] = {}
    for each in came:
        last[each["id"]] = max(each["revision"], last.get(each["id"], 0))
    return last


def check_messages(numbers: list[int], publisher: NumberedPublisher) -> None:
    """Each message that the broker had acknowledged once, none twice."""
    doubled = [number for number, times in Counter(numbers).items() if times > 1]
    missing = publisher.acknowledged - set(numbers)
    print(f"{publisher.sent} published, {len(publisher.acknowledged)} acknowledged, {len(numbers)} journalled")
    assert (sorted(doubled), sorted(missing)) == ([], [])
    assert set(numbers) <= publisher.acknowledged | publisher.uncertain


def check_alerts(place: Field, broker: Broker) -> None:
    """Every alert at its last revision; what came twice is the same release."""
    alerts = {alert.id: alert.revision + alert.analyst_revision for alert in place.reading().alerts}
    assert len(alerts) > 5
    came = asyncio.run(delivered(broker, alerts))
    releases: dict[tuple[str, int], dict[str, Any]] = {}
    for each in came:
        assert releases.setdefault((each["epoch"], each["seq"]), each) == each
    print(f"{len(alerts)} alerts in {len(releases)} releases; {len(came) - len(releases)} came twice")


@needs_mosquitto
@pytest.mark.timeout(1200)
def test_ten_kills_and_five_restarts_of_the_broker_lose_and_double_nothing(tmp_path: Path) -> None:
    rng = random.Random(10)
    kills = [name.format(rng.randrange(0, 900)) for name in rng.sample(KILLS, len(KILLS))]
    assert (len(kills), sum(map(len, RESTARTS.values()))) == (10, 5)
    with broker_in(tmp_path / "broker") as broker, field_in(tmp_path / "province") as place:
        configure(place, broker)
        asyncio.run(subscribe(broker))
        with publishing(broker) as publisher:
            for turn, failpoint in enumerate(kills):
                live_and_die(place, broker, publisher, failpoint, restart=turn in RESTARTS["up"])
                if turn in RESTARTS["down"]:
                    broker.restart()
            place.start_daemon()
            wait_while_publishing(
                publisher, partial(_sent, publisher, publisher.sent + 100), "the last ones are published"
            )
        wait_for(
            lambda: settled(place, publisher.acknowledged), "all is journalled, matched and delivered", timeout_s=180
        )
        place.stop_daemon()

        check_messages(arrived(place), publisher)
        check_alerts(place, broker)


def _sent(publisher: NumberedPublisher, number: int) -> bool:
    return publisher.sent > number
