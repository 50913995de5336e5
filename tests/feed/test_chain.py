"""The chain of proof, link by link: whatever is changed in it breaks the link that stands on it, and no other."""

import hashlib
from typing import Any

import msgspec
import pytest
from feed_kit import ORG, alert, evidence, release
from msgspec.structs import replace

from socmon.event import SECOND_US
from socmon.feed import receipt
from socmon.feed.aggregate import render_aggregate
from socmon.feed.batch import Committed, Reply, Result, Window
from socmon.feed.chain import Keys, Proof, Whole, line_link, links
from socmon.feed.closing import render_closing
from socmon.feed.keys import signing_key
from socmon.feed.message import Sender, event_id, render
from socmon.feed.signing import normal
from socmon.outgoing import Aggregate, Member

OURS, CENTRE = signing_key(), signing_key()
KEYS = Keys({OURS.kid: OURS}, {CENTRE.kid: CENTRE})
ALERT, PLACE = alert(), release()
BODY = render(ALERT, PLACE, Sender(org_id=ORG), OURS)
OTHER = render(alert(2), release(2), Sender(org_id=ORG), OURS)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def receipt_of(body: bytes = BODY, status: str = "stored", seq: int = PLACE.seq, uid: str = "") -> str:
    result = Result(uid or event_id(PLACE), seq, msgspec.convert(status, Any), "")
    reply = Reply("batch-1", Committed(PLACE.epoch, seq), [result], Window(1, 1, 0), "2026-11-28T00:00:00Z")
    digests = [digest(normal(body))]
    token = receipt.issue(reply, digests, CENTRE, PLACE.released_us // SECOND_US)
    return receipt.kept(replace(reply, receipt=token), digests)


PROOF = Proof(PLACE, BODY, digest(BODY), receipt_of(), "acknowledged", superseded=False)


def states(proof: Proof, keys: Keys = KEYS, **changes: Any) -> dict[str, str]:
    return {link.name: link.state for link in links(proof, replace(ALERT, **changes), keys)}


ALL_OK = dict.fromkeys(("message", "finding", "signature", "receipt"), "ok")


def test_a_whole_chain_holds() -> None:
    assert states(PROOF) == ALL_OK


@pytest.mark.parametrize("status", ["duplicate", "stale"])
def test_what_the_centre_had_already_is_acknowledged_too(status: str) -> None:
    assert states(PROOF._replace(receipt=receipt_of(status=status))) == ALL_OK


def test_an_older_revision_is_of_the_alert_as_it_was() -> None:
    assert states(PROOF, revision=9, count=9) == ALL_OK


@pytest.mark.parametrize("at", range(0, len(BODY), 97))
def test_a_flipped_bit_of_a_message_breaks_all_but_what_the_centre_says(at: int) -> None:
    body = BODY[:at] + bytes([BODY[at] ^ 1]) + BODY[at + 1 :]

    found = states(PROOF._replace(body=body))

    assert [found[name] for name in ("message", "finding", "signature", "receipt")] == ["failed"] * 4


def test_bytes_that_were_put_in_with_their_hash_are_not_signed_nor_received() -> None:
    # The chain shows a change by somebody who can write to the store, and has no key.
    event = msgspec.json.decode(BODY)
    event["data"]["message"] = "nothing happened"
    body = msgspec.json.encode(event)

    found = states(PROOF._replace(body=body, stated=digest(body)))

    assert found == {"message": "ok", "finding": "ok", "signature": "failed", "receipt": "failed"}


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"body": OTHER, "stated": digest(OTHER)}, {"finding", "receipt"}),
        ({"receipt": receipt_of(OTHER)}, {"receipt"}),
        ({"receipt": receipt_of(seq=2)}, {"receipt"}),
        ({"receipt": receipt_of(uid="another")}, {"receipt"}),
        ({"receipt": receipt_of(status="quarantined")}, {"receipt"}),
        ({"receipt": receipt_of().replace('"stored"', '"stale"')}, {"receipt"}),
        ({"receipt": "{}"}, {"receipt"}),
        ({"receipt": "no JSON"}, {"receipt"}),
        ({"receipt": '{"receipt": "a.b.c", "results": []}'}, {"receipt"}),
        ({"receipt": '{"receipt": 7, "results": 8}'}, {"receipt"}),
        ({"state": "dead"}, {"receipt"}),
    ],
)
def test_what_is_put_in_from_elsewhere_breaks_its_link(changes: dict[str, Any], broken: set[str]) -> None:
    found = states(PROOF._replace(**changes))

    assert {name for name, state in found.items() if state == "failed"} == broken


@pytest.mark.parametrize(
    "changes", [{"id": "00000000-0000-5000-8000-000000000001"}, {"count": 6}, {"last_us": ALERT.last_us + SECOND_US}]
)
def test_a_message_of_another_alert_breaks_the_finding(changes: dict[str, Any]) -> None:
    assert states(PROOF, **changes) == ALL_OK | {"finding": "failed"}


def test_keys_of_others_vouch_for_nothing() -> None:
    other = signing_key()

    assert states(PROOF, Keys({other.kid: other}, KEYS.centre)) == ALL_OK | {"signature": "failed"}
    assert states(PROOF, Keys(KEYS.ours, {other.kid: other})) == ALL_OK | {"receipt": "failed"}
    compromised = msgspec.structs.replace(OURS, compromised=True)
    assert states(PROOF, Keys({OURS.kid: compromised}, KEYS.centre)) == ALL_OK | {"signature": "failed"}


def test_without_keys_it_is_said_that_nobody_can_look() -> None:
    assert states(PROOF, Keys(None, None)) == ALL_OK | {"signature": "absent", "receipt": "absent"}
    changed = PROOF._replace(receipt=receipt_of(OTHER))
    assert states(changed, Keys(None, None))["receipt"] == "failed"


def test_what_was_given_up_or_was_never_there_is_absent() -> None:
    given_up = PROOF._replace(body=b"", superseded=True)
    assert states(given_up) == {"message": "absent", "finding": "absent", "signature": "absent", "receipt": "ok"}
    waiting = PROOF._replace(state="waiting", receipt=None)
    assert states(waiting) == ALL_OK | {"receipt": "absent"}
    unsigned = render(ALERT, PLACE, Sender(org_id=ORG))
    found = states(PROOF._replace(body=unsigned, stated=digest(unsigned), receipt=None))
    assert found == ALL_OK | {"signature": "absent", "receipt": "absent"}


def test_bytes_that_nothing_holds_are_missed() -> None:
    assert states(PROOF._replace(body=b"", state="waiting", receipt=None))["message"] == "failed"


def test_a_message_to_a_destination_that_is_no_centre_has_no_more_than_its_hash() -> None:
    body = b"<13>Nov 28 00:00:00 a line of syslog"
    proof = PROOF._replace(body=body, stated=digest(body), receipt=None)

    assert states(proof) == {"message": "ok", "finding": "absent", "signature": "absent", "receipt": "absent"}


def test_a_line_is_what_was_received_or_is_not_whole_here() -> None:
    line = evidence()
    whole = replace(line, sha256=digest(line.raw.encode()))

    assert line_link(whole).state == "ok"
    assert line_link(replace(whole, raw=whole.raw + " ")).state == "failed"
    assert line_link(replace(whole, raw=whole.raw[:9], cut=True)).state == "absent"
    assert line_link(replace(whole, raw="\\xff")).state == "absent"


PARTS = tuple(Member(alert(number), 5 + number) for number in range(1, 4))
TOGETHER = release(revision=1)
AGGREGATE = render_aggregate(Aggregate("an aggregate", PARTS), TOGETHER, Sender(org_id=ORG), OURS)
WITHIN = Proof(
    replace(TOGETHER, revision=6), AGGREGATE, digest(AGGREGATE), receipt_of(AGGREGATE), "acknowledged",
    superseded=False, whole=Whole("an aggregate", 1, "acknowledged"),
)  # fmt: skip


def test_a_member_is_proved_by_the_message_that_tells_of_it_with_others() -> None:
    assert states(WITHIN) == ALL_OK
    (_, finding, *_) = links(WITHIN, ALERT, KEYS)
    assert str(finding.why) == "it tells of this alert at revision 6 among 3 alerts"


@pytest.mark.parametrize(
    "changes",
    [
        {"release": replace(TOGETHER, revision=7)},
        {"whole": Whole("another", 1, "acknowledged")},
        {"whole": Whole("an aggregate", 2, "acknowledged")},
        {"body": BODY, "stated": digest(BODY), "receipt": receipt_of(), "whole": Whole(ALERT.id, 5, "acknowledged")},
    ],
)
def test_a_member_at_another_revision_or_in_another_message_breaks_the_finding(changes: dict[str, Any]) -> None:
    assert states(WITHIN._replace(**changes)) == ALL_OK | {"finding": "failed"}


def test_a_member_that_went_another_way_since_is_in_the_message_still() -> None:
    for state in ("retried", "withdrawn", "dropped"):
        whole = Whole("an aggregate", 1, "retried")
        found = states(WITHIN._replace(state=state, whole=whole, receipt=None))
        assert found == ALL_OK | {"receipt": "absent"}


def test_a_member_whose_message_was_lost_is_broken_while_it_waits() -> None:
    lost = WITHIN._replace(body=b"", receipt=None, whole=Whole("", 0, ""))

    assert states(lost._replace(state="retried"))["message"] == "absent"
    assert states(lost._replace(state="waiting"))["message"] == "failed"


def test_a_closing_revision_is_known_and_no_finding_passes_for_one() -> None:
    place = release(revision=6)
    body = render_closing(ALERT, place, Sender(org_id=ORG), OURS)
    proof = Proof(
        place, body, digest(body), receipt_of(body), "acknowledged", superseded=False, closing=True, lifted=1
    )  # fmt: skip

    assert states(proof) == ALL_OK
    (_, finding, *_) = links(proof, ALERT, KEYS)
    assert str(finding.why) == "closing revision 6: it tells that this alert was withdrawn"
    assert states(PROOF._replace(closing=True)) == ALL_OK | {"finding": "failed"}


def test_a_revision_that_was_lifted_is_the_alerts_of_now() -> None:
    place = release(revision=7)
    body = render(ALERT, place, Sender(org_id=ORG), OURS)
    proof = Proof(place, body, digest(body), receipt_of(body), "acknowledged", superseded=False, lifted=2)

    (_, finding, *_) = links(proof, ALERT, KEYS)
    assert str(finding.why) == "it tells of this alert as it is: revision 7"
    assert states(proof, count=9) == ALL_OK | {"finding": "failed"}
