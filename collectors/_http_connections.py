"""The connections of a listener over HTTP: who may connect, TLS, bounds; what they ask for is aiohttp's to read."""

import asyncio
import errno
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

from aiohttp import web

from collectors._http_refusals import RequestRefusedError
from collectors._listening import Allowed
from socmon.addresses import address as in_one_spelling
from socmon.component import Context
from socmon.errors import ComponentError
from socmon.log import Rarely

HANDSHAKE_S = 10.0
LINGER_S = 2.0  # so long a sender that was refused may go on, so that it reads why
STOP_S = 1.2  # passes twice
_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_REST_S = 1.0

# What it would say is of what others have sent, as often as they like; it is counted here, and told of now and then.
_silent = logging.getLogger("collectors.http")
_silent.disabled = True

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Bounds(Protocol):
    """The options that concern connections."""

    allow: list[str]
    max_connections: int
    max_connections_per_source: int
    idle_s: float


class Connections:
    """All connections of one collector.

    Args:
        handler: answers a request.
        bounds: the collector's settings.

    Attributes:
        tls: what new connections are made with; None for plain HTTP.
    """

    def __init__(self, context: Context[Any], bounds: Bounds, handler: Handler) -> None:
        self.tls: ssl.SSLContext | None = None
        self._context = context
        self._bounds = bounds
        self._allowed = Allowed(bounds.allow)
        self._rarely = Rarely()
        self._by_source: Counter[str] = Counter()
        self._opening: set[asyncio.Task[None]] = set()
        self._server = web.Server(handler)

    async def accept(self, listener: socket.socket) -> None:
        """Take connections until cancelled.

        Raises:
            ComponentError: the listener has failed.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, name = await loop.sock_accept(listener)
            except ConnectionError:
                continue  # it is gone again
            except OSError as error:
                if error.errno not in _NO_DESCRIPTOR:
                    raise ComponentError(f"cannot take connections: {(error.strerror or 'error').lower()}") from error
                self._context.counters.error("no_descriptor")
                await asyncio.sleep(_REST_S)  # what comes meanwhile waits in the kernel
                continue
            peer = in_one_spelling(name[0]) or ""
            if not self._admit(peer):
                connection.close()
                continue
            opening = asyncio.create_task(self._open(connection, peer), name=f"handshake with {peer}")
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def stop(self) -> None:
        """Let go of all: requests that are at work may end within STOP_S, then they are cancelled."""
        for opening in self._opening:
            opening.cancel()
        await self._server.shutdown(STOP_S)

    def refused(self, reason: str, peer: str) -> None:
        """Count a connection that was turned away, and tell of it now and then."""
        self._context.counters.error(reason)
        if times := self._rarely.times(reason):
            self._context.log.warning("connection refused", reason=reason, peer=peer, times=times)

    def _admit(self, peer: str) -> bool:
        if not peer or peer not in self._allowed:
            self.refused("not_allowed", peer)
        elif self._by_source.total() >= self._bounds.max_connections:
            self.refused("too_many_connections", peer)
        elif self._by_source[peer] >= self._bounds.max_connections_per_source:
            self.refused("too_many_from_source", peer)
        else:
            self._by_source[peer] += 1
            return True
        return False

    def _leave(self, peer: str) -> None:
        self._by_source[peer] -= 1
        if not self._by_source[peer]:
            del self._by_source[peer]

    async def _open(self, raw: socket.socket, peer: str) -> None:
        loop = asyncio.get_running_loop()
        connection = _Connection(self._server, self._context, lambda: self._leave(peer), self._bounds.idle_s)
        limits = {"ssl_handshake_timeout": HANDSHAKE_S, "ssl_shutdown_timeout": LINGER_S} if self.tls else {}
        try:
            await loop.connect_accepted_socket(lambda: connection, raw, ssl=self.tls, **limits)
        except OSError:  # ssl.SSLError is one
            self._context.counters.error("connection_lost")
            connection.gone()
        except asyncio.CancelledError:
            connection.gone()
            with suppress(OSError):
                raw.close()
            raise


class _Connection(web.RequestHandler):
    """One connection.

    Args:
        gone: told once when it is over.
        idle_s: until the header of the next request is whole; aiohttp has no other limit for it.
    """

    def __init__(self, server: web.Server, context: Context[Any], gone: Callable[[], None], idle_s: float) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=idle_s,
            lingering_time=LINGER_S,
            auto_decompress=False,
            logger=_silent,
            access_log=None,  # type: ignore[arg-type]  # it takes None, and says otherwise
        )
        self._context = context
        self._gone = gone
        self._left = False

    def gone(self) -> None:
        """It is over."""
        if not self._left:
            self._left = True
            self._gone()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.gone()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002  aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no HTTP, or after a bug, which the collector tells of."""
        refusal = RequestRefusedError(500, "bug", "a mistake in socmon; its log says which")
        if status < 500:
            self._context.counters.error("bad_request")
            refusal = RequestRefusedError(status, "bad_request", f"this is not HTTP: {str(message)[:200]}")
        response = refusal.response()
        response.force_close()
        return response
