"""What the centre's answers to a batch mean for each of its messages."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256

import msgspec
from msgspec import Struct

from socmon.errors import BlockedError
from socmon.feed.batch import Reply, Result, ResultStatus
from socmon.feed.message import event_id
from socmon.feed.signing import SIGNATURE_CODES, Key, kid_of
from socmon.feed.void import void_id
from socmon.outgoing import Outcome, OutcomeStatus, Released
from socmon.text import printable

TOO_LARGE = 413
_MALFORMED = 400
_UNSUPPORTED = 415

_STATUS: dict[ResultStatus, OutcomeStatus] = {
    "stored": "accepted",
    "duplicate": "duplicate",
    "stale": "stale",
    "quarantined": "rejected",
    "rejected": "rejected",
}
# What a person mends by giving one side another key, and no fault of the message; damage is one.
_KEY_CODES = SIGNATURE_CODES - {"bad_sig"}
_MAX_CODE = 64


class _Refusal(Struct, frozen=True):
    """The body of an answer that refuses a whole batch."""

    error: str = ""
    supported: list[str] = []


class _Stated(Struct, frozen=True):
    dataschema: str


class Divided(Struct, frozen=True):
    """A batch that was refused as a whole: what is answered for by that, and parts to be sent by themselves."""

    outcomes: list[Outcome]
    parts: list[Sequence[Released]]


def message_id(item: Released) -> str:
    """The `id` of a message."""
    return event_id(item.release) if item.void is None else void_id(item.void)


def divided(part: Sequence[Released], status: int, body: bytes) -> Divided | None:
    """What becomes of a batch for which the centre refused all of it; None where dividing it helps nobody.

    - 413: it is halved; a single message is a dead letter.
    - 400 because it is no JSON: a message of ours that is none is a dead letter, and the rest is sent without it.
    - 415 because of a schema: messages of a schema that is not on the centre's list are held, the rest goes.
    """
    refusal = _Refusal()
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        refusal = msgspec.json.decode(body, type=_Refusal)
    if status == TOO_LARGE:
        if len(part) == 1:
            return Divided([Outcome(part[0].id, "rejected", "too_large")], [])
        half = len(part) // 2
        return Divided([], [part[:half], part[half:]])
    schemas = [_schema(item) for item in part]
    if status == _MALFORMED and refusal.error == "json":
        bad = [item for item, schema in zip(part, schemas, strict=True) if schema is None]
        outcomes = [Outcome(item.id, "rejected", "damaged") for item in bad]
    elif status == _UNSUPPORTED and refusal.error == "schema":
        bad = [item for item, schema in zip(part, schemas, strict=True) if schema not in refusal.supported]
        outcomes = [Outcome(item.id, "held", "schema") for item in bad]
    else:
        return None
    left = [item for item in part if item not in bad]
    return Divided(outcomes, [left] if left else []) if bad else None


def _schema(item: Released) -> str | None:
    """The schema that a message states; None where it is no message."""
    try:
        return msgspec.json.decode(item.body, type=_Stated).dataschema
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def outcomes(
    part: Sequence[Released], reply: Reply, kept: str, key_now: Callable[[], Key | None], url: str
) -> list[Outcome]:
    """What the centre said of each message of `part`.

    Args:
        kept: what is kept of its receipt.
        key_now: what messages are signed with now, if anything; asked where the centre does not take a key.

    Raises:
        BlockedError: by `key_now`.
    """
    by_id: Mapping[str, Result] = {result.id: result for result in reply.results}
    key = key_now() if any(result.code in _KEY_CODES for result in reply.results) else None
    kid = key.kid if key else ""
    return [_outcome(item, by_id[message_id(item)], reply, kept, kid, url) for item in part]


def _outcome(item: Released, result: Result, reply: Reply, kept: str, kid: str, url: str) -> Outcome:
    code = printable(result.code)[:_MAX_CODE]
    if result.code in _KEY_CODES:
        return _of_keys(item, code, kid, url)
    place = reply.committed
    is_held = place is not None and (place.epoch, place.seq) >= (item.release.epoch, item.release.seq)
    return Outcome(
        item.id,
        _STATUS[result.status],
        code,
        receipt=kept,
        revision=result.socrev,
        keeps_seq=result.status == "quarantined" and is_held,
    )


def _of_keys(item: Released, code: str, kid: str, url: str) -> Outcome:
    """A message that the centre cannot trust for its key: signed anew where there is another key, else it waits."""
    used = kid_of(item.body)
    if kid and kid != used:
        return Outcome(item.id, "replaced", code)
    if not used:
        what = f"{url} takes nothing that is not signed"
        remedy = "make a key with `socmon keys gen`, name it in signing_key, and give the centre its public part"
    else:
        what = f"{url} does not take what key {printable(used)[:_MAX_CODE]} has signed ({code})"
        remedy = (
            "ask the centre to add our public key, which `socmon keys show` prints; or make one, `socmon keys rotate`"
        )
    return Outcome(item.id, "retry", code, blocked=BlockedError(what, reason=code, remedy=remedy))


def is_damaged(item: Released) -> bool:
    """Whether the bytes are not those that were written down at the release."""
    return bool(item.sha256) and sha256(item.body).hexdigest() != item.sha256


def leaves_gap(reply: Reply, part: Sequence[Released]) -> bool:
    """Whether the centre misses a sequence before the last one of `part`, in the epoch of that."""
    last, place = part[-1].release, reply.committed
    return place is not None and (place.epoch, place.seq) < (last.epoch, last.seq)
