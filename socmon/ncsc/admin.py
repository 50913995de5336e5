"""The centre's own listener, plain HTTP on 127.0.0.1: what it holds, its page, and a way to ask for faults."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from socmon.errors import StoreError
from socmon.log import get
from socmon.ncsc import metrics
from socmon.ncsc.faults import Fault
from socmon.ncsc.inbox import Inbox
from socmon.ncsc.page import SHOWN, Shown, asked_language, page, policy
from socmon.ncsc.standing import Standings

_MAX_TIMES = 1_000_000
_MAX_SECONDS = 86_400
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

log = get("ncsc")


class Admin:
    """Answers about `inbox` and `standings`; a fault that is asked for is handed to `inject`."""

    def __init__(self, inbox: Inbox, standings: Standings, inject: Callable[[Fault], Awaitable[None]]) -> None:
        self._inbox = inbox
        self._standings = standings
        self._inject = inject
        self._rendering = asyncio.Lock()

    def runner(self) -> web.AppRunner:
        """The application, ready for a `TCPSite`."""
        app = web.Application(client_max_size=4096, middlewares=[_unreadable])
        app.on_response_prepare.append(_add_headers)
        app.router.add_get("/", self._page)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/stats", self._stats)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/findings", self._findings)
        app.router.add_post("/faults", self._faults)
        return web.AppRunner(app, access_log=None, shutdown_timeout=2.0)

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def _page(self, request: web.Request) -> web.Response:
        lang = asked_language(request.query.get("lang", ""), request.headers.get("Accept-Language", ""))
        # One at a time: whoever asks again and again must not fill the pool of threads.
        async with self._rendering:
            standings, audit = await self._standings.all(), await self._standings.audit(SHOWN)
            reading = self._standings.reading

            def made() -> str:
                newest, levels = reading.newest(SHOWN), reading.levels()
                shown = Shown(standings, newest, levels, reading.quarantine(SHOWN), reading.voids(SHOWN), audit)
                return page(shown, lang, time.time_ns() // 1000)

            text = await asyncio.to_thread(made)
        headers = {"Content-Security-Policy": policy(), "Content-Language": lang, "Vary": "Accept-Language"}
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=headers)

    async def _metrics(self, _request: web.Request) -> web.Response:
        async with self._rendering:
            body = await asyncio.to_thread(metrics.rendered, await self._standings.all())
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _stats(self, _request: web.Request) -> web.Response:
        return _json({"schema": "socmon.ncsc.stats/1", "organisations": await self._standings.all()})

    async def _findings(self, _request: web.Request) -> web.Response:
        lines = msgspec.json.Encoder().encode_lines(await self._inbox.findings())
        return web.Response(body=lines, content_type="application/x-ndjson")

    async def _faults(self, request: web.Request) -> web.Response:
        # A page in a browser cannot send this type elsewhere without being asked first, so it injects nothing.
        if request.content_type != "application/json":
            return _json({"error": "send application/json"}, status=415)
        try:
            fault = msgspec.json.decode(await request.read(), type=Fault)
        except msgspec.MsgspecError as error:
            return _json({"error": f"no fault: {error}"}, status=400)
        if not (1 <= fault.times <= _MAX_TIMES and 0 <= fault.seconds <= _MAX_SECONDS):
            text = f"times is 1 to {_MAX_TIMES}, seconds 0 to {_MAX_SECONDS}"
            return _json({"error": text}, status=400)
        await self._inject(fault)
        return _json({"status": "armed"}, status=202)


@web.middleware
async def _unreadable(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What the disk does not give now is answered as such, and told."""
    try:
        return await handler(request)
    except (StoreError, sqlite3.Error) as error:
        log.error("state cannot be read", path=request.path, error=str(error))  # noqa: TRY400  the text says it
        return _json({"error": "the centre cannot read its state at the moment"}, status=503)


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


def _json(answer: Any, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(answer), content_type="application/json")
