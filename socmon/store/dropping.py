"""What a person gives up for a destination: releases without an answer, dead letters, what is pending (ADR 99)."""

import sqlite3
from collections.abc import Sequence

from msgspec import Struct

from socmon.store import aggregating, decisions, voids
from socmon.store.decisions import DROPPED, Saying
from socmon.store.revisions import revision_of
from socmon.store.rows import read_bare

# The sequence of a dead letter is seen to since it died.
_ROWS = """
select id, alert_id, revision, state from released
where destination = ?1 and state in ('waiting', 'held', 'dead') and (?2 is null or alert_id = ?2)
  and (?3 = 0 or state = 'dead') and within is not id order by id
"""
_DROP = "update released set state = 'dropped', code = 'dropped', settled_us = ? where id = ?"


class Dropped(Struct, frozen=True):
    """One row that was given up.

    Attributes:
        id: names the release; None for one that was pending.
        state: what it was: waiting, held, dead or pending.
    """

    id: int | None
    alert_id: str
    state: str


def drop_dead(db: sqlite3.Connection, saying: Saying, *, dry_run: bool = False) -> list[Dropped]:
    """Give up all dead letters of a destination; what is newer of their alerts goes out as ever."""
    return _drop(db, saying, None, only_dead=True, dry_run=dry_run)


def drop_alerts(
    db: sqlite3.Connection, alert_ids: Sequence[str], saying: Saying, *, dry_run: bool = False
) -> list[Dropped]:
    """Give up all that waits or is dead of alerts; their next revisions go out as ever."""
    found: list[Dropped] = []
    for alert_id in dict.fromkeys(alert_ids):
        found += _drop(db, saying, alert_id, only_dead=False, dry_run=dry_run)
        pending = "select 1 from pending where destination = ? and alert_id = ?"
        alert = read_bare(db, alert_id)
        if alert and db.execute(pending, (saying.destination, alert_id)).fetchone():
            found.append(Dropped(None, alert_id, "pending"))
            if not dry_run:
                revision = revision_of(db, saying.destination, alert)
                decisions.write_down(db, alert_id, "drop", saying, revision)
                decisions.hold(db, saying.destination, alert_id, DROPPED)
    return found


def _drop(
    db: sqlite3.Connection, saying: Saying, alert_id: str | None, *, only_dead: bool, dry_run: bool
) -> list[Dropped]:
    rows = db.execute(_ROWS, (saying.destination, alert_id, only_dead)).fetchall()
    for number, of_alert, revision, state in rows if not dry_run else ():
        db.execute(_DROP, (saying.now_us, number))
        decisions.write_down(db, of_alert, "drop", saying, revision)
        if state != "dead":
            voids.queue_for(db, number, "dropped", "dropped", saying.now_us)
            aggregating.part(db, number, saying.now_us)
    return [Dropped(number, of_alert, state) for number, of_alert, _, state in rows]
