"""Triage: what analysts make of alerts (acknowledged, closed, open again, commented), and the history of it."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from socmon.event import Level
from socmon.store.rows import queue

Verb = Literal["ack", "close", "reopen", "comment"]
Outcome = Literal["changed", "unchanged", "refused", "not_found"]

REASONS = ("tp", "fp", "benign", "duplicate")
MAX_TEXT_CHARS = 4_000
MAX_ALERTS = 1_000  # in one change; with the longest text it fits into a line of the control socket

# What each verb makes of each status; what is not in it is refused.
_AFTER: Mapping[Verb, Mapping[str, str]] = {
    "ack": {"open": "acknowledged", "acknowledged": "acknowledged"},
    "close": {"open": "closed", "acknowledged": "closed", "closed": "closed"},
    "reopen": {"open": "open", "acknowledged": "open", "closed": "open"},
    "comment": {"open": "open", "acknowledged": "acknowledged", "closed": "closed"},
}
_READ = """
select level, status, reason, revision, analyst_revision, closed_revision, opened_us from alert where id = ?
"""
_CHANGE = """
update alert set status = ?, reason = ?, status_by = ?, closed_revision = ?, analyst_revision = analyst_revision + 1
where id = ?
"""
_WRITE_DOWN = """
insert into history (alert_id, time_us, actor, verb, status_before, status_after, reason, text, analyst_revision)
values (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_HISTORY = """
select time_us, actor, verb, status_before, status_after, reason, text, analyst_revision from history
where alert_id = ? order by id
"""
_DONE_BEFORE = "select 1 from history where alert_id = ? and verb = ? limit 1"


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done to alerts.

    Attributes:
        reason: with close, and only there: one of REASONS.
        text: the comment; with close it may be "". Stored as it is, whoever shows it strips it.

    Raises:
        ValueError: reason or text do not fit the verb.
    """

    verb: Verb
    reason: str = ""
    text: Annotated[str, Meta(max_length=MAX_TEXT_CHARS)] = ""

    def __post_init__(self) -> None:
        if self.verb == "close" and self.reason not in REASONS:
            raise ValueError(f"{self.reason[:40]!r} is no reason to close; one of: {', '.join(REASONS)}")
        if self.verb != "close" and self.reason:
            raise ValueError(f"{self.verb} takes no reason; only close does")
        if self.verb == "comment" and not self.text.strip():
            raise ValueError("a comment needs a text")
        if self.verb in {"ack", "reopen"} and self.text:
            raise ValueError(f"{self.verb} takes no text; comment does")


class Saying(Struct, frozen=True):
    """Who says so and when, and who is told: the destinations that every change is queued for."""

    actor: str
    now_us: int
    destinations: Sequence[str]


class Triaged(Struct, frozen=True):
    """What became of a change to one alert.

    Attributes:
        outcome: unchanged: it was so already; refused: `status` does not allow it, as of a closed alert that is to be
            acknowledged. Of one that is not_found nothing else is known.
        status: as it is now; equal to `status_before` unless it was changed.
        revision: as `alerts list` shows it.
        waited_us: from the alert's opening to this change, where the verb was done to it for the first time.
    """

    id: str
    outcome: Outcome
    status_before: str = ""
    status: str = ""
    reason: str = ""
    revision: int = 0
    level: Level = "informational"
    waited_us: int | None = None


class Entry(Struct, frozen=True):
    """One change in an alert's history; `analyst_revision` is the alert's after it."""

    time_us: int
    actor: str
    verb: Verb
    status_before: str
    status_after: str
    reason: str
    text: str
    analyst_revision: int


class _Row(Struct, frozen=True):
    """What the change of an alert depends on."""

    level: Level
    status: str
    reason: str
    revision: int
    analyst_revision: int
    closed_revision: int | None
    opened_us: int | None


def apply(
    db: sqlite3.Connection, alert_ids: Sequence[str], change: Change, saying: Saying, *, dry_run: bool = False
) -> list[Triaged]:
    """Change each alert that allows it, write that down, and queue it for every destination; each id counts once.

    A comment is of this house: it is written down and goes nowhere, so the alert's revision stays.

    Args:
        dry_run: change nothing; say what would become of it.
    """
    return [_apply_one(db, alert_id, change, saying, dry_run=dry_run) for alert_id in dict.fromkeys(alert_ids)]


def history(db: sqlite3.Connection, alert_id: str) -> list[Entry]:
    """All that was done to an alert, oldest first."""
    return [Entry(*row) for row in db.execute(_HISTORY, (alert_id,))]


def _apply_one(db: sqlite3.Connection, alert_id: str, change: Change, saying: Saying, *, dry_run: bool) -> Triaged:
    found = db.execute(_READ, (alert_id,)).fetchone()
    if found is None:
        return Triaged(alert_id, "not_found")
    row = _Row(*found)
    outcome = _outcome(row, change)
    changed, status = outcome == "changed", row.status
    counted = changed and change.verb != "comment"
    if counted:
        status = _AFTER[change.verb][row.status]
    waited_us = _waited_us(db, alert_id, row, change, saying) if counted else None
    analyst_revision = row.analyst_revision + counted
    reason = change.reason if counted else row.reason
    if changed and not dry_run:
        if counted:
            closed_revision = row.revision if status == "closed" else None
            db.execute(_CHANGE, (status, reason, saying.actor, closed_revision, alert_id))
            queue(db, alert_id, row.level, saying.now_us, saying.destinations)
        said = (change.verb, row.status, status, change.reason, change.text, analyst_revision)
        db.execute(_WRITE_DOWN, (alert_id, saying.now_us, saying.actor, *said))
    return Triaged(alert_id, outcome, row.status, status, reason, row.revision + analyst_revision, row.level, waited_us)


def _outcome(row: _Row, change: Change) -> Outcome:
    """What becomes of the change; to close again is news where it is recurring, or another reason or text is given."""
    after = _AFTER[change.verb].get(row.status)
    if after is None:
        return "refused"
    if after != row.status or change.verb == "comment":
        return "changed"
    recurring = row.closed_revision is not None and row.revision > row.closed_revision
    news = change.verb == "close" and (recurring or change.text or change.reason != row.reason)
    return "changed" if news else "unchanged"


def _waited_us(db: sqlite3.Connection, alert_id: str, row: _Row, change: Change, saying: Saying) -> int | None:
    if row.opened_us is None or db.execute(_DONE_BEFORE, (alert_id, change.verb)).fetchone():
        return None
    return max(0, saying.now_us - row.opened_us)
