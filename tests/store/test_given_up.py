"""What people give up for a destination, and what they pause, in the store."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from decision_kit import Destination, S, alert

from socmon.store import Store
from socmon.store.decisions import Saying
from socmon.store.dropping import drop_alerts, drop_dead
from socmon.store.pausing import Pause, pause, resume


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Destination]:
    store = Store(tmp_path / "s.db", destinations=["up"])
    yield Destination(store)
    await store.close()


# ── given up ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def drop(up: Destination, *ids: str, dry_run: bool = False) -> list[tuple[str, str]]:
    saying = Saying("up", "lan", up.now_us)
    work: Callable[[sqlite3.Connection], Any] = (
        (lambda db: drop_alerts(db, ids, saying, dry_run=dry_run))
        if ids
        else (lambda db: drop_dead(db, saying, dry_run=dry_run))
    )
    return [(row.alert_id, row.state) for row in await up.store.change(work)]


async def test_what_waits_is_given_up_and_a_void_takes_its_sequence(up: Destination) -> None:
    await up.put(alert())
    await up.waits()
    await up.put(alert(revision=2))

    tried = await drop(up, "a", dry_run=True)
    dropped = await drop(up, "a")

    assert tried == dropped == [("a", "waiting"), ("a", "pending")]
    assert await up.gets() == ["void s1 dropped"]
    assert up.shown() == [("dropped", "dropped"), ("held", "dropped")]
    await up.put(alert(revision=3))
    assert await up.gets() == ["a r3 s2"]


async def test_dead_letters_are_given_up_and_newer_revisions_go_on(up: Destination) -> None:
    await up.put(alert())
    await up.gets("rejected", "schema")
    await up.gets()  # its void
    await up.put(alert(revision=2))

    assert await drop(up) == [("a", "dead")]
    assert await up.gets() == ["a r2 s2"]
    assert await up.store.dead("up") == []


async def test_what_was_given_up_goes_out_again_when_it_is_approved(up: Destination) -> None:
    await up.put(alert())
    await drop(up, "a")

    await up.decide("approve")

    assert await up.gets() == ["a r1 s1 by lan"]


async def test_what_was_given_up_and_arrived_all_the_same_counts_as_delivered(up: Destination) -> None:
    await up.put(alert())
    await up.waits()
    await drop(up, "a")

    assert await up.gets("stale", "seq_taken") == ["void s1 dropped"]
    assert up.shown() == [("acknowledged", "dropped")]
    assert await up.gets() == []


# ── paused ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def paused(up: Destination, *, for_s: int | None = None, urgent: bool = False) -> None:
    until_us = None if for_s is None else up.now_us + for_s * S
    await up.store.change(lambda db: pause(db, Pause("up", up.now_us, until_us, urgent, "lan")))


async def test_while_paused_only_what_is_urgent_goes_out(up: Destination) -> None:
    await up.put(alert("old"))
    await up.waits()
    await paused(up)

    await up.put(alert("new"), alert("now", level="critical"))

    assert await up.gets() == ["now r1 s1"]
    assert (await up.store.backlog("up")).paused
    await up.store.change(lambda db: resume(db, "up"))
    assert await up.gets() == ["old r1 s1"]
    assert await up.gets() == ["new r1 s2"]


async def test_a_pause_is_for_what_is_urgent_too_where_that_was_said(up: Destination) -> None:
    await paused(up, urgent=True)
    await up.put(alert("now", level="critical"))

    assert await up.gets() == []


async def test_a_pause_ends_by_itself_and_when_the_clock_is_set_back_before_it(up: Destination) -> None:
    await up.put(alert())
    await paused(up, for_s=90)
    assert await up.gets(after_s=60) == []
    assert await up.gets(after_s=60) == ["a r1 s1"]

    await paused(up, for_s=90)
    await up.put(alert(revision=2))
    assert await up.gets(after_s=-3600) == ["a r2 s2"]
    assert not (await up.store.backlog("up")).paused
