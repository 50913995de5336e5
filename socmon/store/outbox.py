"""The outbox: what waits to be released, what is on its way, and what became of it; per destination.

A pending row is a reference: whatever the alert is at its release goes out. A released row is immutable and is sent
until its destination has answered for it.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from socmon.errors import ComponentError, HeldError
from socmon.event import SECOND_US, Alert
from socmon.outgoing import AUTOMATIC, Outcome, OutcomeStatus, Release, Released
from socmon.store import aggregating, decisions, pausing, placing, voids
from socmon.store.decisions import HELD, UNAPPROVED
from socmon.store.revisions import next_revision
from socmon.store.routing import Routing
from socmon.store.rows import read_bare, read_evidence

SETTLED = ("accepted", "duplicate", "stale")
_HELD_US = 3600 * SECOND_US  # until what the destination does not understand is sent again
_MOST_S = 0.5  # of one release: the store's thread does nothing else meanwhile, and some messages take long to make

# The most urgent first. Again only after the interval, unless level or status changed, or a person decided; a release
# in the future is of a clock that was set back since, and holds up nothing (docs/semantics.md, "Release and delivery").
# Neither does what was taken back, or a dead letter that a person released again.
_DUE = """
select pending.alert_id from pending
join alert on alert.id = pending.alert_id
left join released as last on last.id = (
    select max(id) from released
    where destination = pending.destination and alert_id = pending.alert_id
      and state not in ('retried', 'withdrawn', 'dropped'))
where pending.destination = :destination and pending.error is null and pending.urgency between :least and :most
  and (last.id is null or last.released_us <= :before_us or last.released_us > :now_us
       or last.level <> alert.level or last.status <> alert.status
       or exists (select 1 from decision where destination = pending.destination and alert_id = pending.alert_id
                  and time_us > last.released_us))
order by pending.urgency desc, pending.since_us, alert.opened_seq limit :limit
"""
_PENDING = """
select count(*) filter (where not is_held), min(since_us) filter (where not is_held), count(*) filter (where is_held),
       count(*) filter (where is_unapproved)
from (select since_us, coalesce(error glob ?, 0) as is_held, coalesce(error = ?, 0) as is_unapproved
      from pending where destination = ?)
"""
# Two that go along their indexes; one with a condition on both columns would read each row.
_BY_STATE = "select state, count(*) from released where destination = ? group by state"
_AGGREGATES_BY_STATE = """
select state, count(*) from released where within is not null and within = id and +destination = ? group by +state
"""
_STREAMS_WAITING = """
select stream from (
    select stream, urgency, id from released where destination = ?1 and state = 'waiting' and seq is not null
    union all select stream, 0, 0 from void where destination = ?1 and state = 'waiting')
group by stream order by max(urgency) desc, min(id)
"""
_WAITING = """
select id, alert_id, epoch, seq, revision, released_us, body, sha256 from released
where destination = ? and stream = ? and state = 'waiting' and seq is not null order by epoch, seq limit ?
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
_QUEUE_AGAIN = """
insert into pending (destination, alert_id, urgency, since_us, error)
select destination, alert_id, urgency, ?, null from released
where id = ? and alert_id in (select id from alert)
on conflict (destination, alert_id) do update set error = null
"""
_QUEUE_STREAM = """
insert or ignore into pending (destination, alert_id, urgency, since_us, error)
select destination, alert_id, urgency, ?, null from released
where destination = ? and stream = ? and state = 'acknowledged' and alert_id in (select id from alert)
  and id = (select max(id) from released as newer
            where newer.destination = released.destination and newer.alert_id = released.alert_id)
"""
_MARK_RETRIED = "update released set retried_us = ?, retried_by = 'socmon' where id = ?"
# Only of the last release: one that a later of ours has overtaken is stale and needs nothing. Not of what was dropped:
# that holds for revisions up to one.
_LIFT = """
insert into lifted (destination, alert_id, revisions)
select destination, alert_id, ?1 + 1 - revision from released where id = ?2 and ?1 >= revision
  and state <> 'dropped'
  and id = (select max(id) from released as newer
            where newer.destination = released.destination and newer.alert_id = released.alert_id)
on conflict (destination, alert_id) do update set revisions = revisions + excluded.revisions
"""
# Levels as `pending.urgency` has them: what must not wait, the rest, and what is only counted.
_CLASSES = ((3, 4), (1, 2), (0, 0))
_STATES: dict[OutcomeStatus, str] = {
    "accepted": "acknowledged",
    "duplicate": "acknowledged",
    "stale": "acknowledged",
    "held": "held",
    "replaced": "retried",
    "rejected": "dead",
}
# A newer revision says all that the older ones said: their bytes are not needed for sending anything again.
_DROP_BODIES = """
update released set body = x'' where state = 'acknowledged' and body <> x''
  and (destination, alert_id) = (select destination, alert_id from released where id = ?1)
  and id < (select max(id) from released as newer where newer.state = 'acknowledged'
            and newer.destination = released.destination and newer.alert_id = released.alert_id)
"""


class Undelivered(Struct, frozen=True):
    """A destination's backlog. `oldest_us` is when its oldest row came in; None if there is none.

    What is `held` is not for the destination, or not understood there yet; it is in neither `pending` nor `waiting`.
    `unapproved` of it wait for a person. While it is `paused`, what is pending and waiting waits for that.
    """

    pending: int
    waiting: int
    dead: int
    acknowledged: int
    oldest_us: int | None
    held: int = 0
    unapproved: int = 0
    paused: bool = False


def release(db: sqlite3.Connection, routing: Routing, *, limit: int, now_us: int, before_us: int) -> list[str]:
    """Give pending alerts their sequence and body; return what could not be rendered, one line each.

    A ComponentError of the forwarder's goes through: nothing can be rendered, so the caller undoes it all.

    A stream in which something waits for an answer gets nothing new; any other gets up to `limit`, the most urgent
    alerts first. So an urgent alert never waits behind a backlog that was released before it. Over the destination's
    quota, alerts go together, or wait (see `aggregating`).

    Args:
        before_us: an alert last released after this stays pending.
    """
    pausing.end(db, routing.destination, now_us)
    voids.release(db, routing.destination, routing.void, limit, now_us)
    room = dict.fromkeys(streams_waiting(db, routing.destination), 0)
    problems = []

    def joins(alert: Alert) -> bool:
        """Whom a person has let go, goes alone: the message says so."""
        found = decisions.verdict(db, routing, alert)
        return found.approval is not None and found.approval.mode == "auto"

    end_s: float | None = None
    for alert_ids in _parcels(db, routing, room, limit, (now_us, before_us), joins):
        if end_s is None:
            end_s = time.monotonic() + _MOST_S  # the first goes in any case, though looking for it took long
        elif time.monotonic() > end_s:
            break
        for alert_id, error in _release(db, routing, alert_ids, room, limit, now_us):
            if isinstance(error, HeldError):
                _note(db, routing.destination, alert_id, f"{HELD}{error}")
            else:
                problems.append(f"alert {alert_id}: {error!r}")
                _note(db, routing.destination, alert_id, repr(error))
    return problems


def _parcels(
    db: sqlite3.Connection,
    routing: Routing,
    room: dict[str, int],
    limit: int,
    moments_us: tuple[int, int],
    joins: Callable[[Alert], bool],
) -> Iterator[list[str]]:
    """What is due, the most urgent class first; each has its own look, so that none hides another one."""
    now_us, before_us = moments_us
    looked = {
        "destination": routing.destination,
        "before_us": before_us,
        "now_us": now_us,
        "limit": aggregating.fetched(routing.quota, limit),
    }
    for least, most in _CLASSES:
        due = [alert_id for (alert_id,) in db.execute(_DUE, looked | {"least": least, "most": most})]
        yield from aggregating.parcels(db, routing, due, room, limit, now_us, joins=joins)


def _release(
    db: sqlite3.Connection, routing: Routing, alert_ids: Sequence[str], room: dict[str, int], limit: int, now_us: int
) -> list[tuple[str, Exception]]:
    """Release what is one message; return what cannot be rendered of it, or is held."""
    if len(alert_ids) > 1:
        return aggregating.release(db, routing, alert_ids, room, now_us)
    try:
        _release_one(db, routing, alert_ids[0], room, limit, now_us)
    except (ComponentError, sqlite3.Error):
        raise  # it is not about this alert: there is no key to sign with, or the disk is full
    except Exception as error:  # noqa: BLE001  a forwarder's own code: one alert must not hold back the rest
        return [(alert_ids[0], error)]
    return []


def _note(db: sqlite3.Connection, destination: str, alert_id: str, error: str) -> None:
    """Keep a pending alert from being released, until its next revision."""
    statement = "update pending set error = ? where destination = ? and alert_id = ?"
    db.execute(statement, (error, destination, alert_id))


def try_held(db: sqlite3.Connection, destination: str, now_us: int) -> None:
    """Let messages that the destination did not understand an hour ago be sent again, at once if the clock was set."""
    for table in ("released", "void"):
        db.execute(
            f"update {table} set state = 'waiting' where destination = ? and state = 'held'"  # noqa: S608  ours
            " and not settled_us between ? and ?",
            (destination, now_us - _HELD_US, now_us),
        )


def _release_one(
    db: sqlite3.Connection, routing: Routing, alert_id: str, room: dict[str, int], limit: int, now_us: int
) -> None:
    """Release one alert if there is still room in its stream; `room` is per stream, `limit` where it is not in it.

    Raises:
        HeldError: it is not to leave.
    """
    alert = read_bare(db, alert_id)
    if alert is None:
        return
    found = decisions.verdict(db, routing, alert)
    closing = bool(found.held) and decisions.is_recalled(db, routing, alert, found, now_us)
    if found.held and not closing:
        raise HeldError(found.held)
    stream = routing.stream(alert)
    if room.setdefault(stream, limit) <= 0 or pausing.stops(db, routing.destination, stream):
        return
    alert.evidence = read_evidence(db, alert.id)
    epoch, seq = placing.next_place(db, routing.destination, stream, now_us)
    revision = next_revision(db, routing.destination, alert, closing=closing)
    place = Release(routing.destination, stream, epoch, seq, revision, now_us, found.approval or AUTOMATIC)
    body = routing.closing(alert, place) if closing else routing.render(alert, place)
    if body is None:
        raise HeldError(found.held)  # the destination cannot be told
    placing.put(db, place, alert, body, closing=closing)
    if closing and not found.by_person:
        decisions.queue(db, routing.destination, alert, now_us, held=found.held)  # it goes when the policy is widened
    room[stream] -= 1  # not for one that was held or not rendered: it keeps nobody else waiting


def streams(db: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """(destination, stream, epoch) of each stream that ever had a release."""
    return db.execute("select destination, stream, epoch from stream order by destination, stream").fetchall()


def queue_again(db: sqlite3.Connection, destination: str, stream: str, now_us: int) -> None:
    """Release every alert anew that was last released in the stream: who was set back knows not what it had told."""
    db.execute(_QUEUE_STREAM, (now_us, destination, stream))


def open_epoch(db: sqlite3.Connection, destination: str, stream: str, *, after: str, now_us: int) -> None:
    """Let the stream's next release be the first of an epoch that sorts behind its own and behind `after`.

    Its sequences begin at 1 there, so none that the destination knows is given a second time.
    """
    place = (destination, stream)
    (own,) = db.execute("select epoch from stream where destination = ? and stream = ?", place).fetchone() or ("",)
    db.execute(
        "insert or replace into stream (destination, stream, epoch, next_seq) values (?, ?, ?, 1)",
        (*place, placing.epoch_after(max(own, after), now_us)),
    )


def streams_waiting(db: sqlite3.Connection, destination: str) -> list[str]:
    """Streams with released rows that have no answer, the one with the most urgent alert first."""
    return [stream for (stream,) in db.execute(_STREAMS_WAITING, (destination,))]


def waiting(db: sqlite3.Connection, destination: str, limit: int) -> list[list[Released]]:
    """Messages without an answer: one list a stream, the most urgent stream first, each at most `limit` long.

    None of a stream that is paused. Within a stream they stand in the order of their sequences.
    """
    streams = [each for each in streams_waiting(db, destination) if not pausing.stops(db, destination, each)]
    return [_waiting(db, destination, stream, limit) for stream in streams]


def _waiting(db: sqlite3.Connection, destination: str, stream: str, limit: int) -> list[Released]:
    alerts = [
        Released(number, alert_id, Release(destination, stream, epoch, seq, revision, released_us), body, digest)
        for number, alert_id, epoch, seq, revision, released_us, body, digest in db.execute(
            _WAITING, (destination, stream, limit)
        )
    ]
    both = alerts + voids.waiting(db, destination, stream, limit)
    return sorted(both, key=lambda each: (each.release.epoch, each.release.seq))[:limit]


def settle(db: sqlite3.Connection, outcomes: Sequence[Outcome], now_us: int) -> list[int]:
    """Write down what the destination said, with its receipts; `retry` leaves a row waiting.

    Returns:
        Of each alert that the destination has now accepted for the first time: when the event that opened it was
        received, if that is known.
    """
    voids.settle(db, [outcome for outcome in outcomes if outcome.id < 0], now_us)
    settled = aggregating.spread(db, [each for each in outcomes if each.id > 0 and each.status != "retry"])
    accepted = [(outcome.id,) for outcome in settled if outcome.status in SETTLED]
    received_us = dict(row for number in accepted for row in db.execute(_FIRST_ACCEPTED, number))
    # One for a batch, however many alerts it is for.
    receipts = {text: _keep_receipt(db, text) for text in {outcome.receipt for outcome in settled}}
    # What was taken back on its way has its state already: nothing of it goes out again by this answer.
    waited = {one.id for one in settled if _settle(db, one, receipts[one.receipt], now_us)}
    db.executemany(_DROP_BODIES, accepted)
    for outcome in settled:
        lifted = _lift(db, outcome)
        if outcome.id in waited:
            _follow(db, outcome, now_us, lifted=lifted)
    return list(received_us.values())


def _settle(db: sqlite3.Connection, one: Outcome, receipt: int | None, now_us: int) -> bool:
    """Give a release the state that follows from its answer, held since now; whether it was waiting for one."""
    said = (_STATES[one.status], one.code or one.status, now_us, receipt, one.id)
    return db.execute(_SETTLE, said).rowcount > 0


def _lift(db: sqlite3.Connection, one: Outcome) -> bool:
    """Go beyond a greater revision that the destination has; whether that is to be."""
    if one.status != "stale" or one.revision is None:
        return False
    return db.execute(_LIFT, (one.revision, one.id)).rowcount > 0


def _follow(db: sqlite3.Connection, outcome: Outcome, now_us: int, *, lifted: bool) -> None:
    """What follows from an answer beside the state of its row."""
    if outcome.status == "rejected" and not outcome.keeps_seq:
        oversize = outcome.code in ("oversize", "too_large")
        voids.queue_for(db, outcome.id, "dead", "oversize" if oversize else "refused", now_us)
    elif outcome.status == "replaced":
        voids.queue_for(db, outcome.id, "retried", "replaced", now_us)
        db.execute(_MARK_RETRIED, (now_us, outcome.id))
        db.execute(_QUEUE_AGAIN, (now_us, outcome.id))
    elif lifted:
        db.execute(_QUEUE_AGAIN, (now_us, outcome.id))


def release_anew(db: sqlite3.Connection, number: int, code: str, now_us: int) -> None:
    """Let the alerts of a release that has no answer go out under another place; nothing fills the old one."""
    statement = "update released set state = 'retried', code = ?, settled_us = ? where id = ?"
    for each in (number, *aggregating.members_of(db, number)):
        db.execute(statement, (code, now_us, each))
        db.execute(_MARK_RETRIED, (now_us, each))
        db.execute(_QUEUE_AGAIN, (now_us, each))


def _keep_receipt(db: sqlite3.Connection, content: str) -> int | None:
    return db.execute("insert into receipt (content) values (?)", (content,)).lastrowid if content else None


def backlog(db: sqlite3.Connection, destination: str) -> Undelivered:
    """How much of the destination's outbox is not delivered yet."""
    asked = (f"{HELD}*", HELD + UNAPPROVED, destination)
    pending, since_us, held, unapproved = db.execute(_PENDING, asked).fetchone()
    # Of an aggregate its members count.
    states = dict(db.execute(_BY_STATE, (destination,)).fetchall())
    for state, count in db.execute(_AGGREGATES_BY_STATE, (destination,)):
        states[state] -= count
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
        held=held + states.get("held", 0),
        unapproved=unapproved,
        paused=pausing.stops(db, destination, ""),
    )


def acknowledged(db: sqlite3.Connection, destination: str) -> dict[str, int]:
    """Alert id → the highest revision that the destination has acknowledged."""
    return dict(
        db.execute(
            "select alert_id, max(revision) from released"
            " where destination = ? and state = 'acknowledged' and within is not id group by 1",
            (destination,),
        ).fetchall()
    )
