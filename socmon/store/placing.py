"""A release's place in its stream, and its row in the outbox."""

import hashlib
import sqlite3

from socmon.event import LEVELS, Alert
from socmon.outgoing import Release

_NEXT = "select epoch, next_seq from stream where destination = ? and stream = ?"
# Not replaced: the row remembers too how far the stream was pruned.
_TAKE = """
insert into stream (destination, stream, epoch, next_seq) values (?, ?, ?, ?)
on conflict (destination, stream) do update set epoch = excluded.epoch, next_seq = excluded.next_seq
"""
_RELEASE = """
insert into released
    (destination, stream, epoch, seq, alert_id, revision, level, urgency, status, released_us, body, sha256, state,
     within, closing)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?, ?)
"""
_NOT_PENDING = "delete from pending where destination = ? and alert_id = ?"


def next_place(db: sqlite3.Connection, destination: str, stream: str, now_us: int) -> tuple[str, int]:
    """Epoch and sequence of the stream's next release; it is not taken yet."""
    place = db.execute(_NEXT, (destination, stream)).fetchone()
    return place or (epoch_after("", now_us), 1)


def epoch_after(after: str, now_us: int) -> str:
    """The time in milliseconds, as text that sorts; behind `after` though the clock was set back since."""
    return f"{max(now_us // 1000, int(after or '0', 16) + 1):012x}"


def put(db: sqlite3.Connection, place: Release, alert: Alert, body: bytes, *, closing: bool = False) -> int:
    """Take the place for the message `body` of an alert, which waits for nothing more; return the row's number.

    Args:
        closing: it tells that the alert is withdrawn.
    """
    db.execute(_TAKE, (place.destination, place.stream, place.epoch, place.seq + 1))
    return _insert(db, place, place.seq, alert, body, None, closing=closing)


def put_member(db: sqlite3.Connection, place: Release, alert: Alert, within: int) -> None:
    """Let an alert be released by the message that the row `within` has: it has no sequence of its own."""
    _insert(db, place, None, alert, b"", within)


def _insert(
    db: sqlite3.Connection,
    place: Release,
    seq: int | None,
    alert: Alert,
    body: bytes,
    within: int | None,
    *,
    closing: bool = False,
) -> int:
    where = (place.destination, place.stream, place.epoch, seq, alert.id, place.revision)
    content = (alert.level, LEVELS.index(alert.level), alert.status, place.released_us, body)
    row = db.execute(_RELEASE, (*where, *content, hashlib.sha256(body).hexdigest(), within, closing))
    db.execute(_NOT_PENDING, (place.destination, alert.id))
    return int(row.lastrowid or 0)
