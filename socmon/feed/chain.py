"""The chain of proof of an alert: its log lines, the signed message, the centre's receipt; each link by itself."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import msgspec

from socmon.component import Release
from socmon.event import Alert, Evidence
from socmon.feed.message import FINDING_TYPE, event_id
from socmon.feed.receipt import Receipt
from socmon.feed.signing import SIGNATURE, Key, SignatureError, canonical, forms, normal, opened, payload, verify
from socmon.i18n import Message, mark

State = Literal["ok", "failed", "absent"]
_ACCEPTED = {"stored", "duplicate", "stale"}
_BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)


class Link(NamedTuple):
    """One link; `name` says which, `why` what was found.

    Attributes:
        state: failed is proof against it; absent means that there is nothing to look at.
    """

    name: str
    state: State
    why: Message


class Proof(NamedTuple):
    """A released message and what is kept of its way.

    Attributes:
        body: empty where the bytes were given up or lost.
        stated: its SHA-256 as it was released, in hexadecimal.
        receipt: as `socmon.feed.receipt.kept` made it; None or "" where there is none.
        state: what the outbox says of it.
        superseded: a newer revision was acknowledged.
    """

    release: Release
    body: bytes
    stated: str
    receipt: str | None
    state: str
    superseded: bool


class Keys(NamedTuple):
    """Whose signatures are looked at; None where it is not known which keys those are."""

    ours: Mapping[str, Key] | None
    centre: Mapping[str, Key] | None


def line_link(evidence: Evidence) -> Link:
    """Whether a kept line is what was received."""
    name = f"line {evidence.seq}"
    if sha256(evidence.raw.encode("utf-8", "surrogatepass")).hexdigest() == evidence.sha256:
        return Link(name, "ok", Message(mark("it is what was received: SHA-256 {digest}"), digest=evidence.sha256))
    if evidence.cut:
        return Link(name, "absent", Message(mark("only its beginning is kept; the journal has it whole")))
    if "\\" in evidence.raw:
        return Link(
            name, "absent", Message(mark("it was no UTF-8, and is kept in other bytes; the journal has its own"))
        )
    return Link(name, "failed", Message(mark("it is not what was received: its SHA-256 is another")))


def links(proof: Proof, alert: Alert, keys: Keys) -> Iterator[Link]:
    """Message, finding, signature and receipt, in this order."""
    message = _message(proof)
    yield message
    event = _event(proof.body) if message.state == "ok" else None
    if message.state == "absent":
        gone = Message(mark("the message is not here any more"))
        yield Link("finding", "absent", gone)
        yield Link("signature", "absent", gone)
    elif event is None or message.state == "failed":
        unread = Message(mark("the message is not one of the feed, or is not what was released"))
        state: State = "failed" if message.state == "failed" else "absent"
        yield Link("finding", state, unread)
        yield Link("signature", state, unread)
    else:
        yield _finding(event, proof.release, alert)
        yield _signature(event, keys.ours)
    yield _receipt(proof, keys.centre)


def _message(proof: Proof) -> Link:
    if proof.body:
        if sha256(proof.body).hexdigest() == proof.stated:
            return Link(
                "message", "ok", Message(mark("it is what was released: SHA-256 {digest}"), digest=proof.stated)
            )
        return Link("message", "failed", Message(mark("it is not what was released: its SHA-256 is another")))
    if proof.superseded and proof.state != "waiting":
        return Link("message", "absent", Message(mark("a newer revision holds it: its bytes were given up")))
    if proof.state == "acknowledged":
        return Link("message", "absent", Message(mark("its bytes were lost to damage, after the centre had it")))
    return Link("message", "failed", Message(mark("its bytes are gone, and nothing holds them")))


def _event(body: bytes) -> dict[str, Any] | None:
    try:
        event = msgspec.json.decode(body)
    except _BROKEN:
        return None
    return event if isinstance(event, dict) and "socseq" in event else None


def _finding(event: Mapping[str, Any], release: Release, alert: Alert) -> Link:
    """Whether the message tells of this alert, at its place."""
    place = (event.get("id"), event.get("socepoch"), event.get("socseq"))
    if place != (event_id(release), release.epoch, f"{release.seq:020}"):
        return Link("finding", "failed", Message(mark("it has the place of another release")))
    if event.get("type") != FINDING_TYPE:
        return Link("finding", "absent", Message(mark("it is no finding: its sequence holds nothing")))
    data = event.get("data")
    info = data.get("finding_info") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(info, dict):
        return Link("finding", "failed", Message(mark("there is none in the message")))
    return _told(event, data, info, release, alert)


def _told(
    event: Mapping[str, Any], data: Mapping[str, Any], info: Mapping[str, Any], release: Release, alert: Alert
) -> Link:
    """Whether a finding is of this alert and revision."""
    stated = (event.get("subject"), info.get("uid"), event.get("socrev"))
    if stated != (alert.id, alert.id, release.revision):
        return Link("finding", "failed", Message(mark("it is of another alert, or of another revision")))
    now = alert.revision + alert.analyst_revision
    if release.revision != now:
        text = mark("it tells of this alert at revision {revision}; the alert is at {now}")
        return Link("finding", "ok", Message(text, revision=release.revision, now=now))
    told = (data.get("count"), data.get("start_time"), data.get("end_time"))
    if told != (alert.count, alert.first_us // 1000, alert.last_us // 1000):
        return Link("finding", "failed", Message(mark("it counts other events than the alert of the same revision")))
    return Link("finding", "ok", Message(mark("it tells of this alert as it is: revision {now}"), now=now))


def _signature(event: Mapping[str, Any], keys: Mapping[str, Key] | None) -> Link:
    if SIGNATURE not in event:
        return Link("signature", "absent", Message(mark("the message was not signed")))
    if keys is None:
        return Link("signature", "absent", Message(mark("our public keys are not known: set signing_key")))
    try:
        key = verify(event[SIGNATURE], forms(event)[1], keys)
    except SignatureError as error:
        return Link("signature", "failed", Message(mark("it does not vouch for the message: {code}"), code=error.code))
    except ValueError:
        return Link("signature", "failed", Message(mark("the message has no canonical form")))
    return Link("signature", "ok", Message(mark("key {kid} has signed it"), kid=key.kid))


def _receipt(proof: Proof, keys: Mapping[str, Key] | None) -> Link:
    if not proof.receipt:
        if proof.state == "waiting":
            return Link("receipt", "absent", Message(mark("there is no answer yet")))
        return Link("receipt", "absent", Message(mark("none is kept: the centre signed none, or it was lost")))
    try:
        kept = msgspec.json.decode(proof.receipt)
        token, results = str(kept["receipt"]), kept["results"]
        said = canonical(results)
        line = next((each for each in results if each[0] == event_id(proof.release)), None)
        content = msgspec.json.decode(_content(token, keys), type=Receipt)
    except SignatureError as error:
        return Link("receipt", "failed", Message(mark("the centre has not signed it: {code}"), code=error.code))
    except (*_BROKEN, LookupError, TypeError):
        return Link("receipt", "failed", Message(mark("it cannot be read")))
    if content.results_sha256 != sha256(said).hexdigest():
        return Link("receipt", "failed", Message(mark("it is of other results than those that are kept with it")))
    return _result(proof, line, content, keys)


def _result(proof: Proof, line: Sequence[Any] | None, content: Receipt, keys: Mapping[str, Key] | None) -> Link:
    """What a receipt, which is what was signed, says of this message."""
    if line is None or len(line) != 5 or line[1] != proof.release.seq:
        return Link("receipt", "failed", Message(mark("it does not name this message")))
    _, _, status, _, digest = line
    if proof.body and digest != sha256(normal(proof.body)).hexdigest():
        return Link("receipt", "failed", Message(mark("it is of other bytes than this message's")))
    if (status in _ACCEPTED) != (proof.state == "acknowledged"):
        text = mark("it says {status}, and the outbox {state}")
        return Link("receipt", "failed", Message(text, status=str(status)[:20], state=proof.state))
    if keys is None:
        text = mark("it says {status}; who signed it is not known: set centre_key")
        return Link("receipt", "absent", Message(text, status=str(status)[:20]))
    text = mark("the centre has signed: {status}, {time}, batch {batch}")
    return Link("receipt", "ok", Message(text, status=status, time=content.server_time, batch=content.batch_id))


def _content(token: str, keys: Mapping[str, Key] | None) -> bytes:
    return payload(token) if keys is None else opened(token, keys)
