"""The chain of proof of an alert: its log lines, the signed message, the centre's receipt; each link by itself."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import msgspec

from socmon.event import Alert, Evidence
from socmon.feed.closing import DISPOSITION
from socmon.feed.message import FINDING_TYPE, event_id
from socmon.feed.receipt import Receipt
from socmon.feed.signing import SIGNATURE, Key, SignatureError, canonical, forms, normal, opened, payload, verify
from socmon.i18n import Message, mark
from socmon.outgoing import Release

State = Literal["ok", "failed", "absent"]
_ACCEPTED = {"stored", "duplicate", "stale"}
_STATUSES = {
    "stored": mark("stored"), "duplicate": mark("duplicate"), "stale": mark("stale"),
    "quarantined": mark("quarantined"), "rejected": mark("rejected"),
}  # fmt: skip
_OUTBOX = {
    "waiting": mark("waiting"), "held": mark("held"), "acknowledged": mark("acknowledged"), "dead": mark("dead"),
    "retried": mark("retried"), "withdrawn": mark("withdrawn"), "dropped": mark("dropped"),
}  # fmt: skip
_NO_RECEIPT = {
    "waiting": mark("there is no answer yet"),
    "withdrawn": mark("there is none: it was taken back before an answer"),
    "dropped": mark("there is none: it was taken back before an answer"),
}
_BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)


class Link(NamedTuple):
    """One link; `name` says which, `why` what was found.

    Attributes:
        state: failed is proof against it; absent means that there is nothing to look at.
    """

    name: str
    state: State
    why: Message


class Whole(NamedTuple):
    """The aggregate that tells of an alert with others, as the outbox has it: its id, revision and state.

    All are empty where it was lost.
    """

    id: str
    revision: int
    state: str


class Proof(NamedTuple):
    """A released message and what is kept of its way.

    Attributes:
        body: empty where the bytes were given up or lost.
        stated: its SHA-256 as it was released, in hexadecimal.
        receipt: as `socmon.feed.receipt.kept` made it; None or "" where there is none.
        state: what the outbox says of it.
        superseded: a newer revision was acknowledged.
        closing: it tells that the alert is withdrawn.
        lifted: by how much the destination's revisions are above the alert's own.
        whole: where the message is an aggregate; the place, bytes and receipt are that one's, the revision and the
            state are of the alert in it.
    """

    release: Release
    body: bytes
    stated: str
    receipt: str | None
    state: str
    superseded: bool
    closing: bool = False
    lifted: int = 0
    whole: Whole | None = None


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
        yield _finding(event, proof, alert)
        yield _signature(event, keys.ours)
    yield _receipt(proof, keys.centre)


def _message(proof: Proof) -> Link:
    if proof.body:
        if sha256(proof.body).hexdigest() == proof.stated:
            return Link(
                "message", "ok", Message(mark("it is what was released: SHA-256 {digest}"), digest=proof.stated)
            )
        return Link("message", "failed", Message(mark("it is not what was released: its SHA-256 is another")))
    if proof.whole and not proof.whole.id and proof.state != "waiting":
        return Link("message", "absent", Message(mark("what told of it with others was lost to damage")))
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


def _finding(event: Mapping[str, Any], proof: Proof, alert: Alert) -> Link:
    """Whether the message tells of this alert, at its place."""
    release = proof.release
    place = (event.get("id"), event.get("socepoch"), event.get("socseq"))
    if place != (event_id(release), release.epoch, f"{release.seq:020}"):
        return Link("finding", "failed", Message(mark("it has the place of another release")))
    if event.get("type") != FINDING_TYPE:
        return Link("finding", "absent", Message(mark("it is no finding: its sequence holds nothing")))
    data = event.get("data")
    info = data.get("finding_info") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(info, dict):
        return Link("finding", "failed", Message(mark("there is none in the message")))
    uid, revision = (proof.whole.id, proof.whole.revision) if proof.whole else (alert.id, release.revision)
    if (event.get("subject"), info.get("uid"), event.get("socrev")) != (uid, uid, revision):
        return Link("finding", "failed", Message(mark("it is of another alert, or of another revision")))
    if proof.whole:
        return _told_with_others(data, release.revision, alert)
    return _withdrawn(data, release.revision) if proof.closing else _told(data, proof, alert)


def _told(data: Mapping[str, Any], proof: Proof, alert: Alert) -> Link:
    """Whether a finding of this alert and revision says what the alert says."""
    now = alert.revision + alert.analyst_revision + proof.lifted
    if proof.release.revision != now:
        text = mark("it tells of this alert at revision {revision}; the alert is at {now}")
        return Link("finding", "ok", Message(text, revision=proof.release.revision, now=now))
    told = (data.get("count"), data.get("start_time"), data.get("end_time"))
    if told != (alert.count, alert.first_us // 1000, alert.last_us // 1000):
        return Link("finding", "failed", Message(mark("it counts other events than the alert of the same revision")))
    return Link("finding", "ok", Message(mark("it tells of this alert as it is: revision {now}"), now=now))


def _told_with_others(data: Mapping[str, Any], revision: int, alert: Alert) -> Link:
    """Whether an aggregate has the alert, at this revision, among its members."""
    try:
        members = list(data["unmapped"]["vn_soc"]["aggregation"]["members"])
    except (LookupError, TypeError):
        return Link("finding", "failed", Message(mark("it is no message of several alerts")))
    if {"uid": alert.id, "socrev": revision} not in members:
        text = mark("this alert at revision {revision} is not among the {count} that it tells of")
        return Link("finding", "failed", Message(text, revision=revision, count=len(members)))
    text = mark("it tells of this alert at revision {revision} among {count} alerts")
    return Link("finding", "ok", Message(text, revision=revision, count=len(members)))


def _withdrawn(data: Mapping[str, Any], revision: int) -> Link:
    """Whether a closing revision is one."""
    try:
        said = data["unmapped"]["vn_soc"]["disposition"]
    except (LookupError, TypeError):
        said = ""
    if said != DISPOSITION:
        return Link("finding", "failed", Message(mark("it does not tell that the alert was withdrawn")))
    text = mark("closing revision {revision}: it tells that this alert was withdrawn")
    return Link("finding", "ok", Message(text, revision=revision))


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
        text = _NO_RECEIPT.get(proof.state, mark("none is kept: the centre signed none, or it was lost"))
        return Link("receipt", "absent", Message(text))
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
    state = proof.whole.state if proof.whole and proof.whole.id else proof.state
    if (status in _ACCEPTED) != (state == "acknowledged"):
        text = mark("it says {status}, and the outbox {state}")
        return Link("receipt", "failed", Message(text, status=_said(_STATUSES, status), state=_said(_OUTBOX, state)))
    if keys is None:
        text = mark("it says {status}; who signed it is not known: set centre_key")
        return Link("receipt", "absent", Message(text, status=_said(_STATUSES, status)))
    text = mark("the centre has signed: {status}, {time}, batch {batch}")
    told = _said(_STATUSES, status)
    return Link("receipt", "ok", Message(text, status=told, time=content.server_time, batch=content.batch_id))


def _said(words: Mapping[str, str], word: object) -> str:
    known = words.get(str(word))
    return Message(known) if known else str(word)[:20]


def _content(token: str, keys: Mapping[str, Key] | None) -> bytes:
    return payload(token) if keys is None else opened(token, keys)
