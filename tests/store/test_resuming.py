"""The outbox goes on from what its destination has, whichever of both went back; sequences that stay empty are void."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from store_kit import alert

from socmon.errors import BlockedError
from socmon.event import SECOND_US, Alert
from socmon.outgoing import Outcome, OutcomeStatus, Place, Released, Void
from socmon.store import Routing, Store
from socmon.store.resuming import Resumed

S = SECOND_US
HOUR_US = 3600 * S


def voided(void: Void) -> bytes:
    return f"void {void.release.seq}-{void.to_seq} {void.reason}".encode()


ROUTING = Routing("up", lambda _: "normal", lambda item, release: f"{item.id} {release.seq}".encode(), voided)


class Outbox:
    """A store with the alerts 1 to `count`, released to `up` under the sequences 1 to `count` in its epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now_us = 1_700_000_000 * S
        self.store = Store(path, destinations=["up"])

    async def commit(self, *alerts: Alert) -> None:
        await self.store.commit(alerts, depends_on=0, now_us=self.now_us)

    async def released(self) -> list[Released]:
        """All that waits for an answer, with what is due."""
        self.now_us += 60 * S
        await self.store.release(ROUTING, limit=100, now_us=self.now_us, interval_us=30 * S)
        return [item for batch in await self.store.waiting("up", 100) for item in batch]

    async def settle(self, items: Iterable[Released], status: OutcomeStatus = "accepted", **more: Any) -> None:
        self.now_us += S
        await self.store.settle([Outcome(item.id, status, **more) for item in items], self.now_us)

    async def resume(self, **places: Place) -> Resumed:
        self.now_us += S
        return await self.store.resume("up", places, self.now_us)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            return db.execute(query).fetchall()

    @property
    def epoch(self) -> str:
        ((epoch,),) = self.rows("select epoch from stream")
        return str(epoch)


@pytest.fixture
async def outbox(tmp_path: Path) -> Any:
    made = Outbox(tmp_path / "socmon.db")
    yield made
    await made.store.close()


async def with_answered(outbox: Outbox, count: int) -> list[Released]:
    await outbox.commit(*(alert(number) for number in range(1, count + 1)))
    items = await outbox.released()
    await outbox.settle(items)
    return items


def bodies(items: Iterable[Released]) -> list[str]:
    return [item.body.decode() for item in items]


def seqs(items: Iterable[Released]) -> list[int]:
    return [item.release.seq for item in items]


async def test_a_destination_that_has_all_is_sent_nothing_again(outbox: Outbox) -> None:
    await with_answered(outbox, 5)

    assert await outbox.resume(normal=Place(outbox.epoch, 5, 5, 0)) == Resumed()
    assert await outbox.released() == []


async def test_what_the_destination_has_lost_is_sent_again_in_its_place_and_with_its_bytes(outbox: Outbox) -> None:
    sent = await with_answered(outbox, 5)

    assert await outbox.resume(normal=Place(outbox.epoch, 2, 2, 0)) == Resumed(again=3)

    again = await outbox.released()
    assert (bodies(again), seqs(again)) == (bodies(sent[2:]), [3, 4, 5])
    await outbox.settle(again, "duplicate")
    assert await outbox.resume(normal=Place(outbox.epoch, 5, 5, 0)) == Resumed()


@pytest.mark.parametrize("places", [{}, {"normal": Place("", 0)}, {"normal": Place("000000000001", 9, 9, 0)}])
async def test_a_destination_that_knows_nothing_of_our_epoch_gets_all_of_it(
    outbox: Outbox, places: Mapping[str, Place]
) -> None:
    await with_answered(outbox, 3)

    assert await outbox.resume(**places) == Resumed(again=3)
    assert seqs(await outbox.released()) == [1, 2, 3]


async def test_a_hole_that_we_still_have_to_fill_makes_nothing_sent_again(outbox: Outbox) -> None:
    await outbox.commit(*(alert(number) for number in range(1, 6)))
    items = await outbox.released()
    await outbox.settle([items[1]], "held")
    await outbox.settle([items[0], *items[2:]])

    assert await outbox.resume(normal=Place(outbox.epoch, 1, 5, 3)) == Resumed()
    assert await outbox.released() == []
    assert await outbox.resume(normal=Place(outbox.epoch, 1, 4, 2)) == Resumed(again=3)


async def test_a_destination_that_is_ahead_makes_a_new_epoch_and_what_waited_goes_out_there(outbox: Outbox) -> None:
    await outbox.commit(alert(1), alert(2))
    waiting = await outbox.released()
    before = outbox.epoch

    assert await outbox.resume(normal=Place(before, 7, 7, 0)) == Resumed(epochs=1)

    assert outbox.epoch > before
    anew = await outbox.released()
    assert {item.alert_id for item in anew} == {item.alert_id for item in waiting}
    assert (seqs(anew), {item.release.epoch for item in anew}) == ([1, 2], {outbox.epoch})


async def test_a_destination_with_a_later_sequence_behind_a_hole_is_ahead_too(outbox: Outbox) -> None:
    await with_answered(outbox, 2)

    assert await outbox.resume(normal=Place(outbox.epoch, 1, 9, 7)) == Resumed(epochs=1)


async def test_an_epoch_that_is_not_ours_is_gone_behind(outbox: Outbox) -> None:
    later = f"{int('ffffffffff', 16):012x}"
    assert await outbox.resume(normal=Place(later, 4, 4, 0)) == Resumed()

    await outbox.commit(alert(1))

    (item,) = await outbox.released()
    assert (item.release.epoch > later, item.release.seq) == (True, 1)


async def test_what_is_gone_here_becomes_void_by_why_it_is_gone(outbox: Outbox) -> None:
    await with_answered(outbox, 9)
    outbox.rows("delete from released where seq in (2, 3, 6, 8, 9)")
    outbox.rows("update stream set pruned_seq = 6")

    assert await outbox.resume(normal=Place(outbox.epoch, 1, 1, 0)) == Resumed(again=3, expired=3, lost=2)

    assert bodies(await outbox.released()) == [
        "void 2-3 expired",
        *(bodies_of(outbox, 4, 5)),
        "void 6-6 expired",
        *(bodies_of(outbox, 7)),
        "void 8-9 lost_local",
    ]


def bodies_of(outbox: Outbox, *numbers: int) -> list[str]:
    return [
        body.decode()
        for number in numbers
        for (body,) in outbox.rows(f"select body from released where seq = {number}")
    ]


async def test_a_revision_that_a_newer_one_has_overtaken_is_void_and_no_loss(outbox: Outbox) -> None:
    await with_answered(outbox, 1)
    await outbox.commit(alert(1, revision=2))
    await outbox.settle(await outbox.released())

    assert await outbox.resume() == Resumed(again=1)
    assert seqs(await outbox.released()) == [1, 2]
    assert bodies(await outbox.released())[0] == "void 1-1 superseded"


@pytest.mark.parametrize(("code", "reason"), [("too_large", "oversize"), ("oversize", "oversize"), ("x", "refused")])
async def test_a_dead_letter_leaves_a_void_in_its_sequence(outbox: Outbox, code: str, reason: str) -> None:
    await outbox.commit(alert(1), alert(2))
    first, second = await outbox.released()
    await outbox.settle([first], "rejected", code=code)

    void, still = await outbox.released()

    assert (void.id < 0, void.alert_id, bodies([void])) == (True, first.alert_id, [f"void 1-1 {reason}"])
    assert still == second
    await outbox.settle([void, still])
    assert outbox.rows("select state, code from void") == [("acknowledged", "accepted")]
    assert await outbox.released() == []


async def test_a_dead_letter_that_keeps_its_sequence_leaves_none(outbox: Outbox) -> None:
    await with_answered(outbox, 0)
    await outbox.commit(alert(1))
    await outbox.settle(await outbox.released(), "rejected", keeps_seq=True)

    assert await outbox.released() == []


async def test_each_sequence_that_is_silent_is_void_once(outbox: Outbox) -> None:
    await outbox.commit(alert(1), alert(2), alert(3))
    items = await outbox.released()
    await outbox.settle(items[:1], "rejected")
    await outbox.settle(items[1:], "rejected", keeps_seq=True)
    await outbox.settle(await outbox.released())

    await outbox.resume(normal=Place("", 0))

    assert bodies(await outbox.released()) == ["void 1-1 refused", "void 2-3 refused"]


async def test_what_was_overtaken_and_is_void_is_counted_once(outbox: Outbox) -> None:
    await with_answered(outbox, 2)
    await outbox.commit(alert(1, revision=2))
    await outbox.settle(await outbox.released())
    await outbox.resume(normal=Place("", 0))
    items = await outbox.released()
    await outbox.settle([items[0]], "accepted")
    await outbox.settle([items[1]], "held")
    await outbox.settle([items[2]], "duplicate")

    assert await outbox.resume(normal=Place(outbox.epoch, 0, 3, 2)) == Resumed()


async def test_what_waits_is_found_along_an_index(outbox: Outbox) -> None:
    plan = outbox.rows(
        "explain query plan select id from released where destination = 'up' and stream = 'normal'"
        " and state = 'waiting' and seq is not null order by epoch, seq limit 9"
    )

    assert [row[3] for row in plan if "idx_released_waiting" in row[3]]


async def test_a_dead_letter_that_the_destination_has_counts_as_what_it_has(outbox: Outbox) -> None:
    await outbox.commit(*(alert(number) for number in range(1, 5)))
    items = await outbox.released()
    await outbox.settle([items[0]], "held")
    await outbox.settle([items[1]], "rejected", keeps_seq=True)
    await outbox.settle(items[2:])

    assert await outbox.resume(normal=Place(outbox.epoch, 0, 4, 3)) == Resumed()
    assert await outbox.resume(normal=Place(outbox.epoch, 0, 3, 2)) == Resumed(again=2)
    assert bodies(await outbox.released())[0] == "void 2-2 refused"


async def test_a_destination_that_looks_at_no_sequences_is_sent_no_void(outbox: Outbox) -> None:
    await outbox.commit(alert(1))
    await outbox.settle(await outbox.released(), "rejected")
    plain = Routing("up", ROUTING.stream, ROUTING.render)

    await outbox.store.release(plain, limit=9, now_us=outbox.now_us, interval_us=0)

    assert outbox.rows("select count(*) from void") == [(0,)]


async def test_a_void_that_is_refused_is_made_anew_at_the_next_look(outbox: Outbox) -> None:
    await outbox.commit(alert(1))
    await outbox.settle(await outbox.released(), "rejected")
    await outbox.settle(await outbox.released(), "rejected", code="bad_sig")
    assert await outbox.released() == []

    await outbox.resume(normal=Place("", 0))

    assert bodies(await outbox.released()) == ["void 1-1 refused"]


async def test_a_void_that_cannot_be_signed_waits_for_the_key(outbox: Outbox) -> None:
    def blocked(void: Void) -> bytes:
        raise BlockedError("no key", reason="own_unusable", remedy="make one")

    await outbox.commit(alert(1))
    await outbox.settle(await outbox.released(), "rejected")

    with pytest.raises(BlockedError):
        await outbox.store.release(
            Routing("up", ROUTING.stream, ROUTING.render, blocked), limit=9, now_us=outbox.now_us, interval_us=0
        )
    assert bodies(await outbox.released()) == ["void 1-1 refused"]


async def test_what_is_replaced_goes_out_anew_and_its_old_sequence_is_void(outbox: Outbox) -> None:
    await outbox.commit(alert(1))
    (first,) = await outbox.released()

    await outbox.settle([first], "replaced", code="key_unknown")

    (void,) = await outbox.released()
    assert bodies([void]) == ["void 1-1 replaced"]
    await outbox.settle([void])
    (anew,) = await outbox.released()
    assert (anew.alert_id, anew.release.seq) == (first.alert_id, 2)
    assert outbox.rows("select state, code, retried_by from released order by id") == [
        ("retried", "key_unknown", "socmon"),
        ("waiting", None, None),
    ]


async def test_what_is_held_keeps_nobody_waiting_and_is_sent_again_after_an_hour(outbox: Outbox) -> None:
    await outbox.commit(alert(1))
    (first,) = await outbox.released()
    await outbox.settle([first], "held", code="schema")
    await outbox.commit(alert(2))

    (second,) = await outbox.released()
    assert second.alert_id != first.alert_id
    assert (await outbox.store.backlog("up")).held == 1
    await outbox.store.try_held("up", outbox.now_us)
    assert await outbox.released() == [second]
    outbox.now_us += HOUR_US
    await outbox.store.try_held("up", outbox.now_us)
    assert await outbox.released() == [first, second]


async def test_the_hour_is_over_where_the_clock_was_set_back(outbox: Outbox) -> None:
    await outbox.commit(alert(1))
    await outbox.settle(await outbox.released(), "held")

    await outbox.store.try_held("up", outbox.now_us - 48 * HOUR_US)

    assert len(await outbox.released()) == 1


async def test_a_destination_with_a_greater_revision_than_any_of_ours_is_gone_beyond(outbox: Outbox) -> None:
    await outbox.commit(alert(1, revision=3))
    (first,) = await outbox.released()

    await outbox.settle([first], "stale", revision=8)

    (lifted,) = await outbox.released()
    assert lifted.release.revision == 9
    await outbox.settle([lifted])
    await outbox.commit(alert(1, revision=4))
    (later,) = await outbox.released()
    assert later.release.revision == 10


async def test_a_revision_that_ours_have_overtaken_is_stale_and_nothing_more(outbox: Outbox) -> None:
    await outbox.commit(alert(1))
    (first,) = await outbox.released()
    outbox.rows(
        "insert into released (destination, stream, epoch, seq, alert_id, revision, level, urgency, status,"
        " released_us, body, sha256, state) select destination, 'urgent', epoch, 1, alert_id, 5, level, urgency,"
        " status, released_us, x'00', '', 'acknowledged' from released"
    )

    await outbox.settle([first], "stale", revision=5)

    assert await outbox.released() == []
    assert outbox.rows("select count(*) from lifted") == [(0,)]


async def test_what_was_pruned_is_remembered_as_expired(outbox: Outbox) -> None:
    await with_answered(outbox, 1)
    for revision in range(2, 5):
        await outbox.commit(alert(1, revision=revision))
        await outbox.settle(await outbox.released())

    await outbox.store.prune(outbox.now_us + 1)

    # The first that was acknowledged and the last stay.
    assert outbox.rows("select seq from released") == [(1,), (4,)]
    await outbox.commit(alert(2))
    await outbox.settle(await outbox.released())
    assert await outbox.resume() == Resumed(again=2, expired=2)
    assert bodies(await outbox.released())[:2] == ["void 1-1 superseded", "void 2-3 expired"]
