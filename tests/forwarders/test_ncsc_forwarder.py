"""Forwarder `ncsc` against a real centre, and against servers that lie."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event
from threading import enumerate as enumerate_threads
from typing import Any

import msgspec
import pytest
from aiohttp import web
from feed_kit import ORG, alert, altered, centre_and_client, message, other_client, released, write
from harness import FakeContext, until
from ncsc_kit import forwarding, keys_of, said, settings_for
from pydantic import ValidationError

from forwarders import ncsc
from forwarders._own_thread import workers
from forwarders.ncsc import NcscForwarder
from socmon.errors import ComponentError
from socmon.feed.batch import BATCHES_PATH, unpack
from socmon.feed.keys import generate
from socmon.tls import server_context


async def test_delivered_alerts_are_at_the_centre(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client), forwarding(centre.feed_url, keys_of(tmp_path)) as made:
        outcomes = await made.send([released(1), released(2)])

        assert said(outcomes) == [(1, "accepted", ""), (2, "accepted", "")]
        assert [finding["uid"] for finding in await client.findings()] == [alert(1).id, alert(2).id]


async def test_every_answer_of_the_centre_becomes_its_outcome(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client), forwarding(centre.feed_url, keys_of(tmp_path)) as made:
        await client.post([message(1), message(9, number=2, revision=9)])

        outcomes = await made.send([released(1), released(2), released(3, altered(message(3), data={})), released(4)])

    expected = [(1, "duplicate", ""), (2, "stale", ""), (3, "rejected", "schema"), (4, "accepted", "")]
    assert said(outcomes) == expected


async def test_after_a_lost_reply_the_resent_batch_is_a_duplicate(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client), forwarding(centre.feed_url, keys_of(tmp_path)) as made:
        await client.fault(fault="cut_after_commit")

        with pytest.raises(ComponentError, match=r"cannot deliver to https://127\.0\.0\.1") as failed:
            await made.send([released(1)])

        assert failed.value.retry
        assert said(await made.send([released(1)])) == [(1, "duplicate", "")]
        assert (await client.stats())["rows_stored_twice"] == 0


async def test_a_busy_centre_says_how_long_to_wait(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client), forwarding(centre.feed_url, keys_of(tmp_path)) as made:
        await client.fault(fault="503")

        with pytest.raises(ComponentError, match="HTTP 503") as failed:
            await made.send([released(1)])

    assert (failed.value.retry, failed.value.wait_s) == (True, 1.0)


async def test_a_batch_larger_than_max_bytes_goes_in_parts(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client):
        async with forwarding(centre.feed_url, keys_of(tmp_path), max_bytes=10_000) as made:
            outcomes = await made.send([released(seq) for seq in range(1, 31)])

        assert [outcome.status for outcome in outcomes] == ["accepted"] * 30
        assert (await client.stats())["committed"]["normal"]["seq"] == 30


async def test_an_alert_larger_than_max_bytes_is_rejected_alone(tmp_path: Path) -> None:
    large = released(2, altered(message(2), padding="x" * 10_000))
    async with (
        centre_and_client(tmp_path) as (centre, _),
        forwarding(centre.feed_url, keys_of(tmp_path), max_bytes=10_000) as made,
    ):
        outcomes = await made.send([released(1), large, released(3)])

    assert said(outcomes) == [(1, "accepted", ""), (2, "rejected", "oversize"), (3, "accepted", "")]


async def test_more_alerts_than_the_centre_takes_are_halved(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client), forwarding(centre.feed_url, keys_of(tmp_path)) as made:
        outcomes = await made.send([released(seq) for seq in range(1, 1202)])

        assert {outcome.status for outcome in outcomes} == {"accepted"}
        assert [outcome.id for outcome in outcomes] == list(range(1, 1202))
        assert (await client.stats())["events_received"] == 1201


async def test_a_refusal_is_shown_with_its_reason(tmp_path: Path) -> None:
    async with (
        centre_and_client(tmp_path, organisations={}) as (centre, _),
        forwarding(centre.feed_url, keys_of(tmp_path)) as made,
    ):
        with pytest.raises(ComponentError, match=r"HTTP 403.*not enrolled"):
            await made.send([released(1)])


async def test_a_renewed_certificate_is_used_after_a_restart_of_the_forwarder(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, _):
        keys = keys_of(tmp_path)
        held = keys.client.read_bytes()
        keys.client.unlink()
        async with forwarding(centre.feed_url, keys) as made:
            with pytest.raises(ComponentError, match=r"cannot read .*client\.pem") as failed:
                await made.send([released(1)])
            assert failed.value.retry
            keys.client.write_bytes(held)
            assert said(await made.send([released(1)])) == [(1, "accepted", "")]


async def test_nothing_is_sent_to_a_server_of_another_name_or_authority(tmp_path: Path) -> None:
    authority, keys = other_client(tmp_path)
    stranger = generate(tmp_path / "stranger", ORG)
    named = write(tmp_path, "named", authority.server(["centre.example"]))
    seen: list[bytes] = []
    for cert, key in ((stranger.centre, stranger.centre_key), named):
        context = server_context(keys.ca, cert, key)
        async with lying(context, seen) as url, forwarding(url, keys) as made:
            with pytest.raises(ComponentError, match="the centre's certificate is"):
                await made.send([released(1)])
    assert seen == []


async def test_a_centre_that_is_away_is_worth_another_try(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, _):
        url = centre.feed_url
    async with forwarding(url, keys_of(tmp_path)) as made:
        with pytest.raises(ComponentError, match="cannot deliver") as failed:
            await made.send([released(1)])
    assert failed.value.retry


@asynccontextmanager
async def lying(
    context: ssl.SSLContext,
    seen: list[bytes],
    status: int | Sequence[int] = 200,
    headers: dict[str, str] | None = None,
    **changes: Any,
) -> AsyncIterator[str]:
    """A server that answers each batch with an otherwise right reply that has `changes`; a callable is applied.

    `status` may be one for each request, in order; 0 never answers.
    """

    async def answer(request: web.Request) -> web.Response:
        body = unpack(await request.read(), request.headers.get("Content-Encoding", "identity"), 1 << 20)
        seen.append(body)
        now = status if isinstance(status, int) else status[len(seen) - 1]
        if now == 0:
            await asyncio.Event().wait()
        events = msgspec.json.decode(body)
        reply = {
            "batch_id": request.headers["Batch-Id"],
            "committed": None,
            "results": [
                {"id": event["id"], "seq": int(event["socseq"]), "status": "stored", "code": ""} for event in events
            ],
            "window": {"max_events": 1, "max_bytes": 1, "retry_after_ms": 0},
            "server_time": "2026-11-22T17:05:10Z",
        }
        for name, value in changes.items():
            reply[name] = value(reply[name]) if callable(value) else value
        return web.Response(status=now, headers=headers, body=msgspec.json.encode(reply))

    app = web.Application()
    app.router.add_post(BATCHES_PATH, answer)
    runner = web.AppRunner(app, auto_decompress=False, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_id": "another"},
        {"results": lambda results: results[:1]},
        {"results": lambda results: results + results[:1]},
        {"results": lambda results: [results[0] | {"id": "unknown"}, results[1]]},
        {"results": lambda results: [results[0] | {"seq": 7}, results[1]]},
        {"results": lambda results: [results[0] | {"status": "fine"}, results[1]]},
        {"results": None},
        {"server_time": 7},
    ],
)
async def test_a_reply_that_is_not_about_what_was_sent_acknowledges_nothing(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    keys = generate(tmp_path, ORG)
    context = server_context(keys.ca, keys.centre, keys.centre_key)
    async with lying(context, [], **changes) as url, forwarding(url, keys) as made:
        with pytest.raises(ComponentError, match="cannot be trusted") as failed:
            await made.send([released(1), released(2)])
    assert failed.value.retry


async def test_a_single_alert_that_is_too_large_for_the_centre_is_rejected(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    seen: list[bytes] = []
    context = server_context(keys.ca, keys.centre, keys.centre_key)
    async with lying(context, seen, status=413) as url, forwarding(url, keys) as made:
        outcomes = await made.send([released(1), released(2)])

    assert said(outcomes) == [(1, "rejected", "too_large"), (2, "rejected", "too_large")]
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("statuses", "reason"),
    [
        ([200, 503], "takes nothing at the moment (HTTP 503)"),
        ([413, 200, 500], "refused us with HTTP 500"),
        ([200, 0], "did not answer within 3 s"),
    ],
)
async def test_what_was_answered_counts_though_the_rest_of_the_batch_failed(
    tmp_path: Path, statuses: list[int], reason: str
) -> None:
    keys = generate(tmp_path, ORG)
    context = server_context(keys.ca, keys.centre, keys.centre_key)
    max_bytes = 10_000 if statuses[0] == 200 else 1_000_000
    batch = [released(seq) for seq in range(1, 11)]
    async with (
        lying(context, [], status=statuses) as url,
        forwarding(url, keys, max_bytes=max_bytes, timeout_s=3) as made,
    ):
        outcomes = await made.send(batch)
        (logged,) = made.context.logged  # type: ignore[attr-defined]  # a FakeContext

    said_of = [outcome.status for outcome in outcomes]
    answered = said_of.count("accepted")
    assert [outcome.id for outcome in outcomes] == list(range(1, 11))
    assert 0 < answered < 10
    assert said_of == ["accepted"] * answered + ["retry"] * (10 - answered)
    assert (logged["event"], logged["alerts"]) == ("batch answered for in part, the rest is sent again", 10 - answered)
    assert reason in logged["error"]


async def test_a_batch_that_takes_too_long_in_all_is_settled_as_far_as_it_got(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ncsc, "_SEND_TIMEOUTS", 0)
    keys = generate(tmp_path, ORG)
    seen: list[bytes] = []
    context = server_context(keys.ca, keys.centre, keys.centre_key)
    async with lying(context, seen) as url, forwarding(url, keys, max_bytes=10_000) as made:
        outcomes = await made.send([released(seq) for seq in range(1, 11)])

    assert len(seen) == 1
    assert {outcome.status for outcome in outcomes} == {"accepted", "retry"}


async def test_a_centre_is_found_by_its_name(tmp_path: Path) -> None:
    authority, keys = other_client(tmp_path)
    named = write(tmp_path, "named", authority.server(["localhost"]))
    async with lying(server_context(keys.ca, *named), []) as url:
        made = NcscForwarder(FakeContext(settings_for(url.replace("127.0.0.1", "localhost"), keys)))
        outcomes = await made.send([released(1)])
        await made.close()

    assert said(outcomes) == [(1, "accepted", "")]


async def test_a_name_that_does_not_exist_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # a machine's name server may be away, and take its time
    async with forwarding("https://centre.invalid", generate(tmp_path, ORG)) as made:
        with pytest.raises(ComponentError, match=r"cannot deliver to https://centre\.invalid") as failed:
            await made.send([released(1)])
    assert failed.value.retry


async def test_a_name_server_that_hangs_costs_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = generate(tmp_path, ORG)
    answered = Event()

    def hang(*_: object, **__: object) -> list[Any]:
        answered.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    async with forwarding("https://centre.example", keys, timeout_s=0.5) as made:
        with pytest.raises(ComponentError, match="did not answer within"):
            await made.send([released(1)])
    for _ in range(5):
        async with forwarding("https://centre.example", keys) as made:
            with pytest.raises(ComponentError, match=r"the last name lookup of centre\.example by test still hangs"):
                await made.send([released(1)])

    assert [thread.name for thread in enumerate_threads()].count("name lookup of centre.example by test") == 1
    answered.set()
    await until(lambda: not workers["name lookup of centre.example by test"].busy)


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        ("7", 7, 7),
        ("999999999", 3600, 3600),
        ("-1", 0, 0),
        ("nan", 0, 0),
        ("soon", 0, 0),
        ("Fri, 01 Jan 99999999999999999999 00:00:00 GMT", 0, 0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 3600, 3600),
        ("Fri, 01 Jan 1999 00:00:00 GMT", 0, 0),
    ],
)
async def test_a_wait_that_is_asked_for_is_bounded(tmp_path: Path, retry_after: str, least: float, most: float) -> None:
    keys = generate(tmp_path, ORG)
    context = server_context(keys.ca, keys.centre, keys.centre_key)
    busy = lying(context, [], status=429, headers={"Retry-After": retry_after})
    async with busy as url, forwarding(url, keys) as made:
        with pytest.raises(ComponentError) as failed:
            await made.send([released(1)])
    assert least <= failed.value.wait_s <= most


async def test_an_endless_reply_is_cut_off(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    context = server_context(keys.ca, keys.centre, keys.centre_key)
    async with lying(context, [], server_time="x" * 5_000_000) as url, forwarding(url, keys) as made:
        with pytest.raises(ComponentError, match="larger than"):
            await made.send([released(1)])


async def test_a_centre_that_never_answers_is_given_up_on(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        async with forwarding(url, keys, timeout_s=0.2) as made:
            with pytest.raises(ComponentError, match=r"did not answer within 0\.2 s"):
                await made.send([released(1)])


@pytest.mark.parametrize("url", ["http://127.0.0.1", "https://", "127.0.0.1:8443", "https://a/b", "https://u@h"])
def test_only_an_https_address_is_a_url(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValidationError, match="https://HOST:PORT"):
        settings_for(url, generate(tmp_path, ORG))


@pytest.mark.parametrize("changes", [{"tlp": "RED"}, {"org_id": "a/b"}, {"org_path": ["a b"]}, {"system_level": 6}])
def test_a_setting_that_must_not_leave_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings_for("https://127.0.0.1:1", generate(tmp_path, ORG), **changes)


def test_urgent_alerts_have_a_stream_of_their_own(tmp_path: Path) -> None:
    made = NcscForwarder(FakeContext(settings_for("https://127.0.0.1:1", generate(tmp_path, ORG))))

    assert made.stream(alert(level="critical")) == "urgent"
    assert made.stream(alert(level="medium")) == "normal"
    assert made.stream(alert(level="informational")) == "stats"


async def test_rendering_is_pure(tmp_path: Path) -> None:
    url, keys = "https://127.0.0.1:1", generate(tmp_path, ORG)
    place = released(1).release
    async with forwarding(url, keys, tlp="GREEN") as made, forwarding(url, keys, tlp="GREEN") as again:
        await made.open()
        await again.open()

        assert made.render(alert(), place) == again.render(alert(), place)
        assert b'"tlp":"GREEN"' in made.render(alert(), place)
