"""A restore is all or nothing wherever it is killed, keeps what was there, and takes no sequence a second time."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from store_kit import START_US, S, alert, put

from socmon.errors import NotFoundError, StoreError
from socmon.event import Alert
from socmon.outgoing import Outcome, Release
from socmon.store import Routing, Store, read
from socmon.store.copying import back_up
from socmon.store.decisions import Saying, decide
from socmon.store.pausing import Pause, pause, resume
from socmon.store.restoring import restore

ROUTING = Routing("ncsc", lambda item: "urgent" if item.level == "critical" else "normal", lambda *_: b"{}")
RESTORE = """
import sys
from pathlib import Path
from socmon.store.restoring import restore
restore(*map(Path, sys.argv[1:]))
"""


class Place:
    def __init__(self, root: Path) -> None:
        self.folder = root / "state"
        self.folder.mkdir()
        self.store = self.folder / "socmon.db"
        self.backup = root / "backup"

    def asides(self) -> list[Path]:
        return sorted(self.folder.glob("socmon.db.before-*Z"))

    def names(self) -> set[str]:
        """Of all files but the companions that SQLite makes for whoever reads."""
        return {path.name for path in self.folder.iterdir() if path.suffix not in {".db-wal", ".db-shm"}} - {
            f"{path.name}-{end}" for path in self.asides() for end in ("wal", "shm")
        }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A store with alerts 1 to 3, and a backup of the time when it had the first alone."""
    made = Place(tmp_path)
    put(made.store, [alert(1)])
    back_up(made.store, made.backup)
    put(made.store, [alert(2), alert(3)])
    return made


def numbers(path: Path) -> list[int]:
    return sorted(int(each.id[:8], 16) for each in read(path).alerts)


def test_the_backup_is_the_store_and_what_was_there_is_kept(place: Place) -> None:
    done = restore(place.backup, place.store)

    assert numbers(place.store) == [1]
    assert place.asides() == [done.aside]
    assert numbers(place.asides()[0]) == [1, 2, 3]
    assert place.store.stat().st_mode & 0o777 == 0o640
    assert place.names() == {"socmon.db", place.asides()[0].name}
    assert numbers(place.backup) == [1]


def test_what_was_not_yet_in_the_file_itself_is_kept_too(place: Place) -> None:
    killed = f"""
import os, sqlite3
db = sqlite3.connect({str(place.store)!r}, isolation_level=None)
db.execute("update alert set title = 'in the log alone'")
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -signal.SIGKILL
    assert (place.folder / "socmon.db-wal").stat().st_size

    restore(place.backup, place.store)

    assert {each.title for each in read(place.store).alerts} == {"SSH brute force"}
    assert {each.title for each in read(place.asides()[0]).alerts} == {"in the log alone"}


def test_where_there_was_no_store_there_is_one(place: Place) -> None:
    place.store.unlink()

    assert restore(place.backup, place.store).aside is None
    assert numbers(place.store) == [1]


def test_two_restores_keep_two_stores(place: Place) -> None:
    restore(place.backup, place.store)
    put(place.store, [alert(9)])
    restore(place.backup, place.store)

    assert [numbers(path) for path in place.asides()] == [[1, 2, 3], [1, 9]]


@pytest.mark.parametrize(
    ("failpoint", "counts"), [("restore.copied", False), ("restore.decided", True), ("restore.aside", True)]
)
def test_a_restore_that_is_killed_is_not_begun_or_is_finished_by_the_next_start(
    place: Place, failpoint: str, *, counts: bool
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", RESTORE, str(place.backup), str(place.store)],
        env=os.environ | {"SOCMON_FAILPOINT": failpoint}, check=False, timeout=60,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL

    put(place.store, [alert(9)])  # as a daemon starts, writes and stops

    assert numbers(place.store) == ([1, 9] if counts else [1, 2, 3, 9])
    assert [numbers(path) for path in place.asides()] == ([[1, 2, 3]] if counts else [])
    done = restore(place.backup, place.store)
    assert numbers(place.store) == [1]
    assert done.aside in place.asides()
    assert place.names() == {"socmon.db", *(path.name for path in place.asides())}


@pytest.mark.parametrize("damage", ["released", "evidence", "file"])
def test_a_damaged_backup_changes_nothing(place: Place, damage: str) -> None:
    if damage == "file":
        place.backup.write_bytes(place.backup.read_bytes()[:-4096])
    else:
        with closing(sqlite3.connect(place.backup, isolation_level=None)) as db:
            db.execute("update alert set level = 'loud'" if damage == "released" else "delete from alert")

    with pytest.raises(StoreError, match="damaged"):
        restore(place.backup, place.store)

    assert numbers(place.store) == [1, 2, 3]
    assert place.asides() == []


def test_the_store_itself_is_no_backup(place: Place) -> None:
    with pytest.raises(StoreError, match="is the store itself"):
        restore(place.store, place.store)
    with pytest.raises(NotFoundError):
        restore(place.folder / "none", place.store)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    made = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(made, check=False, capture_output=True).returncode:
        pytest.skip("a file system of a size can be made by root alone")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_on_a_full_disk_the_store_stays_as_it_was(place: Place, small_disk: Path) -> None:
    store = small_disk / "socmon.db"
    put(store, [alert(5)])

    with pytest.raises(StoreError, match="see that its disk has room"):
        restore(place.backup, store)

    assert numbers(store) == [5]
    assert {path.name for path in small_disk.iterdir()} <= {"socmon.db", "socmon.db-wal", "socmon.db-shm"}


# ── the feed ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def deliver(path: Path, *alerts: Alert, now_us: int) -> list[Release]:
    """Store alerts, release them, have them acknowledged; the places they got."""
    store = Store(path, destinations=["ncsc"])
    await store.commit(alerts, depends_on=1, now_us=now_us)
    await store.release(ROUTING, limit=100, now_us=now_us, interval_us=0)
    rows = [row for batch in await store.waiting("ncsc", 100) for row in batch]
    await store.settle([Outcome(row.id, "accepted") for row in rows], now_us)
    await store.close()
    return [row.release for row in rows]


async def test_after_a_restore_each_stream_opens_an_epoch_behind_all_that_were_used(tmp_path: Path) -> None:
    place = Place(tmp_path)
    before = await deliver(place.store, alert(1), now_us=START_US)
    back_up(place.store, place.backup)
    lost = await deliver(place.store, alert(2), alert(3, level="critical"), now_us=START_US + S)

    restore(place.backup, place.store)
    # The clock was set back meanwhile: what sorts behind must do so all the same.
    after = await deliver(place.store, alert(2), alert(3, level="critical"), now_us=START_US - 1_000 * S)

    used = max(each.epoch for each in [*before, *lost])
    # The first one too: what it had become since the backup is not known here.
    assert sorted((each.stream, each.seq) for each in after) == [("normal", 1), ("normal", 2), ("urgent", 1)]
    assert all(each.epoch > used for each in after)
    again = await deliver(place.store, alert(4), now_us=START_US - 1_000 * S)
    assert [(each.epoch, each.seq) for each in again] == [(after[-1].epoch, 3)]


async def test_restored_twice_from_one_backup_epochs_still_grow(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await deliver(place.store, alert(1), now_us=START_US)
    back_up(place.store, place.backup)

    restore(place.backup, place.store)
    first = await deliver(place.store, alert(2), now_us=START_US)
    restore(place.backup, place.store)
    second = await deliver(place.store, alert(2), now_us=START_US)

    assert second[0].epoch > first[0].epoch


async def test_what_waited_for_an_answer_in_the_backup_is_sent_as_it_was(tmp_path: Path) -> None:
    place = Place(tmp_path)
    store = Store(place.store, destinations=["ncsc"])
    await store.commit([alert(1)], depends_on=1, now_us=START_US)
    await store.release(ROUTING, limit=100, now_us=START_US, interval_us=0)
    ((released,),) = await store.waiting("ncsc", 100)
    await store.close()
    back_up(place.store, place.backup)

    restore(place.backup, place.store)

    store = Store(place.store, destinations=["ncsc"])
    assert await store.waiting("ncsc", 100) == [[released]]
    await store.close()


# ── what people decided ──────────────────────────────────────────────────────────────────────────────────────────────


async def answered(store: Store, now_us: int) -> list[bytes]:
    """What is sent next; it is accepted."""
    closing_of = msgspec.structs.replace(ROUTING, closing=lambda *_: b"closing", void=lambda _: b"void")
    await store.reconsider(closing_of, now_us)
    await store.release(closing_of, limit=100, now_us=now_us, interval_us=0)
    rows = [row for batch in await store.waiting("ncsc", 100) for row in batch]
    await store.settle([Outcome(row.id, "accepted") for row in rows], now_us)
    return [row.body for row in rows]


async def decided(path: Path) -> None:
    """Alert 1 is withdrawn, and the destination paused for what is not urgent."""
    store = Store(path, destinations=["ncsc"])
    saying = Saying("ncsc", "lan", START_US + S, "because")
    await store.change(lambda db: decide(db, [alert(1).id], "withdraw", saying))
    await store.change(lambda db: pause(db, Pause("ncsc", START_US + S, None, urgent=False, actor="lan")))
    await store.close()


async def test_what_was_withdrawn_since_the_backup_is_not_told_again(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await deliver(place.store, alert(1), now_us=START_US)
    back_up(place.store, place.backup)
    await decided(place.store)

    restore(place.backup, place.store)
    restore(place.backup, place.store)  # once more changes nothing

    store = Store(place.store, destinations=["ncsc"])
    assert await answered(store, START_US + 60 * S) == []  # it is paused
    await store.change(lambda db: resume(db, "ncsc"))
    assert await answered(store, START_US + 120 * S) == [b"closing"]
    assert await answered(store, START_US + 180 * S) == []
    await store.close()
    with closing(sqlite3.connect(place.store)) as db:
        assert db.execute("select verb, actor, reason from decision").fetchall() == [("withdraw", "lan", "because")]


async def test_what_waited_in_the_backup_and_was_withdrawn_since_is_taken_back(tmp_path: Path) -> None:
    place = Place(tmp_path)
    store = Store(place.store, destinations=["ncsc"])
    await store.commit([alert(1)], depends_on=1, now_us=START_US)
    await store.release(ROUTING, limit=100, now_us=START_US, interval_us=0)
    await store.close()
    back_up(place.store, place.backup)
    await decided(place.store)

    restore(place.backup, place.store)

    store = Store(place.store, destinations=["ncsc"])
    await store.change(lambda db: resume(db, "ncsc"))
    assert await answered(store, START_US + 120 * S) == [b"void"]
    await store.close()
