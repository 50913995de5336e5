"""What people decided since a backup was taken, carried over from the store that it replaces (docs/adr/0080).

Or a restore would tell a destination again of what a person had withdrawn.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from socmon.store.pausing import Pause, pause, pauses

_DECISIONS = "select destination, alert_id, verb, actor, time_us, reason, revision from decision order by id"
_CARRY = """
insert into decision (destination, alert_id, verb, actor, time_us, reason, revision)
select ?1, ?2, ?3, ?4, ?5, ?6, ?7 where not exists (
    select 1 from decision where destination = ?1 and alert_id = ?2 and verb = ?3 and actor = ?4 and time_us = ?5
    and reason = ?6 and revision = ?7)
"""


class Carried(Struct, frozen=True):
    """Decisions, each a row without its number in the order in which they were made, and pauses."""

    decisions: list[tuple[str, str, str, str, int, str, int]]
    pauses: list[Pause]


def decided_in(store: Path) -> Carried | None:
    """What is in force in a store; None if it cannot be read, or knows of no decisions yet."""
    if not store.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return Carried(db.execute(_DECISIONS).fetchall(), list(pauses(db)))
    except sqlite3.Error:  # damaged, which is why it is replaced
        return None


def carry(db: sqlite3.Connection, carried: Carried) -> None:
    """Let it be in force in another store; a pause that was ended since is over there too."""
    db.executemany(_CARRY, carried.decisions)
    db.execute("delete from pause")
    for each in carried.pauses:
        pause(db, each)
    # What waits there was looked at before these were made.
    db.execute("delete from policy")
