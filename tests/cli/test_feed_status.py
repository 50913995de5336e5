"""`socmon feed status`: how a destination stands, from a real store without a daemon."""

import asyncio
import csv
import io
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from decision_kit import Destination, alert
from store_kit import Place, valid

from socmon.outgoing import Approval, OutcomeStatus
from socmon.store import Store
from socmon.store.destination import look
from socmon.store.pausing import Pause, pause

S = 1_000_000
Work = Callable[[Destination], Any]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.config.write_text("state_dir: state\nforwarders: {up: {kind: ncsc}, quiet: {kind: file}}\n")
    made.state.mkdir()
    return made


def filled(place: Place, work: Work, now_us: int | None = None) -> None:
    """Let `work` fill the store, at a time of now."""

    async def run() -> None:
        store = Store(place.store, destinations=("up",))
        destination = Destination(store)
        destination.now_us = (time.time_ns() // 1000 if now_us is None else now_us) - 600 * S
        await work(destination)
        await store.close()

    asyncio.run(run())


def told(place: Place, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    result = place.socmon("-o", "json", "feed", "status", *words)
    whole = valid(json.loads(result.stdout), "feed.status.v1")
    return result.returncode, {each["destination"]: each for each in whole["destinations"]}


async def answered(to: Destination, status: OutcomeStatus = "accepted") -> None:
    await to.put(alert("a"), alert("b", level="critical"))
    await to.gets(status, "malformed" if status == "rejected" else "")


def test_what_was_acknowledged_and_waits_is_told_by_stream_and_needs_nobody(place: Place) -> None:
    async def work(to: Destination) -> None:
        await answered(to)
        await to.put(alert("c"))
        await to.waits()

    filled(place, work)
    code, found = told(place)
    up = found["up"]

    assert code == 0
    assert sorted(found) == ["quiet", "up"]
    assert [up[name] for name in ("waiting", "acknowledged", "dead", "held", "needs")] == [1, 2, 0, 0, []]
    streams = {each["stream"]: each for each in up["streams"]}
    assert [streams["normal"][name] for name in ("last_seq", "waiting", "acknowledged_seq")] == [2, 1, 1]
    assert [streams["urgent"][name] for name in ("last_seq", "waiting", "acknowledged_seq")] == [1, 0, 1]
    assert up["last_acknowledged"] == streams["normal"]["acknowledged"]
    assert (found["quiet"]["streams"], found["quiet"]["oldest"]) == ([], None)
    assert told(place, "quiet")[1].keys() == {"quiet"}


def test_dead_letters_and_what_waits_for_approval_need_a_person(place: Place) -> None:
    async def work(to: Destination) -> None:
        await answered(to, "rejected")
        to.asks_for = Approval("person")
        await to.put(alert("c"))
        await to.waits()

    filled(place, work)
    code, found = told(place)
    human = place.socmon("feed", "status", "up")
    vi = place.socmon("--lang", "vi", "feed", "status", "up").stdout

    assert code == human.returncode == 1
    assert [found["up"][name] for name in ("dead", "held", "unapproved")] == [2, 1, 1]
    assert found["up"]["needs"] == ["dead", "unapproved"]
    assert "! dead letters: `socmon feed queue --state dead`" in human.stdout
    assert "! có cảnh báo chờ duyệt" in vi
    assert "nothing was acknowledged yet" in human.stdout


@pytest.mark.parametrize(("reason", "code"), [("expired", 1), ("lost_local", 1), ("superseded", 0)])
def test_losses_are_told_apart_from_other_voids(place: Place, reason: str, code: int) -> None:
    filled(place, answered)
    with closing(sqlite3.connect(place.store)) as db, db:
        db.execute(
            "insert into void (destination, stream, epoch, seq, to_seq, reason, made_us) values (?, ?, ?, 3, 5, ?, 1)",
            ("up", "normal", "e", reason),
        )

    done, found = told(place)
    human = place.socmon("feed", "status").stdout

    assert done == code
    assert found["up"]["voids"] == [{"reason": reason, "sequences": 3, "lost": code == 1}]
    assert f"void ({reason}): 3 sequences" in human
    assert ("LOST" in human) is (code == 1)


def test_what_has_waited_for_over_an_hour_with_nothing_acknowledged_needs_a_person(place: Place) -> None:
    async def work(to: Destination) -> None:
        await to.put(alert("a"))
        await to.waits()

    filled(place, work, time.time_ns() // 1000 - 7200 * S)

    assert told(place)[1]["up"]["needs"] == ["silent"]
    assert "hơn một giờ" in place.socmon("--lang", "vi", "feed", "status").stdout


def test_a_pause_is_told_and_hostile_names_steer_no_terminal(place: Place) -> None:
    now_us = time.time_ns() // 1000

    async def work(to: Destination) -> None:
        await to.store.change(lambda db: pause(db, Pause("up", now_us - S, None, True, "lan\x1b[2J\u202e")))

    filled(place, work)
    _, found = told(place)
    human = place.socmon("feed", "status").stdout

    assert found["up"]["paused"]["until"] is None
    assert "up is paused by lan" in human
    assert not {"\x1b", "\u202e"} & set(human + place.socmon("-o", "json", "feed", "status").stdout)


def test_each_form_has_a_row_for_each_destination_and_what_is_not_there_its_exit_code(place: Place) -> None:
    assert place.socmon("feed", "status").returncode == 5
    filled(place, answered)

    lines = place.socmon("-o", "ndjson", "feed", "status").stdout.splitlines()
    rows = [*csv.DictReader(io.StringIO(place.socmon("-o", "csv", "feed", "status").stdout))]

    assert [valid(json.loads(line), "feed.status.v1", row=True)["destination"] for line in lines] == ["quiet", "up"]
    assert [(row["destination"], row["acknowledged"]) for row in rows] == [("quiet", "0"), ("up", "2")]
    assert place.socmon("feed", "status", "mars").returncode == 5


def test_only_indexes_are_searched(place: Place) -> None:
    filled(place, answered)
    asked: list[str] = []
    with closing(sqlite3.connect(place.store, isolation_level=None)) as db:
        db.set_trace_callback(asked.append)
        assert len([*look(db, ["up"], 0)]) == 1
        db.set_trace_callback(None)
        plans = [row[3] for text in asked if "select" in text for row in db.execute(f"explain query plan {text}")]

    assert plans
    # `pause` holds a row a destination.
    assert [plan for plan in plans if plan.startswith("SCAN") and "INDEX" not in plan] == ["SCAN pause"]
