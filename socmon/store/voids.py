"""Sequences in which no alert comes, as messages of their own: or their destination would wait for them for ever."""

import hashlib
import sqlite3
from collections.abc import Callable, Sequence

from socmon.outgoing import Outcome, Release, Released, Void, VoidReason

_QUEUE = """
insert or ignore into void (destination, stream, epoch, seq, to_seq, reason, alert_id, made_us)
values (?, ?, ?, ?, ?, ?, ?, ?)
"""
# Of a release that became what `state` is: one whose alert goes on, or goes on elsewhere.
_QUEUE_FOR = """
insert or ignore into void (destination, stream, epoch, seq, to_seq, reason, alert_id, made_us)
select destination, stream, epoch, seq, seq, ?, alert_id, ? from released
where id = ? and state = ? and seq is not null
"""
_PENDING = """
select id, stream, epoch, seq, to_seq, reason, alert_id from void where destination = ? and state = 'pending'
order by id limit ?
"""
_WAITING = """
select id, epoch, seq, to_seq, reason, alert_id, made_us, body, sha256 from void
where destination = ? and stream = ? and state = 'waiting' order by epoch, seq limit ?
"""
_SETTLE = "update void set state = ?, code = ?, settled_us = ? where id = ? and state = 'waiting'"
# A void of one release that came too late: the destination has what it was to stand for. `reason` is the state, too.
_TOO_LATE = """
update released set state = 'acknowledged', code = void.reason, settled_us = ?2 from void
where void.id = ?1 and void.state <> 'acknowledged' and void.seq = void.to_seq
  and void.reason in ('withdrawn', 'dropped')
  and released.destination = void.destination and released.stream = void.stream and released.epoch = void.epoch
  and released.seq = void.seq and released.state = void.reason
returning released.id
"""
# The same of an aggregate that was taken back because of these members of it.
_TOO_LATE_WITHIN = """
update released set state = 'acknowledged', code = state, settled_us = ?2
where state in ('withdrawn', 'dropped') and seq is null and within in (
    select whole.id from void join released as whole using (destination, stream, epoch, seq)
    where void.id = ?1 and void.reason = 'replaced' and void.seq = void.to_seq
      and whole.within = whole.id and whole.state = 'retried' and whole.code = 'parted')
returning id
"""
# For the closing revision; not where the alert has gone out again since.
_TELL = """
insert into pending (destination, alert_id, urgency, since_us, error)
select destination, alert_id, urgency, ?2, null from released as late
where id = ?1 and code = 'withdrawn' and alert_id in (select id from alert)
  and not exists (select 1 from released as newer where newer.destination = late.destination
                  and newer.alert_id = late.alert_id and newer.id > late.id
                  and newer.state in ('waiting', 'held', 'acknowledged'))
on conflict (destination, alert_id) do update set error = null
"""
# By what its destination says of one. A message that is signed by another key now is made anew.
_STATES = {"held": "held", "rejected": "dead", "replaced": "pending"}

Place = tuple[str, str, str]  # destination, stream, epoch


def queue(db: sqlite3.Connection, place: Place, seqs: tuple[int, int], reason: VoidReason, now_us: int) -> None:
    """Let nothing come in the sequences from the first of `seqs` to the last."""
    db.execute(_QUEUE, (*place, *seqs, reason, "", now_us))


def queue_for(db: sqlite3.Connection, number: int, state: str, reason: VoidReason, now_us: int) -> None:
    """Let nothing come in the sequence of the release `number` if its state is `state`."""
    db.execute(_QUEUE_FOR, (reason, now_us, number, state))


def release(
    db: sqlite3.Connection, destination: str, render: Callable[[Void], bytes | None], limit: int, now_us: int
) -> None:
    """Make the messages of what is queued; it is forgotten where the destination looks at no sequences."""
    for number, stream, epoch, seq, to_seq, reason, alert_id in db.execute(_PENDING, (destination, limit)).fetchall():
        place = Release(destination, stream, epoch, seq, 0, now_us)
        body = render(Void(place, to_seq, reason, alert_id))
        if body is None:
            db.execute("delete from void where id = ?", (number,))
            continue
        digest = hashlib.sha256(body).hexdigest()
        made = "update void set state = 'waiting', body = ?, sha256 = ?, made_us = ? where id = ?"
        db.execute(made, (body, digest, now_us, number))


def waiting(db: sqlite3.Connection, destination: str, stream: str, limit: int) -> list[Released]:
    """Messages without an answer, in the order of their sequences; their numbers are below 0."""
    found = []
    for number, epoch, seq, to_seq, reason, alert_id, made_us, body, digest in db.execute(
        _WAITING, (destination, stream, limit)
    ):
        void = Void(Release(destination, stream, epoch, seq, 0, made_us), to_seq, reason, alert_id)
        found.append(Released(-number, alert_id, void.release, body, digest, void))
    return found


def settle(db: sqlite3.Connection, outcomes: Sequence[Outcome], now_us: int) -> None:
    """Write down what the destination said of some; `retry` leaves one waiting."""
    for outcome in outcomes:
        if outcome.status == "stale":
            _come_too_late(db, -outcome.id, now_us)
    rows = [
        (_STATES.get(outcome.status, "acknowledged"), outcome.code or outcome.status, now_us, -outcome.id)
        for outcome in outcomes
        if outcome.status != "retry"
    ]
    db.executemany(_SETTLE, rows)


def give_up(db: sqlite3.Connection, destination: str, stream: str, now_us: int) -> None:
    """Forget a stream's voids. Where one has no answer, the destination may have what it was to stand for."""
    query = "select id from void where destination = ? and stream = ? and state <> 'acknowledged'"
    for (number,) in db.execute(query, (destination, stream)).fetchall():
        _come_too_late(db, number, now_us)
    db.execute("delete from void where destination = ? and stream = ?", (destination, stream))


def _come_too_late(db: sqlite3.Connection, number: int, now_us: int) -> None:
    """Forget a void whose release the destination has: that was on its way when it was taken back."""
    for (late,) in db.execute(_TOO_LATE, (number, now_us)).fetchall():
        db.execute("delete from void where id = ?", (number,))
        db.execute(_TELL, (late, now_us))
    for (late,) in db.execute(_TOO_LATE_WITHIN, (number, now_us)).fetchall():
        db.execute(_TELL, (late, now_us))
