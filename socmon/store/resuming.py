"""A stream brought into agreement with what its destination says it has: either side may have gone back (ADR 90)."""

import sqlite3
from collections.abc import Iterator, Mapping

from msgspec import Struct

from socmon.outgoing import Place, VoidReason
from socmon.store import outbox, voids

# A member of an aggregate has no sequence.
_BEHIND = "destination = ?1 and stream = ?2 and (epoch, seq) > (?3, ?4) and seq is not null"
# The last void up to the release covers it, or none does.
_NOT_VOID = """
coalesce((select to_seq from void where (void.destination, void.stream, void.epoch)
          = (released.destination, released.stream, released.epoch) and void.seq <= released.seq
          order by void.seq desc limit 1), 0) < released.seq
"""
# A dead letter without a void is one whose sequence the destination has taken all the same.
_COUNT = f"""
select (select count(*) from released where {_BEHIND} and epoch = ?5 and state in ('acknowledged', 'dead')
        and {_NOT_VOID})
     + (select coalesce(sum(to_seq - seq + 1), 0) from void
        where {_BEHIND} and epoch = ?5 and state = 'acknowledged')
"""  # noqa: S608  constants
_SEND_AGAIN = (
    f"update released set state = 'waiting' where {_BEHIND} and state = 'acknowledged' and body <> x''",  # noqa: S608
    f"update void set state = 'waiting' where {_BEHIND} and state = 'acknowledged'",  # noqa: S608  constants
)
_MEMBERS_AGAIN = f"""
update released set state = 'waiting' where seq is null and state = 'acknowledged' and within in (
    select id from released where {_BEHIND} and within is not null and state = 'waiting')
"""  # noqa: S608  constants
# Releases that will not come, and stand in no void yet.
_SILENT = f"""
select epoch, seq, case state when 'acknowledged' then 'superseded' when 'dead' then 'refused'
                              when 'retried' then 'replaced' else state end
from released where {_BEHIND}
  and (state in ('dead', 'retried', 'withdrawn', 'dropped') or (state = 'acknowledged' and body = x''))
  and {_NOT_VOID}
order by epoch, seq
"""  # noqa: S608  constants
_TAKEN = f"""
select seq, seq from released where {_BEHIND} and epoch = ?5
union all select seq, to_seq from void where {_BEHIND} and epoch = ?5 order by 1
"""  # noqa: S608  constants
# A void that was refused is made anew: nothing but it can take its sequences.
_MAKE_ANEW = f"update void set state = 'pending', body = null where {_BEHIND} and state = 'dead'"  # noqa: S608  constants
_UNANSWERED = """
select id from released where destination = ? and stream = ? and state in ('waiting', 'held')
"""


class Resumed(Struct):
    """What a look at the destination's places came to.

    Attributes:
        epochs: streams that begin a new epoch: the destination has sequences that we never gave.
        again: sequences that are sent again: the destination has lost them.
        expired: sequences that are gone on both sides, since they were deleted here when their time was over.
        lost: sequences that are gone here and that the destination never had.
    """

    epochs: int = 0
    again: int = 0
    expired: int = 0
    lost: int = 0


class _Stream(Struct, frozen=True):
    destination: str
    name: str
    epoch: str
    next_seq: int
    pruned_seq: int

    @property
    def place(self) -> voids.Place:
        return self.destination, self.name, self.epoch


def resume(db: sqlite3.Connection, destination: str, places: Mapping[str, Place], now_us: int) -> Resumed:
    """Let each stream go on from its place at the destination.

    - Where the destination is ahead, we are the older: a new epoch begins, and what waits is released anew there.
    - Where it is behind what it has acknowledged, that is sent again.
    - What is gone here becomes void, so that the destination waits for nothing that cannot come.
    """
    query = "select destination, stream, epoch, next_seq, pruned_seq from stream where destination = ?"
    ours = {row[1]: _Stream(*row) for row in db.execute(query, (destination,)).fetchall()}
    resumed = Resumed()
    for name, place in places.items():
        if name not in ours:
            outbox.open_epoch(db, destination, name, after=place.epoch, now_us=now_us)
    for name, stream in ours.items():
        place = places.get(name, Place("", 0))
        if (place.epoch, max(place.seq, place.last)) >= (stream.epoch, stream.next_seq):
            _begin_anew(db, stream, place.epoch, now_us)
            resumed.epochs += 1
            continue
        behind = (destination, name, place.epoch, place.seq)
        beyond = place.beyond if place.epoch == stream.epoch else 0
        if db.execute(_COUNT, (*behind, stream.epoch)).fetchone()[0] > beyond or place.epoch < stream.epoch:
            resumed.again += _send_again(db, stream, behind, now_us)
        db.execute(_MAKE_ANEW, behind)
        _fill(db, stream, behind, resumed, now_us)
    return resumed


def _begin_anew(db: sqlite3.Connection, stream: _Stream, theirs: str, now_us: int) -> None:
    """Sequences that we would give next are taken there: none of ours goes out any more under one of them.

    What we have told since the state that we were set back to is not known here, so all is told again: what the
    destination has is a duplicate, and what it has of a later revision makes us go beyond that.
    """
    outbox.open_epoch(db, stream.destination, stream.name, after=theirs, now_us=now_us)
    unanswered = db.execute(_UNANSWERED, (stream.destination, stream.name)).fetchall()
    for (number,) in unanswered:
        outbox.release_anew(db, number, "epoch", now_us)
    outbox.queue_again(db, stream.destination, stream.name, now_us)
    voids.give_up(db, stream.destination, stream.name, now_us)


def _send_again(db: sqlite3.Connection, stream: _Stream, behind: tuple[str, str, str, int], now_us: int) -> int:
    for epoch, first, last, reason in _runs(db.execute(_SILENT, behind).fetchall()):
        voids.queue(db, (stream.destination, stream.name, epoch), (first, last), reason, now_us)
    again = sum(db.execute(statement, behind).rowcount for statement in _SEND_AGAIN)
    db.execute(_MEMBERS_AGAIN, behind)
    return again


def _runs(rows: list[tuple[str, int, VoidReason]]) -> Iterator[tuple[str, int, int, VoidReason]]:
    """(epoch, first, last, reason) of sequences that follow each other."""
    run: tuple[str, int, int, VoidReason] | None = None
    for epoch, seq, reason in rows:
        if run and (run[0], run[2] + 1, run[3]) == (epoch, seq, reason):
            run = (epoch, run[1], seq, reason)
            continue
        if run:
            yield run
        run = (epoch, seq, seq, reason)
    if run:
        yield run


def _fill(
    db: sqlite3.Connection, stream: _Stream, behind: tuple[str, str, str, int], resumed: Resumed, now_us: int
) -> None:
    """Make void what is missing here behind the destination's place, in the epoch of today."""
    expected = (behind[3] if behind[2] == stream.epoch else 0) + 1
    for first, last in [*db.execute(_TAKEN, (*behind, stream.epoch)).fetchall(), (stream.next_seq, stream.next_seq)]:
        if first > expected:
            _lose(db, stream, (expected, first - 1), resumed, now_us)
        expected = max(expected, last + 1)


def _lose(db: sqlite3.Connection, stream: _Stream, seqs: tuple[int, int], resumed: Resumed, now_us: int) -> None:
    """Of what is gone, the part up to the last deletion was deleted, and the rest damaged."""
    first, last = seqs
    if first <= stream.pruned_seq:
        end = min(last, stream.pruned_seq)
        voids.queue(db, stream.place, (first, end), "expired", now_us)
        resumed.expired += end - first + 1
        first = end + 1
    if first <= last:
        voids.queue(db, stream.place, (first, last), "lost_local", now_us)
        resumed.lost += last - first + 1
