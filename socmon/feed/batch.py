"""A batch of events as it travels, and the centre's answer to it (FEED protocol; digest: RFC 9530, section 2)."""

import re
import zlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Literal

import msgspec
from msgspec import Struct

from socmon.errors import ParseError

BATCHES_PATH = "/feed/v1/batches"
CURSORS_PATH = "/feed/v1/cursors"
ORGANISATION = "organisation"  # of the query: whose cursors are asked for
BATCH_TYPE = "application/cloudevents-batch+json"
BATCH_ID = "Batch-Id"
CONTENT_DIGEST = "Content-Digest"

_GZIP = 31  # zlib's wbits for a gzip member with the largest window
_GZIP_FROM_BYTES = 1024  # smaller bodies gain nothing

_MAX_SEQ = 10**18 - 1
# Of what the centre may claim to hold: the schema's bound for `socrev`, less room for a billion more of ours.
_MAX_REVISION = 1 << 30
_MAX_STREAMS = 64
_EPOCH = re.compile(r"0[0-9a-f]{11}")  # as ours are; a centre that states others would decide what comes after them

ResultStatus = Literal["stored", "duplicate", "stale", "quarantined", "rejected"]


class Committed(Struct, frozen=True):
    """The last sequence of the stream's newest epoch before which none is missing."""

    epoch: str
    seq: int


class Cursor(Struct, frozen=True):
    """How far the centre has a stream of the one who asks: as `Committed`, of the stream's newest epoch.

    Attributes:
        last: the last sequence that it has, stored, void or quarantined in its place.
        beyond: how many of them come after `seq`.
    """

    stream: str
    epoch: str
    seq: int
    last: int
    beyond: int


class Cursors(Struct, frozen=True):
    """The answer to `GET CURSORS_PATH`: a cursor for each stream that the centre has had anything of, by name.

    Attributes:
        organisation: who asked, by the certificate; another one's cursors would make us send everything again.
        server_time: the centre's clock, RFC 3339.
    """

    organisation: str
    cursors: list[Cursor]
    server_time: str


class Result(Struct, frozen=True, omit_defaults=True):
    """What became of one event.

    Attributes:
        id: as the event states it; "" if it could not be read.
        seq: `socseq` as a number; 0 if it could not be read.
        code: the reason, one word; "" if none.
        socrev: with `stale`, the revision that the centre holds.
    """

    id: str
    seq: int
    status: ResultStatus
    code: str
    socrev: int | None = None


class Window(Struct, frozen=True):
    """What the centre takes at a time; `max_bytes` counts the body before compression."""

    max_events: int
    max_bytes: int
    retry_after_ms: int


class Reply(Struct, frozen=True, omit_defaults=True):
    """The answer to a batch: one result for each event, in its order.

    Attributes:
        receipt: a JWS of the centre's (see `socmon.feed.receipt`); "" from a centre that signs nothing.
    """

    batch_id: str
    committed: Committed | None
    results: list[Result]
    window: Window
    server_time: str
    receipt: str = ""


class RefusedError(ParseError):
    """A whole request is refused.

    Attributes:
        status: of HTTP.
        code: one word that a program can act upon.
        retry_after_s: when to come again; 0 says nothing.
    """

    def __init__(self, status: int, code: str, message: str, *, retry_after_s: int = 0) -> None:
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s
        super().__init__(message)


def pack(messages: Sequence[bytes], batch_id: str) -> tuple[dict[str, str], bytes]:
    """Headers and body of the request that carries `messages`, each one JSON object."""
    body = b"[" + b",".join(messages) + b"]"
    headers = {"Content-Type": BATCH_TYPE, BATCH_ID: batch_id}
    if len(body) >= _GZIP_FROM_BYTES:
        compressor = zlib.compressobj(level=1, wbits=_GZIP)
        body = compressor.compress(body) + compressor.flush()
        headers["Content-Encoding"] = "gzip"
    return headers | {CONTENT_DIGEST: content_digest(body)}, body


def packed_size(messages: Sequence[bytes]) -> int:
    """Bytes of the body that `pack` makes of `messages`, before compression."""
    return sum(map(len, messages)) + max(len(messages), 1) + 1


def content_digest(content: bytes) -> str:
    """The header's value for `content` as it is on the wire, compressed or not."""
    return f"sha-256=:{b64encode(sha256(content).digest()).decode()}:"


def check_digest(header: str | None, content: bytes) -> None:
    """Compare `content` with the sha-256 of its `Content-Digest`; other algorithms beside it are not read.

    Raises:
        RefusedError: 400, there is none or it differs.
    """
    stated = dict(part.strip().partition("=")[::2] for part in (header or "").split(","))
    value = stated.get("sha-256", "")
    try:
        digest = b64decode(value[1:-1], validate=True) if value[:1] == value[-1:] == ":" else b""
    except (Base64Error, ValueError):
        digest = b""
    if not digest:
        raise RefusedError(400, "digest_missing", f"no sha-256 in {CONTENT_DIGEST}; write it as RFC 9530 says")
    if digest != sha256(content).digest():
        raise RefusedError(
            400, "digest_mismatch", f"the body is not the one that {CONTENT_DIGEST} was made of; send again"
        )


def unpack(content: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body before compression; never makes more than `max_bytes` of it.

    Raises:
        RefusedError: 400 damaged, 413 too large, 415 another encoding than gzip or identity.
    """
    if encoding == "identity":
        body = content
    elif encoding == "gzip":
        body = _gunzip(content, max_bytes)
    else:
        raise RefusedError(415, "encoding", f"content encoding {encoding[:40]!r} is not read; use gzip or identity")
    if len(body) > max_bytes:
        raise RefusedError(413, "too_large", f"the batch is larger than {max_bytes} bytes; send fewer events at a time")
    return body


def _gunzip(content: bytes, max_bytes: int) -> bytes:
    """At most one byte more than `max_bytes`, so that the caller sees a bomb without making it."""
    reader = zlib.decompressobj(wbits=_GZIP)
    try:
        body = reader.decompress(content, max_bytes + 1)
    except zlib.error as error:
        raise RefusedError(400, "gzip", f"the body is not gzip: {error}") from error
    if len(body) <= max_bytes and (not reader.eof or reader.unused_data):
        raise RefusedError(400, "gzip", "the body is not one whole gzip member")
    return body


def read_reply(body: bytes, batch_id: str, sent: Mapping[str, int]) -> Reply:
    """The answer to the batch `batch_id`, whose events were `sent` (id → sequence).

    Raises:
        ParseError: it is not an answer to exactly these events, or says what cannot be.
    """
    try:
        reply = msgspec.json.decode(body, type=Reply)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ParseError(f"the reply is not one of the feed: {error}") from error
    if reply.batch_id != batch_id:
        raise ParseError(f"the reply is for batch {reply.batch_id[:64]!r}, not for {batch_id}")
    answered = {result.id: result.seq for result in reply.results}
    if len(reply.results) != len(sent) or answered != sent:
        raise ParseError(f"the reply lists {len(reply.results)} events that are not the {len(sent)} sent")
    # We go on from there: one that cannot be would leave no revision that can be sent.
    if beyond := [each.socrev for each in reply.results if each.socrev and not 0 < each.socrev <= _MAX_REVISION]:
        raise ParseError(f"the reply states revision {str(beyond[0])[:40]}; at most {_MAX_REVISION} can be")
    return reply


def read_cursors(body: bytes, organisation: str) -> list[Cursor]:
    """The cursors of `organisation`, from the answer to `GET CURSORS_PATH`.

    Raises:
        ParseError: it is none, or says what cannot be.
    """
    try:
        answer = msgspec.json.decode(body, type=Cursors)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ParseError(f"the answer is not one of the feed: {error}") from error
    if answer.organisation != organisation:
        raise ParseError(f"the answer is for {answer.organisation[:64]!r}, and we are {organisation}")
    cursors = answer.cursors
    if len(cursors) > _MAX_STREAMS:
        raise ParseError(f"the answer has {len(cursors)} cursors, and no sender has more than {_MAX_STREAMS} streams")
    for each in cursors:
        if not (
            _EPOCH.fullmatch(each.epoch) and 0 <= each.seq <= each.last <= _MAX_SEQ and 0 <= each.beyond <= each.last
        ):
            raise ParseError(f"the answer has a cursor that cannot be: {each}"[:300])
    return cursors
