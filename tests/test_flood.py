"""One host floods, another one is attacked: its alert waits for one batch of the flooder's at most.

Proved by the order of frames, never by a clock: through the real collectors, intake, journal and detection, watched at
the moments in which records are handed in and in which they are matched; and through the daemon.
"""

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from field import Field, failure_line, field_in, wait_for
from harness import LIMIT_S
from harness import until as until_true
from tcp_kit import lines

from collectors.file import FileCollector
from collectors.syslog_tcp import SyslogTcpCollector
from collectors.syslog_udp import SyslogUdpCollector
from socmon.config import Config, Wiring
from socmon.correlating import Correlating
from socmon.detection import load_detection
from socmon.door import Door
from socmon.event import Record
from socmon.intake import Intake
from socmon.journal import Batch, Journal
from socmon.ledger import Account
from socmon.matching import Matched
from socmon.sections import IntakeSettings, JournalSettings
from socmon.store import Store, read

QUOTA = 200
FLOODED = 10 * QUOTA
SHIPPED = load_detection(Config(Path(), Path()))
ATTACKED = "dvc-web-01"


def noise(number: int) -> str:
    """A line of the flooder, numbered, which no rule asks for."""
    return f"Nov 22 10:00:00 noisy app[7]: state {number}"


def attack(first: int, count: int) -> list[str]:
    return [failure_line(number, ATTACKED) for number in range(first, first + count)]


def is_noise(record: Record) -> bool:
    return b" noisy " in record.data


class Watched:
    """Everything from the collectors to the store in this process, and what happened, in order.

    Attributes:
        seen: `come`, when records of the attacked host are handed in; and of each frame that is matched, whether it
            holds the `flooder`'s or the `attacked` host's, or both.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        self.journal = Journal.open(root / "journal", segment_bytes=1 << 20)
        self.intake = Intake(self.journal, IntakeSettings(), JournalSettings())
        self.store = Store(root / "s.db", destinations=[], durable=self.intake.durable)
        self.detection = Correlating(
            journal=self.journal,
            intake=self.intake,
            store=self.store,
            detection=SHIPPED,
            checkpoint_s=60,
            stored=lambda: None,
        )
        self._match, self._emit, self._offer = self.detection._matcher.match, self.intake.emit, self.intake.offer
        monkeypatch.setattr(self.detection._matcher, "match", self._matching)
        monkeypatch.setattr(self.intake, "emit", self._emitting)
        monkeypatch.setattr(self.intake, "offer", self._offering)

    def door(self, name: str, cls: type[Any], **options: Any) -> Any:
        wiring = Wiring(name, name, cls, cls.settings_type(quota_per_s=QUOTA, **options))
        return Door(wiring, self.intake, self.journal)

    def _matching(self, batch: Batch, **more: Any) -> Matched:
        noisy = [is_noise(record) for record in batch.records]
        if any(noisy):
            self.seen.append("flooder")
        if not all(noisy):
            self.seen.append("attacked")
        return self._match(batch, **more)

    async def _emitting(self, batch: Sequence[Record]) -> None:
        if not all(map(is_noise, batch)):
            self.seen.append("come")
        await self._emit(batch)

    def _offering(self, batch: Sequence[Record]) -> tuple[int, Mapping[str, int]]:
        if not all(map(is_noise, batch)):
            self.seen.append("come")
        return self._offer(batch)

    def waits(self) -> list[int]:
        """For each time that records of the attacked host came in: frames of the flooder's matched before theirs."""
        found, come = list[int](), list[int]()
        for what in self.seen:
            if what == "come":
                come.append(0)
            elif what == "flooder":
                come = [count + 1 for count in come]
            else:
                found, come = found + come, []
        assert not come
        return found

    def account(self, name: str) -> Account:
        return self.detection._ledger.account(name)


@contextlib.asynccontextmanager
async def watched(root: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    one = Watched(root, monkeypatch)
    tasks = [asyncio.create_task(work) for work in (one.intake.run(), one.intake.sync(), one.detection.run())]
    try:
        yield one
        one.intake.close()
        one.detection.drain()
        await asyncio.wait_for(tasks[2], LIMIT_S)
        await one.detection._commit(checkpoint=True)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await one.store.close()
        one.detection.shutdown()
        one.intake.shutdown()
        one.journal.close()


@contextlib.asynccontextmanager
async def collecting(*collectors: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(collector.run()) for collector in collectors]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=LIMIT_S)


class Flood:
    """Noise of one source that is never at its end: always `AHEAD` records more than detection has come to.

    Attributes:
        sent: records so far.
    """

    AHEAD = 40 * QUOTA
    PART = 500

    def __init__(self, one: Watched, collector: str, send: Callable[[list[str]], Awaitable[None]]) -> None:
        self._one = one
        self._collector = collector
        self._send = send
        self._end = False
        self.sent = 0

    @property
    def waits(self) -> int:
        """How many of its records detection has not come to."""
        return self.sent - self._one.account(self._collector).evaluated

    async def run(self) -> None:
        while not self._end:
            if self.waits >= self.AHEAD:
                await asyncio.sleep(0.001)
                continue
            part = [noise(number) for number in range(self.sent, self.sent + self.PART)]
            self.sent += self.PART
            await self._send(part)

    async def outlast(self, attacked: Callable[[list[str]], object]) -> int:
        """Attack six times, each time when a frame of the flood was the last that was matched.

        Returns:
            How many records of the flood were still waiting after the last attack was matched; then all are.
        """
        flooding = asyncio.create_task(self.run())
        seen = self._one.seen
        for turn in range(6):
            await until_true(lambda: seen[-1:] == ["flooder"])
            attacked(attack(2 * turn, 2))
            await until_true(lambda at=turn: seen.count("come") > at and seen.count("attacked") > at)  # type: ignore[misc]  # mypy cannot infer it
        left = self.waits
        self._end = True
        await flooding
        await until_true(lambda: self._one.account(self._collector).evaluated == self.sent + 12, 60)
        return left


def alerted(root: Path) -> list[tuple[list[str], int]]:
    return [(alert.entities["host"], alert.count) for alert in read(root / "s.db").alerts if alert.level == "high"]


async def test_a_file_that_floods_delays_another_file_of_its_collector_by_one_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy, attacked = tmp_path / "noisy.log", tmp_path / "attacked.log"
    for path in (noisy, attacked):
        path.write_text("")

    def append(path: Path, texts: list[str]) -> None:
        with path.open("a") as log:
            log.write("".join(f"{text}\n" for text in texts))

    async def send(texts: list[str]) -> None:
        append(noisy, texts)

    async with watched(tmp_path, monkeypatch) as one:
        door = one.door("logs", FileCollector, paths=[str(noisy), str(attacked)], start="beginning", poll_s=0.05)
        async with collecting(FileCollector(door)):
            flood = Flood(one, "logs", send)
            left = await flood.outlast(lambda texts: append(attacked, texts))

    assert left, "the flood was over before the attack: nothing was shown"
    assert len(one.waits()) == 6
    assert max(one.waits()) <= 1
    assert alerted(tmp_path) == [([ATTACKED], 12)]
    assert one.account("logs") == Account(journalled=flood.sent + 12, evaluated=flood.sent + 12)


async def test_a_sender_that_floods_delays_another_sender_of_its_collector_by_one_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(tmp_path, monkeypatch) as one:
        listening: list[int] = []
        door = one.door("network", SyslogTcpCollector, port=0)
        monkeypatch.setattr(door, "log", _Listening(door.log, listening))
        async with collecting(SyslogTcpCollector(door)):
            await until_true(lambda: listening)
            _, noisy = await asyncio.open_connection("127.0.0.1", listening[0], local_addr=("127.0.0.2", 0))
            _, attacked = await asyncio.open_connection("127.0.0.1", listening[0], local_addr=("127.0.0.3", 0))

            async def send(texts: list[str]) -> None:
                noisy.write(lines(*(text.encode() for text in texts)))
                await noisy.drain()

            flood = Flood(one, "network", send)
            left = await flood.outlast(lambda texts: attacked.write(lines(*(text.encode() for text in texts))))
            noisy.close()
            attacked.close()

    assert left, "the flood was over before the attack: nothing was shown"
    assert max(one.waits()) <= 1
    assert alerted(tmp_path) == [([ATTACKED], 12)]
    assert one.account("network") == Account(journalled=flood.sent + 12, evaluated=flood.sent + 12)


@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel gives only root a buffer that holds the flood")
async def test_a_flood_of_datagrams_delays_another_sender_to_the_same_socket_by_one_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(tmp_path, monkeypatch) as one:
        listening: list[int] = []
        door = one.door("devices", SyslogUdpCollector, port=0)
        monkeypatch.setattr(door, "log", _Listening(door.log, listening))
        async with collecting(SyslogUdpCollector(door)):
            await until_true(lambda: listening)
            with udp_from("127.0.0.2", listening[0]) as noisy, udp_from("127.0.0.3", listening[0]) as attacked:

                async def send(texts: list[str]) -> None:
                    for text in texts:  # without a turn for others: all that may wait lies in the kernel at once
                        noisy.send(text.encode())

                flood = Flood(one, "devices", send)
                left = await flood.outlast(lambda texts: [attacked.send(text.encode()) for text in texts])

    assert left, "the flood was over before the attack: nothing was shown"
    assert max(one.waits()) <= 1
    assert alerted(tmp_path) == [([ATTACKED], 12)]
    assert one.account("devices") == Account(journalled=flood.sent + 12, evaluated=flood.sent + 12)


def udp_from(source: str, port: int) -> socket.socket:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind((source, 0))
    sender.connect(("127.0.0.1", port))
    return sender


class _Listening:
    """A logger that notes the port that a collector says it listens on."""

    def __init__(self, log: Any, ports: list[int]) -> None:
        self._log = log
        self._ports = ports

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def info(self, event: str, **keys: Any) -> None:
        if event == "listening":
            self._ports.append(keys["port"])


# ── the daemon ───────────────────────────────────────────────────────────────────────────────────────────────────


class Flooder(threading.Thread):
    """Sends numbered messages until it is told to end; never more than `ahead` of what the daemon has detected."""

    def __init__(self, place: Field, *, ahead: int) -> None:
        super().__init__(name="flooder", daemon=True)
        self._place = place
        self._ahead = ahead
        self._end = threading.Event()
        self.sent = 0

    def run(self) -> None:
        address = ("127.0.0.1", self._place.port("network"))
        with socket.create_connection(address, timeout=30, source_address=("127.0.0.2", 0)) as sender:
            while not self._end.is_set():
                if self.sent - self._place.account("network").received > self._ahead:
                    time.sleep(0.01)  # not to fill the kernel's buffers with what the test must then wait for
                    continue
                messages = [noise(number).encode() for number in range(self.sent, self.sent + FLOODED // 4)]
                sender.sendall(lines(*messages))
                self.sent += len(messages)

    def finish(self) -> None:
        self._end.set()
        self.join(30)
        assert not self.is_alive()


def test_the_daemon_raises_the_alert_of_one_host_while_another_floods_and_accounts_for_both(tmp_path: Path) -> None:
    with field_in(tmp_path / "province") as place:
        host = {"kind": "file", "paths": [str(place.root / "host")], "start": "beginning"}
        network = {"kind": "syslog_tcp", "port": 0, "quota_per_s": QUOTA}
        place.configure([], collectors={"host": host | {"quota_per_s": QUOTA}, "network": network}, forwarders={})
        place.start_daemon()
        wait_for(lambda: place.port("network"), "the collector says where it listens")
        flooder = Flooder(place, ahead=FLOODED * 3)
        flooder.start()
        wait_for(lambda: place.account("network").evaluated > FLOODED, "the flood has begun")
        place.write("host", 0, 12)
        wait_for(lambda: any(alert.level == "high" for alert in place.reading().alerts), "the alert of the other host")
        sent = flooder.sent
        wait_for(lambda: flooder.sent > sent, "the flood goes on")
        flooder.finish()
        wait_for(lambda: place.account("network").evaluated == flooder.sent, "all of the flood evaluated")
        place.stop_daemon()

        journal = Journal.open(place.state / "journal", read_only=True)
        order = [record.source.collector for batch in journal.read_after(0) for record in batch.records]
        journal.close()
        assert place.journalled()["network"] == [noise(number) for number in range(flooder.sent)]
        assert place.journalled()["host"] == place.sent["host"]
        assert order.index("host") < len(order) - 12
        assert place.account("network") == Account(journalled=flooder.sent, evaluated=flooder.sent)
        assert place.account("host") == Account(journalled=12, evaluated=12)
        assert [alert.count for alert in place.reading().alerts if alert.level == "high"] == [12]
