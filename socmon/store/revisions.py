"""Revisions as a destination knows them: those of the alert, lifted where it has greater ones."""

import sqlite3

from socmon.event import Alert

_LIFT = """
insert into lifted (destination, alert_id, revisions) values (?, ?, ?)
on conflict (destination, alert_id) do update set revisions = revisions + excluded.revisions
"""
_LAST = """
select closing, (select max(revision) from released where destination = ?1 and alert_id = ?2) from released
where destination = ?1 and alert_id = ?2 order by id desc limit 1
"""


def revision_of(db: sqlite3.Connection, destination: str, alert: Alert) -> int:
    """The alert's revision of now, as it would be sent there."""
    query = "select revisions from lifted where destination = ? and alert_id = ?"
    (lifted,) = db.execute(query, (destination, alert.id)).fetchone() or (0,)
    return alert.revision + alert.analyst_revision + int(lifted)


def next_revision(db: sqlite3.Connection, destination: str, alert: Alert, *, closing: bool) -> int:
    """The revision of a release: greater than all before it, where a withdrawal is told or taken back."""
    revision = revision_of(db, destination, alert)
    last = db.execute(_LAST, (destination, alert.id)).fetchone()
    if last is None or (bool(last[0]) == closing and not closing) or revision > last[1]:
        return revision
    db.execute(_LIFT, (destination, alert.id, last[1] + 1 - revision))
    return int(last[1]) + 1
