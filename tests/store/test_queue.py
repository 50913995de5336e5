"""The outbox as people see it, and what a retry makes of a dead letter."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlite_utils

from socmon.errors import StoreError
from socmon.event import Alert, Level
from socmon.outgoing import Outcome, OutcomeStatus
from socmon.store import Routing, Store
from socmon.store.migrations import MIGRATIONS
from socmon.store.queue import Row, State, destinations, opened, rows
from socmon.store.schema import prepare

S = 1_000_000
ROUTING = Routing("up", lambda _: "normal", lambda alert, release: f"{alert.id} {release.seq}".encode())


def alert(name: str, *, revision: int = 1, level: Level = "high") -> Alert:
    return Alert(name, "rule", f"Rule of {name}", level, [], {}, 1, 2, revision, revision, opened_seq=1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened_store = Store(tmp_path / "socmon.db", destinations=["up"])
    yield opened_store
    await opened_store.close()


async def put(store: Store, *alerts: Alert) -> None:
    await store.commit(alerts, depends_on=0, now_us=5)


async def release(store: Store, status: OutcomeStatus, *, now_us: int = 10 * S, code: str = "") -> None:
    """Release all that is due, and answer for it."""
    await store.release(ROUTING, limit=100, now_us=now_us, interval_us=30 * S)
    waiting = [item for batch in await store.waiting("up", 100) for item in batch]
    await store.settle([Outcome(item.id, status, code) for item in waiting], now_us + 1)


def seen(store: Store, *states: State, destination: str | None = None) -> list[Row]:
    with opened(store.path) as db:
        return list(rows(db, destination=destination, states=states or ("pending", "waiting", "dead")))


async def test_every_state_is_shown_with_what_is_known_of_it(store: Store) -> None:
    await put(store, alert("a"))
    await release(store, "rejected", code="schema")
    await put(store, alert("b"))
    await release(store, "accepted")
    await put(store, alert("c"), alert("a", revision=3))
    await release(store, "retry")
    await put(store, alert("d", level="low"))

    told = [(row.alert_id, row.state, row.seq, row.revision, row.code) for row in seen(store)]
    assert told == [
        ("a", "dead", 1, 1, "schema"),
        ("c", "waiting", 3, 1, ""),
        ("a", "pending", None, 3, ""),
        ("d", "pending", None, 1, ""),
    ]
    (done,) = seen(store, "acknowledged", destination="up")
    assert (done.title, done.code, done.size_bytes, done.released_us) == ("Rule of b", "accepted", 3, 10 * S)
    assert seen(store, "acknowledged", destination="down") == []
    with opened(store.path) as db:
        assert destinations(db) == {"up"}


async def test_two_dead_letters_of_one_alert_are_one_new_release(store: Store) -> None:
    await put(store, alert("a"))
    await release(store, "rejected", now_us=10 * S)
    await put(store, alert("a", revision=2))
    await release(store, "rejected", now_us=50 * S)
    letters = await store.dead(None)

    await store.release_again(letters, by="lan", now_us=51 * S)
    await store.release_again(letters, by="minh", now_us=52 * S)  # a second hand at the same moment
    await release(store, "accepted", now_us=53 * S)

    assert len(letters) == 2
    assert await store.dead(None) == []
    told = [(row.seq, row.revision, row.state) for row in seen(store, "retried", "acknowledged", "pending")]
    assert told == [(1, 1, "retried"), (2, 2, "retried"), (3, 2, "acknowledged")]
    with opened(store.path) as db:
        by = db.execute("select distinct retried_by, retried_us from released where state = 'retried'").fetchall()
    assert by == [("lan", 51 * S)]


async def test_a_retried_letter_does_not_hold_back_its_alert(store: Store) -> None:
    await put(store, alert("a"))
    await release(store, "rejected", now_us=10 * S)

    await store.release_again(await store.dead("up"), by="lan", now_us=11 * S)
    await release(store, "accepted", now_us=11 * S)

    assert [row.seq for row in seen(store, "acknowledged")] == [2]


async def test_looking_at_one_alert_uses_the_indexes(store: Store) -> None:
    asked: list[str] = []
    with opened(store.path) as db:
        db.set_trace_callback(asked.append)
        list(rows(db, destination="up", alert_id="a"))
        db.set_trace_callback(None)
        plan = " ".join(row[3] for row in db.execute(f"explain query plan {asked[0]}"))

    assert "SCAN released" not in plan
    assert "SCAN pending" not in plan


def test_a_store_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "socmon.db"
    old = sqlite3.connect(path, isolation_level=None)
    MIGRATIONS[0](sqlite_utils.Database(old))
    old.execute("pragma user_version = 1")
    old.execute("insert into released (destination, state, code) values ('up', 'dead', 'schema')")
    with opened(path) as db:
        before = [(row.id, row.state, row.code) for row in rows(db)]  # readable before the daemon was upgraded
    prepare(old, "old")

    with opened(path) as db:
        after = [(row.id, row.state, row.code) for row in rows(db)]
        assert db.execute("select retried_us, retried_by from released").fetchall() == [(None, None)]
    old.close()
    assert before == after == [(1, "dead", "schema")]


def test_what_is_no_store_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot read .*/socmon\.db: unable to open"), opened(tmp_path / "socmon.db"):
        pass
    assert list(tmp_path.iterdir()) == []
