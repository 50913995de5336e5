"""Forwarder `ncsc`: what it makes of refusals, of keys that are not taken, and of where the centre's cursors stand."""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from feed_kit import ORG, alert, centre_and_client, release, released
from ncsc_kit import forwarding, keys_of, said

from socmon.errors import BlockedError, ComponentError
from socmon.feed.batch import BATCHES_PATH, CURSORS_PATH, unpack
from socmon.feed.checking import validator
from socmon.feed.keys import KeyFiles, generate, public_file
from socmon.outgoing import Place, Released, Void
from socmon.tls import server_context

Answer = Callable[[list[dict[str, Any]]], tuple[int, Any]]


@asynccontextmanager
async def centre_of(
    keys: KeyFiles, answer: Answer, cursors: tuple[int, Any] = (404, {})
) -> AsyncIterator[tuple[str, list[list[dict[str, Any]]]]]:
    """A centre of our own making: its URL, and the batches that came; a batch that is no JSON is answered 400."""
    seen: list[list[dict[str, Any]]] = []

    async def receive(request: web.Request) -> web.Response:
        body = unpack(await request.read(), request.headers.get("Content-Encoding", "identity"), 1 << 20)
        try:
            events = msgspec.json.decode(body)
        except msgspec.MsgspecError:
            return web.json_response({"error": "json"}, status=400)
        seen.append(events)
        status, said_of = answer(events)
        if status != 200:
            return web.json_response(said_of, status=status)
        reply = {
            "batch_id": request.headers["Batch-Id"],
            "committed": None,
            "results": [
                {"id": event["id"], "seq": int(event["socseq"]), "status": "stored", "code": ""} for event in events
            ],
            "window": {"max_events": 1, "max_bytes": 1, "retry_after_ms": 0},
            "server_time": "2026-11-22T17:05:10Z",
        }
        return web.json_response(reply | said_of)

    async def look(_request: web.Request) -> web.Response:
        return web.json_response(cursors[1], status=cursors[0])

    app = web.Application()
    app.router.add_post(BATCHES_PATH, receive)
    app.router.add_get(CURSORS_PATH, look)
    context: ssl.SSLContext = server_context(keys.ca, keys.centre, keys.centre_key)
    runner = web.AppRunner(app, auto_decompress=False, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}", seen
    finally:
        await runner.cleanup()


def takes(_events: object) -> tuple[int, Any]:
    return 200, {}


def with_body(seq: int, body: bytes) -> Released:
    return msgspec.structs.replace(released(seq), body=body, sha256=sha256(body).hexdigest())


def stating(seq: int, **changes: Any) -> Released:
    return with_body(seq, msgspec.json.encode(msgspec.json.decode(released(seq).body) | changes))


async def test_a_message_that_is_no_json_is_a_dead_letter_alone(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    async with centre_of(keys, takes) as (url, seen), forwarding(url, keys) as made:
        outcomes = await made.send([released(1), with_body(2, b'{"id": '), released(3)])

    assert sorted(said(outcomes)) == [(1, "accepted", ""), (2, "rejected", "damaged"), (3, "accepted", "")]
    assert [[int(event["socseq"]) for event in batch] for batch in seen] == [[1, 3]]


async def test_a_centre_that_finds_no_json_in_what_is_some_settles_nothing(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    async with centre_of(keys, lambda _: (400, {"error": "json"})) as (url, seen), forwarding(url, keys) as made:
        with pytest.raises(ComponentError, match="HTTP 400"):
            await made.send([released(1), released(2)])

    assert len(seen) == 1


async def test_a_schema_that_the_centre_does_not_know_is_held_and_the_rest_goes(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    known = msgspec.json.decode(released(1).body)["dataschema"]

    def answer(events: list[dict[str, Any]]) -> tuple[int, Any]:
        unknown = [event for event in events if event["dataschema"] != known]
        return (415, {"error": "schema", "supported": [known]}) if unknown else (200, {})

    async with centre_of(keys, answer) as (url, seen), forwarding(url, keys) as made:
        outcomes = await made.send([released(1), stating(2, dataschema="urn:vn:soc:schema:finding:9"), released(3)])

    assert sorted(said(outcomes)) == [(1, "accepted", ""), (2, "held", "schema"), (3, "accepted", "")]
    assert len(seen) == 2


@pytest.mark.parametrize("answered", [{"error": "encoding"}, {"error": "schema", "supported": "all"}, {}])
async def test_another_415_settles_nothing(tmp_path: Path, answered: Mapping[str, Any]) -> None:
    keys = generate(tmp_path, ORG)
    async with centre_of(keys, lambda _: (415, answered)) as (url, _), forwarding(url, keys) as made:
        with pytest.raises(ComponentError, match="HTTP 415"):
            await made.send([released(1)])


async def test_what_a_key_that_is_not_known_has_signed_waits_and_goes_when_it_is(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, _):
        keys = keys_of(tmp_path)
        ring = keys.centre.with_name("signers") / f"{ORG}.jwks"
        public = ring.read_bytes()
        ring.write_bytes(b'{"keys": []}')
        async with forwarding(centre.feed_url, keys) as made:
            await made.open()
            body = made.render(alert(1), release(1))
            (waits,) = await made.send([released(1, body)])
            ring.write_bytes(public)
            (goes,) = await made.send([released(1, body)])

    assert (waits.status, waits.code, goes.status) == ("retry", "key_unknown", "accepted")
    assert waits.blocked is not None
    assert (waits.blocked.reason, "socmon keys show" in waits.blocked.remedy) == ("key_unknown", True)


async def test_what_an_older_key_has_signed_is_replaced_where_the_centre_does_not_take_it(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, _):
        keys = keys_of(tmp_path)
        async with forwarding(centre.feed_url, keys) as made:
            await made.open()
            before = made.render(alert(1), release(1))
        new = generate(tmp_path / "new", ORG)
        keys.client_signing.write_bytes(new.client_signing.read_bytes())
        (keys.centre.with_name("signers") / f"{ORG}.jwks").write_bytes(public_file(new.client_signing).read_bytes())
        async with forwarding(centre.feed_url, keys) as made:
            await made.open()
            (outcome,) = await made.send([released(1, before)])

    assert (outcome.status, outcome.code, outcome.blocked) == ("replaced", "key_unknown", None)


async def test_what_is_not_signed_waits_for_a_key_and_is_replaced_when_there_is_one(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, _):
        keys = keys_of(tmp_path)
        plain = msgspec.json.decode(released(1).body)
        plain.pop("socsig", None)
        item = with_body(1, msgspec.json.encode(plain, order="sorted"))
        async with forwarding(centre.feed_url, keys, signing_key=None) as made:
            (waits,) = await made.send([item])
        async with forwarding(centre.feed_url, keys) as made:
            await made.open()
            (goes,) = await made.send([item])

    assert (waits.status, waits.blocked and waits.blocked.reason) == ("retry", "unsigned")
    assert (goes.status, goes.code) == ("replaced", "unsigned")


async def test_a_refusal_that_takes_the_sequence_says_so(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    epoch = release(1).epoch

    def answer(events: list[dict[str, Any]]) -> tuple[int, Any]:
        results = [
            {"id": event["id"], "seq": int(event["socseq"]), "status": "quarantined", "code": "schema"}
            for event in events
        ]
        return 200, {"results": results, "committed": {"epoch": epoch, "seq": 1}}

    async with centre_of(keys, answer) as (url, _), forwarding(url, keys) as made:
        outcomes = await made.send([released(1), released(2)])
        assert made.has_gap

    assert [outcome.keeps_seq for outcome in outcomes] == [True, False]


async def test_a_void_is_signed_valid_and_answered_for_by_its_own_id(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    void = Void(release(4), 6, "lost_local")
    async with centre_of(keys, takes) as (url, seen), forwarding(url, keys) as made:
        await made.open()
        body = made.void(void)
        outcomes = await made.send([Released(-1, "", void.release, body, sha256(body).hexdigest(), void), released(7)])

    assert [outcome.status for outcome in outcomes] == ["accepted", "accepted"]
    event = seen[0][0]
    assert list(validator("envelope.v1").iter_errors(event)) == []
    assert list(validator("void.v1").iter_errors(event)) == []
    assert event["data"] == {"from": 4, "to": 6, "reason": "lost_local"}


CURSOR = {"stream": "normal", "epoch": "019aa0000000", "seq": 3, "last": 5, "beyond": 1}


async def test_places_are_what_the_centre_says(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    cursors = {"organisation": ORG, "cursors": [CURSOR], "server_time": "2026-11-22T17:05:10Z"}
    async with centre_of(keys, takes, (200, cursors)) as (url, _), forwarding(url, keys) as made:
        assert await made.places() == {"normal": Place("019aa0000000", 3, 5, 1)}


async def test_a_centre_that_keeps_no_cursors_is_asked_in_vain(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    async with centre_of(keys, takes) as (url, _), forwarding(url, keys) as made:
        assert await made.places() is None


@pytest.mark.parametrize(
    ("status", "answered", "match"),
    [
        (503, {}, "answers nothing at the moment"),
        (500, {}, "HTTP 500"),
        (200, [], "cannot be trusted"),
        (200, {"organisation": ORG, "cursors": [CURSOR | {"epoch": "zzzz"}], "server_time": ""}, "cannot be trusted"),
        (
            200,
            {"organisation": ORG, "cursors": [CURSOR | {"epoch": "ffffffffffff"}], "server_time": ""},
            "cannot be trusted",
        ),
        (200, {"organisation": "000.00.00.H61", "cursors": [], "server_time": ""}, "we are 000.00.00.H07"),
        (200, {"organisation": ORG, "cursors": [CURSOR | {"last": 2}], "server_time": ""}, "cannot be trusted"),
        (200, {"organisation": ORG, "cursors": [CURSOR | {"seq": -1}], "server_time": ""}, "cannot be trusted"),
        (200, {"organisation": ORG, "cursors": [CURSOR | {"last": 10**19}], "server_time": ""}, "cannot be trusted"),
    ],
)
async def test_places_that_cannot_be_are_not_believed(
    tmp_path: Path, status: int, answered: object, match: str
) -> None:
    keys = generate(tmp_path, ORG)
    async with centre_of(keys, takes, (status, answered)) as (url, _), forwarding(url, keys) as made:
        with pytest.raises(ComponentError, match=match):
            await made.places()


async def test_cursors_of_another_organisation_are_refused_as_its_events_are(tmp_path: Path) -> None:
    async with (
        centre_and_client(tmp_path) as (centre, _),
        forwarding(centre.feed_url, keys_of(tmp_path), org_id="000.00.00.H61") as made,
    ):
        with pytest.raises(BlockedError) as refused:
            await made.places()

    assert refused.value.reason == "foreign_source"
