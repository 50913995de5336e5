"""Only the outbox damaged: all else is kept, what can be read of it too, and what is lost is queued anew."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from damage_kit import fill, line, page_of, zero
from store_kit import START_US, S, alert

from socmon.component import Outcome
from socmon.errors import StoreError
from socmon.store import Store, read
from socmon.store.verifying import verify

TABLES = ("alert", "evidence", "history", "change", "checkpoint", "state", "stream", "sqlite_sequence")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """200 alerts, all released to `ncsc`, of which the first 100 are acknowledged; and then 100 more that wait."""
    path = tmp_path_factory.mktemp("whole") / "socmon.db"
    asyncio.run(fill(path, [alert(number, evidence=[line(number)]) for number in range(1, 201)]))
    more = [alert(number, evidence=[line(number)]) for number in range(201, 301)]
    asyncio.run(store_more(path, more))
    return path.read_bytes()


async def store_more(path: Path, more: list[Any]) -> None:
    store = Store(path, destinations=["ncsc"])
    await store.commit(more, depends_on=1, now_us=START_US + S)
    await store.close()


@pytest.fixture
def path(whole: bytes, tmp_path: Path) -> Path:
    place = tmp_path / "socmon.db"
    place.write_bytes(whole)
    return place


async def started(path: Path) -> Any:
    """As a daemon starts: what it says of the outbox."""
    store = Store(path, destinations=["ncsc"])
    salvaged = store.salvaged
    await store.close()
    return salvaged


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(statement).fetchall()


def contents(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    return {table: sorted(rows(path, f"select * from {table}"), key=repr) for table in TABLES}


def names(path: Path, statement: str) -> set[str]:
    return {name for (name,) in rows(path, statement)}


async def test_a_whole_store_is_left_alone(path: Path) -> None:
    assert await started(path) is None
    assert [each.name for each in path.parent.iterdir()] == ["socmon.db"]


@pytest.mark.parametrize("table", ["released", "pending", "idx_released_destination_state_id"])
async def test_what_can_be_read_is_kept_and_the_rest_is_queued(path: Path, table: str) -> None:
    before, sent = contents(path), dict(rows(path, "select id, body from released"))
    queued = names(path, "select alert_id from pending")
    zero(path, page_of(path, table, 0 if table != "released" else 13))

    salvaged = await started(path)

    assert verify(path).count == 0
    assert contents(path) == before
    after = dict(rows(path, "select id, body from released"))
    assert after.items() <= sent.items()
    assert salvaged.kept == len(after)
    assert (salvaged.lost > 0) == (table == "released")
    everything = names(path, "select id from alert")
    assert everything == names(path, "select alert_id from released union select alert_id from pending")
    assert queued <= names(path, "select alert_id from pending")
    assert len(names(path, "select alert_id from pending")) == 100 + len(sent) - len(after)
    assert salvaged.aside.exists()
    assert await started(path) is None


async def test_no_sequence_is_given_a_second_time_afterwards(path: Path) -> None:
    ((next_seq, epoch),) = rows(path, "select next_seq, epoch from stream")
    zero(path, page_of(path, "released", 13))

    await started(path)

    assert rows(path, "select next_seq, epoch from stream") == [(next_seq, epoch)]


async def test_a_message_with_a_flipped_bit_is_lost_and_an_acknowledged_one_only_its_bytes(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("update released set body = x'01' || substr(body, 2) where id in (50, 150)")
    zero(path, page_of(path, "pending", 0))

    salvaged = await started(path)

    assert (salvaged.lost, salvaged.kept) == (1, 199)
    assert rows(path, "select id, state, length(body) from released where id in (50, 150)") == [(50, "acknowledged", 0)]
    assert len(names(path, "select alert_id from pending")) == 101


@pytest.mark.parametrize("kind", [0, 13])
async def test_lost_receipts_take_nothing_with_them_but_the_proof(path: Path, kind: int) -> None:
    before = contents(path)
    shown = "id, destination, stream, epoch, seq, alert_id, revision, state, code, settled_us, body, sha256"
    sent = rows(path, f"select {shown} from released")
    zero(path, page_of(path, "receipt", kind))

    salvaged = await started(path)

    assert verify(path).count == 0
    assert contents(path) == before
    assert rows(path, f"select {shown} from released") == sent
    ((proved,),) = rows(path, "select count(*) from released join receipt on receipt.id = receipt_id")
    assert (salvaged.kept, salvaged.lost, salvaged.unproved) == (200, 0, 100 - proved)
    assert 0 < salvaged.unproved <= 100
    gone = "select count(receipt_id) from released where receipt_id not in (select id from receipt)"
    assert rows(path, gone) == [(0,)]


async def test_streams_whose_sequences_are_lost_begin_an_epoch_behind_all_that_were_used(path: Path) -> None:
    ((epoch,),) = rows(path, "select epoch from stream")
    sent = rows(path, "select id, epoch, seq, body from released")
    zero(path, page_of(path, "stream", 0))

    salvaged = await started(path)

    assert (salvaged.streams, salvaged.lost) == (1, 0)
    ((anew, next_seq),) = rows(path, "select epoch, next_seq from stream")
    assert anew > epoch
    assert next_seq == 1
    assert rows(path, "select id, epoch, seq, body from released") == sent


async def test_destinations_that_the_outbox_has_lost_are_known_by_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "socmon.db"
    await store_more(path, [alert(number) for number in range(1, 101)])
    zero(path, page_of(path, "pending", 0))

    salvaged = await started(path)

    assert salvaged.queued == 100
    assert len(names(path, "select alert_id from pending where destination = 'ncsc'")) == 100


async def test_a_message_that_is_found_damaged_at_sending_is_lost_and_its_alert_goes_out_anew(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("update released set body = x'01' || substr(body, 2) where id = 150")
    store = Store(path, destinations=["ncsc"])
    assert store.salvaged is None  # SQLite sees nothing wrong

    await store.settle([Outcome(150, "rejected", "damaged"), Outcome(151, "rejected", "damaged")], START_US + 2 * S)

    assert store.damaged == 1
    await store.close()
    shown = "select id, state, code, retried_by from released where id in (150, 151)"
    # Of 151 somebody else says so: it is whole, and waits for a person.
    assert rows(path, shown) == [(150, "retried", "damaged", "socmon"), (151, "dead", "damaged", None)]
    queued = "select alert_id from released where id in (150, 151) and alert_id in (select alert_id from pending)"
    assert rows(path, queued) == rows(path, "select alert_id from released where id = 150")


@pytest.mark.parametrize("table", ["alert", "evidence"])
async def test_more_damage_is_told_and_nothing_is_changed(path: Path, table: str) -> None:
    zero(path, page_of(path, table, 13))
    damaged = path.read_bytes()

    with pytest.raises(StoreError, match="`socmon db restore FILE` puts a backup in its place"):
        await started(path)

    assert path.read_bytes() == damaged
    assert not [each for each in path.parent.iterdir() if "before" in each.name or "restor" in each.name]


async def test_the_store_goes_on_with_what_was_salvaged(path: Path) -> None:
    zero(path, page_of(path, "released", 13))

    store = Store(path, destinations=["ncsc"])
    await store.commit([alert(999)], depends_on=1, now_us=START_US + 2 * S)
    await store.close()

    assert len(read(path).alerts) == 301
