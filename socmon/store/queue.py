"""The outbox as people see it, row by row; and its dead letters, released again when a person says so."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal, get_args

from msgspec import Struct, json

from socmon.errors import StoreError
from socmon.event import LEVELS

State = Literal["pending", "held", "waiting", "dead", "acknowledged", "retried", "withdrawn", "dropped"]
STATES: tuple[State, ...] = get_args(State)
UNDELIVERED: tuple[State, ...] = ("pending", "held", "waiting", "dead")

# Deliveries in the order in which they happened or will happen: what is pending comes last. A member of an aggregate is
# shown with the sequence and size of that, which is not shown itself. What is held begins so in `pending.error`, see
# `decisions.HELD`.
_ROWS = """
select id, destination, alert_id, title, level, stream, epoch, seq, revision, state, released_us, settled_us, code,
       size_bytes
from (
    select released.id, released.destination, released.alert_id, alert.title, released.level, released.stream,
           released.epoch, coalesce(released.seq, whole.seq) as seq, released.revision, released.state,
           released.released_us, released.settled_us, coalesce(released.code, '') as code,
           length(iif(released.seq is null, whole.body, released.body)) as size_bytes, 0 as since_us
    from released left join alert on alert.id = released.alert_id
    left join released as whole on whole.id = released.within
    where released.within is not released.id
    union all
    select null, pending.destination, pending.alert_id, alert.title, alert.level, null, null, null,
           alert.revision + alert.analyst_revision, iif(pending.error glob 'held: *', 'held', 'pending'), null, null,
           replace(coalesce(pending.error, ''), 'held: ', ''), null, since_us
    from pending join alert on alert.id = pending.alert_id
)
"""
_IN_ORDER = " order by destination, id is null, id, since_us"
_DEAD = """
select released.id, alert.id, alert.level, released.destination
from released join alert on alert.id = released.alert_id
where released.state = 'dead' and (?1 is null or released.destination = ?1) order by released.id
"""
_MARK = "update released set state = 'retried', retried_us = ?, retried_by = ? where id = ? and state = 'dead'"
_QUEUE_AGAIN = """
insert into pending (destination, alert_id, urgency, since_us, error) values (?, ?, ?, ?, null)
on conflict (destination, alert_id) do update set error = null
"""


class Row(Struct, frozen=True):
    """One row of the outbox.

    Attributes:
        id: names the release; None while there is none (`pending`).
        title: of the alert; None for one that is gone.
        seq: of one that went with others in one message, that message's; so is `size_bytes`.
        code: the destination's word for its answer, why a pending alert cannot be rendered, or why one is held.
        size_bytes: of the message; 0 once a later one of its alert was acknowledged, None before its release.
    """

    id: int | None
    destination: str
    alert_id: str
    title: str | None
    level: str
    stream: str | None
    epoch: str | None
    seq: int | None
    revision: int
    state: State
    released_us: int | None
    settled_us: int | None
    code: str
    size_bytes: int | None


class Letter(Struct, frozen=True):
    """A dead letter that can be released again."""

    id: int
    alert_id: str
    level: str
    destination: str


def rows(
    db: sqlite3.Connection,
    *,
    destination: str | None = None,
    alert_id: str | None = None,
    states: Sequence[State] = STATES,
) -> Iterator[Row]:
    """The outbox's rows, of one destination and alert where they are named."""
    conditions = ["state in (select value from json_each(:states))"]
    # Equalities, and only those that are asked for: so that the indexes are used.
    conditions += ["destination = :destination"] if destination is not None else []
    conditions += ["alert_id = :alert_id"] if alert_id is not None else []
    values = {"states": json.encode(states).decode(), "destination": destination, "alert_id": alert_id}
    shown = _ROWS if _knows_aggregates(db) else _ROWS.replace("released.within", "null")
    for row in db.execute(shown + "where " + " and ".join(conditions) + _IN_ORDER, values):
        yield Row(*row)


def _knows_aggregates(db: sqlite3.Connection) -> bool:
    """Not so of a store that an older socmon wrote, and that no daemon has brought up to date yet."""
    return any(column[1] == "within" for column in db.execute("pragma table_info(released)"))


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A store to read from, whether or not a daemon has it open.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as db:
            yield db
    except sqlite3.Error as error:
        raise StoreError(f"cannot read {path}: {error}; see that a daemon has run, and that this user may") from error


def destinations(db: sqlite3.Connection) -> set[str]:
    """Names of destinations that the store knows of."""
    query = "select destination from pending union select destination from released"
    return {name for (name,) in db.execute(query)}


def dead(db: sqlite3.Connection, destination: str | None) -> list[Letter]:
    """Dead letters whose alert is still there, oldest first."""
    return [Letter(*row) for row in db.execute(_DEAD, (destination,))]


def release_again(db: sqlite3.Connection, letters: Sequence[Letter], *, by: str, now_us: int) -> None:
    """Queue the alerts of `letters` anew, and mark each letter as retried, by whom and when.

    What was released stays as it is: an alert goes out at its revision of today, under a sequence of its own, once
    however many of its letters are dead.
    """
    db.executemany(_MARK, [(now_us, by, letter.id) for letter in letters])
    queued = [(each.destination, each.alert_id, LEVELS.index(each.level), now_us) for each in letters]
    db.executemany(_QUEUE_AGAIN, queued)
