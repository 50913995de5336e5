"""What was taken back on its way, and what the destination says of it then."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from decision_kit import Destination, alert

from socmon.outgoing import Aggregate, Outcome, Quota, Release
from socmon.store import Routing, Store
from socmon.store.decisions import Saying
from socmon.store.dropping import drop_alerts
from socmon.store.queue import opened, rows


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
