"""Fault 8 with real processes and real disks that fill: the province's journal and store, on one disk and on two."""

import errno
import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from control_kit import socmon
from field import wait_for
from pages_kit import metrics, page
from province_kit import Province, province_in

WEB = "web"
RULE = "5e0b7c1d-6f3a-4a92-9d18-3c7e2b9f4a01"  # rules/socmon/full_disk.yml

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]


class Disk:
    """A small disk of its own."""

    def __init__(self, folder: Path) -> None:
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Take all the room that is left."""
        with self._filler.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def empty(self) -> None:
        self._filler.unlink()


@contextmanager
def disk_at(folder: Path, size: str) -> Iterator[Disk]:
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Province]:
    with province_in(tmp_path) as made:
        auth = {"kind": "file", "paths": [str(made.root / "auth")], "start": "beginning"}
        web = {"kind": "http", "port": 0, "wait_s": 0.5}
        made.configure([], collectors={"auth": auth, WEB: web})
        yield made


def evaluated(place: Province) -> float:
    return metrics(place)['socmon_matching_evaluated_records_total{component="auth"}']


def told(place: Province, event: str) -> list[dict[str, Any]]:
    """What the daemon that runs has said of `event`."""
    return place.events("daemon.log", event, place.log_start)


def write_until_told(place: Province, event: str, *, each: int) -> None:
    def look() -> bool:
        place.more(each)
        return bool(told(place, event))

    wait_for(look, event)


def post(place: Province, number: int) -> int:
    """The status that collector `http` answers for one record with."""
    body = json.dumps({"message": f"number {number}"}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{place.port(WEB)}/", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


@pytest.mark.parametrize("disks", ["one", "two"])
def test_fault_08_disk_of_the_sender_full(place: Province, disks: str) -> None:
    with ExitStack() as mounted:
        state = mounted.enter_context(disk_at(place.state, "12m"))
        journal = mounted.enter_context(disk_at(place.state / "journal", "2m")) if disks == "two" else state
        place.start_centre()
        place.more(120)
        place.start_daemon()
        wait_for(lambda: told(place, "started"), "the daemon starts")
        place.wait_until_settled()
        assert post(place, 1) == 200

        state.fill()
        store_is_full(place)
        journal.fill()
        journal_is_full(place)
        only_what_is_stored_was_told(place)

        state.empty()
        if journal is not state:
            journal.empty()
        all_goes_on(place)
        place.stop_daemon()
        place.stop_centre()


def only_what_is_stored_was_told(place: Province) -> None:
    at_the_centre = place.findings()
    stored = {alert.id: alert.revision for alert in place.reading().alerts}
    assert all(revision <= stored.get(uid, 0) for uid, revision in at_the_centre.items())


def store_is_full(place: Province) -> None:
    """Detection goes on in memory and says that it does."""
    write_until_told(place, "alerts cannot be stored, they are kept in memory", each=10)
    before = evaluated(place)
    place.more(60)
    wait_for(lambda: evaluated(place) >= before + 60, "detection goes on in the room that was set aside")

    assert metrics(place)["socmon_store_failing"] == 1
    status, text = page(place, "/readyz")
    assert status == 503
    assert "full" in text
    assert page(place, "/healthz")[0] == 200
    seen = socmon(place, "-o", "json", "status")
    assert seen.returncode == 1
    assert "not_ready" in {each["code"] for each in json.loads(seen.stdout)["warnings"]}
    refused = socmon(place, "alerts", "close", next(iter(place.findings())), "--reason", "fp")
    assert refused.returncode not in {0, 70}  # it is not told as done, and is no bug
    assert "full" in refused.stderr


def journal_is_full(place: Province) -> None:
    """Nobody is told that a record is safe that is not; who can wait waits."""
    write_until_told(place, "the journal cannot be written, senders wait", each=50)
    assert post(place, 2) in {429, 503}  # come again later
    assert page(place, "/readyz")[0] == 503
    assert page(place, "/healthz")[0] == 200


def all_goes_on(place: Province, *, journal: bool = True) -> None:
    if journal:
        wait_for(lambda: told(place, "the journal can be written again"), "the journal goes on by itself")
    wait_for(lambda: told(place, "alerts can be stored again"), "the store goes on by itself")
    wait_for(lambda: page(place, "/readyz")[0] == 200, "all is well")
    assert post(place, 3) == 200
    wait_for(lambda: [alert for alert in place.reading().alerts if alert.rule_id == RULE], "an alert of its own")
    place.wait_until_settled()

    place.check_nothing_is_lost_or_doubled()
    assert place.journalled()["auth"] == place.sent["auth"]
    assert metrics(place)["socmon_store_failing"] == 0
    assert not place.account("auth").dropped


def test_fault_08_sender_killed_on_a_full_disk(place: Province) -> None:
    with disk_at(place.state, "12m") as disk:
        place.start_centre()
        place.more(120)
        place.start_daemon()
        wait_for(lambda: told(place, "started"), "the daemon starts")
        place.wait_until_settled()
        disk.fill()
        write_until_told(place, "alerts cannot be stored, they are kept in memory", each=10)
        place.more(60)
        write_until_told(place, "the journal cannot be written, senders wait", each=50)
        assert place.daemon is not None
        place.daemon.kill()
        place.daemon.wait(30)
        disk.fill()  # what the kill gave back

        place.start_daemon()
        wait_for(lambda: told(place, "started"), "it starts on a full disk")
        wait_for(lambda: told(place, "alerts cannot be stored, they are kept in memory"), "and finds them again")
        disk.empty()

        all_goes_on(place, journal=False)
        place.stop_daemon()
        place.stop_centre()
