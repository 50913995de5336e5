"""The body of a batch → its events, each checked by itself: one bad event spoils no other."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import jsonschema_rs
import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from socmon.component import VoidReason
from socmon.feed.batch import RefusedError
from socmon.feed.message import FINDING_SCHEMA, VOID_SCHEMA
from socmon.feed.signing import SIGNATURE, Key, SignatureError, costly, forms, verify
from socmon.feed.unknown import unknown_members

SUPPORTED = (FINDING_SCHEMA, VOID_SCHEMA)
_MAX_REASON = 300
_DAMAGED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Limits(Struct, frozen=True):
    """What is taken at a time; bytes count the body before compression and on the wire alike.

    Attributes:
        max_costly_bytes: of events in a batch whose canonical form takes a hundred times as long: those with numbers
            that are no integers, and with escapes.
    """

    max_events: int = 1000
    max_bytes: int = 8 * 1024 * 1024
    max_depth: int = 64
    max_event_bytes: int = 512 * 1024
    max_costly_bytes: int = 1024 * 1024


class Finding(Struct, frozen=True):
    """What the centre keeps of a finding beside its bytes. Times in milliseconds since 1970 UTC.

    Attributes:
        uid: the alert's id at its sender.
        revision: `socrev`; a greater one replaces a smaller one.
        digest: sha256 of the data without its envelope.
        members: (uid, socrev) of the findings that an aggregate stands for; () for a finding of its own.
    """

    uid: str
    revision: int
    digest: bytes
    rule: str
    level: str
    count: int
    start_ms: int
    end_ms: int
    members: tuple[tuple[str, int], ...] = ()


class Void(Struct, frozen=True):
    """What the centre keeps of a void beside its bytes.

    Attributes:
        first, last: the sequences that it takes, both of them too; `first` is the item's `seq`.
        subject: the alert that it is about; "" if it names none.
    """

    first: int
    last: int
    reason: VoidReason
    subject: str = ""


class Item(Struct, frozen=True):
    """One event of a batch.

    Attributes:
        id: as it states it; "" if unreadable.
        source: its stream, `urn:vn:soc:<org_id>/<stream>`; "" if it has no place in one.
        seq: its place in the stream's epoch; 0 if it has none.
        body: canonical JSON where it is JSON, else its bytes.
        digest: sha256 of `body`.
        finding, void: what the event is, one of them; both None for an event that must be quarantined, and `code` and
            `reason` say why.
        signed: what a signature would be over; empty if the event has no place, or no canonical form.
        signature: `socsig`; None if there is none.
        unknown: places of members of a good event that no schema here names; they are kept in `body`.
    """

    id: str
    source: str
    epoch: str
    seq: int
    body: bytes
    digest: bytes
    finding: Finding | None
    code: str = ""
    reason: str = ""
    signed: bytes = b""
    signature: str | None = None
    void: Void | None = None
    unknown: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether the event is one that can be stored."""
        return self.finding is not None or self.void is not None


@cache
def validator(name: str) -> jsonschema_rs.Validator:
    """The compiled JSON Schema `socmon/feed/schemas/{name}.json`."""
    text = (files("socmon.feed") / "schemas" / f"{name}.json").read_text("utf-8")
    return jsonschema_rs.validator_for(msgspec.json.decode(text), validate_formats=True)


def split(body: bytes, limits: Limits) -> list[Raw]:
    """The events of a batch, unread.

    Raises:
        RefusedError: 400, not a JSON array, or an empty one; 413, too many events.
    """
    try:
        events = msgspec.json.decode(body, type=list[Raw])
    except _DAMAGED as error:
        raise RefusedError(
            400, "json", f"the body is not a JSON array of events: {str(error)[:_MAX_REASON]}"
        ) from error
    if not events:
        raise RefusedError(400, "empty", "the batch holds no event")
    if len(events) > limits.max_events:
        text = f"the batch holds {len(events)} events; send at most {limits.max_events} at a time"
        raise RefusedError(413, "too_many", text)
    return events


def bounded(events: Sequence[Raw], limits: Limits) -> None:
    """See that what is to be checked is small enough, before its canonical form is made.

    Raises:
        RefusedError: 413, an event is larger than `max_event_bytes`, or those that are costly are in all.
    """
    costly_bytes = 0
    for raw in events:
        size = len(bytes(raw))
        if size > limits.max_event_bytes:
            text = f"an event has {size} bytes; send at most {limits.max_event_bytes}"
            raise RefusedError(413, "event_too_large", text)
        with suppress(*_DAMAGED):
            # Without the blanks, which would hide a number from the look at it.
            costly_bytes += size if costly(msgspec.json.format(bytes(raw), indent=-1)) else 0
        if costly_bytes > limits.max_costly_bytes and len(events) > 1:
            text = f"events with fractions or escapes have over {limits.max_costly_bytes} bytes; send fewer at a time"
            raise RefusedError(413, "too_costly", text)


def check(raw: Raw, max_depth: int) -> Item:
    """One event, or the reason why it is quarantined.

    Raises:
        RefusedError: 415, its data are of a schema that is not known here; another version may be, so nothing is lost.
    """
    try:
        event = msgspec.json.decode(raw)
        body, signed = _forms(event)
    except _DAMAGED as error:
        return _bad(bytes(raw), None, "json", str(error))
    if not isinstance(event, dict):
        return _bad(body, None, "envelope", "an event is a JSON object")
    if _deeper(event, max_depth):
        return _bad(body, event, "too_deep", f"nested deeper than {max_depth}")
    if reason := _first_error("envelope.v1", event):
        return _bad(body, event, "envelope", reason)
    if event["dataschema"] not in SUPPORTED:
        raise RefusedError(415, "schema", f"data schema {event['dataschema'][:80]!r} is not known here")
    is_void = event["dataschema"] == VOID_SCHEMA
    schema = "void.v1" if is_void else "finding.v1"
    if reason := _first_error(schema, event) or (_misplaced(event) if is_void else ""):
        return _placed(event, (body, signed), None, "schema", reason)
    unknown = unknown_members(event, schema)
    return replace(_placed(event, (body, signed), _void(event) if is_void else _finding(event)), unknown=unknown)


def verified(item: Item, keys: Mapping[str, Key], *, demanded: bool) -> Item:
    """`item`, or what is quarantined instead where its signature does not vouch for it.

    That has no place in a stream: anyone could have sent it, so the sequence that it states is not taken.

    Args:
        keys: public keys of the organisation that sends, by `kid`.
        demanded: an event without a signature is not good either. One that has a signature needs a good one always.
    """
    if not item.source or (item.signature is None and not demanded):
        return item
    try:
        verify(item.signature, item.signed, keys)
    except SignatureError as error:
        reason = str(error)[:_MAX_REASON]
        return replace(item, source="", epoch="", finding=None, void=None, code=error.code, reason=reason)
    return item


def _forms(event: object) -> tuple[bytes, bytes]:
    """Canonical, whole and without the signature; sorted only and b"" for what has no canonical form."""
    with suppress(ValueError):
        if isinstance(event, dict):
            return forms(event)
    return msgspec.json.encode(event, order="sorted"), b""


def _placed(
    event: Mapping[str, Any], texts: tuple[bytes, bytes], what: Finding | Void | None, code: str = "", reason: str = ""
) -> Item:
    """An event whose envelope is good: it takes its sequence even if the rest is bad."""
    body, signed = texts
    return Item(
        id=event["id"],
        source=event["source"],
        epoch=event["socepoch"],
        seq=int(event["socseq"]),
        body=body,
        digest=sha256(body).digest(),
        finding=what if isinstance(what, Finding) else None,
        void=what if isinstance(what, Void) else None,
        code=code,
        reason=reason[:_MAX_REASON],
        signed=signed,
        signature=event.get(SIGNATURE),
    )


def _bad(body: bytes, event: Mapping[str, Any] | None, code: str, reason: str) -> Item:
    """An event without a place in a stream; it is still answered by the name that it gives itself."""
    stated_id, stated_seq = (event or {}).get("id"), (event or {}).get("socseq")
    is_seq = isinstance(stated_seq, str) and stated_seq.isascii() and stated_seq.isdigit() and len(stated_seq) == 20
    return Item(
        id=stated_id[:64] if isinstance(stated_id, str) else "",
        source="",
        epoch="",
        seq=int(stated_seq) if is_seq and stated_seq else 0,
        body=body,
        digest=sha256(body).digest(),
        finding=None,
        code=code,
        reason=reason[:_MAX_REASON],
    )


def _finding(event: Mapping[str, Any]) -> Finding:
    data = event["data"]
    # JSON Schema takes 2.0 for an integer.
    return Finding(
        uid=event["subject"],
        revision=int(event["socrev"]),
        digest=sha256(msgspec.json.encode(data, order="sorted")).digest(),
        rule=data["finding_info"]["analytic"]["uid"].removeprefix("sigma:"),
        level=data["unmapped"]["vn_soc"].get("level", ""),
        count=int(data["count"]),
        start_ms=int(data["start_time"]),
        end_ms=int(data["end_time"]),
        members=_members(data["unmapped"]["vn_soc"].get("aggregation")),
    )


def _members(aggregation: object) -> tuple[tuple[str, int], ...]:
    """Those of an aggregate; the schema has seen to their form."""
    told = aggregation.get("members", ()) if isinstance(aggregation, dict) else ()
    return tuple((member["uid"], int(member["socrev"])) for member in told)


def _void(event: Mapping[str, Any]) -> Void:
    data = event["data"]
    return Void(int(data["from"]), int(data["to"]), data["reason"], event.get("subject", ""))


def _misplaced(event: Mapping[str, Any]) -> str:
    """What a schema cannot say of a void's range; "" if it is right."""
    first, last = int(event["data"]["from"]), int(event["data"]["to"])
    if first != int(event["socseq"]):
        return f"/data/from: {first} is not the sequence that the event has"
    return f"/data/to: {last} is before from, {first}" if last < first else ""


def _first_error(schema: str, event: Mapping[str, Any]) -> str:
    """`/path/to/member: what is wrong`, or "" if nothing is."""
    error = next(validator(schema).iter_errors(event), None)
    return f"/{'/'.join(map(str, error.instance_path))}: {error.message}" if error else ""


def _deeper(value: object, max_depth: int) -> bool:
    """Whether containers nest deeper than `max_depth`; walks level by level, so it needs no stack itself."""
    level = [value]
    for _ in range(max_depth):
        level = [child for held in level for child in _children(held) if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def _children(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
