"""Fuzz target: the body of a batch, as any enrolled sender could post it, and the centre's reply."""

from contextlib import suppress

import msgspec

from socmon.errors import ParseError
from socmon.feed.batch import check_digest, read_reply, unpack
from socmon.feed.checking import Limits, check, split

_LIMITS = Limits(max_events=50, max_bytes=100_000)


def one_input(data: bytes) -> None:
    """Read `data` as each thing that arrives from outside; only refusals are allowed, and they are ParseErrors."""
    with suppress(ParseError):
        check_digest(data.decode("latin-1"), b"")
    with suppress(ParseError):
        read_reply(data, "batch-1", {"id": 1})
    for encoding in ("gzip", "identity"):
        with suppress(ParseError):
            _one_body(unpack(data, encoding, _LIMITS.max_bytes))


def _one_body(body: bytes) -> None:
    for raw in split(body, _LIMITS):
        item = check(raw, _LIMITS.max_depth)
        assert item.good != bool(item.code), "an event is either good or has its reason"
        assert not item.good or item.seq > 0, "a good event has a place"
        if item.code != "json":
            msgspec.json.decode(item.body)
