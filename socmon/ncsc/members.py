"""Members of aggregates at the centre: findings that came as part of another one, and so count as findings too."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from socmon.feed.checking import Finding

Row = dict[str, Any]

_KEEP = """
INSERT INTO members VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET revision = max(revision, excluded.revision)
"""
_ALL = "SELECT org, aggregate, uid, revision FROM members ORDER BY org, aggregate, uid"
# A member has the level of its aggregate until its own finding comes. Each uid once, however many aggregates name it.
COUNTED = """
SELECT f.org, f.uid, f.level FROM findings f
WHERE NOT EXISTS (SELECT 1 FROM members m WHERE m.org = f.org AND m.aggregate = f.uid)
UNION ALL
SELECT m.org, m.uid, f.level FROM members m JOIN findings f ON f.org = m.org AND f.uid = m.aggregate
WHERE NOT EXISTS (SELECT 1 FROM findings own WHERE own.org = m.org AND own.uid = m.uid)
GROUP BY m.org, m.uid
"""
_FINDINGS = f"SELECT org, count(*) FROM ({COUNTED}) GROUP BY org"  # noqa: S608  constant
_AGGREGATES = "SELECT org, count(DISTINCT aggregate) FROM members GROUP BY org"


def keep(db: sqlite3.Connection, organisation: str, finding: Finding) -> None:
    """Write down the members of a finding that is stored; there are none if it is no aggregate."""
    rows = [(organisation, finding.uid, uid, revision) for uid, revision in finding.members]
    db.executemany(_KEEP, rows)


def attached(db: sqlite3.Connection, rows: Sequence[Row]) -> list[Row]:
    """Findings with their `members`, a list of [uid, revision]; it is empty for one that is no aggregate."""
    found: dict[tuple[str, str], list[list[Any]]] = {}
    for organisation, aggregate, uid, revision in db.execute(_ALL):
        found.setdefault((organisation, aggregate), []).append([uid, revision])
    return [row | {"members": found.get((row["org"], row["uid"]), [])} for row in rows]


def counts(db: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """By organisation: findings, with those that came as members and without aggregates; and aggregates."""
    findings, aggregates = dict(db.execute(_FINDINGS).fetchall()), dict(db.execute(_AGGREGATES).fetchall())
    return {name: (findings.get(name, 0), aggregates.get(name, 0)) for name in findings.keys() | aggregates.keys()}
