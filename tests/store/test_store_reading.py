"""The read side: what filters find, what followers see, and who may read in which state of the files."""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlite_utils
from store_kit import START_US, S, alert, put

from socmon.errors import NotFoundError, StoreError
from socmon.event import LEVELS, Alert
from socmon.store import Store
from socmon.store.migrations import MIGRATIONS
from socmon.store.reading import _CHANGES, _LAST_CHANGES, SCHEMA, Filter, Reader, consult

NOBODY = 65_534


def found(path: Path, wanted: Filter, limit: int = 100) -> list[int]:
    """The alerts' numbers, as they are listed."""
    return [int(each.id[:8], 16) for each in consult(path, lambda reader: reader.find(wanted, limit))]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "socmon.db"


def test_the_newest_are_listed_the_newest_last_and_all_are_counted(path: Path) -> None:
    numbers = list(range(1, 40))
    random.Random(1).shuffle(numbers)
    put(path, [alert(number) for number in numbers])

    assert found(path, Filter(), limit=3) == [37, 38, 39]
    assert consult(path, lambda reader: reader.count(Filter())) == 39


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(level="high"), [1, 2]),
        (Filter(level="high+"), [1, 2, 3]),
        (Filter(level="informational+"), [1, 2, 3, 4]),
        (Filter(status="closed"), []),
        (Filter(status="recurring"), []),
        (Filter(status="open"), [1, 2, 3, 4]),
        (Filter(rule="brute"), [1, 2, 3]),
        (Filter(rule="BRUTE FORCE"), [1, 2, 3]),
        (Filter(rule="0f2a6c1d-5c0e-4b5b-8f0a-2d6b0f6a9e41"), [1, 2, 3, 4]),
        (Filter(rule="no such", titles=("Sudo",)), [4]),
        (Filter(agency="so-yte"), [2]),
        (Filter(host="dvc-web-01"), [1, 2, 3]),
        (Filter(host="db-9"), [4]),
        (Filter(host="bao"), []),
        (Filter(entity="203.0.113.2"), [2]),
        (Filter(entity="bao"), [1, 2, 3]),
        (Filter(entity='Nguyễn "An"\n'), [4]),
        (Filter(entity="ip"), []),
        (Filter(entity="' or 1=1 --"), []),
        (Filter(rule="%"), []),
        (Filter(since_us=START_US + 7 * S), [2, 3, 4]),
        (Filter(until_us=START_US + 7 * S), [1, 2]),
        (Filter(since_us=START_US + 7 * S, until_us=START_US + 8 * S, level="critical"), [3]),
    ],
)  # fmt: skip
def test_a_filter_finds_exactly_what_it_names(path: Path, wanted: Filter, expected: list[int]) -> None:
    others = {"host": ["db-9"], "user": ['Nguyễn "An"\n']}
    put(
        path,
        [
            alert(1),
            alert(2, agency="so-yte"),
            alert(3, level="critical"),
            alert(4, level="low", title="Sudo", host="", entities=others),
        ],
    )

    assert found(path, wanted) == expected
    assert consult(path, lambda reader: reader.count(wanted)) == len(expected)
    # Who follows sees the same of it, in the order of storing, and is carried over what is not wanted.
    last, number = consult(path, lambda reader: reader.last_changes(100, wanted))
    assert ([int(each.id[:8], 16) for each in last], number) == (expected, 4)
    changes, after, more = consult(path, lambda reader: reader.changes(0, 100, wanted))
    assert ([int(each.id[:8], 16) for each in changes], after, more) == (expected, 4, False)


def test_the_last_changes_go_along_the_changes_and_sort_nothing(path: Path) -> None:
    put(path, [alert(1)])
    plans = []
    with closing(Reader(path)) as reader:
        for statement in (_CHANGES, _LAST_CHANGES):
            values = {**Filter().parameters(), "after": 0, "limit": 1}
            plans.append([row[3] for row in reader.db.execute(f"explain query plan {statement}", values)])

    for plan in plans:
        steps = " | ".join(plan)
        assert "SCAN changed" in steps or "SEARCH changed USING INTEGER PRIMARY KEY" in steps
        assert "SEARCH alert USING INDEX sqlite_autoindex_alert_1 (id=?)" in steps


def test_every_level_and_its_plus_are_understood(path: Path) -> None:
    put(path, [alert(number, level=level) for number, level in enumerate(LEVELS, start=1)])

    for number, level in enumerate(LEVELS, start=1):
        assert found(path, Filter(level=level)) == [number]
        assert found(path, Filter(level=f"{level}+")) == list(range(number, 6))


def test_an_alert_is_found_by_the_beginning_of_its_id(path: Path) -> None:
    put(path, [alert(0xAB000001), alert(0xAB000002), alert(0xAC000000)])

    def begin(prefix: str) -> list[str]:
        return [each.id[:8] for each in consult(path, lambda reader: reader.beginning_with(prefix, 10))]

    assert begin("ab") == ["ab000001", "ab000002"]
    assert begin("ac000000-0000-5000-8000-000000000000") == ["ac000000"]
    assert begin("ab%") == []


# ── following ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_follower_beside_a_writer_sees_every_revision_that_lasts_and_none_twice(path: Path) -> None:
    """The writer's clock goes back and stands still; numbers do not care."""

    async def work() -> tuple[list[Alert], dict[str, int]]:
        store = Store(path, destinations=["ncsc"])
        reader = Reader(path)
        seen: list[Alert] = []
        last = 0
        dice = random.Random(7)
        revisions: dict[int, int] = {}
        for round_ in range(60):
            batch = []
            for number in dice.sample(range(1, 30), 5):
                revisions[number] = revisions.get(number, 0) + 1
                batch.append(alert(number, revision=revisions[number]))
            await store.commit(batch, depends_on=1, now_us=START_US - round_ * S)
            if dice.random() < 0.6:
                changes, last, _ = reader.changes(last, 3)  # not all: the next look goes on
                seen += changes
        more = True
        while more:
            changes, last, more = reader.changes(last, 3)
            seen += changes
        reader.close()
        await store.close()
        return seen, {alert(number).id: revision for number, revision in revisions.items()}

    seen, last = asyncio.run(work())

    shown = [(each.id, each.revision) for each in seen]
    assert len(shown) == len(set(shown))
    assert {each.id: each.revision for each in seen} == last  # in order: the last one seen is the last one written
    assert len(seen) > len(last)


def test_what_an_analyst_changes_is_a_change_too(path: Path) -> None:
    put(path, [alert(1), alert(2)])
    with sqlite3.connect(path) as db:
        db.execute("update alert set status = 'closed', analyst_revision = 1 where id = ?", (alert(1).id,))
    db.close()

    changes, last, more = consult(path, lambda reader: reader.changes(2, 10))

    assert (last, more) == (3, False)
    assert [(each.id, each.status) for each in changes] == [(alert(1).id, "closed")]


def test_a_store_of_an_older_schema_is_brought_up_to_date_in_the_order_of_storing(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        MIGRATIONS[0](sqlite_utils.Database(db))
        db.execute("pragma user_version = 1")
        db.execute("pragma journal_mode = wal")
        for number, stored_us in ((2, START_US), (1, START_US + 1)):
            each = alert(number)
            db.execute(
                "insert into alert (id, rule_id, title, level, tags, grouped, first_us, last_us, count, revision,"
                " opened_seq, approximate, host, agency, entities, status, analyst_revision, stored_us)"
                " values (?, 'r', 't', 'high', '[]', '{}', ?, ?, 1, 1, ?, 0, '', '', '{}', 'open', 0, ?)",
                (each.id, each.first_us, each.last_us, number, stored_us),
            )

    with pytest.raises(StoreError, match="older socmon; start the daemon once"):
        found(path, Filter())
    put(path, [])

    assert found(path, Filter()) == [1, 2]
    last_changes, _ = consult(path, lambda reader: reader.last_changes(5))
    assert [each.id for each in last_changes] == [alert(2).id, alert(1).id]
    assert [(each.system, each.system_level) for each in consult(path, lambda r: r.find(Filter(), 1))] == [("", None)]


# ── the files ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_read_side_knows_every_schema_that_the_writer_makes() -> None:
    assert len(MIGRATIONS) == SCHEMA


def test_no_store_an_empty_one_and_a_newer_one_are_told_apart(path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no store at"):
        consult(path, lambda reader: reader.count(Filter()))
    path.touch()
    with pytest.raises(NotFoundError, match="there is no store at"):
        consult(path, lambda reader: reader.count(Filter()))
    put(path, [alert(1)])
    db = sqlite3.connect(path)
    db.execute("pragma user_version = 999")
    db.close()
    with pytest.raises(StoreError, match="newer socmon"):
        consult(path, lambda reader: reader.count(Filter()))
    path.write_bytes(b"no database at all" * 500)
    with pytest.raises(StoreError, match="is damaged: file is not a database"):
        consult(path, lambda reader: reader.count(Filter()))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter; the ones of pytest are closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="socmon-test-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def as_reader_only(folder: Path, mode: int = 0o444) -> str:
    """What somebody sees who may read the files of `folder` and write nothing: "N alerts", or the error's type."""
    for file in folder.iterdir():
        file.chmod(mode)
    folder.chmod(0o555)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover  another process
        try:
            if os.getuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            try:
                told = f"{consult(folder / 'socmon.db', lambda reader: reader.count(Filter()))} alerts"
            except Exception as error:  # noqa: BLE001  told to the test
                told = f"{type(error).__name__} {error}"
            os.write(write_end, told.encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    folder.chmod(0o755)
    return told


_WRITER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from store_kit import alert
from socmon.store import Store

async def work():
    store = Store(Path(sys.argv[1]))
    await store.commit([alert(1), alert(2)], depends_on=1, now_us=1)
    await store.commit([alert(3)], depends_on=1, now_us=1)
    print("ready", flush=True)
    sys.stdin.read()

asyncio.run(work())
"""


def writer(path: Path) -> subprocess.Popen[str]:
    """A process that has the store open, three alerts committed and not yet in the main file."""
    command = [sys.executable, "-c", _WRITER, str(path), str(Path(__file__).parents[1])]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_who_may_only_read_reads_a_store_that_was_closed(open_folder: Path) -> None:
    put(open_folder / "socmon.db", [alert(1)])
    assert [file.name for file in open_folder.iterdir()] == ["socmon.db"]

    assert as_reader_only(open_folder) == "1 alerts"


def test_who_may_only_read_reads_beside_the_writer_and_after_its_kill(open_folder: Path) -> None:
    with writer(open_folder / "socmon.db") as process:
        beside = as_reader_only(open_folder)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    assert beside == "3 alerts"
    assert {file.name for file in open_folder.iterdir()} == {"socmon.db", "socmon.db-wal", "socmon.db-shm"}
    assert as_reader_only(open_folder) == "3 alerts"


def test_who_may_not_read_is_told_which_file(open_folder: Path) -> None:
    put(open_folder / "socmon.db", [alert(1)])

    assert as_reader_only(open_folder, mode=0o000) == (
        f"PermissionError [Errno 13] Permission denied: '{open_folder / 'socmon.db'}'"
    )


def test_a_journal_of_the_store_that_cannot_be_read_is_told_and_not_left_out(open_folder: Path) -> None:
    with writer(open_folder / "socmon.db") as process:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    (open_folder / "socmon.db-shm").unlink()

    assert as_reader_only(open_folder) == (
        f"PermissionError [Errno 13] Permission denied: '{open_folder / 'socmon.db-wal'}'"
    )


def test_a_file_that_is_written_while_it_is_read_alone_is_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, [alert(1)])
    monkeypatch.setattr("socmon.store.reading.connect", lambda place: (sqlite3.connect(
        f"{place.as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None), True))  # fmt: skip
    counts = []

    def work(reader: Reader) -> int:
        counts.append(reader.count(Filter()))
        if len(counts) == 1:
            put(path, [alert(2)])
        return counts[-1]

    assert consult(path, work) == 2
    assert counts == [1, 2]
