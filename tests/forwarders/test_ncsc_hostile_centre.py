"""A centre that is hostile, or somebody who speaks in its place: what it says moves nothing that it may not move."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from feed_kit import ORG, released
from ncsc_kit import forwarding, said

from socmon.errors import ComponentError
from socmon.feed.batch import BATCHES_PATH, unpack
from socmon.feed.keys import KeyFiles, generate
from socmon.text import VISIBLE
from socmon.tls import server_context

_NOT_TAKEN = ssl.TLSVersion.TLSv1_2
HOSTILE = "\x1b]52;c;cm0gLXJm\x07\x1b[2J\u202egnp.exe\u2028level=error"


@asynccontextmanager
async def speaking(context: ssl.SSLContext, seen: list[str], **says: Any) -> AsyncIterator[str]:
    """A server with the centre's certificate; `says` are `status`, `headers`, and members of its reply instead."""

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path)
        body = unpack(await request.read(), request.headers.get("Content-Encoding", "identity"), 1 << 20)
        reply: dict[str, Any] = {
            "batch_id": request.headers.get("Batch-Id"),
            "committed": None,
            "results": [
                {"id": event["id"], "seq": int(event["socseq"]), "status": "stored", "code": ""}
                for event in msgspec.json.decode(body)
            ],
            "window": {"max_events": 1, "max_bytes": 1, "retry_after_ms": 0},
            "server_time": "2026-11-22T17:05:10Z",
        }
        changes = {name: value for name, value in says.items() if name in reply}
        content = says.get("body") or msgspec.json.encode(reply | changes)
        return web.Response(status=says.get("status", 200), headers=says.get("headers"), body=content)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, auto_decompress=False, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def centre_of(keys: KeyFiles) -> ssl.SSLContext:
    return server_context(keys.ca, keys.centre, keys.centre_key)


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    elsewhere: list[str] = []
    async with speaking(centre_of(keys), elsewhere) as other:
        moved = speaking(centre_of(keys), [], status=307, headers={"Location": other + BATCHES_PATH})
        async with moved as url, forwarding(url, keys) as made:
            with pytest.raises(ComponentError, match="HTTP 307"):
                await made.send([released(1)])

    assert elsewhere == []


async def test_a_server_that_speaks_an_old_tls_only_is_told_nothing(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    context = centre_of(keys)
    context.minimum_version = context.maximum_version = _NOT_TAKEN
    seen: list[str] = []
    async with speaking(context, seen) as url, forwarding(url, keys) as made:
        with pytest.raises(ComponentError):
            await made.send([released(1)])

    assert seen == []


async def test_a_lie_about_cursor_time_or_window_settles_nothing_more(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    lies: dict[str, Any] = {
        "committed": {"epoch": "ffffffffffff", "seq": 1 << 52},
        "server_time": "1970-01-01T00:00:00Z",
        "window": {"max_events": 0, "max_bytes": 0, "retry_after_ms": 1 << 40},
    }
    async with speaking(centre_of(keys), [], **lies) as url, forwarding(url, keys) as made:
        assert said(await made.send([released(1), released(2)])) == [(1, "accepted", ""), (2, "accepted", "")]
        assert said(await made.send([released(3)])) == [(3, "accepted", "")]


async def test_words_of_the_centre_steer_nobody_who_reads_them(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    refusing = speaking(centre_of(keys), [], status=403, body=HOSTILE.encode())
    async with refusing as url, forwarding(url, keys) as made:
        with pytest.raises(ComponentError, match="HTTP 403") as failed:
            await made.send([released(1)])
    assert "52;c;" in str(failed.value)
    assert not {ord(char) for char in str(failed.value)} & VISIBLE.keys()
