"""A heartbeat: how a sender is, told to the centre each minute, apart from its batches (FEED protocol, "Heartbeat")."""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from socmon.errors import ParseError
from socmon.feed.checking import validator

HEARTBEATS_PATH = "/feed/v1/heartbeats"
EVERY_S = 60.0
MISSED = 3  # so many heartbeats that do not come make a sender silent
MAX_BYTES = 64 * 1024
MAX_NAMES = 100
MAX_NAME_CHARS = 128


class Heartbeat(Struct, frozen=True, kw_only=True):
    """How a sender is.

    Attributes:
        time: the sender's clock, RFC 3339; the centre tells the skew by it.
        backlog: released messages without an answer, by stream.
        pending: alerts that are not released yet, so in no stream.
        oldest_s: age of the oldest of both in seconds; None where nothing waits.
        silent: names of expected sources that are silent, the first `MAX_NAMES` of `silent_sources`.
        certificate_expires: when the first of the sender's certificates ends, RFC 3339; None where it cannot say.
        rules: version of its rule set: sixteen hexadecimal digits that differ when the rules do; "" if unknown.
        version: of its socmon.
    """

    time: str
    backlog: Mapping[str, int]
    pending: int
    oldest_s: int | None
    silent: tuple[str, ...]
    silent_sources: int
    certificate_expires: str | None
    rules: str
    version: str


class HeartbeatReply(Struct, frozen=True):
    """The centre's answer: its own clock, RFC 3339."""

    server_time: str


def read_heartbeat(body: bytes) -> Heartbeat:
    """A heartbeat as it came; members that are not known here are passed over.

    Raises:
        ParseError: it is none, by `schemas/heartbeat.v1.json`.
    """
    try:
        told = msgspec.json.decode(body)
        error = next(validator("heartbeat.v1").iter_errors(told), None)
        if error is None:
            return msgspec.convert(told, Heartbeat)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as damage:
        raise ParseError(f"not a heartbeat: {str(damage)[:200]}; see heartbeat.v1.json") from damage
    place = "/".join(map(str, error.instance_path))
    raise ParseError(f"not a heartbeat: /{place}: {error.message[:200]}; see heartbeat.v1.json")


def moment(text: str) -> datetime:
    """RFC 3339 to a time in UTC.

    Raises:
        ParseError: it is none, or one that no calendar has.
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ParseError(f"{text[:40]!r} is no time; write 2026-11-27T08:00:00Z") from error
