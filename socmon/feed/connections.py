"""The feed's connections: how many there may be, and how long a request may take to arrive.

aiohttp waits for a request's headers for as long as anyone likes, and takes every connection. Here each stands behind
a protocol that gives up on it in time (slow-loris; CWE-400).
"""

import asyncio
import ssl
import time
from collections import Counter
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp.web_protocol import RequestHandler
from msgspec import Struct

from socmon.feed.batch import RefusedError
from socmon.log import get

_TELL_AGAIN_S = 60.0

log = get("feed")


class Patience(Struct, frozen=True):
    """What a connection may take, and how many there may be.

    Attributes:
        headers_s: from the handshake, or from a request's first byte, until its headers are whole; for the handshake.
        grace_s: what a body may take beside what `bytes_per_s` gives it.
        bytes_per_s: a body that comes more slowly is cut off.
        connections: of all together.
        each: of one address.
    """

    headers_s: float = 10.0
    grace_s: float = 10.0
    bytes_per_s: int = 1024
    connections: int = 512
    each: int = 128


class Connections:
    """The protocols of one listener; `asyncio` calls it for each connection whose handshake is done."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._server: web.Server | None = None
        self._open: dict[RequestHandler, _Connection] = {}
        self._of: Counter[str] = Counter()
        self._told: dict[str, float] = {}

    def __call__(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        if self._server is None:
            raise RuntimeError("no server to pass connections on to; call serve first")
        return _Connection(self, self._server())

    def serve(self, server: web.Server) -> None:
        """Pass connections on to `server` from now on."""
        self._server = server

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The headers are here: from now on the request is waited for by who reads it."""
        connection = self._open.get(request.protocol)
        if connection is None:
            return await handler(request)
        connection.pause()
        try:
            return await handler(request)
        finally:
            connection.idle()

    def admit(self, connection: "_Connection", address: str) -> bool:
        """Whether there is room for one more of `address`, which it then has until `leave`."""
        if len(self._open) >= self.patience.connections or self._of[address] >= self.patience.each:
            self.tell("connection refused, there are too many", address)
            return False
        self._open[connection.handler] = connection
        self._of[address] += 1
        return True

    def leave(self, connection: "_Connection", address: str) -> None:
        """Give the room of a connection back."""
        if self._open.pop(connection.handler, None):
            self._of -= Counter([address])

    def tell(self, event: str, address: str) -> None:
        """Log `event`, at most once a minute: whoever floods us must not fill the log too."""
        now_s = time.monotonic()
        if now_s >= self._told.get(event, 0.0):
            self._told[event] = now_s + _TELL_AGAIN_S
            log.warning(event, address=address)


class _Connection(asyncio.Protocol):
    """Passes all on to aiohttp's protocol, and cuts the connection off when its headers do not come."""

    def __init__(self, connections: Connections, handler: RequestHandler) -> None:
        self.handler = handler
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._address = ""
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._address = str((transport.get_extra_info("peername") or ("",))[0])
        self.handler.connection_made(transport)
        if self._connections.admit(self, self._address):
            self._wait()
        else:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._busy and self._timer is None:
            self._wait()
        self.handler.data_received(data)

    def eof_received(self) -> None:
        self.handler.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.pause()
        self._connections.leave(self, self._address)
        self.handler.connection_lost(exc)

    def pause_writing(self) -> None:
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        self.handler.resume_writing()

    def pause(self) -> None:
        """A request is at work: nothing is waited for here."""
        self._busy = True
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def idle(self) -> None:
        """The next request may come when it likes; once it has begun, its headers are waited for."""
        self._busy = False

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._connections.patience.headers_s, self._cut)

    def _cut(self) -> None:
        self._timer = None
        self._connections.tell("connection cut off, its headers did not come", self._address)
        if self._transport:
            self._transport.abort()


class FeedSite(web.BaseSite):
    """As aiohttp's `TCPSite`, with connections that are waited for with patience only."""

    def __init__(
        self, runner: web.AppRunner, connections: Connections, address: tuple[str, int], tls: ssl.SSLContext
    ) -> None:
        super().__init__(runner, ssl_context=tls)
        self._connections = connections
        self._address = address

    @property
    def name(self) -> str:
        """Its URL."""
        return "https://{}:{}".format(*self._address)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be had.
        """
        await super().start()
        if self._runner.server is not None:
            self._connections.serve(self._runner.server)
        host, port = self._address
        self._server = await asyncio.get_running_loop().create_server(
            self._connections,
            host,
            port,
            ssl=self._ssl_context,
            ssl_handshake_timeout=self._connections.patience.headers_s,
            backlog=self._backlog,
            reuse_address=True,
        )


async def body_of(request: web.Request, max_bytes: int, patience: Patience) -> bytes:
    """The body as it is on the wire.

    Raises:
        RefusedError: 413, larger than `max_bytes`; 408, it comes more slowly than `patience` allows.
    """
    too_large = RefusedError(413, "too_large", "the batch is too large; send fewer events at a time")
    if (request.content_length or 0) > max_bytes:
        raise too_large
    body = bytearray()
    begin_s = asyncio.get_running_loop().time() + patience.grace_s
    try:
        async with asyncio.timeout_at(begin_s) as limit:
            while chunk := await request.content.readany():
                body += chunk
                if len(body) > max_bytes:
                    raise too_large
                limit.reschedule(begin_s + len(body) / patience.bytes_per_s)
    except TimeoutError as error:
        text = f"the body comes more slowly than {patience.bytes_per_s} bytes a second"
        raise RefusedError(408, "too_slow", text) from error
    return bytes(body)
