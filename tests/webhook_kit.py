"""A receiver of webhooks over real TLS that trusts nobody: it verifies with an implementation that is not ours."""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import trustme
from aiohttp import web
from standardwebhooks import Webhook

from forwarders.webhook import WebhookSettings

SECRET = b"whsec_" + b64encode(bytes(range(32)))

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Receiver:
    """Takes each id once and answers 409 to what it has.

    Attributes:
        tried: (Webhook-Id, Webhook-Timestamp) of each request, in order.
        bodies: what was taken, by id, in order.
        heads: headers of each request.
        answers: what to do instead, one a request.
    """

    def __init__(self, folder: Path, secret: bytes = SECRET) -> None:
        self.folder = folder
        self.secret = secret
        self.tried: list[tuple[str, str]] = []
        self.bodies: dict[str, bytes] = {}
        self.heads: list[dict[str, str]] = []
        self.answers: list[Answer] = []
        self.port = 0
        authority = trustme.CA()
        folder.mkdir(parents=True, exist_ok=True)
        self.ca = folder / "receiver-ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._tls)
        self.secret_file = folder / "hook.whsec"
        self.secret_file.write_bytes(SECRET + b"\n")

    def options(self, **changes: Any) -> dict[str, Any]:
        url = f"https://127.0.0.1:{self.port}/hook"
        return {"url": url, "ca": str(self.ca), "secrets": [f"file:{self.secret_file}"]} | changes

    def settings(self, **changes: Any) -> WebhookSettings:
        return WebhookSettings.model_validate(self.options(**changes))

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        Webhook(self.secret.decode()).verify(body.decode(), {name.lower(): it for name, it in request.headers.items()})
        identity = request.headers["Webhook-Id"]
        self.tried.append((identity, request.headers["Webhook-Timestamp"]))
        self.heads.append(dict(request.headers))
        if self.answers:
            return await self.answers.pop(0)(request)
        if identity in self.bodies:
            return web.Response(status=409)
        self.bodies[identity] = body
        return web.Response(status=204)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=self._tls).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    def status(self, code: int, **headers: str) -> Answer:
        async def answer(_request: web.Request) -> web.StreamResponse:
            return web.Response(status=code, headers={name.replace("_", "-"): it for name, it in headers.items()})

        return answer

    def taken_and_cut(self) -> Answer:
        """Keeps what came and closes the connection without an answer."""

        async def answer(request: web.Request) -> web.StreamResponse:
            self.bodies[request.headers["Webhook-Id"]] = await request.read()
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        return answer

    async def silent(self, _request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async def endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(65536))
