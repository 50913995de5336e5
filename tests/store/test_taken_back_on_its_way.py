"""What was taken back on its way, and what the destination says of it then."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from decision_kit import Destination, alert

from socmon.outgoing import Aggregate, Approval, Outcome, Place, Quota, Release
from socmon.store import Routing, Store
from socmon.store.decisions import Saying
from socmon.store.dropping import drop_alerts
from socmon.store.pruning import Bounds
from socmon.store.queue import opened, rows
from socmon.store.triage import Change


class Limited(Destination):
    """With a quota of two a minute."""

    def routing(self) -> Routing:
        def together(aggregate: Aggregate, _release: Release) -> bytes:
            return " ".join(["all", *(member.alert.id for member in aggregate.members)]).encode()

        quota = Quota(2, frozenset({"urgent"}), 500)
        return msgspec.structs.replace(super().routing(), quota=quota, aggregate=together)

    def state_of(self, alert_id: str) -> list[tuple[str, str]]:
        with opened(self.store.path) as db:
            return [(row.state, row.code) for row in rows(db) if row.alert_id == alert_id]

    async def drop(self, alert_id: str) -> None:
        await self.store.change(lambda db: drop_alerts(db, [alert_id], Saying("up", "lan", self.now_us, "because")))


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Limited]:
    store = Store(tmp_path / "s.db", destinations=["up"])
    yield Limited(store)
    await store.close()


async def test_a_member_that_was_withdrawn_after_its_aggregate_arrived_is_closed(up: Limited) -> None:
    await up.put(*(alert(name) for name in "abcd"))
    assert [item.body for item in await up.waits()] == [b"all a b c d"]
    await up.decide("withdraw", "a")

    assert await up.gets("stale", "seq_taken") == ["void s1 replaced"]

    assert await up.gets() == ["all b c d", "a withdrawn r2 s3"]


async def test_a_member_that_was_dropped_after_its_aggregate_arrived_counts_as_delivered(up: Limited) -> None:
    await up.put(*(alert(name) for name in "abcd"))
    await up.waits()
    await up.drop("a")

    assert await up.gets("stale", "seq_taken") == ["void s1 replaced"]

    assert up.state_of("a") == [("acknowledged", "dropped")]


async def test_what_was_dropped_on_its_way_does_not_go_out_though_a_greater_revision_is_known_there(
    up: Limited,
) -> None:
    await up.put(alert())
    (item,) = await up.waits()
    await up.drop("a")

    await up.store.settle([Outcome(item.id, "stale", revision=5)], up.now_us)

    assert await up.gets("stale", "seq_taken") == ["void s1 dropped"]
    assert await up.gets() == []


async def test_what_was_withdrawn_on_its_way_stays_so_when_its_place_is_to_be_replaced(up: Limited) -> None:
    await up.put(alert())
    (item,) = await up.waits()
    await up.decide("withdraw", "a")

    await up.store.settle([Outcome(item.id, "replaced", "key_unknown")], up.now_us)

    assert up.shown() == [("withdrawn", "withdrawn")]
    assert await up.gets() == ["void s1 withdrawn"]
    assert await up.gets() == []


async def test_what_was_withdrawn_on_its_way_is_closed_beyond_the_revision_that_is_known_there(up: Limited) -> None:
    await up.put(alert())
    (item,) = await up.waits()
    await up.decide("withdraw", "a")
    await up.store.settle([Outcome(item.id, "stale", revision=5)], up.now_us)
    assert await up.gets("stale", "seq_taken") == ["void s1 withdrawn"]

    assert await up.gets() == ["a withdrawn r6 s2"]


async def test_where_a_stream_begins_anew_what_was_withdrawn_on_its_way_is_closed(up: Limited) -> None:
    await up.put(alert())
    (item,) = await up.waits()
    await up.decide("withdraw", "a")

    await up.store.resume("up", {"normal": Place(item.release.epoch, 5, 5, 0)}, up.now_us)

    assert await up.gets() == ["a withdrawn r2 s1"]
    assert await up.gets() == []


async def test_where_a_stream_begins_anew_a_member_withdrawn_on_its_way_is_closed(up: Limited) -> None:
    await up.put(*(alert(name) for name in "abcd"))
    (item,) = await up.waits()
    await up.decide("withdraw", "a")

    await up.store.resume("up", {"normal": Place(item.release.epoch, 5, 5, 0)}, up.now_us)

    assert "a withdrawn r2 s2" in await up.gets()


# ── not let go of before it is settled ───────────────────────────────────────────────────────────────────────────────


async def old_and_closed(up: Destination) -> int:
    """How many alerts go, after the one is closed and long past."""
    await up.store.triage(["a"], Change("close", reason="fp"), actor="lan", now_us=up.now_us)
    await up.waits()
    up.now_us += 10**14
    return (await up.store.retire(Bounds(up.now_us, None, up.now_us))).alerts


async def test_an_alert_that_is_not_understood_yet_stays(up: Limited) -> None:
    await up.put(alert())
    await up.gets("held", "schema")
    await up.store.triage(["a"], Change("close", reason="fp"), actor="lan", now_us=up.now_us)
    await up.gets("held", "schema")

    assert await old_and_closed(up) == 0


async def test_an_alert_whose_withdrawal_has_no_answer_stays(up: Limited) -> None:
    unlimited = Destination(up.store)
    await unlimited.put(alert())
    await unlimited.waits()
    await unlimited.decide("withdraw", "a")

    assert await old_and_closed(unlimited) == 0


async def test_an_alert_that_waits_for_approval_stays_until_a_person_decided(up: Limited) -> None:
    up.asks_for = Approval("person", "serious")
    await up.put(alert())
    await up.gets()

    assert await old_and_closed(up) == 0

    await up.decide("withdraw", "a")
    assert await old_and_closed(up) == 1
