"""What goes is closed, delivered and can grow no more; all of it goes that is its own, and nothing else."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from store_kit import alert, put

from socmon.store import Store
from socmon.store.pruning import Bounds, Pruned, prune, prune_file, used_bytes, would_prune, young_us
from socmon.store.retiring import Retiring
from socmon.store.verifying import verify

DAY_US = 86_400_000_000
NOW_US = 1_790_000_000_000_000
YOUNG_US = NOW_US - 3 * DAY_US
DELIVERY = ("none", "pending", "held", "waiting", "acknowledged", "dead", "retried")


class Case(Struct, frozen=True):
    """An alert as it stands; ages in days, `touched` of the last that an analyst did to it, None for never."""

    status: str
    recurring: bool
    age: int
    stored: int
    touched: int | None
    delivery: tuple[str, str]


def goes(case: Case, days: int) -> bool:
    moments = [case.age, case.stored, *([] if case.touched is None else [case.touched])]
    return (
        case.status == "closed"
        and not case.recurring
        and not {"pending", "waiting", "dead"} & {*case.delivery}
        and case.age > days
        and case.stored > days
        and all(moment >= days for moment in moments)
    )


cases = st.builds(
    Case,
    status=st.sampled_from(["open", "acknowledged", "closed", "closed", "closed"]),
    recurring=st.booleans(),
    age=st.integers(0, 40),
    stored=st.integers(0, 40),
    touched=st.one_of(st.none(), st.integers(0, 40)),
    delivery=st.tuples(st.sampled_from(DELIVERY), st.sampled_from(DELIVERY)),
)


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        yield db


def ago_us(days: int) -> int:
    return NOW_US - days * DAY_US


def fill(path: Path, wanted: list[Case]) -> None:
    """A store with an alert for each case, numbered from 1."""
    path.unlink(missing_ok=True)
    put(path, [alert(number) for number in range(1, len(wanted) + 1)], destinations=[])
    with opened(path) as db:
        for number, case in enumerate(wanted, 1):
            (name,) = db.execute("select id from alert where opened_seq = ?", (number,)).fetchone()
            db.execute(
                "update alert set status = ?, closed_revision = ?, revision = 2, last_us = ?, stored_us = ?"
                " where id = ?",
                (case.status, 1 if case.recurring else 2, ago_us(case.age), ago_us(case.stored), name),
            )
            if case.touched is not None:
                db.execute("insert into history (alert_id, time_us, actor, verb) values (?, ?, 'lan', 'comment')",
                           (name, NOW_US - case.touched * DAY_US))  # fmt: skip
            for destination, state in zip(("a", "b"), case.delivery, strict=True):
                if state in ("pending", "held"):
                    error = "held: TLP:RED never leaves" if state == "held" else None
                    db.execute("insert into pending values (?, ?, 1, 1, ?)", (destination, name, error))
                elif state != "none":
                    db.execute(
                        "insert into released"
                        " (destination, stream, epoch, seq, alert_id, revision, state, body, sha256)"
                        " values (?, 's', 'e', ?, ?, 1, ?, x'00',"
                        " '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d')",
                        (destination, number, name, state),
                    )


def left(path: Path) -> list[int]:
    with opened(path) as db:
        return [number for (number,) in db.execute("select opened_seq from alert order by 1")]


def bounds(*, days: int | None = None, max_bytes: int | None = None) -> Bounds:
    return Bounds(None if days is None else NOW_US - days * DAY_US, max_bytes, YOUNG_US)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(cases, max_size=8), days=st.integers(0, 20))
def test_exactly_what_may_go_goes(tmp_path: Path, wanted: list[Case], days: int) -> None:
    path = tmp_path / "socmon.db"
    fill(path, wanted)
    expected = [number for number, case in enumerate(wanted, 1) if not goes(case, max(days, 3))]
    with opened(path) as db:
        told = would_prune(db, bounds(days=days)).alerts

    gone = prune_file(path, bounds(days=days)).alerts

    assert left(path) == expected
    assert gone == told == len(wanted) - len(expected)
    assert verify(path).count == 0
    with opened(path) as db:
        names = {name for (name,) in db.execute("select id from alert")}
        for table in ("evidence", "history", "change", "released", "pending"):
            assert {name for (name,) in db.execute(f"select alert_id from {table}")} <= names


def done(age: int) -> Case:
    return Case("closed", False, age, age, None, ("acknowledged", "none"))


def test_receipts_go_with_the_last_of_their_rows_and_no_alert_goes_for_their_sake(tmp_path: Path) -> None:
    path = tmp_path / "socmon.db"
    fill(path, [done(40) for _ in range(300)])
    with opened(path) as db:
        db.executemany("insert into receipt values (?, ?)", [(number, "r" * 70_000) for number in range(1, 101)])
        db.execute("update released set receipt_id = (seq + 2) / 3")
        bound = used_bytes(db) * 9 // 10

    prune_file(path, bounds(max_bytes=bound))

    with opened(path) as db:
        (receipts,) = db.execute("select count(*) from receipt").fetchone()
        (named,) = db.execute("select count(distinct receipt_id) from released").fetchone()
        assert used_bytes(db) <= bound
    assert 60 < receipts == named == -(-len(left(path)) // 3)


def test_by_size_the_oldest_go_until_it_is_small_enough(tmp_path: Path) -> None:
    path = tmp_path / "socmon.db"
    fill(path, [done(200 - number // 2) for number in range(300)])
    with opened(path) as db:
        whole = used_bytes(db)
        told = would_prune(db, bounds(max_bytes=whole * 2 // 3))

    gone = prune_file(path, bounds(max_bytes=whole * 2 // 3))

    assert 0 < gone.used_bytes <= whole * 2 // 3
    assert left(path) == [*range(gone.alerts + 1, 301)]
    assert 0 < gone.alerts < 300
    assert 0 < told.alerts < 300


def test_what_is_small_enough_stays_and_what_may_grow_stays_however_large(tmp_path: Path) -> None:
    path = tmp_path / "socmon.db"
    fill(path, [done(1), done(2), done(100)])

    assert prune_file(path, bounds(max_bytes=1 << 40)).alerts == 0
    assert prune_file(path, bounds(max_bytes=0)).alerts == 1
    assert left(path) == [1, 2]


def test_a_step_is_bounded_and_says_whether_there_is_more(tmp_path: Path) -> None:
    path = tmp_path / "socmon.db"
    fill(path, [done(50)] * 5)

    with opened(path) as db:
        steps = [prune(db, bounds(days=10), 2) for _ in range(4)]

    assert [(step.alerts, step.more) for step in steps] == [(2, True), (2, True), (1, False), (0, False)]


def test_an_alert_is_young_as_long_as_it_may_span_and_be_remembered() -> None:
    assert young_us(24, 24) == 3 * DAY_US


async def test_the_daemon_lets_go_by_its_settings_beside_what_else_is_written(tmp_path: Path) -> None:
    path = tmp_path / "socmon.db"
    await asyncio.to_thread(fill, path, [done(900)] * 250 + [done(30)])
    store = Store(path)
    retiring = Retiring(store, keep_us=730 * DAY_US, keep_bytes=None, young_us=3 * DAY_US)
    task = asyncio.create_task(retiring.run())
    async with asyncio.timeout(60):
        while len(left(path)) > 1:
            await store.commit([], depends_on=0, now_us=NOW_US)
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert left(path) == [251]
    used = (await retiring.step(None, None, by="lan")).used_bytes
    assert await retiring.step(730 * DAY_US, None, by="lan") == Pruned(0, used, more=False)
    await store.close()


@pytest.mark.parametrize("days", [0, 1])
def test_an_age_below_what_may_grow_is_no_age(tmp_path: Path, days: int) -> None:
    path = tmp_path / "socmon.db"
    fill(path, [done(2), done(4)])

    prune_file(path, bounds(days=days))

    assert left(path) == [1]
