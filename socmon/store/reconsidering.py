"""What is held, and what waits for an answer, looked at again: what a destination may get has changed.

Nothing is looked at while that is as it was: a destination may hold much, and is connected to often.
"""

import sqlite3
from contextlib import suppress
from typing import Literal

import msgspec
from msgspec import Struct

from socmon.store import aggregating, decisions, outbox
from socmon.store.routing import Routing
from socmon.store.rows import read_bare

_STEP = 500  # released rows in one transaction
_UNANSWERED = """
select id, alert_id from released where destination = ? and state = ? and id > ? and not closing order by id limit ?
"""
_LOOK_AGAIN = "update pending set error = null where destination = ? and error glob ?"
_NOW_BY = "insert or replace into policy (destination, policy) values (?, ?)"


class Step(Struct, frozen=True):
    """Where to go on: behind the release `after` of those in a state."""

    state: Literal["waiting", "held"] = "waiting"
    after: int = 0


def reconsider(db: sqlite3.Connection, routing: Routing, step: Step, now_us: int) -> Step | None:
    """Do one step; the next one, or None when all is done.

    Releases without an answer whose alert may not leave any more are taken back.
    """
    if step == Step():
        for number in aggregating.orphans(db, routing.destination):
            outbox.release_anew(db, number, "lost", now_us)
    if step == Step() and routing.policy is not None and _policy(db, routing.destination) == routing.policy:
        return None
    rows = db.execute(_UNANSWERED, (routing.destination, step.state, step.after, _STEP)).fetchall()
    for alert_id in dict.fromkeys(alert_id for _, alert_id in rows):
        _look_at(db, routing, alert_id, now_us)
    if rows:
        return Step(step.state, rows[-1][0])
    if step.state == "waiting":
        return Step("held")
    db.execute(_LOOK_AGAIN, (routing.destination, f"{decisions.HELD}*"))
    db.execute(_NOW_BY, (routing.destination, routing.policy))
    return None


def _policy(db: sqlite3.Connection, destination: str) -> str | None:
    """What the destination's alerts were last looked at by."""
    (policy,) = db.execute("select policy from policy where destination = ?", (destination,)).fetchone() or (None,)
    return policy


def _look_at(db: sqlite3.Connection, routing: Routing, alert_id: str, now_us: int) -> None:
    alert = None
    with suppress(msgspec.MsgspecError):  # one that cannot be read is told of at its release, and keeps nobody here
        alert = read_bare(db, alert_id)
    if alert is None:
        return
    found = decisions.verdict(db, routing, alert)
    if not found.held or found.held == decisions.DROPPED:
        return
    # One that is told of its withdrawal is queued for that; the others for the day on which they may go again.
    closing = decisions.is_recalled(db, routing, alert, found, now_us)
    decisions.queue(db, routing.destination, alert, now_us, held="" if closing else found.held)
