"""The daemon under a service manager: ready when its doors are open, pinging while it moves, silent when it hangs."""

import contextlib
import json
import resource
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from field import Field, field_in, wait_for
from notify_kit import FakeManager, Message, manager_in

from socmon.notify import Manager
from socmon.watchdog import Pulse, Watchdog

WATCHDOG_S = 6.0  # a part may stand still for half of it


@pytest.fixture
def manager() -> Iterator[FakeManager]:
    with manager_in(WATCHDOG_S) as one:
        yield one


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Field]:
    with field_in(tmp_path / "province") as one:
        yield configured(one)


def configured(place: Field) -> Field:
    place.configure(["auth"], tcp=["network"], forwarders={})
    place.write("auth", 0, 5)
    return place


def is_ready(message: Message) -> bool:
    return "READY" in message


def is_ping(message: Message) -> bool:
    return "WATCHDOG" in message


def troubled(message: Message) -> bool:
    return "has not moved for" in message.get("STATUS", "")


def evaluated(place: Field) -> int:
    return place.account("auth").evaluated


def page(place: Field, path: str) -> tuple[int, dict[str, Any]]:
    (entry,) = place.events("daemon.log", "started")
    try:
        with urllib.request.urlopen(entry["http"] + path, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_ready_is_said_when_the_doors_are_open_and_stopping_at_the_stop(place: Field, manager: FakeManager) -> None:
    place.start_daemon(environment=manager.environment)
    ready = manager.wait(is_ready)

    port = place.port("network")
    with socket.create_connection(("127.0.0.1", port or 0), timeout=10):
        assert page(place, "/healthz")[0] == 200
    (started,) = place.events("daemon.log", "started")
    sentence = f"{started['rules']} rules, 5 records"
    told = manager.wait(lambda each: is_ping(each) and sentence in each["STATUS"], ready)
    place.stop_daemon()

    assert not any(map(is_ping, manager.heard[:ready]))
    stopping = manager.wait(lambda each: "STOPPING" in each, told)
    assert not any(map(is_ping, manager.listen()[stopping:]))


HANGS = {
    "event loop": "loop.hang:4",
    "journal writer": "journal.hang",
    "store": "store.hang",
    "auth": "collector.hang:3",
}


def test_a_part_that_hangs_ends_the_pings_and_is_named(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        hanging = []  # all at once: each takes seconds to be noticed
        for number, (part, failpoint) in enumerate(HANGS.items()):
            manager = stack.enter_context(manager_in(WATCHDOG_S))
            place = stack.enter_context(field_in(tmp_path / f"province {number}"))
            configured(place).start_daemon(failpoint, manager.environment)
            hanging.append((part, place, manager))
        for part, place, manager in hanging:
            check_hanging(part, place, manager)


def check_hanging(part: str, place: Field, manager: FakeManager) -> None:
    """`part` is named again and again, in the log, to the manager and on the pages; nothing is pinged for any more."""

    def is_named(message: Message) -> bool:
        return troubled(message) and part in message["STATUS"]

    def last_three_name_it() -> bool:
        # A slow machine may have held it up before, so that it was named once and has moved again since.
        states = [each for each in manager.listen() if is_ping(each) or troubled(each)]
        return len(states) >= 3 and all(map(is_named, states[-3:]))

    wait_for(last_three_name_it, f"{part} named, and nothing pinged for", 40)

    told = [each for each in place.events("daemon.log", "a part does not move") if each["part"] == part]
    assert told
    assert told[0]["level"] == "error"
    hung = max((number for number, each in enumerate(manager.heard) if is_ping(each)), default=-1)
    assert sum(map(is_named, manager.heard[hung + 1 :])) >= 3
    if part == "event loop":
        assert "hang" in told[-1]["where"][-1] or "wait" in told[-1]["where"][-1]
    else:
        for path in ("/readyz", "/healthz"):
            status, body = page(place, path)
            assert status == 503
            assert any(f"{part} has not moved for" in reason for reason in body["reasons"])


def test_neither_a_full_disk_nor_a_collector_that_fails_or_gave_up_ends_the_pings(
    place: Field, manager: FakeManager
) -> None:
    auth = {"kind": "file", "paths": [str(place.root / "auth")], "start": "beginning"}
    gone = {"kind": "file", "paths": [str(place.root / "nowhere" / "log")]}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = {"kind": "syslog_tcp", "port": taken.getsockname()[1]}
        place.configure([], collectors={"auth": auth, "gone": gone, "busy": busy}, forwarders={})
        place.start_daemon(environment=manager.environment)
        manager.wait(is_ready)
        wait_for(lambda: evaluated(place) == 5, "the first lines")
        assert place.daemon is not None
        hard = resource.prlimit(place.daemon.pid, resource.RLIMIT_FSIZE)[1]

        resource.prlimit(place.daemon.pid, resource.RLIMIT_FSIZE, (0, hard))  # no write can succeed
        place.write("auth", 5, 5)
        wait_for(lambda: "journal" in str(page(place, "/readyz")), "the full disk noticed")
        number = len(manager.listen())
        for _ in range(4):  # longer than a part may stand still
            number = manager.wait(is_ping, number) + 1

        assert page(place, "/healthz")[0] == 200
    resource.prlimit(place.daemon.pid, resource.RLIMIT_FSIZE, (hard, hard))
    wait_for(lambda: evaluated(place) == 10, "room again")
    place.stop_daemon()


def test_a_part_that_moves_again_is_pinged_for_again() -> None:
    with manager_in(watchdog_s=60) as manager:
        part = Pulse("a part")
        speaking = Manager(manager.environment)
        one = Watchdog(speaking, [part], lambda: "all well")
        one._loop.beat()

        part._moved_s -= 31
        one._look()
        assert one.health() == (False, ["a part has not moved for 31 s"])
        part.waits = True
        one._look()
        part.waits = False
        part.beat()
        one._look()

        speaking.close()
        assert [is_ping(each) for each in manager.listen()] == [False, True, True]
        assert manager.heard[0]["STATUS"] == "a part has not moved for 31 s"
