"""What `socmon status` counts: the checkpoint and its ledger, alerts, and each destination's backlog."""

import sqlite3
import time
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from socmon.ledger import Account
from socmon.seen import Seen, Silence
from socmon.store.ledgers import readable_ledger
from socmon.store.pausing import Pause, is_over, pauses
from socmon.store.sources import read_seen, read_silences

# What is held (`decisions.HELD`) is not for its destination, and waits for nothing.
_PENDING = """
select destination, count(*), count(error), min(since_us) from pending
where error is null or error not glob 'held: *' group by destination
"""
_HELD = """
select destination, count(*), count(*) filter (where error = 'held: waits for approval') from pending
where error glob 'held: *' group by destination
"""
# A dead letter that was released again is counted as what became of that.
# Of an aggregate its members are counted.
_RELEASED = """
select destination, state, sum(count) from (
    select destination, state, count(*) as count from released where state <> 'retried' group by destination, state
    union all select +destination, +state, -count(*) from released
    where within is not null and within = id and +state <> 'retried' group by 1, 2)
group by destination, state
"""
_WAITING = "select destination, min(released_us) from released where state = 'waiting' group by destination"
_OF_STREAMS = """
select stream, count(*), min(released_us) from released
where destination = ? and state = 'waiting' and seq is not null group by stream
"""
_PENDING_OF = """
select count(*), min(since_us) from pending where destination = ? and (error is null or error not glob 'held: *')
"""
_DEAD = """
select destination, code, settled_us from released where id in (
    select max(id) from released where state = 'dead' group by destination)
"""


class Backlog(Struct):
    """One destination's outbox.

    Attributes:
        pending: alerts that wait for their release; `unrendered` of them cannot be rendered.
        held: alerts that are not for this destination, such as TLP:RED, or not yet; `unapproved` of them wait for a
            person.
        waiting: released, without an answer.
        withdrawn: taken back on their way; dropped: given up by a person.
        paused: nothing goes out now; None if it does.
        dead: refused for good; `code` is the reason of the last one, `refused_us` when it came.
        oldest_us: when the oldest of pending and waiting came in; None if there is none.
    """

    destination: str
    pending: int = 0
    unrendered: int = 0
    held: int = 0
    waiting: int = 0
    acknowledged: int = 0
    dead: int = 0
    oldest_us: int | None = None
    code: str | None = None
    refused_us: int | None = None
    unapproved: int = 0
    withdrawn: int = 0
    dropped: int = 0
    paused: Pause | None = None


class Figures(Struct):
    """What a store holds, in numbers.

    Attributes:
        frame: the last journal frame of the checkpoint; 0 before the first.
        taken_us: when it was written; None before the first.
        accounts: the ledger, by collector.
        alerts: (level, status, how many).
    """

    frame: int
    taken_us: int | None
    accounts: dict[str, Account]
    alerts: list[tuple[str, str, int]]
    backlogs: list[Backlog]
    sources: list[Seen] = []
    silences: list[Silence] = []

    @property
    def by_level(self) -> Counter[str]:
        """Alerts of each level."""
        return _sum((level, number) for level, _, number in self.alerts)

    @property
    def by_status(self) -> Counter[str]:
        """Alerts of each status."""
        return _sum((status, number) for _, status, number in self.alerts)


def _sum(parts: Iterable[tuple[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for name, number in parts:
        total[name] += number
    return total


def count(db: sqlite3.Connection, destinations: Iterable[str] = ()) -> Figures:
    """All figures; `destinations` are listed even if nothing was ever queued for them."""
    row = db.execute("select number, ledger, taken_us from checkpoint").fetchone()
    frame, ledger, taken_us = row or (0, None, None)
    return Figures(
        frame=frame,
        taken_us=taken_us,
        accounts={} if ledger is None else readable_ledger(ledger)[0].accounts,
        alerts=alerts(db),
        backlogs=_backlogs(db, destinations),
        sources=[*read_seen(db)],
        silences=[*read_silences(db)],
    )


def alerts(db: sqlite3.Connection) -> list[tuple[str, str, int]]:
    """(level, status, how many) of the alerts; along an index."""
    return [*db.execute("select level, status, count(*) from alert group by level, status")]


def backlog(db: sqlite3.Connection, destination: str) -> tuple[dict[str, int], int, int | None]:
    """Of one destination: released without an answer, by stream; not released yet; when the oldest of all came in."""
    streams = [*db.execute(_OF_STREAMS, (destination,))]
    pending, since_us = db.execute(_PENDING_OF, (destination,)).fetchone()
    oldest = [moment for moment in (since_us, *(released_us for _, _, released_us in streams)) if moment is not None]
    return {stream: number for stream, number, _ in streams}, pending, min(oldest, default=None)


def _backlogs(db: sqlite3.Connection, destinations: Iterable[str]) -> list[Backlog]:
    found = {name: Backlog(name) for name in destinations}

    def of(name: str) -> Backlog:
        return found.setdefault(name, Backlog(name))

    for name, pending, unrendered, since_us in db.execute(_PENDING):
        of(name).pending, of(name).unrendered, of(name).oldest_us = pending, unrendered, since_us
    for name, held, unapproved in db.execute(_HELD):
        of(name).held, of(name).unapproved = held, unapproved
    for name, state, number in db.execute(_RELEASED):
        setattr(of(name), state, getattr(of(name), state) + number)  # some alerts are held before their release
    now_us = time.time_ns() // 1000
    for pause in (each for each in pauses(db) if not is_over(each, now_us)):
        of(pause.destination).paused = pause
    for name, released_us in db.execute(_WAITING):
        since_us = of(name).oldest_us
        of(name).oldest_us = released_us if since_us is None else min(since_us, released_us)
    for name, code, settled_us in db.execute(_DEAD):
        of(name).code, of(name).refused_us = code, settled_us
    return [found[name] for name in sorted(found)]
