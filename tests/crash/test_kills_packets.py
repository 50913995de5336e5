"""Kills (-9) of the daemon, and restarts of socmon-capture: what packets give is in the journal once, or counted.

`packets`: a sensor keeps what is not answered for, so a kill of the daemon loses nothing. A sensor that is killed loses
what it had not handed on, which its own numbers say. `pcap`: a restart decodes the file anew, and goes on behind what
is journalled.
"""

import json
import random
import signal
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
from field import Field, field_in, wait_for
from netns_kit import Cable, cable, needs_tcpreplay
from packets_kit import socket_path
from pcap_kit import capture_file

from bench.capture.traffic import traffic, write
from socmon.errors import JournalError

KILLS, RESTARTS = 10, 5
COUNTS = ("packets", "kernel_packets", "kernel_dropped", "events", "events_dropped", "events_left")
WIRE, FILES = "wire", "captures"


def journalled(place: Field, collector: str) -> list[str]:
    try:
        return place.journalled().get(collector, [])
    except JournalError:  # the daemon is still making it
        return []


def configure(place: Field, **collectors: Mapping[str, object]) -> None:
    place.configure([], collectors=collectors, forwarders={}, rules={"shipped": False, "paths": [str(rule(place))]})


def rule(place: Field) -> Path:
    """One that matches nothing: the shipped ones would only make each start longer."""
    path = place.root / "rule.yml"
    path.write_text(
        "title: Nothing\nid: 9f2c1c52-4d0e-4b8e-9d1e-0c7c7c7b1a10\nlogsource: {product: zeek, service: dns}\n"
        "detection:\n  selection: {query: no.such.name}\n  condition: selection\nlevel: low\n"
    )
    return path


def kill(place: Field) -> None:
    assert place.daemon is not None
    place.daemon.kill()
    place.daemon.wait(30)


# ── pcap ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.timeout(1200)
def test_kills_while_capture_files_are_read_lose_no_event_and_double_none(tmp_path: Path) -> None:
    chance = random.Random(10)
    with field_in(tmp_path / "province") as place:
        folder = place.root / "captures"
        folder.mkdir()
        expected: list[str] = []
        configure(place, **{FILES: {"kind": "pcap", "paths": [f"{folder}/*.pcap"], "poll_s": 0.1, "settle_s": 0}})
        at: list[int] = []
        for number in range(KILLS):
            before = len(journalled(place, FILES))
            events = capture_file(folder / f"{number}.pcap", 400, seed=number, mtime_s=1_000_000 + number)
            expected += map(bytes.decode, events)
            # In the middle of a write of the journal, after one, or wherever the daemon is.
            place.start_daemon(("", "journal.appended:2", f"journal.write:2:{chance.randrange(900)}")[number % 3])
            daemon = place.daemon
            assert daemon is not None
            wait_for(
                lambda: daemon.poll() is not None or len(journalled(place, FILES)) > before,  # noqa: B023  in its round
                "the daemon reads on, or dies",
            )
            kill(place)
            at.append(len(journalled(place, FILES)))
        place.start_daemon()
        wait_for(lambda: len(journalled(place, FILES)) >= len(expected), "all files are read", timeout_s=180)
        place.stop_daemon()

        print(f"{len(expected)} events of {KILLS} files, journalled at the kills: {at}")
        assert journalled(place, FILES) == expected
        account = place.account(FILES)
        assert (account.evaluated, account.unparsed, account.dropped) == (len(expected), 0, {})


# ── packets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Sensor:
    """A socmon-capture that is started again and again, and what each run said in the end."""

    def __init__(self, wire: Cable, socket: Path, folder: Path) -> None:
        self.runs: list[dict[str, int]] = []
        self._wire = wire
        self._socket = socket
        self._folder = folder

    def start(self) -> None:
        self.log = self._folder / f"capture{len(self.runs)}.log"
        self._process = self._wire.capture(self._socket, log=self.log)
        wait_for(partial(self._said, b'"capturing"'), "socmon-capture captures")

    def stop(self) -> None:
        """In order: it hands on what it has."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(60) == 0, self.log.read_text()
        stopped = [json.loads(line) for line in self.log.read_text().splitlines() if '"stopped"' in line]
        self.runs.append(stopped[0])

    def end(self) -> None:
        self._process.kill()
        self._process.wait(30)

    def _said(self, word: bytes) -> bool:
        return word in self.log.read_bytes()


@pytest.mark.timeout(1200)
def test_kills_of_the_daemon_and_restarts_of_the_sensor_lose_no_packet_event_and_double_none(tmp_path: Path) -> None:
    needs_tcpreplay()
    made = traffic(150, seed=3)
    write(tmp_path / "some.pcap", made.packets)
    with cable() as wire, socket_path() as path, field_in(tmp_path / "province") as place:
        configure(place, **{WIRE: {"kind": "packets", "socket": str(path)}})
        sensor = Sensor(wire, path, tmp_path)
        sensor.start()
        try:
            for number in range(KILLS):
                before = len(journalled(place, WIRE))
                place.start_daemon("" if number % 2 else ("journal.appended:2", "journal.write:1:300")[number % 4 // 2])
                daemon = place.daemon
                assert daemon is not None
                wire.replay(tmp_path / "some.pcap", "--preload-pcap", "--pps=20000")
                wait_for(
                    lambda: daemon.poll() is not None or len(journalled(place, WIRE)) > before,  # noqa: B023  in its round
                    "the daemon takes events, or dies",
                )
                if number % 2:  # without a failpoint, so it is there
                    sensor.stop()
                    sensor.start()
                kill(place)
                wire.replay(tmp_path / "some.pcap", "--preload-pcap", "--pps=20000")  # nobody is there
            place.start_daemon()
            wait_for(lambda: place.events("daemon.log", "sensor connected", place.log_start), "the daemon hears")
            sensor.stop()
        finally:
            sensor.end()
        place.stop_daemon()

        events = journalled(place, WIRE)
        told = {name: sum(run[name] for run in sensor.runs) for name in COUNTS}
        print(f"{told}; journalled {len(events)}; {len(sensor.runs)} runs, {KILLS} kills of the daemon")
        assert len(sensor.runs) == RESTARTS + 1
        assert told["packets"] + told["kernel_dropped"] == told["kernel_packets"] == wire.received()
        assert len(events) == told["events"] - told["events_dropped"]
        assert len(set(events)) == len(events)
