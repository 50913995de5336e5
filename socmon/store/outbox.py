"""The outbox: what waits to be released, what is on its way, and what became of it; per destination.

A pending row is a reference: whatever the alert is at its release goes out. A released row is immutable and is sent
until its destination has answered for it.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Sequence

from msgspec import Struct

from socmon.component import Outcome, Release, Released
from socmon.errors import SocmonError
from socmon.event import Alert
from socmon.store.rows import read_alert

SETTLED = ("accepted", "duplicate", "stale")

# An alert is released again only after the interval, unless its level or status changed (DESIGN.md §2).
_DUE = """
select pending.alert_id from pending
join alert on alert.id = pending.alert_id
left join released as last on last.id = (
    select max(id) from released where destination = pending.destination and alert_id = pending.alert_id)
where pending.destination = :destination and pending.error is null
  and (last.id is null or last.released_us <= :before_us or last.level <> alert.level or last.status <> alert.status)
order by pending.since_us, alert.opened_seq limit :limit
"""
_RELEASE = """
insert into released
    (destination, stream, epoch, seq, alert_id, revision, level, status, released_us, body, sha256, state)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting')
"""
_WAITING = """
select id, alert_id, stream, epoch, seq, revision, released_us, body from released
where destination = ? and state = 'waiting' order by id limit ?
"""


class Routing(Struct, frozen=True):
    """How a destination's alerts become messages; both functions are pure."""

    destination: str
    stream: Callable[[Alert], str]
    render: Callable[[Alert, Release], bytes]


class Undelivered(Struct, frozen=True):
    """A destination's backlog. `oldest_us` is when its oldest row came in; None if there is none."""

    pending: int
    waiting: int
    dead: int
    acknowledged: int
    oldest_us: int | None


def release(db: sqlite3.Connection, routing: Routing, *, limit: int, now_us: int, before_us: int) -> list[str]:
    """Give up to `limit` pending alerts their sequence and body; return what could not be rendered, one line each.

    Args:
        before_us: an alert last released after this stays pending.
    """
    due = db.execute(_DUE, {"destination": routing.destination, "before_us": before_us, "limit": limit}).fetchall()
    problems = []
    for (alert_id,) in due:
        alert = read_alert(db, alert_id)
        if alert is None:
            continue
        try:
            _release_one(db, routing, alert, now_us)
        except (SocmonError, ValueError, TypeError, KeyError) as error:
            # One alert that cannot be rendered must not hold back the rest; a newer revision tries again.
            problems.append(f"alert {alert_id}: {error!r}")
            db.execute(
                "update pending set error = ? where destination = ? and alert_id = ?",
                (repr(error), routing.destination, alert_id),
            )
    return problems


def _release_one(db: sqlite3.Connection, routing: Routing, alert: Alert, now_us: int) -> None:
    stream = routing.stream(alert)
    place = db.execute(
        "select epoch, next_seq from stream where destination = ? and stream = ?", (routing.destination, stream)
    ).fetchone()
    epoch, seq = place or (f"{now_us // 1000:012x}", 1)
    revision = alert.revision + alert.analyst_revision
    place_taken = Release(routing.destination, stream, epoch, seq, revision, now_us)
    body = routing.render(alert, place_taken)
    db.execute(
        "insert or replace into stream (destination, stream, epoch, next_seq) values (?, ?, ?, ?)",
        (routing.destination, stream, epoch, seq + 1),
    )
    digest = hashlib.sha256(body).hexdigest()
    db.execute(
        _RELEASE,
        (routing.destination, stream, epoch, seq, alert.id, revision, alert.level, alert.status, now_us, body, digest),
    )
    db.execute("delete from pending where destination = ? and alert_id = ?", (routing.destination, alert.id))


def waiting(db: sqlite3.Connection, destination: str, limit: int) -> list[Released]:
    """Released rows without an answer, in the order of their release, at most `limit`."""
    return [
        Released(number, alert_id, Release(destination, stream, epoch, seq, revision, released_us), body)
        for number, alert_id, stream, epoch, seq, revision, released_us, body in db.execute(
            _WAITING, (destination, limit)
        )
    ]


def settle(db: sqlite3.Connection, outcomes: Sequence[Outcome], now_us: int) -> None:
    """Write down what the destination said; `retry` leaves a row waiting."""
    rows = [
        ("acknowledged" if outcome.status in SETTLED else "dead", outcome.code or outcome.status, now_us, outcome.id)
        for outcome in outcomes
        if outcome.status != "retry"
    ]
    db.executemany("update released set state = ?, code = ?, settled_us = ? where id = ? and state = 'waiting'", rows)


def backlog(db: sqlite3.Connection, destination: str) -> Undelivered:
    """How much of the destination's outbox is not delivered yet."""
    pending, since_us = db.execute(
        "select count(*), min(since_us) from pending where destination = ?", (destination,)
    ).fetchone()
    states = dict(
        db.execute(
            "select state, count(*) from released where destination = ? group by state", (destination,)
        ).fetchall()
    )
    (released_us,) = db.execute(
        "select min(released_us) from released where destination = ? and state = 'waiting'", (destination,)
    ).fetchone()
    known = [moment for moment in (since_us, released_us) if moment is not None]
    return Undelivered(
        pending=pending,
        waiting=states.get("waiting", 0),
        dead=states.get("dead", 0),
        acknowledged=states.get("acknowledged", 0),
        oldest_us=min(known, default=None),
    )


def acknowledged(db: sqlite3.Connection, destination: str) -> dict[str, int]:
    """Alert id → the highest revision that the destination has acknowledged."""
    return dict(
        db.execute(
            "select alert_id, max(revision) from released where destination = ? and state = 'acknowledged' group by 1",
            (destination,),
        ).fetchall()
    )


def prune(db: sqlite3.Connection, before_us: int) -> int:
    """Delete acknowledged rows settled before `before_us`, but for the last of each alert; return how many."""
    return db.execute(
        """
        delete from released where state = 'acknowledged' and settled_us < ?
        and id < (select max(id) from released as newer
                  where newer.destination = released.destination and newer.alert_id = released.alert_id)
        """,
        (before_us,),
    ).rowcount
