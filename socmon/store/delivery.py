"""What became of one alert at each destination, as `socmon feed show` tells it; by its id, along the indexes."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

# A member of an aggregate has the sequence and the message of that, and its receipt.
_RELEASES = """
select released.id, released.destination, released.stream, released.epoch, coalesce(released.seq, whole.seq),
       released.revision, released.state, coalesce(released.code, ''), released.released_us, released.settled_us,
       coalesce(released.receipt_id, whole.receipt_id) is not null,
       iif(released.within = released.id, null, released.within), released.closing = 1
from released left join released as whole on whole.id = released.within
where released.destination = ? and released.alert_id = ? order by released.id
"""
_BODY = """
select coalesce(nullif(released.body, x''), whole.body)
from released left join released as whole on whole.id = released.within
where released.destination = ? and released.alert_id = ?
  and length(coalesce(nullif(released.body, x''), whole.body)) > 0
order by released.id desc limit 1
"""
# Of what the alert's releases have taken, and what names the alert.
_VOIDS = """
select stream, epoch, seq, to_seq, reason, state, made_us from void
where destination = ?1 and (alert_id = ?2 or exists (
    select 1 from released where released.destination = ?1 and released.alert_id = ?2
      and released.stream = void.stream and released.epoch = void.epoch
      and released.seq between void.seq and void.to_seq))
order by id
"""
_DECISIONS = """
select verb, actor, time_us, reason, revision from decision where destination = ? and alert_id = ? order by id
"""
_PENDING = "select since_us, coalesce(error, '') from pending where destination = ? and alert_id = ?"
_HELD = "held: "


class Delivery(Struct, frozen=True):
    """An alert at one destination.

    Attributes:
        pending_us: since when it waits for its release; None if it does not.
        held: why it may not go out now, or cannot be rendered; "" if nothing holds it.
        message: the last one of which bytes are still there; None if there are none.
    """

    destination: str
    pending_us: int | None
    held: str
    releases: list[dict[str, Any]]
    voids: list[dict[str, Any]]
    decisions: list[dict[str, Any]]
    message: bytes | None


_RELEASE = ("id", "destination", "stream", "epoch", "seq", "revision", "state", "code", "released", "settled",
            "receipt", "aggregate", "closing")  # fmt: skip
_VOID = ("stream", "epoch", "seq", "to_seq", "reason", "state", "made")
_DECISION = ("verb", "actor", "time", "reason", "revision")


def look(db: sqlite3.Connection, alert_id: str, names: list[str], *, message: bool) -> Iterator[Delivery]:
    """What there is of the alert at each of `names`; nothing of one that has nothing of it. Times are in µs."""
    for name in names:
        place = (name, alert_id)
        since_us, error = db.execute(_PENDING, place).fetchone() or (None, "")
        found = Delivery(
            name,
            since_us,
            error.removeprefix(_HELD),
            releases=[
                dict(zip(_RELEASE, row, strict=True)) | {"receipt": bool(row[10]), "closing": bool(row[12])}
                for row in db.execute(_RELEASES, place)
            ],
            voids=[dict(zip(_VOID, row, strict=True)) for row in db.execute(_VOIDS, place)],
            decisions=[dict(zip(_DECISION, row, strict=True)) for row in db.execute(_DECISIONS, place)],
            message=_message(db, place) if message else None,
        )
        if since_us is not None or found.releases or found.voids or found.decisions:
            yield found


def _message(db: sqlite3.Connection, place: tuple[str, str]) -> bytes | None:
    (body,) = db.execute(_BODY, place).fetchone() or (None,)
    return body.encode() if isinstance(body, str) else body
