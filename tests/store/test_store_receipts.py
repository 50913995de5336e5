"""What the destination signed is kept with what it signed for; and a forwarder without a key undoes a release."""

import sqlite3
from pathlib import Path
from typing import NoReturn

import pytest
from store_kit import alert

from socmon.errors import BlockedError
from socmon.event import Alert
from socmon.outgoing import Outcome, Release
from socmon.store import Routing, Store

ROUTING = Routing("ncsc", lambda _alert: "normal", lambda alert, _release: alert.id.encode())


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    db = sqlite3.connect(path)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


async def filled(path: Path) -> Store:
    store = Store(path, destinations=["ncsc"])
    await store.commit([alert(1), alert(2), alert(3)], depends_on=0, now_us=1)
    return store


async def test_a_receipt_is_kept_once_for_all_that_it_is_for_and_goes_with_the_last(tmp_path: Path) -> None:
    path = tmp_path / "socmon.db"
    store = await filled(path)
    await store.release(ROUTING, limit=10, now_us=2, interval_us=0)
    (batch,) = await store.waiting("ncsc", 10)
    first, second, third = (item.id for item in batch)

    answers = [Outcome(first, "accepted", receipt="a"), Outcome(second, "rejected", "x", receipt="a")]
    await store.settle([*answers, Outcome(third, "retry", receipt="a")], now_us=3)
    await store.settle([Outcome(third, "accepted")], now_us=3)

    kept = "select state, content from released left join receipt on receipt.id = receipt_id order by released.id"
    assert rows(path, kept) == [("acknowledged", "a"), ("dead", "a"), ("acknowledged", None)]
    assert rows(path, "select count(*) from receipt") == [(1,)]
    await store.prune(before_us=10)
    assert rows(path, "select count(*) from receipt") == [(1,)]
    await store.close()


async def test_what_waits_carries_the_digest_of_its_release(tmp_path: Path) -> None:
    store = await filled(tmp_path / "socmon.db")
    await store.release(ROUTING, limit=10, now_us=2, interval_us=0)

    (batch,) = await store.waiting("ncsc", 10)

    assert {len(item.sha256) for item in batch} == {64}
    await store.close()


async def test_a_forwarder_that_has_no_key_releases_nothing(tmp_path: Path) -> None:
    def render(_alert: Alert, _release: Release) -> NoReturn:
        raise BlockedError("no key", reason="signing_key_expired", remedy="rotate")

    store = await filled(tmp_path / "socmon.db")
    with pytest.raises(BlockedError, match="no key"):
        await store.release(Routing("ncsc", lambda _alert: "normal", render), limit=10, now_us=2, interval_us=0)

    assert (await store.backlog("ncsc")).pending == 3
    assert await store.release(ROUTING, limit=10, now_us=2, interval_us=0) == []
    assert (await store.backlog("ncsc")).waiting == 3
    await store.close()
