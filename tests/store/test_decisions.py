"""What people decide on alerts for a destination, in the store: approved, withdrawn, dropped, paused."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from socmon.component import AUTOMATIC, Approval, Outcome, OutcomeStatus, Release, Released, Void
from socmon.errors import HeldError
from socmon.event import Alert, Level
from socmon.store import Routing, Store
from socmon.store.decisions import Decided, Saying, Standing, decide
from socmon.store.dropping import drop_alerts, drop_dead
from socmon.store.pausing import Pause, pause, resume
from socmon.store.queue import opened, rows

S = 1_000_000


def alert(name: str = "a", *, revision: int = 1, level: Level = "medium", tags: Sequence[str] = ()) -> Alert:
    return Alert(name, "rule", "Rule", level, list(tags), {}, 1, 2, revision, revision, opened_seq=1)


class Destination:
    """A store with one destination `up`, whose answers and whose policy a test gives."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now_us = 1000 * S
        self.asks_for = AUTOMATIC
        self.refuses: set[str] = set()
        self.policy = "first"
        self.admitted = 0

    def routing(self) -> Routing:
        def admit(item: Alert) -> Approval:
            self.admitted += 1
            if self.refuses & set(item.tags):
                raise HeldError("not shared")
            return self.asks_for

        def render(item: Alert, release: Release) -> bytes:
            by = f" by {release.approval.by}" if release.approval.by else ""
            return f"{item.id} r{release.revision} s{release.seq}{by}".encode()

        def void(item: Void) -> bytes:
            return f"void s{item.release.seq} {item.reason}".encode()

        def closing_of(item: Alert, release: Release) -> bytes:
            return f"{item.id} withdrawn r{release.revision} s{release.seq}".encode()

        def stream(item: Alert) -> str:
            return "urgent" if item.level == "critical" else "normal"

        return Routing("up", stream, render, void, admit, closing_of, self.policy)

    async def put(self, *alerts: Alert) -> None:
        await self.store.commit(alerts, depends_on=1, now_us=self.now_us)

    async def waits(self, after_s: int = 60) -> list[Released]:
        self.now_us += after_s * S
        await self.store.release(self.routing(), limit=100, now_us=self.now_us, interval_us=30 * S)
        return [item for batch in await self.store.waiting("up", 100) for item in batch]

    async def gets(self, status: OutcomeStatus = "accepted", code: str = "", after_s: int = 60) -> list[str]:
        """What it is sent next, and answers so."""
        items = await self.waits(after_s)
        await self.store.settle([Outcome(item.id, status, code) for item in items], self.now_us)
        return [item.body.decode() for item in items]

    async def decide(self, decision: Standing, *ids: str, dry_run: bool = False) -> list[Decided]:
        self.now_us += S
        saying = Saying("up", "lan", self.now_us, "because")
        return await self.store.change(lambda db: decide(db, ids or ["a"], decision, saying, dry_run=dry_run))

    async def reconnect(self) -> int:
        """How many alerts were looked at for it."""
        before = self.admitted
        await self.store.reconsider(self.routing(), self.now_us)
        return self.admitted - before

    def shown(self) -> list[tuple[str, str]]:
        """State and code of each row of the queue."""
        with opened(self.store.path) as db:
            return [(row.state, row.code) for row in rows(db)]


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Destination]:
    store = Store(tmp_path / "s.db", destinations=["up"])
    yield Destination(store)
    await store.close()


# ── approval ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_a_person_must_approve_is_held_and_counted_until_then(up: Destination) -> None:
    up.asks_for = Approval("person", "serious")
    await up.put(alert())

    before = await up.gets()
    backlog = await up.store.backlog("up")
    shown = up.shown()
    decided = await up.decide("approve")
    after = await up.gets()

    assert before == []
    assert shown == [("held", "waits for approval")]
    assert (backlog.held, backlog.unapproved, backlog.pending, backlog.oldest_us) == (1, 1, 0, None)
    assert decided == [Decided("a", "changed", "released")]
    assert after == ["a r1 s1 by lan"]
    assert (await up.store.backlog("up")).unapproved == 0


async def test_an_approval_is_for_all_later_revisions(up: Destination) -> None:
    up.asks_for = Approval("person", "serious")
    await up.put(alert())
    await up.decide("approve")
    await up.gets()

    await up.put(alert(revision=2))

    assert await up.gets() == ["a r2 s2 by lan"]
    assert await up.decide("approve") == [Decided("a", "unchanged")]


async def test_what_is_not_shared_stays_held_though_it_is_approved(up: Destination) -> None:
    up.refuses = {"tlp.red"}
    await up.put(alert(tags=["tlp.red"]))
    await up.decide("approve")

    assert await up.gets() == []
    assert up.shown() == [("held", "not shared")]


async def test_what_nobody_must_approve_goes_out_and_says_so(up: Destination) -> None:
    await up.put(alert())

    assert await up.gets() == ["a r1 s1"]
    assert await up.decide("approve") == [Decided("a", "changed", "")]
    assert await up.gets() == []
    assert await up.decide("approve", "nobody") == [Decided("nobody", "not_found")]


# ── withdrawal ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_withdrawn_before_its_release_it_is_not_sent_and_shown_so(up: Destination) -> None:
    await up.put(alert())

    decided = await up.decide("withdraw")

    assert up.shown() == [("held", "withdrawn")]  # at once, though the destination may be away
    assert decided == [Decided("a", "changed", "held")]
    await up.put(alert(revision=2))
    assert await up.gets() == []
    assert up.shown() == [("held", "withdrawn")]


async def test_withdrawn_without_an_answer_a_void_takes_its_sequence(up: Destination) -> None:
    await up.put(alert())
    await up.waits()

    decided = await up.decide("withdraw")
    sent = await up.gets()
    await up.put(alert("b"))

    assert decided == [Decided("a", "changed", "void")]
    assert sent == ["void s1 withdrawn"]
    assert await up.gets() == ["b r1 s2"]
    assert ("withdrawn", "withdrawn") in up.shown()


async def test_withdrawn_after_it_was_acknowledged_a_closing_revision_goes_out_once(up: Destination) -> None:
    await up.put(alert())
    await up.gets()

    decided = await up.decide("withdraw")
    told = await up.gets(after_s=0)  # it does not wait for the interval
    await up.put(alert(revision=2))

    assert decided == [Decided("a", "changed", "closing")]
    assert told == ["a withdrawn r2 s2"]
    assert await up.gets() == []
    assert up.shown()[-1] == ("held", "withdrawn")


async def test_withdrawn_in_flight_a_void_that_comes_too_late_is_followed_by_a_closing_revision(
    up: Destination,
) -> None:
    await up.put(alert())
    await up.waits()
    await up.decide("withdraw")

    void = await up.gets("stale", "seq_taken")
    told = await up.gets(after_s=0)

    assert (void, told) == (["void s1 withdrawn"], ["a withdrawn r2 s2"])
    assert up.shown() == [("acknowledged", "withdrawn"), ("acknowledged", "accepted")]
    assert await up.gets() == []


async def test_an_answer_that_comes_after_the_withdrawal_changes_nothing(up: Destination) -> None:
    await up.put(alert())
    (item,) = await up.waits()
    await up.decide("withdraw")

    await up.store.settle([Outcome(item.id, "accepted")], up.now_us)

    assert await up.gets("stale", "seq_taken") == ["void s1 withdrawn"]
    assert await up.gets() == ["a withdrawn r2 s2"]


async def test_a_closing_revision_is_not_taken_back_by_the_next_revision(up: Destination) -> None:
    await up.put(alert())
    await up.gets()
    await up.decide("withdraw")
    await up.waits()

    await up.put(alert(revision=2))

    assert await up.gets() == ["a withdrawn r2 s2"]


async def test_approved_again_it_goes_out_with_a_revision_behind_the_closing_one(up: Destination) -> None:
    await up.put(alert())
    await up.gets()
    await up.decide("withdraw")
    await up.gets()

    decided = await up.decide("approve")
    again = await up.gets(after_s=0)
    await up.decide("withdraw")

    assert decided == [Decided("a", "changed", "released")]
    assert again == ["a r3 s3 by lan"]
    assert await up.gets() == ["a withdrawn r4 s4"]


async def test_a_closing_revision_that_was_refused_goes_out_again_when_it_is_retried(up: Destination) -> None:
    await up.put(alert())
    await up.gets()
    await up.decide("withdraw")
    await up.gets("rejected", "schema")

    await up.store.release_again(await up.store.dead("up"), by="lan", now_us=up.now_us)

    assert await up.gets() == ["void s2 refused"]
    assert await up.gets() == ["a withdrawn r3 s3"]


async def test_a_trial_changes_nothing_and_says_what_would_become(up: Destination) -> None:
    await up.put(alert(), alert("b"))
    await up.waits()

    tried = await up.decide("withdraw", "a", "b", dry_run=True)

    assert tried == [Decided("a", "changed", "void"), Decided("b", "changed", "void")]
    assert await up.gets() == ["a r1 s1", "b r1 s2"]


async def test_each_decision_is_kept_with_who_when_and_why(up: Destination) -> None:
    await up.put(alert())
    await up.decide("withdraw")
    await up.decide("approve")

    with closing(sqlite3.connect(up.store.path)) as db:
        kept = db.execute("select verb, actor, reason, time_us from decision order by id").fetchall()
    assert kept == [("withdraw", "lan", "because", 1001 * S), ("approve", "lan", "because", 1002 * S)]


# ── what may leave is narrowed ───────────────────────────────────────────────────────────────────────────────────────


def narrowed_by_share(up: Destination) -> None:
    up.refuses = {"odd"}


def narrowed_by_approval(up: Destination) -> None:
    up.asks_for = Approval("person", "all")


@pytest.mark.parametrize("narrow", [narrowed_by_share, narrowed_by_approval])
async def test_what_waits_and_may_not_leave_any_more_is_taken_back_at_the_next_connect(
    up: Destination, narrow: Callable[[Destination], None]
) -> None:
    await up.reconnect()
    await up.put(alert(tags=["odd"]))
    await up.waits()
    narrow(up)
    up.policy = "second"

    await up.reconnect()

    assert await up.gets() == ["void s1 withdrawn"]
    await up.put(alert(revision=2, tags=["odd"]))
    assert await up.gets() == []


async def test_of_one_that_the_destination_has_and_that_is_taken_back_a_closing_revision_goes_out(
    up: Destination,
) -> None:
    await up.put(alert(tags=["odd"]))
    await up.gets()
    await up.put(alert(revision=2, tags=["odd"]))
    await up.waits()
    up.refuses, up.policy = {"odd"}, "second"

    await up.reconnect()

    assert await up.gets() == ["void s2 withdrawn"]
    assert await up.gets() == ["a withdrawn r3 s3"]


async def test_what_the_destination_has_it_keeps_though_later_revisions_are_not_shared(up: Destination) -> None:
    await up.put(alert(tags=["odd"]))
    await up.gets()
    up.refuses, up.policy = {"odd"}, "second"
    await up.reconnect()

    await up.put(alert(revision=2, tags=["odd"]))

    assert await up.gets() == []
    assert up.shown()[-1] == ("held", "not shared")


async def test_an_alert_that_becomes_red_takes_back_what_waits_of_it(up: Destination) -> None:
    up.refuses = {"tlp.red"}
    await up.put(alert())
    await up.waits()

    await up.put(alert(revision=2, tags=["tlp.red"]))

    assert [item.body for item in await up.waits()] == []
    assert await up.gets() == ["void s1 withdrawn"]


async def test_what_is_held_is_looked_at_again_only_when_what_may_leave_has_changed(up: Destination) -> None:
    up.refuses = {"odd"}
    await up.reconnect()
    await up.put(*(alert(f"a{number}", tags=["odd"]) for number in range(20)))
    await up.gets()

    looked = await up.reconnect()
    again = up.admitted
    await up.gets()

    assert looked == 0
    assert up.admitted == again
    up.refuses, up.policy = set(), "second"
    await up.reconnect()
    assert len(await up.gets()) == 20


async def test_where_nobody_knows_what_may_leave_all_that_is_held_is_looked_at(up: Destination) -> None:
    up.refuses = {"odd"}
    await up.put(alert(tags=["odd"]))
    await up.gets()
    up.refuses, routing = set(), up.routing()

    await up.store.reconsider(Routing("up", routing.stream, routing.render), up.now_us)

    assert await up.gets() == ["a r1 s1"]


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
