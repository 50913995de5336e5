"""What the centre has received, in SQLite: events each once, findings at their last revision, and the quarantine."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from socmon.errors import StoreError
from socmon.feed.batch import Committed, Result, ResultStatus
from socmon.feed.checking import Finding, Item
from socmon.feed.server import Stored
from socmon.feed.signing import SIGNATURE_CODES
from socmon.ncsc import members

_VERSION = 1
_WAIT_S = 10.0

_SCHEMA = """
CREATE TABLE events (
    n INTEGER PRIMARY KEY, org TEXT NOT NULL, source TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    id TEXT NOT NULL, uid TEXT NOT NULL, revision INTEGER NOT NULL, status TEXT NOT NULL, digest BLOB NOT NULL,
    body BLOB NOT NULL, received_us INTEGER NOT NULL, UNIQUE (source, id), UNIQUE (source, epoch, seq)
) STRICT;
CREATE TABLE findings (
    org TEXT NOT NULL, uid TEXT NOT NULL, revision INTEGER NOT NULL, digest BLOB NOT NULL, rule TEXT NOT NULL,
    level TEXT NOT NULL, count INTEGER NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL,
    source TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (org, uid)
) STRICT, WITHOUT ROWID;
CREATE TABLE quarantine (
    n INTEGER PRIMARY KEY, org TEXT NOT NULL, source TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    id TEXT NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL, digest BLOB NOT NULL, body BLOB NOT NULL,
    received_us INTEGER NOT NULL, UNIQUE (org, digest)
) STRICT;
CREATE INDEX quarantined_place ON quarantine (source, epoch, seq);
CREATE TABLE streams (
    source TEXT NOT NULL, epoch TEXT NOT NULL, org TEXT NOT NULL, committed INTEGER NOT NULL,
    PRIMARY KEY (source, epoch)
) STRICT, WITHOUT ROWID;
CREATE TABLE answers (
    org TEXT NOT NULL, status TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (org, status)
) STRICT, WITHOUT ROWID;
"""

_FINDINGS = """
SELECT org, uid, revision AS socrev, rule, level, count, start_ms, end_ms,
       substr(source, instr(source, '/') + 1) AS stream, epoch, seq
FROM findings ORDER BY org, uid
"""
_ANSWERS = "SELECT org, status, count FROM answers"
# Not guarded by a constraint: one revision of one finding may come under two ids, and must be stored under one.
_ROWS = """
SELECT org, count(*) AS rows, count(*) - count(DISTINCT uid || char(10) || revision) AS rows_twice
FROM events WHERE status = 'stored' GROUP BY org
"""
_KEPT = """
SELECT org, 'quarantined' AS kind, count(*) AS count FROM quarantine GROUP BY org
"""
# SQLite takes the other columns from the row that max() picked.
_CURSORS = """
SELECT org, substr(source, instr(source, '/') + 1) AS stream, max(epoch) AS epoch, committed
FROM streams GROUP BY source
"""

Row = dict[str, Any]
_T = TypeVar("_T")


class Inbox:
    """One writer thread with one connection; readers open their own and see only what is committed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inbox")
        self._db: sqlite3.Connection

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
        return await asyncio.to_thread(self._findings)

    async def stats(self) -> dict[str, Row]:
        """Counts per organisation that has sent anything, taken from the tables."""
        return await asyncio.to_thread(self._stats)

    async def _written(self, work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            remedy = "see that the disk is not full and that the file is the user's own"
            raise StoreError(f"cannot use {self.path}: {error}; {remedy}") from error

    def _open(self) -> None:
        self._db = sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        version = self._one("PRAGMA user_version")["user_version"]
        if version == 0:
            self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
        elif version != _VERSION:
            text = f"{self.path} is of version {version}, this program's is {_VERSION}; choose another --state"
            raise StoreError(text)
        members.prepare(self._db)

    def _store(self, organisation: str, items: Sequence[Item]) -> Stored:
        self._db.execute("BEGIN IMMEDIATE")
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
        # A signature may be good now that was not: a key was made known, or a mistake in its dates mended.
        if before and not (before["code"] in SIGNATURE_CODES and item.finding):
            return _result(item, *_quarantined(before["code"]))
        if item.finding is None:
            return self._quarantine(organisation, item, item.code, item.reason)
        known = self._one("SELECT status, digest FROM events WHERE source = ? AND id = ?", item.source, item.id)
        if known and known["digest"] != item.digest:
            return self._quarantine(organisation, item, "id_reuse", "the id was used for another content")
        if known:
            return self._answer_again(organisation, item, item.finding, known["status"])
        place = (item.source, item.epoch, item.seq)
        if self._one("SELECT id FROM events WHERE source = ? AND epoch = ? AND seq = ?", *place):
            return self._quarantine(organisation, item, "seq_reuse", "the sequence was used for another event")
        return self._insert(organisation, item, item.finding)

    def _answer_again(self, organisation: str, item: Item, finding: Finding, status: str) -> Result:
        if status != "stale":
            return _result(item, "duplicate")
        held = self._held(organisation, finding)
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
        return _result(item, *_quarantined(code))

    def _advance(self, organisation: str, items: Sequence[Item]) -> Committed | None:
        """Move the cursors of the items' epochs over what is now without a gap; return that of the newest epoch."""
        placed = {(item.source, item.epoch) for item in items if item.source}
        for source, epoch in placed:
            new = "INSERT INTO streams VALUES (?, ?, ?, 0) ON CONFLICT DO NOTHING"
            self._db.execute(new, (source, epoch, organisation))
            query = "SELECT committed FROM streams WHERE source = ? AND epoch = ?"
            committed = self._complete_to(source, epoch, self._one(query, source, epoch)["committed"])
            update = "UPDATE streams SET committed = ? WHERE source = ? AND epoch = ?"
            self._db.execute(update, (committed, source, epoch))
        if not placed:
            return None
        newest = "SELECT epoch, committed FROM streams WHERE source = ? ORDER BY epoch DESC LIMIT 1"
        row = self._one(newest, min(placed)[0])
        return Committed(row["epoch"], row["committed"])

    def _complete_to(self, source: str, epoch: str, committed: int) -> int:
        """The last sequence after `committed` that is taken with all before it; quarantined ones count as taken."""
        place = (source, epoch, committed)
        after = "SELECT seq FROM {} WHERE source = ? AND epoch = ? AND seq > ?"
        query = f"{after.format('events')} UNION {after.format('quarantine')} ORDER BY seq"
        for row in self._db.execute(query, place * 2):
            if row["seq"] != committed + 1:
                break
            committed += 1
        return committed

    def _one(self, query: str, *values: object) -> Any:
        """The first row, or None."""
        return self._db.execute(query, values).fetchone()

    def _read(self, query: str) -> list[Row]:
        return self._seen(lambda db: [dict(row) for row in db.execute(query)])

    def _findings(self) -> list[Row]:
        return self._seen(lambda db: members.attached(db, [dict(row) for row in db.execute(_FINDINGS)]))

    def _seen(self, look: Callable[[sqlite3.Connection], _T]) -> _T:
        """What a connection of its own shows of one moment."""
        address = f"{self.path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=_WAIT_S)) as db:
            db.row_factory = sqlite3.Row
            db.execute("BEGIN")
            return look(db)

    def _stats(self) -> dict[str, Row]:
        found: dict[str, Row] = {}
        for row in self._read(_ANSWERS):
            found.setdefault(row["org"], {"answers": {}})["answers"][row["status"]] = row["count"]
        kept = {(row["org"], row["kind"]): row["count"] for row in self._read(_KEPT)}
        rows = {row["org"]: row for row in self._read(_ROWS)}
        cursors = self._read(_CURSORS)
        counted = self._seen(members.counts)
        return {
            org: _organisation_stats(org, one["answers"], kept, rows.get(org, {}), cursors)
            | dict(zip(("findings", "aggregates"), counted.get(org, (0, 0)), strict=True))
            for org, one in found.items()
        }


def _organisation_stats(org: str, answers: Row, kept: dict[tuple[str, str], int], rows: Row, cursors: list[Row]) -> Row:
    return {
        "events_received": sum(answers.values()),
        "rows_stored": rows.get("rows", 0),
        "rows_stored_twice": rows.get("rows_twice", 0),
        "duplicates_answered": answers.get("duplicate", 0),
        "stale": answers.get("stale", 0),
        "quarantined": kept.get((org, "quarantined"), 0),
        "committed": {
            row["stream"]: {"epoch": row["epoch"], "seq": row["committed"]} for row in cursors if row["org"] == org
        },
    }


def _result(item: Item, status: ResultStatus, code: str = "", socrev: int | None = None) -> Result:
    return Result(id=item.id, seq=item.seq, status=status, code=code, socrev=socrev)


def _quarantined(code: str) -> tuple[ResultStatus, str]:
    """How the sender is told. An algorithm that is not the key's is no damage on the way: it is kept, and rejected."""
    return "rejected" if code == "bad_alg" else "quarantined", code


def _now_us() -> int:
    return time.time_ns() // 1000
