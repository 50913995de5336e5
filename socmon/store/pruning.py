"""What the store may let go: alerts that are closed and delivered, the oldest first, with all that belongs to them.

An alert that may still grow never goes: it would come again, open, and its revision would fall behind what was sent.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import Struct

from socmon.errors import StoreError
from socmon.i18n import Message

STEP = 100  # alerts in one transaction: tens of milliseconds with 20 lines of evidence each
_HOUR_US = 3_600_000_000

_LEAST_DESTINATION = "select min(destination) from {table} where destination > ?"
# Oldest first, along the index of last_us. An alert is closed for good when nothing has joined it since.
_CANDIDATES = """
select id from alert
where last_us < :before and stored_us < :before and status = 'closed' and revision <= closed_revision
  and not exists (select 1 from history where alert_id = alert.id and time_us >= :before)
  and not exists (select 1 from json_each(:destinations) as named join pending
                  on pending.destination = named.value and pending.alert_id = alert.id
                  where coalesce(pending.error, '') not glob 'held: *' or pending.error = 'held: waits for approval')
  and not exists (select 1 from json_each(:destinations) as named join released
                  on released.destination = named.value and released.alert_id = alert.id
                  and released.state in ('waiting', 'held', 'dead'))
  and not exists (select 1 from json_each(:destinations) as named join void
                  on void.destination = named.value and void.state in ('pending', 'waiting', 'held')
                  and void.alert_id = alert.id)
order by last_us, id limit :limit
"""
_SIZE = """
select coalesce((select sum(length(raw) + length(fields) + 300) from evidence where alert_id = ?1), 0)
     + coalesce((select sum(length(text) + 200) from history where alert_id = ?1), 0)
     + (select length(title) + length(tags) + length(grouped) + length(entities) + 500 from alert where id = ?1)
"""
_SENT = "select coalesce(sum(length(body) + 400), 0) from released where destination = ?1 and alert_id = ?2"
_DELETE_SENT = "delete from released where destination = ? and alert_id = ? returning seq, destination, stream, epoch"
_FORGET = "update stream set pruned_seq = max(pruned_seq, ?) where destination = ? and stream = ? and epoch = ?"
# A receipt is of a batch, and stays as long as one of its rows does.
_RECEIPTS = "select receipt_id from released where destination = ? and alert_id = ? and receipt_id is not null"
_DROP_RECEIPT = """
delete from receipt where id = ? and not exists (select 1 from released where receipt_id = receipt.id)
"""

_BARE = """
delete from released where within is not null and within = id and state not in ('waiting', 'held')
    and not exists (select 1 from released as member where member.within = released.id and member.seq is null)
returning seq, destination, stream, epoch
"""
# As `outbox` does it with each alert's older revisions.
_DROP_BODIES = """
update released set body = x'' where within is not null and within = id and state = 'acknowledged' and body <> x''
    and not exists (
        select 1 from released as member where member.within = released.id and member.seq is null
        and member.id = (select max(id) from released as newer where newer.state = 'acknowledged'
                         and newer.destination = member.destination and newer.alert_id = member.alert_id))
"""


class Bounds(Struct, frozen=True):
    """What may stay.

    Attributes:
        before_us: alerts whose last event, storing and triage were before go; None: none for its age.
        max_bytes: as long as the store holds more, the oldest go; None: none for its size.
        young_us: what is younger stays in any case: more events may join it.
    """

    before_us: int | None
    max_bytes: int | None
    young_us: int


class Pruned(Struct, frozen=True):
    """What went, or would go; `more` may follow in the next step.

    Attributes:
        used_bytes: what the store holds afterwards. The file keeps its size: what is free in it is used again.
    """

    alerts: int
    used_bytes: int
    more: bool


def used_bytes(db: sqlite3.Connection) -> int:
    """What the store holds, without what is free in its file."""
    (pages,), (free,), (size,) = (
        db.execute(f"pragma {name}").fetchone() for name in ("page_count", "freelist_count", "page_size")
    )
    return (int(pages) - int(free)) * int(size)


def prune(db: sqlite3.Connection, bounds: Bounds, limit: int) -> Pruned:
    """Let at most `limit` alerts go. The caller has begun a transaction."""
    over = bounds.max_bytes is not None and used_bytes(db) > bounds.max_bytes
    before_us = _before_us(bounds, over=over)
    if before_us is None:
        return Pruned(0, used_bytes(db), more=False)
    destinations = _destinations(db)
    gone = _candidates(db, before_us, destinations, limit)
    receipts: set[tuple[int]] = set()
    for alert_id in gone:
        for place in ((name, alert_id) for name in destinations):
            receipts.update(db.execute(_RECEIPTS, place))
            forget(db, db.execute(_DELETE_SENT, place).fetchall())
            for table in ("pending", "lifted", "decision"):  # what is pending is held, and so not sent
                db.execute(f"delete from {table} where destination = ? and alert_id = ?", place)  # noqa: S608  constants
        for table, column in (
            ("evidence", "alert_id"),
            ("history", "alert_id"),
            ("change", "alert_id"),
            ("alert", "id"),
        ):
            db.execute(f"delete from {table} where {column} = ?", (alert_id,))  # noqa: S608  constants
    forget(db, prune_aggregates(db))
    db.executemany(_DROP_RECEIPT, receipts)
    return Pruned(len(gone), used_bytes(db), more=len(gone) == limit)


def forget(db: sqlite3.Connection, deleted: Sequence[tuple[int | None, str, str, str]]) -> None:
    """Remember up to where a stream's releases are deleted; `deleted` are (seq, destination, stream, epoch)."""
    db.executemany(_FORGET, [each for each in deleted if each[0] is not None])  # None: a member of an aggregate


def prune_aggregates(db: sqlite3.Connection) -> list[tuple[int, str, str, str]]:
    """Delete aggregates that have no members any more, as (seq, destination, stream, epoch).

    Those whose members were all told anew since lose their bytes: nothing is sent again by them.
    """
    db.execute(_DROP_BODIES)
    return db.execute(_BARE).fetchall()


def prune_settled(db: sqlite3.Connection, before_us: int) -> int:
    """Delete rows acknowledged, or refused and retried, before `before_us`, but for each alert's last; say how many.

    The first acknowledged one of each alert stays too: it says when it was told. Receipts go with the last row that
    they are for.
    """
    deleted = db.execute(
        """
        delete from released where state in ('acknowledged', 'retried', 'withdrawn', 'dropped') and settled_us < ?
        and id < (select max(id) from released as newer
                  where newer.destination = released.destination and newer.alert_id = released.alert_id)
        and id is not (select min(id) from released as first where first.state = 'acknowledged'
                       and first.destination = released.destination and first.alert_id = released.alert_id)
        returning seq, destination, stream, epoch
        """,
        (before_us,),
    ).fetchall()
    old = (
        "delete from void where state = 'acknowledged' and settled_us < ? returning to_seq, destination, stream, epoch"
    )
    forget(db, deleted + db.execute(old, (before_us,)).fetchall() + prune_aggregates(db))
    db.execute("delete from receipt where not exists (select 1 from released where receipt_id = receipt.id)")
    return len(deleted)


def would_prune(db: sqlite3.Connection, bounds: Bounds) -> Pruned:
    """What `prune`, called until nothing is left to go, would let go; sizes are estimated."""
    used, count = used_bytes(db), 0
    destinations = _destinations(db)
    before_us = _before_us(bounds, over=True)
    aged = set(_candidates(db, _before_us(bounds, over=False), destinations, -1))
    for alert_id in _candidates(db, before_us, destinations, -1):
        over = bounds.max_bytes is not None and used > bounds.max_bytes
        if alert_id in aged or over:
            count += 1
            used -= _size(db, alert_id, destinations)
    return Pruned(count, max(0, used), more=False)


def _before_us(bounds: Bounds, *, over: bool) -> int | None:
    if over:
        return bounds.young_us if bounds.max_bytes is not None else _before_us(bounds, over=False)
    return None if bounds.before_us is None else min(bounds.before_us, bounds.young_us)


def _candidates(db: sqlite3.Connection, before_us: int | None, destinations: list[str], limit: int) -> list[str]:
    if before_us is None:
        return []
    values = {"before": before_us, "destinations": msgspec.json.encode(destinations).decode(), "limit": limit}
    return [alert_id for (alert_id,) in db.execute(_CANDIDATES, values)]


def _size(db: sqlite3.Connection, alert_id: str, destinations: list[str]) -> int:
    (own,) = db.execute(_SIZE, (alert_id,)).fetchone()
    sent = [db.execute(_SENT, (name, alert_id)).fetchone() for name in destinations]
    return int(own or 0) + sum(int(size) for (size,) in sent)


def _destinations(db: sqlite3.Connection) -> list[str]:
    """Names that the outbox knows, found along its indexes: a backlog may be long."""
    return sorted({name for table in ("pending", "released", "lifted", "decision") for name in _names(db, table)})


def _names(db: sqlite3.Connection, table: str) -> Iterator[str]:
    name = ""
    while True:
        (name,) = db.execute(_LEAST_DESTINATION.format(table=table), (name,)).fetchone()
        if name is None:
            return
        yield name


def young_us(max_alert_h: int, max_skew_h: int) -> int:
    """For how long an alert may still grow, and a day: it spans so much, and is remembered for the skew behind that."""
    return (max_alert_h + max_skew_h + 24) * _HOUR_US


def prune_file(path: Path, bounds: Bounds) -> Pruned:
    """Let go all that may, of a store that no daemon uses. The caller holds the lock of the state directory.

    Raises:
        StoreError: it cannot be written; what went until then is gone.
    """
    gone = 0
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("pragma synchronous = full")
            while True:
                db.execute("begin immediate")
                step = prune(db, bounds, STEP)
                db.execute("commit")
                gone += step.alerts
                if not step.more:
                    return Pruned(gone, step.used_bytes, more=False)
    except sqlite3.Error as error:
        raise StoreError(Message("cannot write {path}: {error}; is the disk full?", path=path, error=error)) from error
