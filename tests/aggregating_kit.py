"""A destination with a quota, whose messages a test can read."""

from collections.abc import Callable

import msgspec
from store_kit import START_US, S

from socmon.errors import HeldError
from socmon.event import Alert
from socmon.outgoing import Aggregate, Quota, Release, Void
from socmon.store import Routing

MINUTE_US = 60 * S
NOW_US = START_US + 3600 * S


def render(item: Alert, release: Release) -> bytes:
    if item.title == "red":
        raise HeldError("TLP:RED never leaves")
    if item.title == "odd":
        raise ValueError("no words for this")
    return f"{item.id} r{release.revision}".encode()


def render_all(aggregate: Aggregate, release: Release) -> bytes:
    members = [(member.alert.id, member.revision) for member in aggregate.members]
    for member in aggregate.members:
        render(member.alert, release)
    return msgspec.json.encode({"id": aggregate.id, "members": members})


def void(item: Void) -> bytes:
    return f"void {item.release.seq} {item.reason}".encode()


def stream(item: Alert) -> str:
    return "urgent" if item.level == "critical" else "normal"


def routing(per_minute: int = 2, most: int = 500, aggregate: Callable[..., bytes] = render_all) -> Routing:
    quota = Quota(per_minute, frozenset({"urgent"}), most)
    return Routing("up", stream, render, void, quota, aggregate)
