"""Fuzz target: bodies, keys and positions of requests, as the `http` collector reads them."""

import json
import zlib
from contextlib import suppress

from collectors._http_body import JSON, TEXT, Body, split
from collectors._http_keys import Asked, Held, key_of
from collectors._http_refusals import RequestRefusedError

MAX_BYTES, MAX_RECORDS = 100_000, 200
_MEDIA = (TEXT, JSON, "ndjson")


def one_input(data: bytes) -> None:
    """The first byte says how the rest is to be read; nothing but a refusal may come of it."""
    how, rest = data[:1], data[1:]
    media = _MEDIA[how[0] % 3] if how else TEXT
    with suppress(RequestRefusedError):
        _records(media, rest)
    for packed in (rest, zlib.compress(rest, wbits=31)):
        whole = _unpacked([packed])
        step = len(packed) % 7 + 1
        assert _unpacked([packed[at : at + step] for at in range(0, len(packed), step)]) == whole
    assert whole == rest
    with suppress(RequestRefusedError):
        assert key_of(rest.decode("latin-1"))
    _positions(rest)


def _records(media: str, body: bytes) -> None:
    records = [bytes(each) for each in split(media, body, MAX_RECORDS)]
    assert len(records) <= MAX_RECORDS
    at = 0
    for record in records:
        assert record.strip(b" \t\r\0")
        at = body.index(record, at) + len(record)
    if media != JSON or not body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        return
    try:
        expected = json.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return  # bytes that are no UTF-8 are taken, as evidence
    assert [json.loads(record) for record in records] == expected


def _unpacked(pieces: list[bytes]) -> bytes | str:
    """The body, or why it is refused."""
    body = Body("gzip", MAX_BYTES)
    try:
        for piece in pieces:
            body.feed(piece)
        return body.whole()
    except RequestRefusedError as refusal:
        return refusal.reason
    finally:
        assert len(body._data) <= MAX_BYTES + 1


def _positions(data: bytes) -> None:
    asked = Asked.of("key", b"b" * 32)
    held = Held(data)
    with suppress(RequestRefusedError):
        assert 0 <= held.left_of(asked, 5) <= 5
        if data[:1] == b"\x01" and len(data) > 9:
            assert Held(held.after(asked, 3)).left_of(asked, 5) == 3
