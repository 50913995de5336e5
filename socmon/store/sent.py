"""An alert's messages as they were released, with what the destination signed for each."""

import sqlite3

from msgspec import Struct

from socmon.outgoing import Release

# A member of an aggregate has the place, the bytes and the answer of that one; it is followed by `within`.
_SENT = """
select row.id, row.destination, row.stream, coalesce(whole.epoch, row.epoch), coalesce(whole.seq, row.seq, 0),
       row.revision, coalesce(whole.released_us, row.released_us), row.state, coalesce(row.code, ''),
       coalesce(whole.body, row.body), coalesce(whole.sha256, row.sha256), content,
       exists (select 1 from released as newer where newer.destination = row.destination
               and newer.alert_id = row.alert_id and newer.id > row.id and newer.state = 'acknowledged'),
       row.closing, coalesce(lifted.revisions, 0), row.seq is null, whole.alert_id, whole.revision, whole.state
from released as row
left join released as whole on row.seq is null and whole.id = row.within
left join receipt on receipt.id = coalesce(row.receipt_id, whole.receipt_id)
left join lifted on lifted.destination = row.destination and lifted.alert_id = row.alert_id
where row.alert_id = ? order by row.destination, row.id
"""


class Whole(Struct, frozen=True):
    """The aggregate that tells of an alert with others: its id, its own revision, and what the outbox says of it.

    All are empty where its row was lost to damage.
    """

    id: str
    revision: int
    state: str


class Sent(Struct, frozen=True):
    """A released row.

    Attributes:
        release: of a member of an aggregate, with that one's place; its sequence is 0 where that was lost.
        state: waiting, held, acknowledged, dead, retried, withdrawn or dropped; `code` is the destination's word for
            its answer.
        body: the message; empty where its bytes were given up, or lost.
        sha256: of the message as it was released, in hexadecimal.
        receipt: as `socmon.feed.receipt.kept` made it; None where there is none.
        superseded: a newer revision of the alert was acknowledged.
        closing: it tells that the alert is withdrawn.
        lifted: by how much the destination's revisions of the alert are above the alert's own.
        whole: None of what is no member of an aggregate.
    """

    id: int
    release: Release
    state: str
    code: str
    body: bytes
    sha256: str
    receipt: str | None
    superseded: bool
    closing: bool
    lifted: int
    whole: Whole | None


def sent(db: sqlite3.Connection, alert_id: str) -> list[Sent]:
    """The alert's released rows, by destination, the oldest first."""
    found = []
    for number, destination, stream, epoch, seq, revision, released_us, *rest in db.execute(_SENT, (alert_id,)):
        state, code, body, stated, receipt, superseded, closing, lifted, is_member, *whole = rest
        release = Release(destination, stream, epoch, seq, revision, released_us)
        content = body if isinstance(body, bytes) else str(body).encode()
        found.append(
            Sent(
                number,
                release,
                state,
                code,
                content,
                str(stated),
                receipt,
                bool(superseded),
                bool(closing),
                int(lifted),
                _whole(*whole) if is_member else None,
            )
        )
    return found


def _whole(uid: str | None, revision: int | None, state: str | None) -> Whole:
    return Whole(uid or "", revision or 0, state or "")
