"""What the centre's pages read of the inbox beside its counts: gaps, the newest findings, the quarantine.

Each look opens a connection of its own and sees only what is committed; it blocks, so it has its place in a thread.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from socmon.ncsc.members import COUNTED

Row = dict[str, Any]

_WAIT_S = 10.0
MAX_GAPS = 1000

# Along the indexes of (source, epoch, seq), from each stream's cursor on. What is quarantined holds its sequence too.
_GAPS = """
WITH taken AS (
    SELECT s.org, s.source, s.epoch, s.committed, e.seq
    FROM streams s JOIN events e ON e.source = s.source AND e.epoch = s.epoch AND e.seq > s.committed
    UNION
    SELECT s.org, s.source, s.epoch, s.committed, q.seq
    FROM streams s JOIN quarantine q ON q.source = s.source AND q.epoch = s.epoch AND q.seq > s.committed
), placed AS (
    SELECT *, lag(seq, 1, committed) OVER (PARTITION BY source, epoch ORDER BY seq) AS before FROM taken
)
SELECT org, substr(source, instr(source, '/') + 1) AS stream, epoch, before + 1 AS first, seq - 1 AS last,
       epoch = (SELECT max(n.epoch) FROM streams n WHERE n.source = placed.source) AS newest
FROM placed WHERE seq > before + 1 ORDER BY org, stream, epoch, first LIMIT ?
"""
_NEWEST = """
SELECT f.org, f.uid, f.revision, f.rule, f.level, f.count, f.start_ms, f.end_ms, e.received_us, e.body
FROM events e JOIN findings f ON f.source = e.source AND f.epoch = e.epoch AND f.seq = e.seq
ORDER BY e.n DESC LIMIT ?
"""
_LEVELS = f"SELECT org, level, count(*) AS count FROM ({COUNTED}) GROUP BY org, level"  # noqa: S608  constant
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
        rows = self._rows(_GAPS, MAX_GAPS)
        return [row | {"newest": bool(row["newest"])} for row in rows]

    def newest(self, limit: int) -> list[Row]:
        """Findings by the arrival of their last revision, the newest first; `title` is the sender's."""
        return [_titled(row) for row in self._rows(_NEWEST, limit)]

    def levels(self) -> list[Row]:
        """How many findings each organisation has of each level; of an aggregate its members count."""
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
