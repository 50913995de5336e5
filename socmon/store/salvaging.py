"""A store of which only the outbox is damaged: all else is copied, and of the outbox what can be read."""

import hashlib
import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec import Struct, json

from socmon.errors import SocmonError, StoreError
from socmon.outgoing import Outcome
from socmon.store import outbox
from socmon.store.checking import damage
from socmon.store.copying import discard, quick_check, sync
from socmon.store.holding import give
from socmon.store.queue import Letter, release_again
from socmon.store.reading import SCHEMA
from socmon.store.restoring import decide
from socmon.store.schema import prepare
from socmon.store.verifying import Span, scan, verify

OUTBOX = frozenset({"pending", "released", "receipt", "stream", "void", "lifted"})
_BY = "socmon"  # who released again what was damaged
# Whatever of an alert's last revision is neither queued nor released any more is queued; who has it recognises it.
# So is what a person withdrew: the destination may have to be told.
_QUEUE = """
insert or ignore into pending (destination, alert_id, urgency, since_us, error)
select named.destination, alert.id,
       case alert.level when 'critical' then 4 when 'high' then 3 when 'medium' then 2 when 'low' then 1 else 0 end,
       ?, null
from alert, (select destination from stream union select destination from pending union
             select destination from released union select value from json_each(?)) as named
where not exists (select 1 from released
                  where released.destination = named.destination and released.alert_id = alert.id
                    and released.state <> 'retried'
                    and released.revision >= alert.revision + alert.analyst_revision + coalesce((
                        select revisions from lifted where lifted.destination = named.destination
                        and lifted.alert_id = alert.id), 0))
   or exists (select 1 from decision where decision.destination = named.destination
              and decision.alert_id = alert.id and verb = 'withdraw')
"""
_EPOCHS = """
select destination, stream, max(epoch)
from (select destination, stream, epoch from stream union select destination, stream, epoch from released)
group by destination, stream
"""
_REFUSED = """
select released.id, alert.id, alert.level, destination, body, sha256
from released join alert on alert.id = released.alert_id where released.id = ? and state = 'dead'
"""


# The bytes of a member are its aggregate's.
_REFUSED_MEMBERS = """
select member.id, alert.id, alert.level, member.destination, whole.body, whole.sha256
from released as whole join released as member on member.within = whole.id and member.seq is null
join alert on alert.id = member.alert_id
where whole.id = ? and whole.within = whole.id and member.state = 'dead'
"""


class Salvaged(Struct, frozen=True):
    """What became of a damaged outbox.

    Attributes:
        aside: where the damaged store is kept.
        kept: released rows that are there still.
        lost: numbers of released rows that cannot be read, or whose message is not what was made.
        queued: alerts that were queued anew, for each destination.
        unproved: released rows that are kept, and whose receipt is lost.
        streams: streams that begin a new epoch, since nobody knows which sequences of theirs are used.
    """

    aside: Path | None
    kept: int
    lost: int
    queued: int
    unproved: int
    streams: int


def salvage(path: Path, what: str, destinations: Sequence[str] = ()) -> Salvaged:
    """Put a store in the place of the damaged one, without what is damaged. The caller holds the lock.

    Sequences go on where they were: none is given a second time, and those of lost rows stay a gap. A lost receipt
    is a lost proof, and nothing more: what it was for stays acknowledged.

    Args:
        what: what SQLite said of the damage.
        destinations: what is known of them without the store, which may have lost their names.

    Raises:
        StoreError: more than the outbox is damaged, or there is no room; nothing was changed.
    """
    part = path.with_name(f"{path.name}.restoring")
    try:
        if _tables_damaged(path, what) - OUTBOX - {""}:
            raise damage(path, what)
        discard(part)
        found = _made(path, part, destinations)
        part.chmod(0o640)
        give(part)
        sync(part)
        return Salvaged(decide(part, path), *found)
    except StoreError:
        raise
    except (sqlite3.Error, OSError, SocmonError) as error:
        raise damage(path, f"{what}; and it cannot be mended: {error}") from error
    finally:
        discard(part)


def _tables_damaged(path: Path, what: str) -> set[str]:
    try:
        return {each.table for each in verify(path).damages}
    except StoreError as error:  # its header, so that nothing of it can be read
        raise damage(path, what) from error


def _made(path: Path, part: Path, destinations: Sequence[str]) -> tuple[int, int, int, int, int]:
    """Write the new store; return what `Salvaged` has behind `aside`."""
    with closing(sqlite3.connect(part, isolation_level=None, uri=True)) as db:
        prepare(db, str(part))
        db.execute("attach ? as old", (f"{path.absolute().as_uri()}?mode=ro",))
        (version,) = db.execute("pragma old.user_version").fetchone()
        if version != SCHEMA:
            raise sqlite3.DatabaseError(f"it was written by another version (schema {version})")
        db.execute("begin")
        for table in _tables(db):
            columns = ", ".join(row[1] for row in db.execute(f"pragma table_info({table})"))
            db.execute(f"insert into main.{table} ({columns}) select {columns} from old.{table}")  # noqa: S608  ours
        _copy_changes(db)
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as old:
            kept, lost = _copy_released(old, db)
            unproved = _copy_receipts(old, db)
            streams = _copy_streams(old, db)
            _copy_pending(old, db)
            _copy_readable(old, db, "void")  # of one that is lost, the next look at the destination makes another
            _copy_readable(old, db, "lifted")
        queued = db.execute(_QUEUE, (time.time_ns() // 1000, json.encode(destinations).decode())).rowcount
        db.execute("commit")
        db.execute("detach old")
        db.execute("pragma journal_mode = delete")
        if found := quick_check(db):
            raise sqlite3.DatabaseError(found)
    os.utime(part)
    return kept, lost, queued, unproved, streams


def _tables(db: sqlite3.Connection) -> list[str]:
    query = "select name from main.sqlite_schema where type = 'table' and name not like 'sqlite^_%' escape '^'"
    return [name for (name,) in db.execute(query) if name not in OUTBOX | {"change"}]


def _copy_changes(db: sqlite3.Connection) -> None:
    """As they were: triggers have numbered the alerts anew, and whoever follows alerts remembers the old numbers."""
    db.execute("delete from main.change")
    db.execute("insert into main.change (number, alert_id) select number, alert_id from old.change")
    db.execute(
        "update main.sqlite_sequence set seq = (select seq from old.sqlite_sequence where name = 'change')"
        " where name = 'change'"
    )


def _copy_released(old: sqlite3.Connection, db: sqlite3.Connection) -> tuple[int, int]:
    names = [row[1] for row in db.execute("pragma table_info(released)")]
    put = f"insert into main.released ({', '.join(names)}) values ({', '.join('?' * len(names))})"  # noqa: S608  ours
    kept = lost = 0
    for each in scan(old, "released", ", ".join(names)):
        if isinstance(each, Span):
            lost += each.last - each.first + 1
            continue
        row = dict(zip(names, each[1:], strict=True))
        if not _is_whole(row):
            if row["state"] != "acknowledged":
                lost += 1
                continue
            row["body"] = b""  # nobody needs it any more
        db.execute(put, tuple(row.values()))
        kept += 1
    return kept, lost


def _is_whole(row: dict[str, Any]) -> bool:
    body = row["body"]
    return isinstance(body, bytes) and hashlib.sha256(body).hexdigest() == row["sha256"]


def _copy_receipts(old: sqlite3.Connection, db: sqlite3.Connection) -> int:
    """Say how many released rows go on without theirs."""
    for each in scan(old, "receipt", "content"):
        if not isinstance(each, Span):
            db.execute("insert into main.receipt (id, content) values (?, ?)", each)
    return db.execute(
        "update main.released set receipt_id = null"
        " where receipt_id is not null and receipt_id not in (select id from main.receipt)"
    ).rowcount


def _copy_readable(old: sqlite3.Connection, db: sqlite3.Connection, table: str) -> None:
    names = [row[1] for row in db.execute(f"pragma table_info({table})")]
    put = f"insert or ignore into main.{table} ({', '.join(names)}) values ({', '.join('?' * len(names))})"  # noqa: S608  ours
    db.executemany(put, [each[1:] for each in scan(old, table, ", ".join(names)) if not isinstance(each, Span)])


def _copy_streams(old: sqlite3.Connection, db: sqlite3.Connection) -> int:
    """Say how many begin a new epoch: all, where one cannot be read, as its last sequence is then not known."""
    rows = list(scan(old, "stream", "destination, stream, epoch, next_seq, pruned_seq"))
    put = "insert or replace into main.stream (destination, stream, epoch, next_seq, pruned_seq) values (?, ?, ?, ?, ?)"
    db.executemany(put, [each[1:] for each in rows if not isinstance(each, Span)])
    if not any(isinstance(each, Span) for each in rows):
        return 0
    used = db.execute(_EPOCHS).fetchall()
    for destination, stream, epoch in used:
        outbox.open_epoch(db, destination, stream, after=epoch, now_us=time.time_ns() // 1000)
    return len(used)


def _copy_pending(old: sqlite3.Connection, db: sqlite3.Connection) -> None:
    for each in scan(old, "pending", "destination, alert_id, urgency, since_us, error"):
        if not isinstance(each, Span):
            db.execute("insert or ignore into main.pending select ?, ?, ?, ?, ? where ? in (select id from alert)",
                       (*each[1:], each[2]))  # fmt: skip


def requeue(db: sqlite3.Connection, outcomes: Sequence[Outcome], now_us: int) -> int:
    """Queue anew the alerts whose messages were refused and are not what was released; say how many messages that is.

    Only the bytes are lost: the alert is there, and goes out under another sequence. What is whole and was refused
    waits for a person.
    """
    numbers = [(each.id,) for each in outcomes if each.status == "rejected"]
    refused = [row for query in (_REFUSED, _REFUSED_MEMBERS) for each in numbers for row in db.execute(query, each)]
    letters = [Letter(*row) for *row, body, stated in refused if not _is_whole({"body": body, "sha256": stated})]
    release_again(db, letters, by=_BY, now_us=now_us)
    return len(letters)
