"""Alerts and evidence as rows, and back."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec

from socmon.event import LEVELS, Alert, Evidence, Level

Written = Literal["opened", "revised", "known"]

# Absolute, not added to: writing the same alert twice, as a replayed journal does, changes nothing, and an older
# revision never overwrites a newer one. What analysts own (status, reason, analyst_revision, …) is not touched.
_UPSERT_ALERT = """
insert into alert (id, rule_id, title, level, tags, grouped, first_us, last_us, count, revision, opened_seq,
                   approximate, host, agency, system, system_level, entities, status, analyst_revision, stored_us,
                   opened_us, received_us)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, 'open', 0, ?18, ?18, ?19)
on conflict (id) do update set
    title = excluded.title, level = excluded.level, tags = excluded.tags, first_us = excluded.first_us,
    last_us = excluded.last_us, count = excluded.count, revision = excluded.revision,
    approximate = excluded.approximate, entities = excluded.entities, stored_us = excluded.stored_us
where excluded.revision > alert.revision
"""
_UPSERT_PENDING = """
insert into pending (destination, alert_id, urgency, since_us, error) values (?, ?, ?, ?, null)
on conflict (destination, alert_id) do update set urgency = excluded.urgency, error = null
"""
_INSERT_EVIDENCE = """
insert or ignore into evidence (alert_id, seq, time_us, host, collector, peer, raw, sha256, fields, cut)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
# Between the first and the last `keep` of an alert's evidence nothing is kept.
_TRIM_EVIDENCE = """
delete from evidence where alert_id = ?1
    and seq > (select seq from evidence where alert_id = ?1 order by seq limit 1 offset ?2)
    and seq < (select seq from evidence where alert_id = ?1 order by seq desc limit 1 offset ?2)
"""
ALERT_FIELDS = """
alert.id, rule_id, title, level, tags, grouped, first_us, last_us, count, revision, opened_seq, approximate,
host, agency, system, system_level, entities, status, analyst_revision, reason, status_by,
status = 'closed' and revision > closed_revision, coalesce(received_us, opened_us, first_us)
"""
SELECT_ALERT = f"select {ALERT_FIELDS} from alert "  # noqa: S608  constants


def write_alert(db: sqlite3.Connection, alert: Alert, now_us: int, destinations: Sequence[str], keep: int) -> Written:
    """Store `alert` and queue it for every destination, unless this revision or a newer one is there (`known`).

    Args:
        keep: how many of the first and of the last events stay as evidence.
    """
    dump = msgspec.json.encode
    values = (
        alert.id,
        alert.rule_id,
        alert.title,
        alert.level,
        dump(alert.tags).decode(),
        dump(alert.group).decode(),
        alert.first_us,
        alert.last_us,
        alert.count,
        alert.revision,
        alert.opened_seq,
        alert.approximate,
        alert.host,
        alert.agency,
        alert.system,
        alert.system_level,
        dump(alert.entities).decode(),
        now_us,
        alert.received_us,
    )
    known = db.execute("select 1 from alert where id = ?", (alert.id,)).fetchone() is not None
    stored = db.execute(_UPSERT_ALERT, values).rowcount > 0
    if stored:
        queue(db, alert.id, alert.level, now_us, destinations)
    db.executemany(_INSERT_EVIDENCE, [_evidence_row(alert.id, item) for item in alert.evidence])
    db.execute(_TRIM_EVIDENCE, (alert.id, keep - 1))
    if not stored:
        return "known"
    return "revised" if known else "opened"


def queue(db: sqlite3.Connection, alert_id: str, level: Level, now_us: int, destinations: Sequence[str]) -> None:
    """Let the alert, as it will be then, be released to every destination."""
    urgency = LEVELS.index(level)
    db.executemany(_UPSERT_PENDING, [(name, alert_id, urgency, now_us) for name in destinations])


def _evidence_row(alert_id: str, item: Evidence) -> tuple[object, ...]:
    fields = msgspec.json.encode(item.fields).decode()
    origin = (item.host, item.collector, item.peer)
    return (alert_id, item.seq, item.time_us, *origin, item.raw, item.sha256, fields, item.cut)


def read_alert(
    db: sqlite3.Connection, alert_id: str, wanted: Callable[[Alert], bool] = lambda _alert: True
) -> Alert | None:
    """One alert with its evidence; None if there is none of this id, or it is not `wanted`, by all but the evidence."""
    row = db.execute(SELECT_ALERT + "where id = ?", (alert_id,)).fetchone()
    if row is None or not wanted(alert := alert_of(row)):
        return None
    alert.evidence = read_evidence(db, alert.id)
    return alert


def read_bare(db: sqlite3.Connection, alert_id: str) -> Alert | None:
    """As `read_alert`, without its evidence."""
    row = db.execute(SELECT_ALERT + "where id = ?", (alert_id,)).fetchone()
    return None if row is None else alert_of(row)


def read_alerts(db: sqlite3.Connection) -> Iterator[Alert]:
    """Every alert with its evidence, oldest event first."""
    for row in db.execute(SELECT_ALERT + "order by first_us, id").fetchall():
        yield _whole(db, row)


def _whole(db: sqlite3.Connection, row: Sequence[object]) -> Alert:
    alert = alert_of(row)
    alert.evidence = read_evidence(db, alert.id)
    return alert


def alert_of(row: Sequence[object]) -> Alert:
    """The alert of a row of `SELECT_ALERT`, without its evidence."""
    names = Alert.__struct_fields__[: len(row)]
    values = dict(zip(names, row, strict=True))
    for name in ("tags", "group", "entities"):
        values[name] = msgspec.json.decode(str(values[name]))
    for name in ("approximate", "recurring"):
        values[name] = bool(values[name])
    return msgspec.convert(values, Alert)


def read_evidence(db: sqlite3.Connection, alert_id: str) -> list[Evidence]:
    """The evidence of one alert, in the order of sequences."""
    found = db.execute(
        "select seq, time_us, host, collector, peer, raw, sha256, fields, cut from evidence where alert_id = ?"
        " order by seq",
        (alert_id,),
    )
    return [
        Evidence(seq, time_us, host, collector, peer, raw, sha256, msgspec.json.decode(fields), bool(cut))
        for seq, time_us, host, collector, peer, raw, sha256, fields, cut in found
    ]
