"""What people decide on alerts for a destination, in the store: approved, withdrawn, narrowed."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest
from decision_kit import Destination, S, alert

from socmon.outgoing import Approval, Outcome
from socmon.store import Routing, Store
from socmon.store.decisions import Decided


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


async def test_what_a_narrowed_policy_took_back_goes_out_when_it_is_widened(up: Destination) -> None:
    await up.put(alert(tags=["x"]))
    await up.reconnect()
    await up.waits()

    up.refuses, up.policy = {"x"}, "narrow"
    await up.reconnect()
    narrowed = await up.gets()
    held = (await up.store.backlog("up")).held
    up.refuses, up.policy = set(), "wide"
    await up.reconnect()

    assert (narrowed, held) == (["void s1 withdrawn"], 1)
    assert await up.gets() == ["a r1 s2"]


async def test_what_waits_when_approval_is_asked_for_is_shown_to_who_approves(up: Destination) -> None:
    await up.put(alert())
    await up.reconnect()
    await up.waits()

    up.asks_for, up.policy = Approval("person", "serious"), "asks"
    await up.reconnect()

    assert await up.gets() == ["void s1 withdrawn"]
    assert (await up.store.backlog("up")).unapproved == 1


async def test_what_was_told_withdrawn_by_the_policy_is_told_again_when_it_is_widened(up: Destination) -> None:
    await up.put(alert(tags=["x"]))
    await up.reconnect()
    await up.gets()
    await up.put(alert(tags=["x"], revision=2))
    await up.waits()
    up.refuses, up.policy = {"x"}, "narrow"
    await up.reconnect()
    told = [*await up.gets(), *await up.gets()]

    up.refuses, up.policy = set(), "wide"
    await up.reconnect()

    assert "a withdrawn r3 s3" in told
    assert await up.gets() == ["a r4 s4"]
