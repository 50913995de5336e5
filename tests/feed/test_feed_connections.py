"""Connections that are slow or too many are given up on; others are served meanwhile."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from feed_kit import altered, centre_and_client, centre_running, message
from ncsc_kit import keys_of

from socmon.errors import ParseError
from socmon.feed.batch import BATCHES_PATH, RefusedError
from socmon.feed.checking import Limits, bounded, split
from socmon.feed.connections import Patience
from socmon.ncsc.centre import Centre
from socmon.tls import client_context

HALF = f"POST {BATCHES_PATH} HTTP/1.1\r\nHost: centre\r\nX-Slow: ".encode()
SHORT = Patience(headers_s=0.2, grace_s=0.2, bytes_per_s=1 << 30)


@asynccontextmanager
async def raw(centre: Centre, folder: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection whose handshake is done, and nothing else."""
    keys, address = keys_of(folder), urlsplit(centre.feed_url)
    tls = client_context(keys.ca, keys.client, keys.client_key)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, ssl=tls)
    try:
        yield reader, writer
    finally:
        writer.close()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What came before the other side closed; the test's own timeout bounds it."""
    try:
        return await reader.read()
    except (ConnectionError, ssl.SSLError):
        return b""


@pytest.mark.parametrize("begun", [b"", HALF])
async def test_headers_that_do_not_come_cut_the_connection_off(tmp_path: Path, begun: bytes) -> None:
    async with (
        centre_and_client(tmp_path, patience=SHORT) as (centre, client),
        raw(centre, tmp_path) as (reader, writer),
    ):
        writer.write(begun)

        assert await client.statuses([message(1)]) == ["stored"]
        assert await ended(reader) == b""


async def test_a_second_request_s_headers_must_come_too(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path, patience=SHORT) as (centre, _), raw(centre, tmp_path) as (reader, writer):
        writer.write(b"GET /feed/v1/cursors HTTP/1.1\r\nHost: centre\r\n\r\n")
        assert b"cursors" in await reader.readuntil(b"}")

        writer.write(HALF)

        assert await ended(reader) == b""


async def test_a_body_that_comes_too_slowly_is_refused_and_takes_no_place_of_others(tmp_path: Path) -> None:
    async with (
        centre_and_client(tmp_path, patience=SHORT) as (centre, client),
        raw(centre, tmp_path) as (reader, writer),
    ):
        head = HALF + b"no\r\nContent-Length: 5000\r\nBatch-Id: slow\r\n"
        writer.write(head + b"Content-Type: application/cloudevents-batch+json\r\n\r\n[")

        assert await client.statuses([message(1)]) == ["stored"]
        assert b" 408 " in (await ended(reader)).partition(b"\r\n")[0]
        assert (await client.stats())["events_received"] == 1


async def test_a_body_that_keeps_the_pace_is_taken_though_it_lasts_longer_than_the_grace(tmp_path: Path) -> None:
    patience = Patience(grace_s=0.2, bytes_per_s=1)
    async with centre_and_client(tmp_path, patience=patience) as (_, client):
        assert await client.statuses([message(seq) for seq in range(1, 400)]) == ["stored"] * 399


async def test_there_are_no_more_connections_of_one_address_than_allowed(tmp_path: Path) -> None:
    async with (
        centre_and_client(tmp_path, patience=Patience(each=2)) as (centre, _),
        raw(centre, tmp_path) as (_, first),
        raw(centre, tmp_path),
    ):
        async with raw(centre, tmp_path) as (reader, _):
            assert await ended(reader) == b""
        first.close()
        await first.wait_closed()
        await _until_served(centre, tmp_path)


async def _until_served(centre: Centre, folder: Path) -> None:
    """The centre notices a moment later that a connection is gone; the test's own timeout bounds this."""
    while True:
        async with raw(centre, folder) as (reader, writer):
            writer.write(b"GET /feed/v1/cursors HTTP/1.1\r\nHost: centre\r\nConnection: close\r\n\r\n")
            if b" 200 " in await ended(reader):
                return


async def test_an_event_that_is_too_large_is_refused_before_anything_is_made_of_it(tmp_path: Path) -> None:
    numbers = msgspec.Raw(b"[" + b"1.5," * 200_000 + b"1]")
    async with centre_and_client(tmp_path) as (_, client):
        status, answer = await client.post([altered(message(1), more=numbers)])

        assert (status, answer["error"]) == (413, "event_too_large")
        assert (await client.stats())["events_received"] == 0


@pytest.mark.parametrize("number", [b"1.5", b" 1.5", b"\n-1E5 ", b'"\\u0001"'])
def test_what_is_costly_is_bounded_in_all_however_it_is_written(number: bytes) -> None:
    event = b'{"a":[' + b",".join([number] * 20_000) + b"]}"
    body = b"[" + b",".join([event] * 40) + b"]"

    with pytest.raises(RefusedError, match="over") as refused:
        bounded(split(body, Limits()), Limits())

    assert (refused.value.status, refused.value.code) == (413, "too_costly")
    bounded(split(b"[" + event + b"]", Limits()), Limits())


def test_what_is_not_costly_may_fill_the_batch() -> None:
    body = b"[" + b",".join([message(1)] * 1000) + b"]"

    try:
        bounded(split(body, Limits()), Limits())
    except ParseError as error:
        pytest.fail(str(error))


async def test_the_centre_is_patient_by_default(tmp_path: Path) -> None:
    async with centre_running(tmp_path) as centre, raw(centre, tmp_path) as (reader, writer):
        writer.write(HALF)
        writer.write(b"yes\r\n\r\n")

        assert b" 415 " in await reader.readuntil(b"\r\n")


def test_what_is_waited_for_is_as_the_protocol_says() -> None:
    assert (Patience().headers_s, Patience().bytes_per_s, Limits().max_depth) == (10.0, 1024, 64)
