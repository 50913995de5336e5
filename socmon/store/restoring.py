"""A backup put in the place of the store, all or nothing; what was there is kept aside (docs/adr/0080)."""

import os
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from socmon import failpoints
from socmon.errors import StoreError
from socmon.i18n import Message, mark
from socmon.store import outbox
from socmon.store.carrying import Carried, carry, decided_in
from socmon.store.copying import copy, discard, quick_check, sync
from socmon.store.holding import give
from socmon.store.reading import readable
from socmon.store.schema import prepare
from socmon.store.verifying import verify

_COMPANIONS = ("-wal", "-shm")
_Streams = list[tuple[str, str, str]]


class Restored(Struct, frozen=True):
    """A store that was restored.

    Attributes:
        aside: where the store is now that was there; None if there was none.
        frame: the journal's frame from which detection goes on; 0 is its beginning.
        taken_us: when the checkpoint of that was written; None if there is none.
        streams: how many streams of the feed begin a new epoch.
    """

    aside: Path | None
    alerts: int
    frame: int
    taken_us: int | None
    streams: int


def restore(backup: Path, store: Path) -> Restored:
    """Put `backup` in the place of `store`. The caller holds the lock of the state directory.

    Once the copy is complete and on disk it counts, and a restore that is killed then is finished by the next start;
    one that is killed before leaves the store as it was.

    Raises:
        NotFoundError: there is no such backup.
        PermissionError: this user may not read it, or not write there.
        StoreError: it is damaged, or no store, or could not be copied. Nothing was changed.
    """
    readable(backup)
    finish(store)
    if store.exists() and backup.samefile(store):
        raise StoreError(Message("{path} is the store itself; name a backup of it", path=backup))
    verified = verify(backup)
    if verified.count:
        text = mark("{path} is damaged in {count} places; nothing was changed; `socmon db verify {path}` lists them")
        raise StoreError(Message(text, path=backup, count=verified.count))
    part = store.with_name(f"{store.name}.restoring")
    try:
        restored = _copied(backup, store, part)
        return Restored(decide(part, store), *restored)
    finally:
        discard(part)


def _copied(backup: Path, store: Path, part: Path) -> tuple[int, int, int | None, int]:
    """Write `part`, complete and on disk; say what `_marked` says."""
    try:
        discard(part)  # of a restore that was killed
        copy(backup, part)
        restored = _marked(part, _streams_of(store), decided_in(store))
        part.chmod(0o640)
        give(part)
        sync(part)
    except PermissionError:
        raise
    except (sqlite3.Error, OSError) as error:
        text = mark("cannot copy {path} to {target}: {error}; nothing was written there; see that its disk has room")
        raise StoreError(Message(text, path=backup, target=store, error=error)) from error
    failpoints.die("restore.copied")
    return restored


def decide(part: Path, store: Path) -> Path | None:
    """Let `part`, which is complete and on disk, be the store from now on; see `finish`."""
    part.replace(_decided(store))
    sync(store.parent)
    failpoints.die("restore.decided")
    return finish(store)


def finish(store: Path) -> Path | None:
    """Finish a restore that was decided, if there is one; say where the former store is, if there was one.

    Can be killed anywhere, and called again. The caller holds the lock of the state directory.

    Raises:
        OSError: a file cannot be renamed.
    """
    decided = _decided(store)
    if not decided.exists():
        return None
    aside = _aside(store, decided.stat().st_mtime_ns)
    # The log before its file: alone it would be taken for the new file's, and spoil it.
    for end in (*_COMPANIONS, ""):
        old = store.with_name(store.name + end)
        if old.exists():
            old.replace(aside.with_name(aside.name + end))
    sync(store.parent)
    failpoints.die("restore.aside")
    decided.replace(store)
    sync(store.parent)
    return aside if aside.exists() else None


def _decided(store: Path) -> Path:
    return store.with_name(f"{store.name}.restored")


def _aside(store: Path, moment_ns: int) -> Path:
    """A name that is the same in each try to finish one restore, and another one in each restore."""
    seconds, rest = divmod(moment_ns, 1_000_000_000)
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%S")
    return store.with_name(f"{store.name}.before-{stamp}.{rest // 1000:06d}Z")


def _streams_of(store: Path) -> _Streams:
    """The streams of the store that is replaced, as far as they can be read: their epochs are used up too."""
    if not store.exists():
        return []
    try:
        with closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return outbox.streams(db)
    except sqlite3.Error:  # damaged, which is why it is replaced
        return []


def _marked(part: Path, used: _Streams, decided: Carried | None) -> tuple[int, int, int | None, int]:
    """Open a new epoch in each stream; say how many alerts, up to which frame, of when, and how many streams."""
    with closing(sqlite3.connect(part, isolation_level=None)) as db:
        db.execute("pragma synchronous = full")
        if decided is not None:
            prepare(db, str(part))  # a backup of before may have no room for it
        now_us = time.time_ns() // 1000
        db.execute("begin immediate")
        for destination, stream, epoch in [*outbox.streams(db), *used]:
            outbox.open_epoch(db, destination, stream, after=epoch, now_us=now_us)
            outbox.queue_again(db, destination, stream, now_us)
        if decided is not None:
            carry(db, decided)
        db.execute("commit")
        if damaged := quick_check(db):
            raise sqlite3.DatabaseError(damaged)
        (alerts,) = db.execute("select count(*) from alert").fetchone()
        frame, taken_us = db.execute("select number, taken_us from checkpoint").fetchone() or (0, None)
        streams = len(outbox.streams(db))
    os.utime(part)  # its time names what is put aside
    return alerts, frame, taken_us, streams
