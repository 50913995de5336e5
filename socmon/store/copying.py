"""Copies of a store: whole, of one moment, made beside a daemon that writes (SQLite's online backup; WAL)."""

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from socmon.errors import StoreError
from socmon.i18n import Message, mark
from socmon.store.reading import connect, readable

_PAGES = 1_000  # in one step, between two of which Ctrl-C is heard

Told = Callable[[int, int], None]


class Copied(Struct, frozen=True):
    """A backup that was made.

    Attributes:
        frame: the journal's frame of its checkpoint; 0 before the first.
        taken_us: when that was written; None before the first.
        damaged: what is wrong with the copy, as SQLite says it: then it was wrong in the store already; "" if nothing.
    """

    path: Path
    size_bytes: int
    alerts: int
    frame: int
    taken_us: int | None
    damaged: str


def back_up(store: Path, target: Path, *, replace: bool = False, told: Told | None = None) -> Copied:
    """Copy the store `store` to the file `target`, of mode 0600: the whole of it appears there, or nothing.

    The copy is of the moment of the call, whatever is written meanwhile, and one file: it needs no companions.

    Args:
        replace: put it in the place of a file that is there.
        told: called with (pages still to be copied, pages in all) as it goes on.

    Raises:
        NotFoundError: there is no store.
        PermissionError: this user may not read it, or not write there.
        StoreError: the file is there, or the copy could not be made.
    """
    stat = readable(store)
    if target.exists() and (not replace or not target.is_file() or os.path.samestat(stat, target.stat())):
        raise StoreError(Message("{path} is there already; name another file, or use --force", path=target))
    with _written(store, target):
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        os.close(handle)
        part = Path(name)
        try:
            copy(store, part, told)
            made = _described(part, target)
            if not made.damaged and not _is_store(part):
                raise StoreError(Message("{path} is no store of socmon", path=store))
            sync(part)
            part.replace(target)
            sync(target.parent)
        finally:
            discard(part)
    return made


@contextmanager
def _written(store: Path, target: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError:
        raise
    except (sqlite3.Error, OSError) as error:
        text = mark("cannot copy {path} to {target}: {error}; nothing was written there; see that its disk has room")
        raise StoreError(Message(text, path=store, target=target, error=error)) from error


def copy(store: Path, part: Path, told: Told | None = None) -> None:
    """Copy `store` into the empty file `part`. The caller forces that to disk, or discards it.

    Raises:
        StoreError: the store cannot be read. sqlite3.Error: likewise, or the copy cannot be written.
    """
    before = _state(store)
    source, immutable = connect(store)
    with closing(source), closing(sqlite3.connect(part, isolation_level=None)) as out:
        # It is thrown away if it does not come to its end, so nothing of it has to be undone, and it is synced once.
        out.execute("pragma journal_mode = off")
        out.execute("pragma synchronous = off")
        source.execute("begin")  # one moment; else every write of the daemon would begin the copy anew
        source.execute("select count(*) from sqlite_master").fetchone()
        source.backup(out, pages=_PAGES, progress=lambda _, left, whole: told(left, whole) if told else None)
        out.execute("pragma journal_mode = delete")
    if immutable and before != _state(store):
        raise StoreError(Message("{path} changes while it is read; try again", path=store))


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return (stat.st_size, stat.st_mtime_ns)


def _described(part: Path, target: Path) -> Copied:
    with closing(sqlite3.connect(part, isolation_level=None)) as db:
        damaged = quick_check(db)
        alerts, frame, taken_us = 0, 0, None
        with suppress(sqlite3.DatabaseError):  # of a damaged one it is not known
            (alerts,) = db.execute("select count(*) from alert").fetchone()
            frame, taken_us = db.execute("select number, taken_us from checkpoint").fetchone() or (0, None)
    return Copied(target, part.stat().st_size, alerts, frame, taken_us, damaged)


def _is_store(part: Path) -> bool:
    with closing(sqlite3.connect(part, isolation_level=None)) as db:
        query = "select count(*) from sqlite_schema where type = 'table' and name in ('alert', 'checkpoint')"
        return bool(db.execute(query).fetchone() == (2,))


def quick_check(db: sqlite3.Connection) -> str:
    """What SQLite finds wrong with the file at a quick look, in a line; "" if nothing.

    Raises:
        sqlite3.OperationalError: it could not look.
    """
    try:
        (found,) = db.execute("pragma quick_check(1)").fetchone()
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if found == "ok" else " ".join(str(found).split())


def discard(part: Path) -> None:
    """Remove a copy that was not finished, and what SQLite may have put beside it."""
    for path in (part, *(part.with_name(part.name + end) for end in ("-journal", "-wal", "-shm"))):
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Return when the file, or the names in the folder, are on stable storage."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
