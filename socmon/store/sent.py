"""An alert's messages as they were released, with what the destination signed for each."""

import sqlite3

from msgspec import Struct

from socmon.component import Release

_SENT = """
select released.id, destination, stream, epoch, seq, revision, released_us, state, coalesce(code, ''), body, sha256,
       content,
       exists (select 1 from released as newer where newer.destination = released.destination
               and newer.alert_id = released.alert_id and newer.id > released.id and newer.state = 'acknowledged')
from released left join receipt on receipt.id = released.receipt_id
where alert_id = ? order by destination, released.id
"""


class Sent(Struct, frozen=True):
    """A released row.

    Attributes:
        state: waiting, acknowledged, dead or retried; `code` is the destination's word for its answer.
        body: the message; empty where its bytes were given up, or lost.
        sha256: of the message as it was released, in hexadecimal.
        receipt: as `socmon.feed.receipt.kept` made it; None where there is none.
        superseded: a newer revision of the alert was acknowledged.
    """

    id: int
    release: Release
    state: str
    code: str
    body: bytes
    sha256: str
    receipt: str | None
    superseded: bool


def sent(db: sqlite3.Connection, alert_id: str) -> list[Sent]:
    """The alert's released rows, by destination, the oldest first."""
    found = []
    for number, destination, stream, epoch, seq, revision, released_us, *rest in db.execute(_SENT, (alert_id,)):
        state, code, body, stated, receipt, superseded = rest
        release = Release(destination, stream, epoch, seq, revision, released_us)
        content = body if isinstance(body, bytes) else str(body).encode()
        found.append(Sent(number, release, state, code, content, str(stated), receipt, bool(superseded)))
    return found
