"""Damage is found where it is: by table and row, whatever was hit; and a store that is whole has none."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from damage_kit import PAGE_BYTES, fill, line, page_of, zero
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_kit import alert

from socmon.errors import StoreError
from socmon.store.verifying import Damage, unreadable, verify

TABLES = {
    "lifted",
    "decision",
    "pause",
    "policy",
    "void",
    "alert",
    "change",
    "checkpoint",
    "evidence",
    "history",
    "pending",
    "receipt",
    "released",
    "silence",
    "source",
    "state",
    "stream",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A store of 200 alerts, as the bytes of its file."""
    path = tmp_path_factory.mktemp("whole") / "socmon.db"
    asyncio.run(fill(path, [alert(number, evidence=[line(number)]) for number in range(1, 201)]))
    return path.read_bytes()


@pytest.fixture
def path(whole: bytes, tmp_path: Path) -> Path:
    place = tmp_path / "socmon.db"
    place.write_bytes(whole)
    return place


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def test_a_store_that_is_whole_has_no_damage(path: Path) -> None:
    found = verify(path)

    assert (found.count, found.damages) == (0, [])
    assert set(found.rows) == TABLES
    assert (found.rows["alert"], found.rows["evidence"], found.rows["released"]) == (200, 200, 200)


@pytest.mark.parametrize(
    ("statement", "table", "row", "what"),
    [
        ("update released set body = x'00' || substr(body, 2) where id = 17", "released", "17",
         "its message is not what was made"),
        ("update released set body = x'' where id = 150", "released", "150",
         "its message is not what was made"),
        ("update released set state = 'lost' where id = 9", "released", "9",
         "its state is none"),
        ("update evidence set raw = raw || '.' where rowid = 3", "evidence", "3",
         "its line is not what was received"),
        ("update evidence set fields = '{' where rowid = 3", "evidence", "3",
         "its fields cannot be read"),
        ("update evidence set alert_id = 'gone' where rowid = 3", "evidence", "3",
         "its alert is gone"),
        ("insert into pending values ('ncsc', 'gone', 3, 1, null)", "pending", "1",
         "its alert is gone"),
        ("update stream set next_seq = 200", "stream", "1",
         "its next sequence is given already"),
        ("update alert set level = 'loud' where rowid = 4", "alert", "4",
         "its level is none"),
        ("delete from change where alert_id = (select id from alert where rowid = 4)", "alert", "4",
         "its last change has no number"),
        ("update checkpoint set ledger = x'c1'", "checkpoint", "1",
         "its ledger cannot be read"),
    ],
)  # fmt: skip
def test_what_rows_say_is_checked(path: Path, statement: str, table: str, row: str, what: str) -> None:
    change(path, statement)

    assert verify(path).damages == [Damage(table, row, what)]


def test_bytes_that_were_given_up_on_purpose_are_no_damage(path: Path) -> None:
    change(path, "update released set body = x'' where state = 'acknowledged'")

    assert verify(path).count == 0


@pytest.mark.parametrize("table", ["released", "alert", "evidence"])
def test_a_page_of_zeros_is_told_by_the_rows_that_were_on_it(path: Path, table: str) -> None:
    zero(path, page_of(path, table, 13))

    found = verify(path)

    (span,) = [each.row for each in found.damages if (each.table, each.what) == (table, "cannot be read")]
    first, _, last = span.partition("-")
    lost = int(last or first) - int(first) + 1
    assert found.rows[table] + lost == 200
    assert found.rows["history"] == 0


def test_an_index_of_zeros_costs_no_row(path: Path) -> None:
    zero(path, page_of(path, "idx_released_destination_state_id", 0))

    found = verify(path)

    assert found.count > 0
    assert {each.table for each in found.damages} <= {"", "released"}
    assert found.rows["released"] == 200


def test_the_last_page_of_a_table_is_found_too(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma cache_size = 0")
        last = max(
            number
            for number in range(2, path.stat().st_size // PAGE_BYTES + 1)
            if path.read_bytes()[(number - 1) * PAGE_BYTES] == 13
        )
    zero(path, last)

    assert verify(path).count > 0


def test_rows_that_can_be_read_are_counted_around_those_that_cannot(path: Path) -> None:
    zero(path, page_of(path, "released", 13))

    with closing(sqlite3.connect(path)) as db:
        spans, read = unreadable(db, "released")
        numbers = {number for first, last in spans for number in range(first, last + 1)}
        for number in range(1, 201):
            if number in numbers:
                with pytest.raises(sqlite3.DatabaseError):
                    db.execute("select * from released where id = ?", (number,)).fetchone()
            else:
                assert db.execute("select * from released where id = ?", (number,)).fetchone()
    assert read == 200 - len(numbers)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_bytes(b""), "is no store of socmon"),
        (lambda path: path.write_bytes(b"x" * 9_000), "file is not a database"),
        (lambda path: change(path, "drop table alert"), "is no store of socmon"),
        (lambda path: change(path, "pragma user_version = 99"), "newer socmon"),
    ],
)
def test_what_is_no_store_is_told(path: Path, make: Callable[[Path], object], said: str) -> None:
    make(path)

    with pytest.raises(StoreError, match=said):
        verify(path)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_hit_it_comes_to_an_end_and_says_what_can_be_read(
    whole: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    place = tmp_path / "hit.db"
    hit = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(100, len(whole) - 1))
        junk = data.draw(st.binary(min_size=1, max_size=64))
        hit[at : at + len(junk)] = junk
    place.write_bytes(bytes(hit[: len(whole)]))

    try:
        found = verify(place)
    except StoreError:
        return
    assert found.count >= len(found.damages)
