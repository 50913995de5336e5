"""Kills of the daemon, of what writes the journals, of journalctl, and of the receiver: each entry is taken once.

Alerts go out as syslog over TLS: the receiver has each at its last revision, and knows repeats by epoch and sequence.
"""

import json
import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from field import Field, field_in, wait_for
from journald_kit import BASE_US, Remote, failure, needs_journald, rotate
from syslog_kit import Receiver, cef_of, read_cef, receiver

from socmon.event import Record, Source
from socmon.parsers.rfc5424 import parse as parse_syslog

pytestmark = needs_journald
HOSTS = ("web1", "web2")
JOURNAL, SIEM = "systemd", "siem"
KILLS = (
    *("journal.appended", "journal.appended:3", "alerts.committed", "alerts.committed:2", "outbox.replied"),
    *("outbox.replied:2", "journal.write:1:{}", "journal.write:2:{}"),
    *("", ""),  # at no failpoint: wherever the daemon is
)


class Writers:
    """One systemd-journal-remote for each host; entries are numbered through for each host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.written = dict.fromkeys(HOSTS, 0)
        self._running = {host: Remote(self._path(host)) for host in HOSTS}

    def write(self, host: str, count: int) -> None:
        first = self.written[host]
        addresses = [f"203.0.113.{number // 6 % 40 + 1}" for number in range(first, first + count)]
        entries = [failure(first + at, host=host, address=address) for at, address in enumerate(addresses)]
        self._running[host].write(entries)
        self.written[host] += count

    def restart(self, host: str, how: signal.Signals, *, new_file: bool) -> None:
        self._running[host].end(how)
        if new_file:
            rotate(self._path(host))
        self._running[host] = Remote(self._path(host))

    def end(self) -> None:
        for running in self._running.values():
            running.end()

    def _path(self, host: str) -> Path:
        return self.folder / f"remote-{host}.journal"


@contextmanager
def writers(folder: Path) -> Iterator[Writers]:
    them = Writers(folder)
    try:
        yield them
    finally:
        them.end()


def check(numbers: list[int], written: int) -> None:
    """Each once, and in order."""
    assert numbers == list(range(written)), f"{written} written, {len(numbers)} taken, {len({*numbers})} different ones"


def taken(place: Field) -> dict[str, list[int]]:
    """By host, the numbers in the order of socmon's journal."""
    numbers: dict[str, list[int]] = {host: [] for host in HOSTS}
    for line in place.journalled().get(JOURNAL, []):
        entry = json.loads(line)
        numbers[entry["_HOSTNAME"]].append(int(entry["_PID"]) - 1)
    return numbers


def settled(place: Field, written: int) -> bool:
    reading = place.reading()
    account, backlog = reading.ledger.accounts.get(JOURNAL), reading.backlogs.get(SIEM)
    done = account is not None and account.evaluated >= written and not account.in_flight
    return done and backlog is not None and not backlog.pending and not backlog.waiting


def children_reading(folder: Path) -> list[int]:
    """Processes of journalctl that read in `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if command.startswith(b"journalctl\0") and os.fsencode(folder) in command:
            found.append(int(process.name))
    return found


def write_until_killed(place: Field, to: Writers) -> None:
    daemon = place.daemon
    assert daemon is not None
    most = sum(to.written.values()) + 4000

    def dead() -> bool:
        if daemon.poll() is None and sum(to.written.values()) < most:
            for host in HOSTS:
                to.write(host, 2)
        return daemon.poll() is not None

    wait_for(dead, "the daemon was not killed: its failpoint was never hit", timeout_s=120)
    assert daemon.returncode == -9, (place.root / "daemon.log").read_text()[-3000:]


def trouble(turn: int, to: Writers, siem: Receiver) -> None:
    """Every other turn one that writes is restarted, in order or not, over a new file or the old one."""
    if turn % 2:
        host = HOSTS[turn // 2 % 2]
        to.restart(host, signal.SIGKILL if turn % 4 == 1 else signal.SIGTERM, new_file=turn in (3, 9))
        siem.kill()
        siem.start()


@pytest.mark.timeout(1200)
def test_ten_kills_and_five_restarts_of_those_who_write_take_each_entry_once(tmp_path: Path) -> None:
    rng = random.Random(10)
    kills = [name.format(rng.randrange(0, 900)) for name in rng.sample(KILLS, len(KILLS))]
    folder = tmp_path / "journals"
    with field_in(tmp_path / "province") as place, writers(folder) as to, receiver(tmp_path / SIEM) as siem:
        source = {"kind": "journald", "directory": str(folder), "start": "beginning", "poll_s": 0.1}
        target = {"kind": "syslog", "host": "127.0.0.1", "port": siem.port, "ca": str(siem.ca)}
        place.configure([], collectors={JOURNAL: source}, forwarders={SIEM: target})
        for turn, failpoint in enumerate(kills):
            place.start_daemon(failpoint)
            trouble(turn, to, siem)
            to.write(HOSTS[turn % 2], 30)
            if not failpoint:
                wait_for(partial(children_reading, folder), "journalctl runs")
                assert place.daemon is not None
                place.daemon.kill()
            write_until_killed(place, to)
        wait_for(lambda: not children_reading(folder), "each journalctl has ended behind its daemon")
        place.start_daemon()
        wait_for(lambda: len(children_reading(folder)) == len(HOSTS), "both journals are followed")
        for child in children_reading(folder):  # of one alone the journal would be held for long
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        to.write(HOSTS[0], 50)
        wait_for(lambda: settled(place, sum(to.written.values())), "all is matched and delivered", timeout_s=180)
        place.stop_daemon()
        assert not children_reading(folder)

        for host, numbers in taken(place).items():
            check(numbers, to.written[host])
        print(f"{to.written} entries, each once, over {len(list(folder.iterdir()))} files")
        check_alerts(place, siem)


def check_alerts(place: Field, siem: Receiver) -> None:
    """The receiver has each alert at its last revision, dated exactly."""
    places: dict[tuple[str, str], str] = {}
    last: dict[str, int] = {}
    for message in siem.messages():
        fields = parse_syslog(Record(message.encode(), Source("c", "p"), 0), year=None, undated=False).fields
        said = {name.removeprefix("socmon@32473."): value for name, value in fields.items()}
        assert places.setdefault((said["epoch"], said["seq"]), message) == message
        last[said["id"]] = max(last.get(said["id"], 0), int(said["revision"]))
        assert read_cef(cef_of(message))[1]["externalId"] == said["id"]
    alerts = place.reading().alerts
    assert len(alerts) > 10
    assert last == {alert.id: alert.revision for alert in alerts}
    sent_us = {(alert.first_us - BASE_US + 2_000) % 100_000 for alert in alerts}
    assert sent_us == {0}


@pytest.mark.parametrize("numbers", [[0, 1, 1, 2, 3], [0, 2, 1, 3], [0, 1, 3], [0, 1, 2], [1, 2, 3], []])
def test_any_loss_would_be_noticed(numbers: list[int]) -> None:
    check([0, 1, 2, 3], 4)

    with pytest.raises(AssertionError):
        check(numbers, 4)
