"""Faults of the link and of both its ends, with real processes, kills and full disks: nothing is lost or doubled."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from feed_kit import KEY, alert, altered, message, release
from field import ORG, failure_line, wait_for
from port_kit import keep
from province_kit import Province, post, province_in

from socmon.feed.message import Sender, render

PROXY = Path(__file__).parents[1] / "cutting_proxy.py"
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
DAY_S = 86_400

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Province]:
    with province_in(tmp_path) as made:
        yield made


def started(place: Province, **environment: str) -> None:
    place.start_daemon(environment=environment)
    wait_for(lambda: place.events("daemon.log", "started", place.log_start), "the daemon starts")


def rows(*places: int, revision: int = 5) -> list[bytes]:
    return [message(seq, org_id=ORG, revision=revision) for seq in places]


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
def test_fault_01_receiver_down_for_a_day(place: Province, tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0")
    # The monotonic clock stays what it is, as it would when a clock is set.
    clock = {"FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    place.more(120)
    started(place, LD_PRELOAD=str(FAKETIME), **clock)
    wait_for(place.backlog, "alerts wait")
    wait_for(lambda: place.events("daemon.log", "component failed, will restart"), "it is tried in vain")

    offset.write_text(f"+{DAY_S}")
    place.more(120)
    wait_for(lambda: place.account("auth").journalled >= place.lines, "more lines the day after")
    assert place.backlog()
    place.start_centre()

    place.wait_until_settled()
    place.check_nothing_is_lost_or_doubled()


def test_fault_02_reply_lost_after_commit(place: Province) -> None:
    place.start_centre()
    place.fault(fault="cut_after_commit", times=2)
    place.more(120)
    place.start_daemon()

    wait_for(lambda: place.of_all("duplicates_answered"), "what was sent again is answered as a duplicate")
    place.wait_until_settled()
    place.check_nothing_is_lost_or_doubled()


def test_fault_03_connection_cut_amid_the_body(place: Province) -> None:
    """The handshake and the headers take less than 2,500 bytes from the province, all of it more: the body is cut."""
    behind, kept = place.feed_port, place.kept
    with keep() as front:
        place.feed_port = front.getsockname()[1]
        place.configure(["auth"])
        place.feed_port, place.kept = behind, kept
        place.start_centre()
        command = [sys.executable, str(PROXY), str(front.getsockname()[1]), str(behind), "3500", "2"]
        proxy = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        place.started.append(proxy)
        assert proxy.stdout is not None
        assert proxy.stdout.readline() == "ready\n"
        place.more(400)
        place.start_daemon()

        assert [proxy.stdout.readline() for _ in range(2)] == ["cut\n", "cut\n"]
        place.wait_until_settled()
        place.check_nothing_is_lost_or_doubled()
        assert place.of_all("duplicates_answered") == 0


@pytest.mark.parametrize("failpoint", ["outbox.released", "outbox.released:2"])
def test_fault_04_sender_killed_between_write_and_send(place: Province, failpoint: str) -> None:
    _killed_and_started_again(place, failpoint)
    assert place.of_all("duplicates_answered") == 0


@pytest.mark.parametrize("failpoint", ["outbox.replied", "outbox.replied:2"])
def test_fault_05_sender_killed_between_reply_and_mark(place: Province, failpoint: str) -> None:
    _killed_and_started_again(place, failpoint)
    assert place.of_all("duplicates_answered") > 0


def _killed_and_started_again(place: Province, failpoint: str) -> None:
    place.start_centre()
    place.more(200)
    place.start_daemon(failpoint)
    daemon = place.daemon
    assert daemon is not None

    def dead() -> bool:
        place.more(5)
        return daemon.poll() is not None

    wait_for(dead, f"killed at {failpoint}")
    assert daemon.returncode == -signal.SIGKILL
    place.start_daemon()
    place.wait_until_settled()
    place.check_nothing_is_lost_or_doubled()


def test_fault_07_receiver_killed_after_commit(place: Province) -> None:
    place.start_centre("centre.committed")
    centre = place.centre
    assert centre is not None
    place.more(120)
    place.start_daemon()
    assert centre.wait(60) == -signal.SIGKILL

    place.start_centre()
    wait_for(lambda: place.of_all("duplicates_answered"), "what was sent again is answered as a duplicate")
    place.wait_until_settled()
    place.check_nothing_is_lost_or_doubled()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_fault_10_disk_of_the_receiver_full(place: Province) -> None:
    with small_disk(place.root / "centre", "4m"):
        place.start_centre()
        filler = place.root / "centre" / "filler"
        with suppress_full(), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        place.more(400)
        place.start_daemon()

        wait_for(lambda: place.events("centre.log", "batch not stored"), "the centre says that it cannot store")
        wait_for(place.backlog, "nothing is acknowledged")
        assert place.reading().acknowledged.get("ncsc", {}) == place.findings() == {}
        filler.unlink()

        place.wait_until_settled()
        place.check_nothing_is_lost_or_doubled()
        place.stop_daemon()
        place.stop_centre()


@contextmanager
def suppress_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def test_fault_11_one_bad_event_in_500(place: Province) -> None:
    place.start_centre()
    events = rows(*range(1, 501))
    events[249] = altered(events[249], data={"class_uid": 2004})

    status, reply = post(place, events)

    assert status == 200
    statuses = [result["status"] for result in reply["results"]]
    assert (statuses.count("stored"), statuses[249], statuses.count("quarantined")) == (499, "quarantined", 1)
    assert reply["committed"]["seq"] == 500
    assert post(place, rows(501))[1]["committed"]["seq"] == 501


def test_fault_14_busy_receiver_says_when_to_come_again(place: Province) -> None:
    place.start_centre()
    place.fault(fault="503", times=3)
    place.more()
    place.start_daemon()
    place.wait_until_settled()

    refused = [event["timestamp"] for event in place.events("centre.log", "fault injected") if event["fault"] == "503"]
    assert len(refused) == 3
    waited_s = [(_seconds(after) - _seconds(before)) for before, after in pairwise(refused)]
    assert min(waited_s) >= 1  # as the centre asked
    place.check_nothing_is_lost_or_doubled()


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def test_fault_18_same_id_with_other_content(place: Province) -> None:
    place.start_centre()
    (first,) = rows(1)
    assert post(place, [first])[1]["results"][0]["status"] == "stored"
    other = render(alert(1, count=6, title="Something else"), release(1, revision=5), Sender(org_id=ORG), KEY)

    (result,) = post(place, [other])[1]["results"]

    assert (result["status"], result["code"]) == ("quarantined", "id_reuse")
    assert place.of_all("findings") == 1


def test_fault_28_captured_batch_sent_again(place: Province) -> None:
    place.start_centre()
    events = rows(*range(1, 21))
    assert {result["status"] for result in post(place, events)[1]["results"]} == {"stored"}
    held = place.findings()

    for _ in range(3):
        assert {result["status"] for result in post(place, events)[1]["results"]} == {"duplicate"}

    assert place.findings() == held
    assert (place.of_all("rows_stored_twice"), place.of_all("duplicates_answered")) == (0, 60)


_ONE_ALERT_A_LINE = """
title: A failure
id: 00000000-0000-4000-8000-0000000000a1
level: low
logsource: {product: linux, service: sshd}
detection: {s: {'|contains': Failed password}, condition: s}
---
title: Each address by itself
id: 00000000-0000-4000-8000-0000000000a2
level: medium
correlation:
  type: event_count
  rules: [00000000-0000-4000-8000-0000000000a1]
  group-by: [src_ip]
  timespan: 1h
  condition: {gte: 1}
---
title: Somebody is in
id: 00000000-0000-4000-8000-0000000000a3
level: critical
logsource: {product: linux, service: sshd}
detection: {s: {'|contains': Accepted password}, condition: s}
"""


def test_fault_16_critical_alert_during_a_backlog(place: Province) -> None:
    rules = place.root / "rules.yml"
    rules.write_text(_ONE_ALERT_A_LINE)
    place.configure(["auth"], rules={"paths": [str(rules)], "shipped": False})
    line = failure_line(0)
    failures = [line.replace("203.0.113.1 ", f"198.18.{number // 250}.{number % 250 + 1} ") for number in range(3_000)]
    success = line.replace("Failed password", "Accepted password")
    (place.root / "auth").write_text("".join(f"{each}\n" for each in failures))
    place.sent["auth"] = failures
    started(place)
    wait_for(lambda: place.backlog() >= len(failures), "a backlog", timeout_s=90)
    with (place.root / "auth").open("a") as log:
        log.write(f"{success}\n")
    place.sent["auth"] = [*failures, success]
    wait_for(lambda: place.backlog() > len(failures), "the critical one waits too")

    place.start_centre()
    place.wait_until_settled()

    place.check_nothing_is_lost_or_doubled()
    with closing(sqlite3.connect(place.root / "centre" / "centre.sqlite")) as db:
        streams = [source.rpartition("/")[2] for (source,) in db.execute("select source from events order by n")]
    # Nothing is before it but what was on its way when it came: one batch.
    assert streams.index("urgent") <= 500


def test_fault_17_update_arrives_before_its_create(place: Province) -> None:
    place.start_centre()
    late = [message(1, number=1, revision=5), message(2, number=1, revision=7)]

    (after,) = post(place, [late[1]])[1]["results"]
    (before,) = post(place, [late[0]])[1]["results"]

    assert (after["status"], before["status"], before["socrev"]) == ("stored", "stale", 7)
    assert set(place.findings().values()) == {7}
