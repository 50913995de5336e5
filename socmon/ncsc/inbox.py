"""What the centre has received, in SQLite: events each once, findings at their last revision, and the quarantine."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from socmon.errors import StoreError
from socmon.feed.batch import Committed, Cursor, Result, ResultStatus
from socmon.feed.checking import Finding, Item, Void
from socmon.feed.server import Stored
from socmon.feed.signing import SIGNATURE_CODES
from socmon.i18n import mark
from socmon.ncsc import members
from socmon.ncsc.counts import count_unknown, counts, cursors_of
from socmon.ncsc.tables import prepare
from socmon.ncsc.taken import Taken

_WAIT_S = 10.0
_REMEDY = "see that the disk is not full and that the file is the user's own"

_SEQ_TAKEN = "seq_taken"

_FINDINGS = """
SELECT org, uid, revision AS socrev, rule, level, count, start_ms, end_ms,
       substr(source, instr(source, '/') + 1) AS stream, epoch, seq
FROM findings ORDER BY org, uid
"""
Row = dict[str, Any]
_T = TypeVar("_T")


class Inbox:
    """One writer thread with one connection; readers open their own and see only what is committed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inbox")
        self._db: sqlite3.Connection
        self._taken: Taken  # of the transaction at hand

    async def open(self) -> None:
        """Create or open the file.

        Raises:
            StoreError: it cannot be used.
        """
        await self._written(self._open)

    async def close(self) -> None:
        """Finish what is being written and let go of the file."""
        await self._written(self._db.close)
        self._thread.shutdown()

    async def store(self, organisation: str, items: Sequence[Item]) -> Stored:
        """Commit `items` of one stream, in order, each with its answer (see `socmon.feed.server.Store`).

        Raises:
            StoreError: nothing of it is stored.
        """
        return await self._written(lambda: self._store(organisation, items))

    async def findings(self) -> list[Row]:
        """Every finding at its last revision, by organisation and uid, with its members if it is an aggregate."""
        return await asyncio.to_thread(
            self._read, lambda db: members.attached(db, [dict(row) for row in db.execute(_FINDINGS)])
        )

    async def stats(self) -> dict[str, Row]:
        """Counts per organisation that has sent anything, taken from the tables."""
        return await asyncio.to_thread(self._read, counts)

    async def cursors(self, organisation: str) -> list[Cursor]:
        """Where its streams stand (see `socmon.feed.server.Store`).

        Raises:
            StoreError: the inbox cannot be read.
        """
        try:
            rows = await asyncio.to_thread(self._read, partial(cursors_of, org=organisation))
        except sqlite3.Error as error:
            raise StoreError(f"cannot read {self.path}: {error}; {_REMEDY}") from error
        return [Cursor(**row) for row in rows]

    async def _written(self, work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise StoreError(f"cannot use {self.path}: {error}; {_REMEDY}") from error

    def _open(self) -> None:
        self._db = sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)
        try:
            self._db.row_factory = sqlite3.Row
            prepare(self._db, self.path)
        except BaseException:
            self._db.close()
            raise

    def _store(self, organisation: str, items: Sequence[Item]) -> Stored:
        self._db.execute("BEGIN IMMEDIATE")
        self._taken = Taken(self._db)
        try:
            results = [self._take(organisation, item) for item in items]
            for result in results:
                self._db.execute(
                    "INSERT INTO answers VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1",
                    (organisation, result.status),
                )
            committed = self._advance(organisation, items)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.rollback()
            raise
        return Stored(committed=committed, results=results)

    def _take(self, organisation: str, item: Item) -> Result:
        """Put one event where it belongs. Whatever was answered once is answered again, and changes nothing."""
        before = self._one("SELECT code FROM quarantine WHERE org = ? AND digest = ?", organisation, item.digest)
        # Another word on a signature counts: a key was made known since, or a mistake in its dates mended.
        if before and not (before["code"] in SIGNATURE_CODES and item.code != before["code"]):
            return _result(item, *_quarantined(before["code"]))
        what = item.finding or item.void
        if what is None:
            return self._quarantine(organisation, item, item.code, item.reason)
        known = self._known(item)
        if known and known["digest"] != item.digest:
            return self._quarantine(organisation, item, "id_reuse", mark("the id was used for another content"))
        if known:
            return self._answer_again(organisation, item, known["status"])
        if isinstance(what, Void):
            return self._insert_void(organisation, item, what)
        return self._place(organisation, item, what)

    def _known(self, item: Item) -> sqlite3.Row | None:
        """What an event of its stream with its id was answered, and what it was."""
        query = """
            SELECT status, digest FROM events WHERE source = ?1 AND id = ?2
            UNION ALL SELECT iif(taken, 'stored', 'stale'), digest FROM voids WHERE source = ?1 AND id = ?2
        """
        row: sqlite3.Row | None = self._one(query, item.source, item.id)
        return row

    def _place(self, organisation: str, item: Item, finding: Finding) -> Result:
        place = (item.source, item.epoch, item.seq)
        if self._one("SELECT id FROM events WHERE source = ? AND epoch = ? AND seq = ?", *place):
            return self._quarantine(organisation, item, "seq_reuse", mark("the sequence was used for another event"))
        if self._taken.is_void(item):
            return self._quarantine(
                organisation, item, "seq_void", mark("the sender has said that the sequence is void")
            )
        return self._insert(organisation, item, finding)

    def _answer_again(self, organisation: str, item: Item, status: str) -> Result:
        if status != "stale":
            return _result(item, "duplicate")
        if item.finding is None:
            return _result(item, "stale", _SEQ_TAKEN)
        held = self._held(organisation, item.finding)
        return _result(item, "stale", socrev=held["revision"] if held else None)

    def _insert(self, organisation: str, item: Item, finding: Finding) -> Result:
        """Take the event's sequence, and its finding if that is news; revisions alone order, so a late one is safe."""
        held = self._held(organisation, finding)
        status: ResultStatus = "stored"
        if held and finding.revision <= held["revision"]:
            same = (finding.revision, finding.digest) == (held["revision"], held["digest"])
            status = "duplicate" if same else "stale"
        place = (organisation, item.source, item.epoch, item.seq, item.id)
        self._db.execute(
            "INSERT INTO events (org, source, epoch, seq, id, uid, revision, status, digest, body, received_us)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*place, finding.uid, finding.revision, status, item.digest, item.body, _now_us()),
        )
        self._taken.add(item)
        if item.unknown:
            count_unknown(self._db, organisation, item.unknown)
        if status == "stored":
            self._upsert(organisation, item, finding)
        return _result(item, status, socrev=held["revision"] if held and status == "stale" else None)

    def _upsert(self, organisation: str, item: Item, finding: Finding) -> None:
        key = (organisation, finding.uid, finding.revision, finding.digest)
        shown = (finding.rule, finding.level, finding.count, finding.start_ms, finding.end_ms)
        self._db.execute(
            "REPLACE INTO findings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*key, *shown, item.source, item.epoch, item.seq),
        )
        members.keep(self._db, organisation, finding)

    def _insert_void(self, organisation: str, item: Item, void: Void) -> Result:
        """Let the void have what nothing has of its range; the sequences of others stay what they are."""
        taken = self._taken.fill(item, void)
        place = (organisation, item.source, item.epoch, void.first, void.last)
        self._db.execute(
            "INSERT INTO voids (org, source, epoch, first, last, reason, subject, taken, id, digest, body, received_us)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*place, void.reason, void.subject, taken, item.id, item.digest, item.body, _now_us()),
        )
        return _result(item, "stored") if taken else _result(item, "stale", _SEQ_TAKEN)

    def _held(self, organisation: str, finding: Finding) -> sqlite3.Row | None:
        query = "SELECT revision, digest FROM findings WHERE org = ? AND uid = ?"
        row: sqlite3.Row | None = self._one(query, organisation, finding.uid)
        return row

    def _quarantine(self, organisation: str, item: Item, code: str, reason: str) -> Result:
        # An event without a place in a stream states a sequence perhaps, but holds none.
        seq = item.seq if item.source else 0
        self._db.execute(
            "REPLACE INTO quarantine (org, source, epoch, seq, id, code, reason, digest, body, received_us)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (organisation, item.source, item.epoch, seq, item.id, code, reason, item.digest, item.body, _now_us()),
        )
        if item.source:
            self._taken.add(item)
        return _result(item, *_quarantined(code))

    def _advance(self, organisation: str, items: Sequence[Item]) -> Committed | None:
        """Move the cursors of the items' epochs over what is now without a gap; return that of the newest epoch."""
        placed = {(item.source, item.epoch) for item in items if item.source}
        for source, epoch in placed:
            new = "INSERT INTO streams VALUES (?, ?, ?, 0) ON CONFLICT DO NOTHING"
            self._db.execute(new, (source, epoch, organisation))
            update = "UPDATE streams SET committed = ? WHERE source = ? AND epoch = ?"
            self._db.execute(update, (self._taken.complete_to(source, epoch), source, epoch))
        if not placed:
            return None
        newest = "SELECT epoch, committed FROM streams WHERE source = ? ORDER BY epoch DESC LIMIT 1"
        row = self._one(newest, min(placed)[0])
        return Committed(row["epoch"], row["committed"])

    def _one(self, query: str, *values: object) -> Any:
        """The first row, or None."""
        return self._db.execute(query, values).fetchone()

    def _read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """What a connection of its own shows of one moment."""
        address = f"{self.path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=_WAIT_S)) as db:
            db.row_factory = sqlite3.Row
            db.execute("BEGIN")
            return work(db)


def _result(item: Item, status: ResultStatus, code: str = "", socrev: int | None = None) -> Result:
    return Result(id=item.id, seq=item.seq, status=status, code=code, socrev=socrev)


def _quarantined(code: str) -> tuple[ResultStatus, str]:
    """How the sender is told. An algorithm that is not the key's is no damage on the way: it is kept, and rejected."""
    return "rejected" if code == "bad_alg" else "quarantined", code


def _now_us() -> int:
    return time.time_ns() // 1000
