"""What the centre counts of each organisation, taken from the inbox's tables."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from socmon.feed.void import LOSSES

Row = dict[str, Any]

MAX_UNKNOWN = 50
_MOST = 2**53 - 1  # what a number in JSON can say to everybody

_ANSWERS = "SELECT org, status, count FROM answers"
# Not guarded by a constraint: one revision of one finding may come under two ids, and must be stored under one.
# In the order of the index `stored_revision`, so that nothing is sorted.
_ROWS = """
SELECT org, total(times) AS rows, total(times - 1) AS rows_twice FROM (
    SELECT org, count(*) AS times FROM events WHERE status = 'stored' GROUP BY org, uid, revision
) GROUP BY org
"""
_KEPT = """
SELECT org, 'findings' AS kind, count(*) AS count FROM findings GROUP BY org
UNION ALL SELECT org, 'quarantined', count(*) FROM quarantine GROUP BY org
"""
# total(), for a void may be as wide as it likes, and sum() ends in an error beyond 2^63.
_VOIDED = "SELECT org, reason, total(taken) AS count FROM voids WHERE taken > 0 GROUP BY org, reason"
# SQLite takes the other columns from the row that max() picked.
_CURSORS = """
SELECT org, substr(source, instr(source, '/') + 1) AS stream, max(epoch) AS epoch, committed
FROM streams GROUP BY source
"""
_UNKNOWN = "SELECT org, member, count FROM unknown ORDER BY org, member"
_COUNT = "INSERT INTO unknown VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1"
_COUNT_KNOWN = "UPDATE unknown SET count = count + 1 WHERE org = ? AND member = ?"
_CURSORS_OF = """
WITH newest AS (SELECT source, max(epoch) AS epoch, committed FROM streams WHERE org = ? GROUP BY source)
SELECT substr(newest.source, instr(newest.source, '/') + 1) AS stream, newest.epoch, newest.committed AS seq,
       max(newest.committed, coalesce(max(taken.last), 0)) AS last,
       coalesce(sum(taken.last - taken.first + 1) FILTER (WHERE taken.first > newest.committed), 0) AS beyond
FROM newest LEFT JOIN taken ON taken.source = newest.source AND taken.epoch = newest.epoch
GROUP BY newest.source ORDER BY stream
"""


def cursors_of(db: sqlite3.Connection, org: str) -> list[Row]:
    """See `socmon.feed.batch.Cursor`."""
    return [dict(row) for row in db.execute(_CURSORS_OF, (org,))]


def count_unknown(db: sqlite3.Connection, org: str, members: Sequence[str]) -> None:
    """Count an event that has `members` which no schema names: once as an event, and once for each of them.

    Of an organisation `MAX_UNKNOWN` are told apart; what else it invents counts as the event only.
    """
    db.execute(_COUNT, (org, ""))
    (told,) = db.execute("SELECT count(*) FROM unknown WHERE org = ?", (org,)).fetchone()
    for member in members:
        if not db.execute(_COUNT_KNOWN, (org, member)).rowcount and told <= MAX_UNKNOWN:
            db.execute(_COUNT, (org, member))
            told += 1


def counts(db: sqlite3.Connection) -> dict[str, Row]:
    """By organisation that has sent anything; `voided` by reason, and `lost` of them, count sequences."""
    answers: dict[str, Row] = {}
    for row in db.execute(_ANSWERS):
        answers.setdefault(row["org"], {})[row["status"]] = row["count"]
    kept = {(row["org"], row["kind"]): row["count"] for row in db.execute(_KEPT)}
    rows = {row["org"]: row for row in db.execute(_ROWS)}
    voided: dict[str, dict[str, int]] = {}
    for row in db.execute(_VOIDED):
        voided.setdefault(row["org"], {})[row["reason"]] = min(int(row["count"]), _MOST)
    unknown: dict[str, dict[str, int]] = {}
    for row in db.execute(_UNKNOWN):
        unknown.setdefault(row["org"], {})[row["member"]] = row["count"]
    committed: dict[str, Row] = {}
    for row in db.execute(_CURSORS):
        committed.setdefault(row["org"], {})[row["stream"]] = {"epoch": row["epoch"], "seq": row["committed"]}
    return {
        org: {
            "events_received": sum(one.values()),
            "findings": kept.get((org, "findings"), 0),
            "rows_stored": int(rows[org]["rows"]) if org in rows else 0,
            "rows_stored_twice": int(rows[org]["rows_twice"]) if org in rows else 0,
            "duplicates_answered": one.get("duplicate", 0),
            "stale": one.get("stale", 0),
            "quarantined": kept.get((org, "quarantined"), 0),
            "voided": voided.get(org, {}),
            "lost": sum(count for reason, count in voided.get(org, {}).items() if reason in LOSSES),
            "unknown": unknown.get(org, {}).pop("", 0),
            "unknown_members": unknown.get(org, {}),
            "committed": committed.get(org, {}),
        }
        for org, one in answers.items()
    }
