"""Backups: whole or not there, of one moment beside a writer, of mode 0600, and never over a file unasked."""

import os
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from store_kit import alert, put

from socmon.errors import NotFoundError, StoreError
from socmon.store import copying, read
from socmon.store.copying import back_up
from socmon.store.verifying import verify


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "state" / "socmon.db"
    path.parent.mkdir()
    put(path, [alert(number) for number in range(1, 6)])
    return path


def test_a_backup_holds_all_in_one_file_that_its_owner_alone_may_read(store: Path, tmp_path: Path) -> None:
    made = back_up(store, tmp_path / "backup")

    assert (made.alerts, made.damaged, made.size_bytes) == (5, "", (tmp_path / "backup").stat().st_size)
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
    assert sorted(each.id for each in read(tmp_path / "backup").alerts) == sorted(
        each.id for each in read(store).alerts
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "state"]


def test_a_file_that_is_there_is_replaced_only_when_asked(store: Path, tmp_path: Path) -> None:
    (tmp_path / "backup").write_text("of yesterday")

    with pytest.raises(StoreError, match="is there already"):
        back_up(store, tmp_path / "backup")

    assert (tmp_path / "backup").read_text() == "of yesterday"
    assert back_up(store, tmp_path / "backup", replace=True).alerts == 5


def test_the_store_itself_is_never_replaced_by_its_copy(store: Path, tmp_path: Path) -> None:
    (tmp_path / "link").hardlink_to(store)

    for target in (store, tmp_path / "link"):
        with pytest.raises(StoreError, match="is there already"):
            back_up(store, target, replace=True)

    assert len(read(store).alerts) == 5


def test_no_store_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no store"):
        back_up(tmp_path / "socmon.db", tmp_path / "backup")


def test_a_backup_is_of_one_moment_though_somebody_writes_all_the_time(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_PAGES", 1)
    stop, written = threading.Event(), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(store, isolation_level=None)) as db:
            while not stop.is_set():
                # Both tables change together, or a copy of two moments would show.
                db.execute("begin immediate")
                db.execute("update alert set count = count + 1")
                db.execute("update evidence set time_us = time_us + 1")
                db.execute("commit")
                written.set()

    with closing(sqlite3.connect(store, isolation_level=None)) as db:
        db.execute("update alert set count = 0")
        db.execute("update evidence set time_us = 0")
    thread = threading.Thread(target=write)
    thread.start()
    try:
        seen = []

        def told(left: int, whole: int) -> None:
            seen.append(left)
            written.clear()
            assert written.wait(30)  # the writer is never held up

        back_up(store, tmp_path / "backup", told=told)
    finally:
        stop.set()
        thread.join()

    assert len(seen) > 5
    with closing(sqlite3.connect(tmp_path / "backup")) as db:
        assert len({*db.execute("select count from alert"), *db.execute("select time_us from evidence")}) == 1
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("a file system of a size can be made by root alone")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_on_a_full_disk_nothing_is_left_and_what_was_there_stays(store: Path, small_disk: Path) -> None:
    (small_disk / "backup").write_text("of yesterday")

    with pytest.raises(StoreError, match="see that its disk has room"):
        back_up(store, small_disk / "backup", replace=True)

    assert [path.name for path in small_disk.iterdir()] == ["backup"]
    assert (small_disk / "backup").read_text() == "of yesterday"


def test_a_copy_of_a_damaged_store_is_made_and_told(store: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(store)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
        (page,) = db.execute("select rootpage from sqlite_schema where name = 'history'").fetchone()
    with store.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(bytes(4096))

    made = back_up(store, tmp_path / "backup")

    assert made.damaged
    assert verify(tmp_path / "backup").count
