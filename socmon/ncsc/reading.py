"""What the centre's pages read of the inbox beside its counts: gaps, the newest findings, the quarantine.

Each look opens a connection of its own and sees only what is committed; it blocks, so it has its place in a thread.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

Row = dict[str, Any]

_WAIT_S = 10.0
MAX_GAPS = 1000

# Between the ranges that are taken, along their order. What is quarantined or void has its sequence too.
_GAPS = """
WITH placed AS (
    SELECT source, epoch, first, lag(last, 1, 0) OVER (PARTITION BY source, epoch ORDER BY first) AS before FROM taken
)
SELECT s.org, substr(p.source, instr(p.source, '/') + 1) AS stream, p.epoch, before + 1 AS first, p.first - 1 AS last,
       p.epoch = (SELECT max(n.epoch) FROM streams n WHERE n.source = p.source) AS newest
FROM placed p JOIN streams s ON s.source = p.source AND s.epoch = p.epoch
WHERE p.first > before + 1 LIMIT ?
"""
_VOIDS = """
SELECT org, substr(source, instr(source, '/') + 1) AS stream, epoch, first, last, reason, subject, taken, received_us
FROM voids WHERE taken > 0 ORDER BY n DESC LIMIT ?
"""
_NEWEST = """
SELECT f.org, f.uid, f.revision, f.rule, f.level, f.count, f.start_ms, f.end_ms, e.received_us, e.body
FROM events e JOIN findings f ON f.source = e.source AND f.epoch = e.epoch AND f.seq = e.seq
ORDER BY e.n DESC LIMIT ?
"""
_LEVELS = "SELECT org, level, count(*) AS count FROM findings GROUP BY org, level"
_QUARANTINE = """
SELECT org, substr(source, instr(source, '/') + 1) AS stream, epoch, seq, id, code, reason, received_us
FROM quarantine ORDER BY n DESC LIMIT ?
"""


class Reading:
    """Of the inbox at `path`.

    Raises:
        sqlite3.Error: by every method, it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def gaps(self) -> list[Row]:
        """Sequences that are missing behind a cursor, as ranges `first` to `last`; the first `MAX_GAPS` of them.

        `newest` is 0 for an epoch that its sender has left for a later one: those do not come any more.
        """
        rows = [row | {"newest": bool(row["newest"])} for row in self._rows(_GAPS, MAX_GAPS)]
        return sorted(rows, key=lambda row: (row["org"], row["stream"], row["epoch"], row["first"]))

    def voids(self, limit: int) -> list[Row]:
        """Voids that took sequences, `taken` of them, the newest first."""
        return self._rows(_VOIDS, limit)

    def newest(self, limit: int) -> list[Row]:
        """Findings by the arrival of their last revision, the newest first; `title` is the sender's."""
        return [_titled(row) for row in self._rows(_NEWEST, limit)]

    def levels(self) -> list[Row]:
        """How many findings each organisation has of each level."""
        return self._rows(_LEVELS)

    def quarantine(self, limit: int) -> list[Row]:
        """What was quarantined, the newest first."""
        return self._rows(_QUARANTINE, limit)

    def _rows(self, query: str, *values: object) -> list[Row]:
        address = f"{self._path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=_WAIT_S)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(query, values)]


def _titled(row: Row) -> Row:
    """The row with the title that stands in its event; "" where there is none."""
    told = msgspec.json.decode(row.pop("body"))
    try:
        title = told["data"]["finding_info"]["title"]
    except (KeyError, TypeError):
        title = ""
    return row | {"title": str(title)}
