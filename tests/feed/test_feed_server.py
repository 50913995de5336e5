"""The receiving server over real mutual TLS: who is let in, and what is refused."""

import ssl
from pathlib import Path

import aiohttp
import msgspec
import pytest
from feed_kit import ORG, OTHER, altered, centre_and_client, centre_running, client_of, message, other_client, write

from socmon.errors import StoreError
from socmon.feed.batch import BATCHES_PATH, content_digest, pack
from socmon.feed.checking import validator
from socmon.feed.keys import Authority
from socmon.ncsc.inbox import Inbox


async def test_a_reply_is_valid_by_its_schema_and_echoes_the_batch(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        status, reply = await client.post([message(1), altered(message(2), data={})])

    assert status == 200
    assert list(validator("reply.v1").iter_errors(reply)) == []
    assert reply["batch_id"] == "batch-1"
    assert [result["seq"] for result in reply["results"]] == [1, 2]


async def test_a_source_of_another_organisation_is_forbidden(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        status, answer = await client.post([message(1), message(2, org_id=OTHER)])

        assert (status, answer["error"]) == (403, "foreign_source")
        assert (await client.stats())["events_received"] == 0
        assert (await client.stats(OTHER))["events_received"] == 0


async def test_each_certificate_may_send_for_its_own_organisation_only(tmp_path: Path) -> None:
    authority, keys = other_client(tmp_path)
    cert, key = write(tmp_path, "other", authority.client(OTHER))
    async with centre_running(tmp_path, keys) as centre, client_of(centre, keys.ca, cert, key) as client:
        assert (await client.post([message(1)]))[0] == 403
        assert await client.statuses([message(1, org_id=OTHER)]) == ["stored"]
        assert (await client.stats(OTHER))["findings"] == 1


async def test_an_organisation_that_is_not_enrolled_is_forbidden(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path, organisations={OTHER: "only"}) as (_, client):
        status, answer = await client.post([message(1)])

    assert (status, answer["error"]) == (403, "not_enrolled")


async def test_without_a_certificate_no_request_reaches_the_application(tmp_path: Path) -> None:
    _, keys = other_client(tmp_path)
    stranger = Authority()
    context = ssl.create_default_context(cafile=str(keys.ca))
    async with (
        centre_running(tmp_path, keys) as centre,
        client_of(centre, keys.ca, keys.client, keys.client_key) as good,
    ):
        for credentials in (None, stranger.client(ORG), stranger.server()):
            if credentials:
                context.load_cert_chain(*write(tmp_path, "stranger", credentials))
            headers, body = pack([message(1)], "b")
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
                with pytest.raises((aiohttp.ClientError, OSError)):
                    await session.post(centre.feed_url + BATCHES_PATH, data=body, headers=headers)

        assert (await good.stats())["events_received"] == 0


async def test_a_server_certificate_does_not_serve_as_a_clients(tmp_path: Path) -> None:
    _, keys = other_client(tmp_path)
    async with (
        centre_running(tmp_path, keys) as centre,
        client_of(centre, keys.ca, keys.centre, keys.centre_key) as client,
    ):
        with pytest.raises((aiohttp.ClientError, OSError)):
            await client.post([message(1)])


async def test_tls_1_2_is_refused(tmp_path: Path) -> None:
    _, keys = other_client(tmp_path)
    context = ssl.create_default_context(cafile=str(keys.ca))
    context.load_cert_chain(keys.client, keys.client_key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with (
        centre_running(tmp_path, keys) as centre,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
    ):
        with pytest.raises(aiohttp.ClientError):
            await session.get(centre.feed_url)


async def test_two_streams_in_one_batch_are_refused(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        status, answer = await client.post([message(1), message(1, stream="urgent")])

    assert (status, answer["error"]) == (400, "mixed_streams")


async def test_an_unknown_schema_version_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        status, answer = await client.post([altered(message(1), dataschema="urn:vn:soc:schema:finding:9")])

    assert status == 415
    assert answer["supported"] == ["urn:vn:soc:schema:finding:1", "urn:vn:soc:schema:void:1"]


@pytest.mark.parametrize(
    ("header", "value", "status", "code"),
    [
        ("Content_Type", "text/plain", 415, "content_type"),
        ("Batch_Id", "a b", 400, "batch_id"),
        ("Content_Digest", "sha-256=:AAAA:", 400, "digest_mismatch"),
        ("Content_Encoding", "br", 415, "encoding"),
    ],
)
async def test_a_wrong_header_is_refused(tmp_path: Path, header: str, value: str, status: int, code: str) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        answered, answer = await client.post([message(1)], **{header: value})

    assert (answered, answer["error"]) == (status, code)


async def test_a_body_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        body = b"[" + b" " * 9_000_000 + b"]"
        headers = {"Content-Type": "application/cloudevents-batch+json", "Batch-Id": "b"}

        status, answer = await client.post_raw(body, **headers, **{"Content-Digest": content_digest(body)})

    assert (status, answer["error"]) == (413, "too_large")


async def test_a_centre_that_cannot_store_acknowledges_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> None:
        raise StoreError("disk is full")

    async with centre_and_client(tmp_path) as (_, client):
        with monkeypatch.context() as patch:
            patch.setattr(Inbox, "store", full)
            status, answer = await client.post([message(1)])

        assert (status, answer["error"]) == (503, "store")
        assert await client.statuses([message(1)]) == ["stored"]


async def test_a_large_batch_is_answered_event_by_event(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        messages = [message(seq) for seq in range(1, 501)]
        messages[249] = altered(messages[249], data={"class_uid": 1})

        statuses = await client.statuses(messages)
        stats = await client.stats()

    assert (statuses.count("stored"), statuses.index("quarantined")) == (499, 249)
    assert stats["committed"]["normal"]["seq"] == 500
    assert msgspec.json.decode(messages[0])["socepoch"] == stats["committed"]["normal"]["epoch"]
