"""The centre's receipt for a batch: a JWS over what it has committed of which bytes (RFC 7515)."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from socmon.errors import ParseError
from socmon.feed.batch import Committed, Reply, Result
from socmon.feed.signing import Key, canonical, opened, sign


class Receipt(Struct, frozen=True):
    """What is signed.

    Attributes:
        results_sha256: of the lines of `lines`, in hexadecimal.
    """

    batch_id: str
    committed: Committed | None
    results_sha256: str
    server_time: str


def lines(results: Sequence[Result], digests: Sequence[str]) -> list[list[Any]]:
    """[id, seq, status, code, sha256 of the event in hexadecimal] of each event, in the order of the batch."""
    return [
        [result.id, result.seq, result.status, result.code, digest]
        for result, digest in zip(results, digests, strict=True)
    ]


def issue(reply: Reply, digests: Sequence[str], key: Key, time_s: int) -> str:
    """The receipt that goes with `reply`, for events with these SHA-256 `digests`."""
    content = _receipt(reply, lines(reply.results, digests))
    return sign(canonical(msgspec.to_builtins(content)), key, time_s, detached=False)


def check(reply: Reply, digests: Sequence[str], keys: Mapping[str, Key]) -> None:
    """See that the receipt of `reply` is the centre's, and says what the reply says of events with these `digests`.

    Raises:
        ParseError: there is none, or it is not to be trusted.
    """
    if not reply.receipt:
        raise ParseError("the reply has no receipt, and centre_key is set")
    content = opened(reply.receipt, keys)
    wanted = canonical(msgspec.to_builtins(_receipt(reply, lines(reply.results, digests))))
    if content != wanted:
        raise ParseError("the receipt is not of this reply to these events")


def kept(reply: Reply, digests: Sequence[str]) -> str:
    """What the sender keeps: JSON of the receipt and the lines that it is over, so that anyone can verify it alone."""
    if not reply.receipt:
        return ""
    return msgspec.json.encode({"receipt": reply.receipt, "results": lines(reply.results, digests)}).decode()


def _receipt(reply: Reply, said: list[list[Any]]) -> Receipt:
    return Receipt(reply.batch_id, reply.committed, sha256(canonical(said)).hexdigest(), reply.server_time)
