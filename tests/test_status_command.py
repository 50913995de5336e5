"""`socmon status`: what is wrong first, exit codes, and a lock that is looked at and never taken."""

import csv
import fcntl
import io
import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from store_kit import START_US, Place, alert, in_use, valid

from socmon.cli import locks
from socmon.ledger import Account, Ledger
from socmon.store import Checkpoint


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def now_us() -> int:
    return time.time_ns() // 1000


def checkpoint(**account: Any) -> Checkpoint:
    values: dict[str, Any] = {"journalled": 10, "evaluated": 8, "unparsed": 2, "dropped": {"buffer_full": 3}} | account
    return Checkpoint("one", 7, Ledger({"auth": Account(**values)}), {})


def status(place: Place) -> tuple[int, dict[str, Any]]:
    result = place.socmon("-o", "json", "status")
    return result.returncode, valid(json.loads(result.stdout), "status.v1")


def settle(place: Place, statement: str) -> None:
    with sqlite3.connect(place.store) as db:
        db.executescript(statement)
    db.close()


RELEASED = """
insert into released (destination, stream, epoch, seq, alert_id, revision, level, urgency, status, released_us, body,
                      sha256, state, code, settled_us)
values ('ncsc', 's', 'e', {seq}, 'x', 1, 'high', 3, 'open', {released_us}, x'', '', '{state}', '{code}', {settled_us});
"""


def test_all_is_well_while_a_daemon_runs_and_delivers(place: Place) -> None:
    place.put(alert(1), alert(2, level="low"), now_us=now_us(), checkpoint=checkpoint())
    with in_use(place):
        code, told = status(place)
        human = place.socmon("--lang", "vi", "status")

    assert (code, told["warnings"]) == (0, [])
    assert (told["daemon"]["running"], told["daemon"]["pid"]) == (True, os.getpid())
    assert told["store"]["frame"] == 7
    assert told["store"]["alerts"]["by_level"] == {"critical": 0, "high": 1, "medium": 0, "low": 1, "informational": 0}
    assert told["store"]["collectors"] == [
        {"name": "auth", "received": 13, "evaluated": 8, "unparsed": 2, "dropped": {"buffer_full": 3}, "in_flight": 0}
    ]
    assert told["store"]["destinations"][0]["pending"] == 2
    assert (human.returncode, human.stderr) == (0, "")
    assert f"daemon: tiến trình {os.getpid()}, chạy từ" in human.stdout


def test_a_daemon_that_is_down_is_told_first_and_the_store_all_the_same(place: Place) -> None:
    place.put(alert(1), now_us=now_us(), checkpoint=checkpoint())
    (place.state / "lock").write_text(f"{os.getpid()}\n")  # as a kill leaves it, the id in use by another since

    code, told = status(place)
    human = place.socmon("status").stdout.splitlines()

    assert code == 4
    assert [each["code"] for each in told["warnings"]] == ["daemon_down"]
    assert told["daemon"] == {"running": False, "pid": None, "since": None}
    assert told["store"]["alerts"]["total"] == 1
    assert human[0].startswith("warning  the daemon is down")


def test_no_store_and_no_daemon_is_told_and_no_bug(place: Place) -> None:
    code, told = status(place)

    assert (code, told["store"]) == (4, None)
    assert [each["code"] for each in told["warnings"]] == ["daemon_down", "no_store"]
    assert place.socmon("status").stderr == ""


@pytest.mark.parametrize(
    ("statement", "account", "code", "text"),
    [
        (
            RELEASED.format(seq=1, released_us=1, state="dead", code="first", settled_us=2)
            + RELEASED.format(seq=2, released_us=1, state="dead", code="bad\x1b[2J", settled_us=3),
            {},
            "dead_letters",
            "ncsc: 2 alerts were refused for good, the last one as bad\\x1b[2J",
        ),
        ("update pending set error = 'x'", {}, "unrendered", "ncsc: 1 alert cannot be rendered"),
        ("update pending set since_us = 5", {}, "backlog_old", "ncsc: the oldest alert waits for"),
        (
            RELEASED.format(seq=1, released_us=START_US - 10**15, state="waiting", code="", settled_us="null"),
            {},
            "backlog_old",
            "ncsc: the oldest alert waits for",
        ),
        ("select 1", {"evaluated": 7}, "ledger_unbalanced", "auth: 1 record is not accounted for"),
        ("update checkpoint set taken_us = 5", {}, "checkpoint_old", "nothing was stored for"),
    ],
    ids=lambda value: value if isinstance(value, str) and "_" in value and " " not in value else "",
)
def test_what_is_wrong_makes_the_exit_code_1(
    place: Place, statement: str, account: dict[str, int], code: str, text: str
) -> None:
    place.put(alert(1), now_us=now_us(), checkpoint=checkpoint(**account))
    settle(place, statement)
    with in_use(place):
        os.utime(place.state / "lock", (1, 1))
        exit_code, told = status(place)
        human = place.socmon("status").stdout

    assert exit_code == 1
    assert [each["code"] for each in told["warnings"]] == [code]
    assert human.startswith(f"warning  {text}")


def test_a_destination_is_listed_though_nothing_was_ever_queued_for_it(place: Place) -> None:
    place.put(destinations=[])
    place.config.write_text("state_dir: state\nforwarders: {centre: {kind: ncsc}}\n")

    _, told = status(place)

    assert told["store"]["destinations"][0] | {"name": "centre", "pending": 0} == told["store"]["destinations"][0]


def test_the_table_holds_every_figure_once(place: Place) -> None:
    place.put(alert(1), now_us=now_us(), checkpoint=checkpoint())

    rows = list(csv.DictReader(io.StringIO(place.socmon("-o", "csv", "status").stdout)))

    figures = {(row["section"], row["name"], row["field"]): row["value"] for row in rows}
    assert len(figures) == len(rows)
    assert figures["collector", "auth", "received"] == "13"
    assert figures["destination", "ncsc", "pending"] == "1"
    assert figures["daemon", "", "running"] == "false"


def test_the_table_says_of_what_each_warning_is(place: Place) -> None:
    place.put(alert(1), now_us=now_us(), checkpoint=checkpoint())
    settle(place, "update pending set error = 'x'")

    rows = list(csv.DictReader(io.StringIO(place.socmon("-o", "csv", "status").stdout)))

    told = {row["field"]: row["value"] for row in rows if row["name"] == "unrendered" and row["section"] == "warning"}
    assert told == {"name": "ncsc", "count": "1"}


def test_looking_at_a_lock_never_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert locks.holder(path) is None
    path.write_text("5\n")
    assert locks.holder(path) is None
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = locks.holder(path)
    assert found is not None
    assert found.pid == 5
    assert found.since_us == path.stat().st_mtime_ns // 1000
    assert locks.holder(path) is None
