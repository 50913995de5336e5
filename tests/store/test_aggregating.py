"""Over the quota: new alerts of one rule and agency go as one message, each goes on by itself, and nothing is lost."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aggregating_kit import MINUTE_US, NOW_US, render_all, routing
from hypothesis import given
from hypothesis import strategies as st
from store_kit import START_US, S, alert

from socmon.event import Alert
from socmon.outgoing import Aggregate, Outcome, OutcomeStatus, Place, Release, Released
from socmon.store import Store, queue, read, resuming
from socmon.store.aggregating import parcels, part, together
from socmon.store.pruning import Bounds, prune
from socmon.store.verifying import verify


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(tmp_path / "s.db", destinations=["up"])
    yield opened
    await opened.close()


async def commit(store: Store, *alerts: Alert) -> None:
    await store.commit(alerts, depends_on=1, now_us=START_US)


async def released(store: Store, now_us: int = NOW_US, **options: Any) -> list[Released]:
    limit = options.pop("limit", 100)
    assert await store.release(routing(**options), limit=limit, now_us=now_us, interval_us=0) == []
    return [item for batch in await store.waiting("up", limit) for item in batch]


async def answer(store: Store, items: Sequence[Released], status: OutcomeStatus = "accepted", **said: Any) -> None:
    await store.settle([Outcome(item.id, status, **said) for item in items], NOW_US)


def members(item: Released) -> list[str]:
    return [uid for uid, _ in msgspec.json.decode(item.body)["members"]]


def ids(*numbers: int) -> list[str]:
    return [alert(number).id for number in numbers]


def states(store: Store) -> dict[str, list[str]]:
    with queue.opened(store.path) as db:
        found: dict[str, list[str]] = {}
        for row in queue.rows(db):
            found.setdefault(row.alert_id, []).append(row.state)
    return found


async def test_what_is_within_the_quota_goes_one_by_one(store: Store) -> None:
    await commit(store, alert(1), alert(2))

    assert [item.alert_id for item in await released(store)] == ids(1, 2)


async def test_over_the_quota_alerts_of_one_rule_are_one_message(store: Store) -> None:
    await commit(store, *(alert(number) for number in range(1, 31)))

    (item,) = await released(store)

    assert members(item) == ids(*range(1, 31))
    assert (item.release.seq, item.release.revision) == (1, 1)
    assert verify(store.path).damages == []
    await answer(store, [item])
    assert read(store.path).acknowledged["up"] == dict.fromkeys(ids(*range(1, 31)), 1)
    assert read(store.path).backlogs["up"].acknowledged == 30


async def test_what_cannot_be_joined_waits_for_the_quota(store: Store) -> None:
    await commit(store, *(alert(number, rule_id=f"rule {number}") for number in range(1, 6)))

    first = await released(store)
    await answer(store, first)
    at_once = await released(store)
    later = await released(store, NOW_US + MINUTE_US)

    assert [item.alert_id for item in first] == ids(1, 2)
    assert at_once == []
    assert [item.alert_id for item in later] == ids(3, 4)


async def test_the_quota_waits_for_no_clock_that_was_set_back(store: Store) -> None:
    await commit(store, *(alert(number, rule_id=f"rule {number}") for number in range(1, 6)))
    await answer(store, await released(store, NOW_US + 24 * 60 * MINUTE_US))

    assert [item.alert_id for item in await released(store, NOW_US)] == ids(3, 4)


async def test_the_quota_survives_a_restart(tmp_path: Path) -> None:
    for expected in (ids(1, 2), []):
        store = Store(tmp_path / "s.db", destinations=["up"])
        await commit(store, *(alert(number, rule_id=f"rule {number}") for number in range(1, 6)))
        items = await released(store)
        await answer(store, items)
        await store.close()
        assert [item.alert_id for item in items] == expected


async def test_urgent_alerts_have_no_quota_and_wait_behind_no_aggregate(store: Store) -> None:
    storm = [alert(number, level="low") for number in range(1, 31)]
    await commit(store, *storm, *(alert(number, level="critical") for number in range(40, 45)))

    items = await released(store)

    assert [item.alert_id for item in items[:5]] == ids(*range(40, 45))
    assert [len(members(item)) for item in items[5:]] == [30]


async def test_agencies_and_rules_are_not_mixed_and_what_says_most_goes_first(store: Store) -> None:
    theirs = [alert(number, agency="a" if number % 3 else "b") for number in range(1, 10)]
    await commit(store, alert(20, rule_id="other"), *theirs)

    first, second = await released(store)

    assert [len(members(first)), len(members(second))] == [6, 3]


async def test_known_and_closed_alerts_go_by_themselves(store: Store) -> None:
    await commit(store, alert(1), alert(2))
    await answer(store, await released(store))
    grown = [alert(number, revision=2) for number in (1, 2)]
    await commit(store, *grown, *(alert(number) for number in range(3, 9)))

    items = await released(store, NOW_US + MINUTE_US)

    assert members(items[0]) == ids(*range(3, 9))
    assert [item.alert_id for item in items[1:]] == ids(1)


async def test_a_members_next_revision_goes_out_by_itself(store: Store) -> None:
    await commit(store, *(alert(number) for number in range(1, 31)))
    await answer(store, await released(store))
    await commit(store, alert(7, revision=2))

    (item,) = await released(store)
    await answer(store, [item])

    assert item.body == f"{alert(7).id} r2".encode()
    assert read(store.path).acknowledged["up"][alert(7).id] == 2


async def test_a_refused_aggregate_is_a_dead_letter_for_each_of_its_members(store: Store) -> None:
    await commit(store, *(alert(number) for number in range(1, 6)))
    await answer(store, await released(store), "rejected", code="schema")

    letters = await store.dead("up")
    assert [letter.alert_id for letter in letters] == ids(*range(1, 6))
    assert set(map(tuple, states(store).values())) == {("dead",)}
    (filled,) = await released(store)
    assert filled.body == b"void 1 refused"
    await answer(store, [filled])
    await store.release_again(letters, by="an", now_us=NOW_US)

    (again,) = await released(store)
    await answer(store, [again])
    assert members(again) == ids(*range(1, 6))
    assert set(map(tuple, states(store).values())) == {("retried", "acknowledged")}


async def test_what_is_not_to_leave_is_held_and_the_others_go_together(store: Store) -> None:
    await commit(store, *(alert(number, title="red" if number % 5 == 0 else "SSH") for number in range(1, 31)))

    (item,) = await released(store)

    assert len(members(item)) == 24
    assert [uid for uid, found in states(store).items() if found == ["held"]] == ids(5, 10, 15, 20, 25, 30)


async def test_one_that_cannot_be_rendered_keeps_nobody(store: Store) -> None:
    await commit(store, *(alert(number, title="odd" if number == 4 else "SSH") for number in range(1, 11)))

    problems = await store.release(routing(), limit=100, now_us=NOW_US, interval_us=0)

    assert problems == [f"alert {alert(4).id}: ValueError('no words for this')"]
    (item,) = [item for batch in await store.waiting("up", 100) for item in batch]
    assert len(members(item)) == 9


async def test_an_aggregate_that_is_too_large_goes_in_parts(store: Store) -> None:
    def small(aggregate: Aggregate, release: Release) -> bytes:
        if len(aggregate.members) > 3:
            raise ValueError("too large")
        return render_all(aggregate, release)

    await commit(store, *(alert(number) for number in range(1, 12)))

    items = await released(store, per_minute=4, aggregate=small)

    assert [len(members(item)) for item in items] == [2, 3, 3, 3]


async def test_replaced_stale_and_held_are_so_for_each_member(store: Store) -> None:
    await commit(store, *(alert(number) for number in range(1, 6)))
    await answer(store, await released(store), "held")
    assert set(map(tuple, states(store).values())) == {("held",)}
    assert (await store.backlog("up")).held == 5
    await store.try_held("up", NOW_US + 3601 * S)
    items = await released(store)
    assert len(members(items[0])) == 5

    await answer(store, items, "replaced")
    (filled,) = await released(store)
    assert filled.body == b"void 1 replaced"
    await answer(store, [filled])
    (whole,) = await released(store)
    await answer(store, [whole], "stale", revision=9)

    assert len(members(whole)) == 5
    assert read(store.path).acknowledged["up"] == dict.fromkeys(ids(*range(1, 6)), 1)


async def test_what_the_destination_has_lost_is_sent_again_with_its_members(store: Store) -> None:
    await commit(store, *(alert(number) for number in range(1, 6)))
    (item,) = await released(store)
    await answer(store, [item])

    resumed = await store.resume("up", {}, NOW_US)

    assert resumed == resuming.Resumed(again=1)
    assert await released(store) == [item]
    assert set(map(tuple, states(store).values())) == {("waiting",)}
    await answer(store, [item], "rejected")
    assert len(await store.dead("up")) == 5


async def test_in_a_new_epoch_members_are_released_anew(store: Store) -> None:
    await commit(store, *(alert(number) for number in range(1, 6)))
    (item,) = await released(store)

    resumed = await store.resume("up", {"normal": Place(item.release.epoch, 7, 7)}, NOW_US)
    (again,) = await released(store)

    assert resumed == resuming.Resumed(epochs=1)
    assert (again.release.epoch > item.release.epoch, again.release.seq) == (True, 1)
    assert members(again) == members(item)


async def test_one_that_is_taken_back_parts_its_aggregate_and_the_others_go_anew(store: Store) -> None:
    await commit(store, *(alert(number) for number in range(1, 6)))
    (item,) = await released(store)
    with sqlite3.connect(store.path) as db:
        (number,) = db.execute("select id from released where alert_id = ?", (alert(3).id,)).fetchone()
        for _ in range(2):
            db.execute("update released set state = 'dead' where id = ?", (number,))
            part(db, number, NOW_US)

    (filled,) = await released(store)
    await answer(store, [filled])
    (again,) = await released(store)

    assert filled.body == b"void 1 replaced"
    assert members(again) == ids(1, 2, 4, 5)
    assert again.alert_id != item.alert_id
    assert states(store)[alert(3).id] == ["dead"]


async def test_one_that_may_not_be_joined_goes_by_itself(store: Store) -> None:
    await commit(store, *(alert(number) for number in range(1, 31)))
    with sqlite3.connect(store.path) as db:
        due = ids(*range(1, 31))
        found = parcels(db, routing(), due, {}, 100, NOW_US, joins=lambda each: each.id != alert(7).id)

    assert [len(each) for each in found] == [29, 1]
    assert found[1] == ids(7)


async def test_members_whose_aggregate_was_damaged_are_released_anew(store: Store) -> None:
    await commit(store, *(alert(number) for number in range(1, 6)))
    (item,) = await released(store)
    with sqlite3.connect(store.path) as db:
        db.execute("delete from released where id = ?", (item.id,))

    await store.reconsider(routing(), NOW_US)
    (again,) = await released(store)

    assert (members(again), again.release.seq) == (members(item), 2)


async def test_members_of_an_aggregate_whose_bytes_were_damaged_are_released_anew(store: Store) -> None:
    await commit(store, *(alert(number) for number in range(1, 6)))
    (item,) = await released(store)
    with sqlite3.connect(store.path) as db:
        db.execute("update released set body = x'00' where id = ?", (item.id,))

    await store.settle([Outcome(item.id, "rejected", "damaged")], NOW_US)
    (empty,) = await released(store)
    assert empty.void
    await store.settle([Outcome(empty.id, "accepted")], NOW_US)
    (again,) = await released(store)

    assert (members(again), again.release.seq) == (members(item), 2)
    assert store.damaged == 5


async def test_what_takes_long_to_look_through_lets_something_go_all_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socmon.store.outbox._MOST_S", -1.0)
    await commit(store, *(alert(number) for number in range(1, 6)))

    (item,) = await released(store)

    assert len(members(item)) == 5


async def test_an_alert_that_cannot_be_read_keeps_nobody(store: Store) -> None:
    await commit(store, *(alert(number) for number in range(1, 6)))
    with sqlite3.connect(store.path) as db:
        db.execute("update alert set tags = '[' where id = ?", (alert(3).id,))

    (problem,) = await store.release(routing(), limit=100, now_us=NOW_US, interval_us=0)
    ((item,),) = await store.waiting("up", 9)

    assert alert(3).id in problem
    assert len(members(item)) == 4


async def test_what_is_only_counted_is_not_hidden_by_what_comes_before_it(store: Store) -> None:
    await commit(store, *(alert(number) for number in range(1, 60)), alert(99, level="informational"))

    items = await released(store, limit=5)

    assert alert(99).id in {item.alert_id for item in items}


async def test_an_aggregate_goes_with_the_last_of_its_members(store: Store) -> None:
    closed = [alert(number, status="open") for number in range(1, 6)]
    await commit(store, *closed)
    await answer(store, await released(store))
    far_us = NOW_US + 10**15
    with sqlite3.connect(store.path, isolation_level=None) as db:
        db.execute("update alert set status = 'closed', closed_revision = 9 where rowid < 5")
        prune(db, Bounds(far_us, None, far_us), 100)
        assert db.execute("select count(*) from released").fetchone() == (2,)
        db.execute("update alert set status = 'closed', closed_revision = 9")
        prune(db, Bounds(far_us, None, far_us), 100)
        assert db.execute("select count(*) from released").fetchone() == (0,)
        assert db.execute("select pruned_seq, next_seq from stream").fetchone() == (1, 2)


async def test_how_far_a_stream_was_pruned_is_remembered_over_its_next_release(store: Store) -> None:
    await commit(store, alert(1))
    await answer(store, await released(store))
    await commit(store, alert(1, revision=2))
    await answer(store, await released(store))
    with sqlite3.connect(store.path) as db:
        db.execute("update stream set pruned_seq = 1")
    await commit(store, alert(2))
    await released(store)

    with sqlite3.connect(store.path) as db:
        assert db.execute("select pruned_seq from stream").fetchone() == (1,)


async def test_a_storm_of_revisions_of_one_alert_costs_one_release_an_interval(store: Store) -> None:
    sent = 0
    for revision in range(1, 301):  # one a second, for five minutes
        now_us = NOW_US + revision * S
        await commit(store, alert(1, revision=revision))
        assert await store.release(routing(per_minute=600), limit=9, now_us=now_us, interval_us=30 * S) == []
        items = [item for batch in await store.waiting("up", 9) for item in batch]
        sent += len(items)
        await answer(store, items)

    assert sent == 10


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.sampled_from("ab"), st.sampled_from("xy")), max_size=60),
    st.integers(2, 20),
)
def test_each_alert_is_in_one_group_of_its_own_kind_within_the_span(
    made: list[tuple[int, str, str]], most: int
) -> None:
    alerts = [
        alert(number, first_us=START_US + second * S, rule_id=rule, agency=agency)
        for number, (second, rule, agency) in enumerate(made)
    ]

    groups = together(alerts, most)

    assert sorted(each.id for group in groups for each in group) == sorted(each.id for each in alerts)
    for group in groups:
        assert len({(each.rule_id, each.agency) for each in group}) == 1
        assert max(each.first_us for each in group) - min(each.first_us for each in group) <= 600 * S
        assert len(group) <= most
