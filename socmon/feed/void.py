"""A void: one message of the feed that takes sequences which no alert will have (FEED protocol, "Up")."""

from collections.abc import Mapping
from typing import Any, get_args

from socmon.component import Release, Void, VoidReason
from socmon.event import SECOND_US, rfc3339
from socmon.feed.message import VOID_SCHEMA, VOID_TYPE, event_id, source_of
from socmon.feed.signing import Key, canonical, sign_event

VOID_REASONS: tuple[VoidReason, ...] = get_args(VoidReason)
LOSSES: frozenset[VoidReason] = frozenset({"expired", "lost_local"})


def void_id(void: Void) -> str:
    """The `id` of the message that stands for `void`; no alert has it, though one may have had the sequence."""
    return event_id(void.release, "void", str(void.to_seq), void.reason)


def render_void(
    release: Release, to_seq: int, reason: VoidReason, sender_org: str, key: Key | None, subject: str = ""
) -> bytes:
    """The message that voids the sequences `release.seq` to `to_seq` of its stream and epoch, in canonical form.

    It is signed as of `release.released_us`; the same arguments make the same bytes, so it may be sent again.

    Args:
        subject: the alert that had the sequence; "" where there are several, or none is known.

    Raises:
        ValueError: the range is empty or begins before 1.
    """
    if not 1 <= release.seq <= to_seq:
        raise ValueError(f"a void of {release.seq} to {to_seq} covers nothing; name the first and the last sequence")
    event: Mapping[str, Any] = {
        "specversion": "1.0",
        "id": void_id(Void(release, to_seq, reason)),
        "source": source_of(sender_org, release.stream),
        "type": VOID_TYPE,
        **({"subject": subject} if subject else {}),
        "time": rfc3339(release.released_us),
        "datacontenttype": "application/json",
        "dataschema": VOID_SCHEMA,
        "socepoch": release.epoch,
        "socseq": f"{release.seq:020}",
        "data": {"from": release.seq, "to": to_seq, "reason": reason},
    }
    return canonical(event) if key is None else sign_event(event, key, release.released_us // SECOND_US)
