"""What was released and has no answer, taken back: a void takes its sequence (ADR 99)."""

import sqlite3

from socmon.store import aggregating, voids

# A closing revision tells that the alert is withdrawn, and goes out in any case.
_RECALL = """
update released set state = 'withdrawn', code = 'withdrawn', settled_us = ?
where destination = ? and alert_id = ? and state in ('waiting', 'held') and not closing returning id
"""


def recall(db: sqlite3.Connection, destination: str, alert_id: str, now_us: int) -> int:
    """Take back the alert's releases that have no answer; how many. One that arrived all the same is told later on."""
    numbers = [number for (number,) in db.execute(_RECALL, (now_us, destination, alert_id)).fetchall()]
    for number in numbers:
        voids.queue_for(db, number, "withdrawn", "withdrawn", now_us)
        aggregating.part(db, number, now_us)
    return len(numbers)
