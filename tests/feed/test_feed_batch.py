"""Batches and replies as bytes; what is refused, and why."""

import zlib

import msgspec
import pytest
from feed_kit import altered, message
from hypothesis import given
from hypothesis import strategies as st

from socmon.errors import ParseError
from socmon.feed.batch import RefusedError, check_digest, content_digest, pack, packed_size, read_reply, unpack
from socmon.feed.checking import Item, Limits, check, split


def opened(body: bytes) -> list[Item]:
    return [check(raw, 64) for raw in split(body, Limits())]


@given(st.lists(st.binary(max_size=600).map(msgspec.json.encode), max_size=5))
def test_a_packed_batch_unpacks_to_the_same_bytes(messages: list[bytes]) -> None:
    headers, content = pack(messages, "b")

    check_digest(headers["Content-Digest"], content)
    body = unpack(content, headers.get("Content-Encoding", "identity"), 10_000)
    assert body == b"[" + b",".join(messages) + b"]"
    assert packed_size(messages) == len(body)


def test_a_digest_is_found_beside_another_algorithm() -> None:
    check_digest(f"sha-512=:AAAA:, {content_digest(b'x')}", b"x")


@pytest.mark.parametrize("header", [None, "", "sha-256", "sha-256=:", "sha-256=::", "sha-256=:é:", "md5=:AAAA:"])
def test_a_batch_without_a_readable_digest_is_refused(header: str | None) -> None:
    with pytest.raises(RefusedError, match="no sha-256") as refused:
        check_digest(header, b"x")
    assert (refused.value.status, refused.value.code) == (400, "digest_missing")


def test_a_changed_body_does_not_fit_its_digest() -> None:
    with pytest.raises(RefusedError) as refused:
        check_digest(content_digest(b"x"), b"y")
    assert refused.value.code == "digest_mismatch"


def test_a_gzip_bomb_is_refused_without_being_inflated() -> None:
    compressor = zlib.compressobj(9, wbits=31)
    bomb = b"".join([compressor.compress(bytes(1 << 20)) for _ in range(200)]) + compressor.flush()

    with pytest.raises(RefusedError) as refused:
        unpack(bomb, "gzip", 1_000_000)
    assert refused.value.status == 413


@pytest.mark.parametrize(
    "damage", [b"", b"plain", zlib.compress(b"[]", wbits=31)[:-4], zlib.compress(b"[]", wbits=31) + b"x"]
)
def test_what_is_not_one_whole_gzip_member_is_refused(damage: bytes) -> None:
    with pytest.raises(RefusedError) as refused:
        unpack(damage, "gzip", 1000)
    assert (refused.value.status, refused.value.code) == (400, "gzip")


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(RefusedError, match="use gzip or identity") as refused:
        unpack(b"", "br", 1000)
    assert refused.value.status == 415


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"", "json"), (b"{}", "json"), (b"[{]", "json"), (b"\xff", "json"), (b"[" * 100_000, "json"), (b"[]", "empty")],
)
def test_a_body_that_is_no_array_of_events_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(RefusedError) as refused:
        split(body, Limits())
    assert (refused.value.status, refused.value.code) == (400, code)


def test_too_many_events_are_refused_as_too_large() -> None:
    with pytest.raises(RefusedError) as refused:
        split(b"[1,2,3]", Limits(max_events=2))
    assert refused.value.status == 413


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (b"17", "envelope"),
        (b'"text"', "envelope"),
        (b"{}", "envelope"),
        (b"1e999", "json"),
        (b"[" * 100 + b"]" * 100, "envelope"),
        (b'{"data":' + b"[" * 100 + b"]" * 100 + b"}", "too_deep"),
        (altered(message(), socseq="1"), "envelope"),
        (altered(message(), socseq="0" * 20), "envelope"),
        (altered(message(), source="urn:vn:soc:/normal"), "envelope"),
        (altered(message(), subject=None), "schema"),
        (altered(message(), time="yesterday"), "schema"),
        (altered(message(), socrev=1 << 70), "schema"),
        (altered(message(), data={}), "schema"),
    ],
)
def test_a_bad_event_is_set_apart_and_its_neighbours_are_not(event: bytes, code: str) -> None:
    before, bad, after = opened(b"[" + b",".join([message(1), event, message(2)]) + b"]")

    assert before.finding
    assert after.finding
    assert (bad.finding, bad.code) == (None, code)
    assert bad.reason


def test_an_event_with_a_good_envelope_keeps_its_place_when_its_data_are_bad() -> None:
    (item,) = opened(b"[" + altered(message(7), data={}) + b"]")

    assert item.seq == 7
    assert item.source.endswith("/normal")


def test_tlp_red_is_not_accepted() -> None:
    event = msgspec.json.decode(message())
    event["data"]["unmapped"]["vn_soc"]["tlp"] = "RED"

    (item,) = opened(b"[" + msgspec.json.encode(event) + b"]")

    assert item.code == "schema"
    assert "/data/unmapped/vn_soc/tlp" in item.reason


def test_another_version_of_the_data_is_not_quarantined_but_refused() -> None:
    with pytest.raises(RefusedError) as refused:
        opened(b"[" + altered(message(), dataschema="urn:vn:soc:schema:finding:2") + b"]")
    assert (refused.value.status, refused.value.code) == (415, "schema")


def test_an_unknown_member_is_kept() -> None:
    (item,) = opened(b"[" + altered(message(), extension="kept") + b"]")

    assert item.finding
    assert b'"extension":"kept"' in item.body


@pytest.mark.parametrize("revision", [-1, (1 << 30) + 1, 1 << 53, 1 << 70])
def test_a_revision_that_leaves_none_to_go_on_from_is_not_believed(revision: int) -> None:
    said = msgspec.json.encode(REPLY | {"results": [RESULT | {"status": "stale", "socrev": revision}]})

    with pytest.raises(ParseError, match="revision"):
        read_reply(said, "b", {"i": 1})


RESULT = {"id": "i", "seq": 1, "status": "stored", "code": ""}
REPLY = {
    "batch_id": "b",
    "committed": {"epoch": "e", "seq": 1},
    "results": [RESULT],
    "window": {"max_events": 1, "max_bytes": 1, "retry_after_ms": 0},
    "server_time": "2026-11-22T17:05:10Z",
}


def test_a_reply_to_exactly_what_was_sent_is_read() -> None:
    assert read_reply(msgspec.json.encode(REPLY), "b", {"i": 1}).results[0].status == "stored"


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({"batch_id": "another"}, {"i": 1}),
        ({}, {"i": 2}),
        ({}, {"other": 1}),
        ({}, {"i": 1, "j": 2}),
        ({"results": [RESULT, RESULT]}, {"i": 1}),
        ({"results": [{"id": "i", "seq": 1, "status": "lost", "code": ""}]}, {"i": 1}),
        ({"window": None}, {"i": 1}),
    ],
)
def test_a_reply_to_anything_else_is_not_trusted(changes: dict[str, object], sent: dict[str, int]) -> None:
    with pytest.raises(ParseError):
        read_reply(msgspec.json.encode(REPLY | changes), "b", sent)
