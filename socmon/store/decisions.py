"""What people decide on an alert for a destination: approved, withdrawn, dropped; the last word counts (ADR 99).

Each decision is a row that stays: who, when and why. It is read in the transaction that releases the alert.
"""

import sqlite3
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

from socmon.errors import HeldError
from socmon.event import LEVELS, Alert
from socmon.outgoing import Approval
from socmon.store import recalling
from socmon.store.revisions import revision_of
from socmon.store.routing import Routing
from socmon.store.rows import read_bare

Standing = Literal["approve", "withdraw"]
Decision = Literal["approve", "withdraw", "drop"]
Then = Literal["", "released", "held", "void", "closing"]
# Begins `pending.error` of an alert that is not for its destination; the reason follows.
HELD = "held: "
UNAPPROVED = "waits for approval"
WITHDRAWN = "withdrawn"
DROPPED = "dropped"
MAX_REASON_CHARS = 500

_WRITE = "insert into decision (destination, alert_id, verb, actor, time_us, reason, revision) values (?,?,?,?,?,?,?)"
_LAST = """
select verb, actor, time_us, revision from decision where destination = ? and alert_id = ? order by id desc
"""
# Whether a closing revision is owed: the destination has the alert, and was not told since that it is withdrawn. Of
# one that no person withdrew, only where something was taken back on its way: what the destination has it may keep.
_OWED = """
with told as (select coalesce(max(id), 0) as id from released
              where destination = ?1 and alert_id = ?2 and closing and state in ('waiting', 'held', 'acknowledged')),
     since as (select state, code, closing from released
               where destination = ?1 and alert_id = ?2 and id > (select id from told))
select exists (select 1 from since where state = 'acknowledged' and not closing)
   and (?3 or exists (select 1 from since where state = 'withdrawn' or code = 'withdrawn'))
"""
_NEWEST = """
select closing, revision from released
where destination = ? and alert_id = ? and state in ('waiting', 'held', 'acknowledged') order by id desc limit 1
"""
_QUEUE = """
insert into pending (destination, alert_id, urgency, since_us, error) values (?, ?, ?, ?, ?)
on conflict (destination, alert_id) do update set error = excluded.error
"""
_HOLD = "update pending set error = ? where destination = ? and alert_id = ?"


class Verdict(Struct, frozen=True):
    """Whether an alert may go to a destination.

    Attributes:
        held: why not; "" if it may.
        approval: by what it may.
        by_person: a person has withdrawn it.
    """

    held: str
    approval: Approval | None = None
    by_person: bool = False


class Decided(Struct, frozen=True):
    """What a decision on one alert came to.

    Attributes:
        then: released (it goes out now), held (nothing of it goes out), void (something was released, and is taken
            back on its way), closing (the destination has it, and is told that it is withdrawn); "" for nothing.
    """

    id: str
    outcome: Literal["changed", "unchanged", "not_found"]
    then: Then = ""


class Saying(Struct, frozen=True):
    """Who decides for which destination, when and why."""

    destination: str
    actor: str
    now_us: int
    reason: Annotated[str, Meta(max_length=MAX_REASON_CHARS)] = ""


def verdict(db: sqlite3.Connection, routing: Routing, alert: Alert) -> Verdict:
    """Whether `alert` may go out now. What the destination never gets no approval lets go."""
    by, at_us = "", 0
    for verb, actor, time_us, revision in db.execute(_LAST, (routing.destination, alert.id)).fetchall():
        if verb == "withdraw":
            return Verdict(WITHDRAWN, by_person=True)
        if verb == "approve":
            by, at_us = actor, time_us
            break
        if revision_of(db, routing.destination, alert) <= revision:
            return Verdict(DROPPED)
    try:
        approval = routing.admit(alert)
    except HeldError as held:
        return Verdict(str(held))
    if by:
        approval = structs.replace(approval, mode="person", by=by, at_us=at_us)
    elif approval.mode == "person":
        return Verdict(UNAPPROVED)
    return Verdict("", approval)


def is_recalled(db: sqlite3.Connection, routing: Routing, alert: Alert, found: Verdict, now_us: int) -> bool:
    """Take back what was released of a held alert and has no answer; whether a closing revision is to follow."""
    if found.held == DROPPED:
        return False
    recalling.recall(db, routing.destination, alert.id, now_us)
    return owed(db, routing.destination, alert.id, by_person=found.by_person)


def owed(db: sqlite3.Connection, destination: str, alert_id: str, *, by_person: bool) -> bool:
    """Whether the destination is to be told that the alert is withdrawn."""
    return bool(db.execute(_OWED, (destination, alert_id, by_person)).fetchone()[0])


def decide(
    db: sqlite3.Connection, alert_ids: Sequence[str], decision: Standing, saying: Saying, *, dry_run: bool = False
) -> list[Decided]:
    """Approve or withdraw alerts, with all their later revisions; each id counts once.

    Args:
        dry_run: change nothing; say what would become of it.
    """
    # What would become of it follows from what is written: so a trial does it all, and undoes it.
    db.execute("savepoint decisions")
    decided = [_decide_one(db, alert_id, decision, saying) for alert_id in dict.fromkeys(alert_ids)]
    if dry_run:
        db.execute("rollback to decisions")
    db.execute("release decisions")
    return decided


def write_down(db: sqlite3.Connection, alert_id: str, decision: Decision, saying: Saying, revision: int) -> None:
    """Keep a decision: it holds for the alert, or (drop) for its revisions up to `revision`."""
    said = (decision, saying.actor, saying.now_us, saying.reason, revision)
    db.execute(_WRITE, (saying.destination, alert_id, *said))


def queue(db: sqlite3.Connection, destination: str, alert: Alert, now_us: int, *, held: str = "") -> None:
    """Let an alert go out; or say why it is held, until its policy lets it go."""
    error = HELD + held if held else None
    db.execute(_QUEUE, (destination, alert.id, LEVELS.index(alert.level), now_us, error))


def hold(db: sqlite3.Connection, destination: str, alert_id: str, why: str) -> bool:
    """Hold back what is pending of an alert; whether something is."""
    return db.execute(_HOLD, (HELD + why, destination, alert_id)).rowcount > 0


def _decide_one(db: sqlite3.Connection, alert_id: str, decision: Standing, saying: Saying) -> Decided:
    alert = read_bare(db, alert_id)
    if alert is None:
        return Decided(alert_id, "not_found")
    last = db.execute(_LAST, (saying.destination, alert_id)).fetchone()
    if last and last[0] == decision:
        return Decided(alert_id, "unchanged")
    write_down(db, alert_id, decision, saying, revision_of(db, saying.destination, alert))
    return Decided(alert_id, "changed", (_approve if decision == "approve" else _withdraw)(db, alert, saying))


def _approve(db: sqlite3.Connection, alert: Alert, saying: Saying) -> Then:
    """Let it go out, unless the destination has it, or is about to, as it is now."""
    place = (saying.destination, alert.id)
    pending = db.execute("select 1 from pending where destination = ? and alert_id = ?", place).fetchone()
    newest = db.execute(_NEWEST, place).fetchone()
    if not pending and newest and not newest[0] and newest[1] >= revision_of(db, saying.destination, alert):
        return ""
    queue(db, saying.destination, alert, saying.now_us)
    return "released"


def _withdraw(db: sqlite3.Connection, alert: Alert, saying: Saying) -> Then:
    recalled = recalling.recall(db, saying.destination, alert.id, saying.now_us)
    if owed(db, saying.destination, alert.id, by_person=True):
        queue(db, saying.destination, alert, saying.now_us)
        return "closing"
    hold(db, saying.destination, alert.id, WITHDRAWN)
    return "void" if recalled else "held"
