"""Alerts of one rule and agency as one message of the feed: a finding that lists them (FEED protocol, "Up").

It tells what they have in common, without evidence; a member that grows is told of by a message of its own.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import structs

from socmon.event import LEVELS, SECOND_US, Alert
from socmon.feed.message import Sender, enveloped, finding_of, system_of
from socmon.feed.sharing import TLPS, must_be_shared, tlp_of
from socmon.feed.signing import Key
from socmon.feed.vocabulary import severity
from socmon.outgoing import Aggregate, Member, Release

MOST_MEMBERS = 500
# Of a message: a member is a uuid and a revision, and all the rest is mostly less than this.
_MEMBER_BYTES = 80
_REST_BYTES = 6_000


def most_members(max_bytes: int) -> int:
    """How many alerts an aggregate may have so that its message fits into a batch of `max_bytes`."""
    return max(2, min(MOST_MEMBERS, (max_bytes - _REST_BYTES) // _MEMBER_BYTES))


def render_aggregate(aggregate: Aggregate, release: Release, sender: Sender, key: Key | None = None) -> bytes:
    """The message that stands for the members of `aggregate`, as `socmon.feed.message.render` makes that of an alert.

    Raises:
        HeldError: one of them is not to leave.
    """
    alerts = [member.alert for member in aggregate.members]
    for alert in alerts:
        must_be_shared(alert, sender.share)
    data = finding_of(_joined(aggregate.id, alerts, sender), sender)
    systems = [system_of(alert, sender) for alert in alerts]
    levels = [level for _, level in systems if level is not None]
    data["severity_id"] = max(severity(alert.level, level) for alert, (_, level) in zip(alerts, systems, strict=True))
    span_s = (max(each.last_us for each in alerts) - min(each.first_us for each in alerts)) // SECOND_US
    data["message"] = f"{data['finding_info']['title']}: {len(alerts)} findings of {data['count']} events in {span_s} s"
    block = data["unmapped"]["vn_soc"]
    block |= _system(systems, levels)
    block["aggregation"]["members"] = [_told(member) for member in aggregate.members]
    return enveloped(aggregate.id, data, release, sender.org_id, key)


def _system(systems: Sequence[tuple[str, int | None]], levels: Sequence[int]) -> dict[str, Any]:
    """The system where all are of one, and the highest level."""
    (system_id, *others) = {name for name, _ in systems}
    told: dict[str, Any] = {"system_id": system_id} if system_id and not others else {}
    return told | ({"system_level": max(levels)} if levels else {})


def _told(member: Member) -> dict[str, Any]:
    return {"uid": member.alert.id, "socrev": member.revision}


def _joined(uid: str, alerts: Sequence[Alert], sender: Sender) -> Alert:
    """One alert that says what is so of all of them: the highest level, the strictest TLP, all events, all their time.

    It names no host, nobody and no system.
    """
    tlp = max((tlp_of(alert.tags, sender.tlp) for alert in alerts), key=TLPS.index)
    tags = dict.fromkeys(tag for alert in alerts for tag in alert.tags if not tag.lower().startswith("tlp."))
    newest = max(alerts, key=lambda alert: (alert.last_us, alert.id))
    return structs.replace(
        newest,
        id=uid,
        level=max((alert.level for alert in alerts), key=LEVELS.index),
        tags=[*tags, f"tlp.{tlp.lower()}"],
        group={},
        first_us=min(alert.first_us for alert in alerts),
        last_us=max(alert.last_us for alert in alerts),
        count=sum(alert.count for alert in alerts),
        approximate=any(alert.approximate for alert in alerts),
        host="",
        system="",
        system_level=None,
        entities={},
        evidence=[],
        t0_us=min((alert.t0_us for alert in alerts if alert.t0_us is not None), default=None),
        duty=None,
    )
