"""The outbox: what waits to be released, what is on its way, and what became of it; per destination.

A pending row is a reference: whatever the alert is at its release goes out. A released row is immutable and is sent
until its destination has answered for it.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from hashlib import sha256

from msgspec import Struct

from socmon.component import Outcome, Release, Released
from socmon.errors import ComponentError, HeldError
from socmon.event import LEVELS, Alert
from socmon.store.rows import read_alert

SETTLED = ("accepted", "duplicate", "stale")
# Begins `pending.error` of an alert that is not for its destination; the reason follows.
HELD = "held: "
_MOST_S = 0.5  # of one release: the store's thread does nothing else meanwhile, and some messages take long to make

# The most urgent first. Again only after the interval, unless level or status changed; a release in the future is of a
# clock that was set back since, and holds up nothing (docs/semantics.md, "Release and delivery"). Neither does a dead
# letter that a person released again.
_DUE = """
select pending.alert_id from pending
join alert on alert.id = pending.alert_id
left join released as last on last.id = (
    select max(id) from released
    where destination = pending.destination and alert_id = pending.alert_id and state <> 'retried')
where pending.destination = :destination and pending.error is null
  and (last.id is null or last.released_us <= :before_us or last.released_us > :now_us
       or last.level <> alert.level or last.status <> alert.status)
order by pending.urgency desc, pending.since_us, alert.opened_seq limit :limit
"""
_RELEASE = """
insert into released
    (destination, stream, epoch, seq, alert_id, revision, level, urgency, status, released_us, body, sha256, state)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting')
"""
_PENDING = """
select count(*) filter (where not is_held), min(since_us) filter (where not is_held), count(*) filter (where is_held)
from (select since_us, coalesce(error glob ?, 0) as is_held from pending where destination = ?)
"""
_STREAMS_WAITING = """
select stream from released where destination = ? and state = 'waiting'
group by stream order by max(urgency) desc, min(id)
"""
_WAITING = """
select id, alert_id, stream, epoch, seq, revision, released_us, body, sha256 from released
where destination = ? and stream = ? and state = 'waiting' order by id limit ?
"""
_FIRST_ACCEPTED = """
select alert.id, alert.received_us from released join alert on alert.id = released.alert_id
where released.id = ? and released.state = 'waiting' and alert.received_us is not null
  and not exists (select 1 from released as before where before.destination = released.destination
                  and before.alert_id = released.alert_id and before.state = 'acknowledged')
"""
_SETTLE = """
update released set state = ?, code = ?, settled_us = ?, receipt_id = ? where id = ? and state = 'waiting'
"""
# A newer revision says all that the older ones said: their bytes are not needed for sending anything again.
_DROP_BODIES = """
update released set body = x'' where state = 'acknowledged' and body <> x''
  and (destination, alert_id) = (select destination, alert_id from released where id = ?1)
  and id < (select max(id) from released as newer where newer.state = 'acknowledged'
            and newer.destination = released.destination and newer.alert_id = released.alert_id)
"""


class Routing(Struct, frozen=True):
    """How a destination's alerts become messages; both functions are pure."""

    destination: str
    stream: Callable[[Alert], str]
    render: Callable[[Alert, Release], bytes]


class Undelivered(Struct, frozen=True):
    """A destination's backlog. `oldest_us` is when its oldest row came in; None if there is none.

    What is `held` is not for the destination: it waits for nothing, and is not in `pending`.
    """

    pending: int
    waiting: int
    dead: int
    acknowledged: int
    oldest_us: int | None
    held: int = 0


def release(db: sqlite3.Connection, routing: Routing, *, limit: int, now_us: int, before_us: int) -> list[str]:
    """Give pending alerts their sequence and body; return what could not be rendered, one line each.

    A ComponentError of the forwarder's goes through: nothing can be rendered, so the caller undoes it all.

    A stream in which something waits for an answer gets nothing new; all others together get up to `limit`, the most
    urgent alerts first. So an urgent alert never waits behind a backlog that was released before it.

    Args:
        before_us: an alert last released after this stays pending.
    """
    given = _Given(db, routing, dict.fromkeys(streams_waiting(db, routing.destination), 0), limit, now_us)
    parameters = {"destination": routing.destination, "before_us": before_us, "now_us": now_us, "limit": 2 * limit}
    problems = []
    due = db.execute(_DUE, parameters).fetchall()
    end_s = time.monotonic() + _MOST_S
    for (alert_id,) in due:
        if given.count >= limit or time.monotonic() > end_s:
            break
        try:
            given.add(alert_id)
        except (ComponentError, sqlite3.Error):
            raise  # it is not about this alert: there is no key to sign with, or the disk is full
        except HeldError as held:
            _note(db, routing.destination, alert_id, f"{HELD}{held}")
        except Exception as error:  # noqa: BLE001  a forwarder's own code: one alert must not hold back the rest
            problems.append(f"alert {alert_id}: {error!r}")
            _note(db, routing.destination, alert_id, repr(error))
    given.write()
    return problems


def _note(db: sqlite3.Connection, destination: str, alert_id: str, error: str) -> None:
    """Keep a pending alert from being released, until its next revision."""
    statement = "update pending set error = ? where destination = ? and alert_id = ?"
    db.execute(statement, (error, destination, alert_id))


def reconsider(db: sqlite3.Connection, destination: str) -> None:
    """Let what is held be looked at again: what is shared may have changed."""
    db.execute("update pending set error = null where destination = ? and error glob ?", (destination, f"{HELD}*"))


class _Given:
    """What one `release` gives out. It is written at the end, all at once: there are few statements for each alert."""

    def __init__(self, db: sqlite3.Connection, routing: Routing, room: dict[str, int], limit: int, now_us: int) -> None:
        """`room` is per stream, `limit` where it is not in it."""
        self._db = db
        self._routing = routing
        self._room = room
        self._limit = limit
        self._now_us = now_us
        self._next: dict[str, tuple[str, int]] = {}  # by stream
        self._rows: list[tuple[object, ...]] = []
        self._released: list[tuple[str, str]] = []

    def add(self, alert_id: str) -> None:
        """Release one alert if there is still room in its stream."""
        destination = self._routing.destination
        alert = read_alert(self._db, alert_id, self._has_room)
        if alert is None:
            return
        stream = self._routing.stream(alert)
        epoch, seq = self._next.get(stream) or self._place(stream)
        revision = alert.revision + alert.analyst_revision
        body = self._routing.render(alert, Release(destination, stream, epoch, seq, revision, self._now_us))
        content = (alert.level, LEVELS.index(alert.level), alert.status, self._now_us, body, sha256(body).hexdigest())
        self._rows.append((destination, stream, epoch, seq, alert.id, revision, *content))
        self._released.append((destination, alert.id))
        self._next[stream] = (epoch, seq + 1)
        self._room[stream] -= 1  # not for one that was held or not rendered: it keeps nobody else waiting

    @property
    def count(self) -> int:
        """How many, in all streams."""
        return len(self._rows)

    def write(self) -> None:
        """Put down what was released."""
        places = [(self._routing.destination, stream, *place) for stream, place in self._next.items()]
        self._db.executemany(
            "insert or replace into stream (destination, stream, epoch, next_seq) values (?, ?, ?, ?)", places
        )
        self._db.executemany(_RELEASE, self._rows)
        self._db.executemany("delete from pending where destination = ? and alert_id = ?", self._released)

    def _has_room(self, alert: Alert) -> bool:
        return self._room.setdefault(self._routing.stream(alert), self._limit) > 0

    def _place(self, stream: str) -> tuple[str, int]:
        query = "select epoch, next_seq from stream where destination = ? and stream = ?"
        return self._db.execute(query, (self._routing.destination, stream)).fetchone() or (_epoch("", self._now_us), 1)


def streams(db: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """(destination, stream, epoch) of each stream that ever had a release."""
    return db.execute("select destination, stream, epoch from stream order by destination, stream").fetchall()


def open_epoch(db: sqlite3.Connection, destination: str, stream: str, *, after: str, now_us: int) -> None:
    """Let the stream's next release be the first of an epoch that sorts behind its own and behind `after`.

    Its sequences begin at 1 there, so none that the destination knows is given a second time.
    """
    place = (destination, stream)
    (own,) = db.execute("select epoch from stream where destination = ? and stream = ?", place).fetchone() or ("",)
    db.execute(
        "insert or replace into stream (destination, stream, epoch, next_seq) values (?, ?, ?, 1)",
        (*place, _epoch(max(own, after), now_us)),
    )


def _epoch(after: str, now_us: int) -> str:
    """The time in milliseconds, as text that sorts; behind `after` though the clock was set back since."""
    return f"{max(now_us // 1000, int(after or '0', 16) + 1):012x}"


def streams_waiting(db: sqlite3.Connection, destination: str) -> list[str]:
    """Streams with released rows that have no answer, the one with the most urgent alert first."""
    return [stream for (stream,) in db.execute(_STREAMS_WAITING, (destination,))]


def waiting(db: sqlite3.Connection, destination: str, limit: int) -> list[list[Released]]:
    """Released rows without an answer: one list a stream, the most urgent stream first, each at most `limit` long.

    Within a stream they stand in the order of their release.
    """
    return [
        [
            Released(number, alert_id, Release(destination, stream, epoch, seq, revision, released_us), body, digest)
            for number, alert_id, stream, epoch, seq, revision, released_us, body, digest in db.execute(
                _WAITING, (destination, name, limit)
            )
        ]
        for name in streams_waiting(db, destination)
    ]


def settle(db: sqlite3.Connection, outcomes: Sequence[Outcome], now_us: int) -> list[int]:
    """Write down what the destination said, with its receipts; `retry` leaves a row waiting.

    Returns:
        Of each alert that the destination has now accepted for the first time: when the event that opened it was
        received, if that is known.
    """
    accepted = [(outcome.id,) for outcome in outcomes if outcome.status in SETTLED]
    received_us = dict(row for number in accepted for row in db.execute(_FIRST_ACCEPTED, number))
    settled = [outcome for outcome in outcomes if outcome.status != "retry"]
    # One for a batch, however many alerts it is for.
    receipts = {text: _keep_receipt(db, text) for text in {outcome.receipt for outcome in settled}}
    rows = [
        (
            *("acknowledged" if outcome.status in SETTLED else "dead", outcome.code or outcome.status, now_us),
            *(receipts[outcome.receipt], outcome.id),
        )
        for outcome in settled
    ]
    db.executemany(_SETTLE, rows)
    db.executemany(_DROP_BODIES, [(number,) for *_, number in rows])
    return list(received_us.values())


def _keep_receipt(db: sqlite3.Connection, content: str) -> int | None:
    return db.execute("insert into receipt (content) values (?)", (content,)).lastrowid if content else None


def backlog(db: sqlite3.Connection, destination: str) -> Undelivered:
    """How much of the destination's outbox is not delivered yet."""
    pending, since_us, held = db.execute(_PENDING, (f"{HELD}*", destination)).fetchone()
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
        held=held,
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
    """Delete rows acknowledged, or refused and retried, before `before_us`, but for each alert's last; say how many.

    The first acknowledged one of each alert stays too: it says when it was told. Receipts go with the last row that
    they are for.
    """
    deleted = db.execute(
        """
        delete from released where state in ('acknowledged', 'retried') and settled_us < ?
        and id < (select max(id) from released as newer
                  where newer.destination = released.destination and newer.alert_id = released.alert_id)
        and id is not (select min(id) from released as first where first.state = 'acknowledged'
                       and first.destination = released.destination and first.alert_id = released.alert_id)
        """,
        (before_us,),
    ).rowcount
    db.execute("delete from receipt where not exists (select 1 from released where receipt_id = receipt.id)")
    return deleted
