"""The centre's own listener, plain HTTP on 127.0.0.1: what it holds, and a way to ask for faults."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from socmon.ncsc.faults import Fault
from socmon.ncsc.inbox import Inbox

_MAX_TIMES = 1_000_000
_MAX_SECONDS = 86_400
_EMPTY: Mapping[str, Any] = {
    "events_received": 0,
    "findings": 0,
    "rows_stored": 0,
    "rows_stored_twice": 0,
    "duplicates_answered": 0,
    "stale": 0,
    "quarantined": 0,
    "committed": {},
}


class Admin:
    """Answers about `inbox`; a fault that is asked for is handed to `inject`."""

    def __init__(
        self, inbox: Inbox, organisations: Mapping[str, str], inject: Callable[[Fault], Awaitable[None]]
    ) -> None:
        self._inbox = inbox
        self._organisations = organisations
        self._inject = inject

    def runner(self) -> web.AppRunner:
        """The application, ready for a `TCPSite`."""
        app = web.Application(client_max_size=4096)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/stats", self._stats)
        app.router.add_get("/findings", self._findings)
        app.router.add_post("/faults", self._faults)
        return web.AppRunner(app, access_log=None, shutdown_timeout=2.0)

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def _stats(self, _request: web.Request) -> web.Response:
        found = await self._inbox.stats()
        organisations = {
            org_id: {"name": name, **found.get(org_id, _EMPTY)} for org_id, name in self._organisations.items()
        }
        return _json({"schema": "socmon.ncsc.stats/1", "organisations": organisations})

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


def _json(answer: object, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(answer), content_type="application/json")
