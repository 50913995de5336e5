"""Messages are CloudEvents 1.0 by the project's own SDK: its schema, and its rules for names and values."""

from datetime import UTC, datetime
from typing import Any

import cloudevents_kit
import msgspec
import pytest
from cloudevents_kit import problems
from feed_kit import EPOCH, KEY, ORG, START_US, alert, evidence, release, void

from forwarders._heartbeat import body
from socmon.feed.aggregate import render_aggregate
from socmon.feed.closing import render_closing
from socmon.feed.message import Sender, render
from socmon.feed.privacy import Policy, PseudonymKey
from socmon.outgoing import Aggregate, Member, Vitals
from socmon.store.aggregating import name_of

pytestmark = pytest.mark.skipif(not cloudevents_kit.is_here(), reason=cloudevents_kit.MISSING)

POLICIES = [Policy(), Policy(raw="masked", internal_ips="pseudonymise", key=PseudonymKey(b"k" * 32, ORG))]


def event(policy: Policy, number: int = 1, **changes: Any) -> dict[str, Any]:
    held = [evidence(1), evidence(2, user="nguyễn thị hoa", dst_ip="10.1.2.3")]
    made = alert(number, evidence=held, **changes)
    message: dict[str, Any] = msgspec.json.decode(render(made, release(number), Sender(ORG, privacy=policy), KEY))
    return message


def test_findings_are_cloud_events() -> None:
    whole = [
        event(policy, number, title="Dò mật khẩu SSH", status=status, level=level)
        for number, (policy, status, level) in enumerate(
            (policy, status, level)
            for policy in POLICIES
            for status in ("open", "acknowledged", "closed")
            for level in ("informational", "critical")
        )
    ]

    assert problems(whole) == [""] * 12


def test_voids_closing_revisions_and_aggregates_are_cloud_events() -> None:
    members = tuple(Member(alert(number), 5) for number in range(1, 4))
    messages = [
        void(1, 4, "expired"),
        void(5, 5, "withdrawn", subject=alert(1).id),
        render_closing(alert(1), release(6, revision=9), Sender(ORG), KEY),
        render_aggregate(Aggregate(name_of(members), members), release(7), Sender(ORG), KEY),
    ]

    assert problems([msgspec.json.decode(each) for each in messages]) == [""] * 4


def test_it_refuses_what_is_none() -> None:
    good = event(Policy())
    wrong = [
        {name: value for name, value in good.items() if name != "id"},
        {name: value for name, value in good.items() if name != "source"},
        good | {"specversion": "2.0"},
        good | {"time": "yesterday"},
        good | {"type": ""},
        good | {"soc_seq": "1"},
    ]

    assert [bool(said) for said in problems([good, *wrong])] == [False] + [True] * 6


def test_a_heartbeat_is_no_event_and_cannot_be_taken_for_one() -> None:
    told = msgspec.json.decode(body(Vitals({"normal": 3}, 1, None, (), ""), {}, Policy(), START_US))

    (said,) = problems([told])

    assert "specversion" in said or "required" in said
    assert datetime.fromisoformat(told["time"]).tzinfo == UTC
    assert EPOCH not in told.values()
