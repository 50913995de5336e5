"""A daemon with workers under kill -9 of itself, of its workers, and a record that makes them spin: nothing is lost."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from field import Field, field_in, wait_for
from unkilled_kit import check_against_unkilled

from socmon.failpoints import HARM

FILE = "vpubnd"
KILLS = ["journal.appended:3", "alerts.committed:2", "", "journal.write:2:100", "workers", ""]


def children(pid: int) -> list[int]:
    """The workers of a daemon."""
    found = []
    for each in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(child) for child in each.read_text().split()]
    return [child for child in found if b"socmon.workers" in _command(child)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def kill_amid(place: Field, number: int, how: str) -> int:
    """Write until the daemon is dead, killed at a failpoint, or from here; all that it began must end with it."""
    place.start_daemon("" if how == "workers" else how)
    daemon = place.daemon
    assert daemon is not None
    wait_for(lambda: daemon.poll() is not None or len(children(daemon.pid)) == 2, "workers")
    workers = children(daemon.pid)
    place.write(FILE, number, 400)
    if how == "workers":
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        wait_for(lambda: set(children(daemon.pid)) - set(workers), "another worker")
    if how in {"", "workers"}:
        daemon.kill()
    number += 400

    def dead() -> bool:
        """Whether it is; else more is written, since what was may have gone into one frame."""
        nonlocal number
        if daemon.poll() is None:
            place.write(FILE, number, 20)
            number += 20
        return daemon.poll() is not None

    wait_for(dead, "the daemon was not killed: its failpoint was never hit")
    assert daemon.returncode == -9
    wait_for(lambda: not any(b"socmon.workers" in _command(worker) for worker in workers), "workers end with it")
    return number


@pytest.mark.timeout(600)
def test_kills_of_a_daemon_with_workers_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    with field_in(tmp_path / "cut") as cut:
        cut.start_centre()
        cut.configure([FILE], detection={"workers": 2})
        number = 0
        for how in KILLS:
            number = kill_amid(cut, number, how)
        cut.start_daemon()
        wait_for(cut.settled, "everything journalled, matched and acknowledged", timeout_s=180)
        cut.stop_daemon()

        check_against_unkilled(cut, tmp_path / "uncut")
        assert cut.journalled() == cut.sent


@pytest.mark.timeout(300)
def test_a_record_that_makes_workers_spin_is_set_aside_and_a_restart_does_not_meet_it_again(tmp_path: Path) -> None:
    with field_in(tmp_path / "cut") as place:
        place.start_centre()
        place.configure([FILE], detection={"workers": 1})
        place.write(FILE, 0, 50)
        harm = place.sent[FILE][0] + " " + HARM.decode()
        with (place.root / FILE).open("a") as log:
            log.write(harm + "\n")
        place.sent[FILE].append(harm)
        place.write(FILE, 50, 50)

        place.start_daemon("worker.spin")
        wait_for(
            lambda: place.events("daemon.log", "record set aside, matching cannot get past it"), "a record set aside"
        )
        assert place.daemon is not None
        place.daemon.kill()
        place.daemon.wait(60)
        place.start_daemon("worker.spin")
        wait_for(lambda: place.account(FILE).unparsed == 1, "all of it is accounted for", timeout_s=120)
        wait_for(lambda: place.account(FILE).evaluated == 100, "all of it is accounted for", timeout_s=120)
        place.stop_daemon()

        account = place.account(FILE)
        assert (account.journalled, account.evaluated, account.unparsed) == (101, 100, 1)
        assert not place.events("daemon.log", "a worker was lost, another one takes its place", place.log_start)
