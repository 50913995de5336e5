"""How a destination stands, as `socmon feed status` tells it: its outbox, streams and voids; all along the indexes."""

import sqlite3
from collections.abc import Iterable, Iterator

from msgspec import Struct

from socmon.event import SECOND_US
from socmon.store.pausing import Pause, is_over, pauses

LOSSES = ("expired", "lost_local")  # reasons of voids whose alerts the destination never gets
SILENT_US = 3600 * SECOND_US

_KNOWN = """
select destination from pending union select destination from stream union select destination from void
union select destination from pause
"""
_PENDING = """
select count(*) filter (where not is_held), min(since_us) filter (where not is_held), count(*) filter (where is_held),
       count(*) filter (where error = 'held: waits for approval')
from (select since_us, error, coalesce(error glob 'held: *', 0) as is_held from pending where destination = ?)
"""
# Of an aggregate its members are counted. Nothing but the index is read for the first, and few rows for the second.
_RELEASED = "select state, count(*) from released where destination = ? group by state"
_WHOLES = """
select state, count(*) from released where within is not null and within = id and +destination = ? group by +state
"""
_OLDEST = "select released_us from released where destination = ? and state = 'waiting' order by id limit 1"
_STREAMS = "select stream, epoch, next_seq - 1 from stream where destination = ? order by stream"
# What state a release has is looked up in the index of states, not in its row: bodies lie before it there.
_IS = """
exists (select 1 from released as it where it.destination = released.destination and it.state = '{state}'
        and it.id = released.id)
"""
_WAITING = """
select count(*) from released where destination = ? and stream = ? and state = 'waiting' and seq is not null
"""
_ANSWERED = f"""
select seq, settled_us from released where destination = ? and stream = ? and epoch = ?
  and {_IS.format(state="acknowledged")} order by seq desc limit 1
"""  # noqa: S608  constants
_LAST = "select settled_us from released where destination = ? and state = 'acknowledged' order by id desc limit 1"
_VOIDS = "select reason, sum(to_seq - seq + 1) from void where destination = ? group by reason order by reason"


class Stream(Struct, frozen=True):
    """A stream of a destination.

    Attributes:
        last_seq: the last sequence that was given; 0 before the first.
        waiting: messages without an answer.
        acknowledged_seq: the last one of this epoch that was acknowledged; None for none, or one that is gone.
    """

    stream: str
    epoch: str
    last_seq: int
    waiting: int
    acknowledged_seq: int | None
    acknowledged_us: int | None


class Destination(Struct, frozen=True):
    """One destination.

    Attributes:
        held: not for the destination, or not yet; `unapproved` of them wait for a person.
        acknowledged: of what is still kept.
        oldest_us: when the oldest of pending and waiting came in; None if there is none.
        voids: reason → sequences in which no alert comes, of what is still kept.
    """

    destination: str
    paused: Pause | None
    pending: int
    held: int
    unapproved: int
    waiting: int
    dead: int
    acknowledged: int
    oldest_us: int | None
    acknowledged_us: int | None
    streams: list[Stream]
    voids: dict[str, int]

    def needs(self, now_us: int) -> list[str]:
        """What needs a person: `dead`, `unapproved`, `losses`, `silent` (nothing acknowledged, over an hour)."""
        before_us = now_us - SILENT_US
        waits = self.oldest_us is not None and self.oldest_us < before_us
        found = {
            "dead": self.dead > 0,
            "unapproved": self.unapproved > 0,
            "losses": any(self.voids.get(reason) for reason in LOSSES),
            "silent": waits and (self.acknowledged_us is None or self.acknowledged_us < before_us),
        }
        return [name for name, is_so in found.items() if is_so]


def known(db: sqlite3.Connection) -> set[str]:
    """Names of destinations that the store knows of."""
    return {name for (name,) in db.execute(_KNOWN)}


def look(db: sqlite3.Connection, names: Iterable[str], now_us: int) -> Iterator[Destination]:
    """Each of `names`, in one state of the store; one of which it knows nothing has nothing."""
    db.execute("begin")
    paused = {each.destination: each for each in pauses(db) if not is_over(each, now_us)}
    for name in names:
        yield _look(db, name, paused.get(name))
    db.execute("rollback")


def _look(db: sqlite3.Connection, name: str, paused: Pause | None) -> Destination:
    pending, since_us, held, unapproved = db.execute(_PENDING, (name,)).fetchone()
    states: dict[str, int] = dict(db.execute(_RELEASED, (name,)).fetchall())
    for state, number in db.execute(_WHOLES, (name,)):
        states[state] -= number
    (released_us,) = db.execute(_OLDEST, (name,)).fetchone() or (None,)
    (last_us,) = db.execute(_LAST, (name,)).fetchone() or (None,)
    streams = [*_streams(db, name)]
    answers = [moment for moment in (last_us, *(each.acknowledged_us for each in streams)) if moment is not None]
    return Destination(
        name,
        paused,
        pending=pending,
        held=held + states.get("held", 0),
        unapproved=unapproved,
        waiting=states.get("waiting", 0),
        dead=states.get("dead", 0),
        acknowledged=states.get("acknowledged", 0),
        oldest_us=min((moment for moment in (since_us, released_us) if moment is not None), default=None),
        acknowledged_us=max(answers, default=None),
        streams=streams,
        voids=dict(db.execute(_VOIDS, (name,)).fetchall()),
    )


def _streams(db: sqlite3.Connection, name: str) -> Iterator[Stream]:
    for stream, epoch, last_seq in db.execute(_STREAMS, (name,)).fetchall():
        answered = db.execute(_ANSWERED, (name, stream, epoch)).fetchone() or (None, None)
        (waiting,) = db.execute(_WAITING, (name, stream)).fetchone()
        yield Stream(stream, epoch, last_seq, waiting, *answered)
