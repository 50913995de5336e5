"""Records over HTTP (RFC 9110): POST of NDJSON, a JSON array or lines, answered when the journal has them."""

import asyncio
import socket
from functools import partial
from ssl import SSLContext
from typing import ClassVar

import msgspec
from aiohttp import web

from collectors._beating import beating
from collectors._http_clients import Tokens, certificate_client
from collectors._http_connections import Connections
from collectors._http_refusals import RequestRefusedError
from collectors._http_requests import Requests
from collectors._http_settings import HttpSettings
from collectors._listening import listener_for
from socmon.addresses import address as in_one_spelling
from socmon.component import BEAT_S, Collector, Context
from socmon.errors import ComponentError
from socmon.event import Source
from socmon.log import Rarely
from socmon.tls import Renewed
from socmon.worker import Worker

LOOK_S = 1.0  # between two looks at the files
_FILES_S = 10.0
_LAST_S = 1.0  # for what was being written when the stop came
_HEALTH = frozenset({"GET", "HEAD"})


class HttpCollector(Collector[HttpSettings]):
    """Takes requests. A record's peer is the client's name, and so is the stream of its positions.

    A request is answered with 2xx when all of it is in the journal. One that is not is sent again: with an
    `Idempotency-Key` nothing of it is journalled twice (docs/semantics.md, "Ledger").
    """

    settings_type: ClassVar[type[HttpSettings]] = HttpSettings

    def __init__(self, context: Context[HttpSettings]) -> None:
        super().__init__(context)
        settings = self.settings
        self._rarely = Rarely()
        self._requests = Requests(context)
        self._connections = Connections(context, settings, self._answer)
        self._tokens = Tokens(settings.tokens)
        authorities = [settings.client_ca] if settings.client_ca else []
        make = partial(settings.tls, self._refuse_certificate)
        self._keys = Renewed(make, settings.own_files(), authorities) if settings.cert else None
        self._files = Worker(f"files of {context.name}")
        self._told: dict[str, str] = {}
        self._failed: asyncio.Future[None]

    async def run(self) -> None:
        """Take requests until cancelled; once.

        Raises:
            ComponentError: the address cannot be listened on, or certificate and key cannot be used.
        """
        try:
            await self._begin()
            listener, inherited = listener_for(self.context, socket.SOCK_STREAM)
            with listener:
                address, port = listener.getsockname()[:2]
                self.context.log.info("listening", address=address, port=port, inherited=inherited)
                await self._serve(listener)
        finally:
            self._files.close()

    async def _serve(self, listener: socket.socket) -> None:
        name = self.context.name
        self._failed = asyncio.get_running_loop().create_future()
        accepting = asyncio.create_task(self._connections.accept(listener), name=f"collector {name}, accepting")
        looking = asyncio.create_task(self._look_again(), name=f"collector {name}, files")
        parts = (accepting, looking, self._failed)
        try:
            while not any(part.done() for part in parts):
                self.context.beat()
                await asyncio.wait(parts, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
            for part in parts:
                if part.done():
                    await part
        finally:
            for part in parts:
                part.cancel()
            await asyncio.wait([accepting], timeout=_LAST_S)  # else it may take one more connection
            await self._connections.stop()
            await self._requests.ended(_LAST_S)

    # ── certificates and tokens ──────────────────────────────────────────────────────────────────────────────────

    async def _begin(self) -> None:
        if self.settings.plain_to_others:
            self.context.log.warning("records and tokens can be read on the way, there is no certificate")
        try:
            with beating(self.context):
                async with asyncio.timeout(_FILES_S):
                    self._connections.tls = await self._files.run(self._look)
        except TimeoutError as error:
            text = (
                f"certificate and tokens were not read within {_FILES_S:g} s; check the disk or mount that holds them"
            )
            raise ComponentError(text) from error
        self._tell_unusable(self._tokens.unusable)

    def _look(self) -> SSLContext | None:
        self._tokens.load()
        return self._keys.current() if self._keys else None

    async def _look_again(self) -> None:
        """Follow certificate and tokens while they are replaced; what cannot be used changes nothing but is told."""
        while True:
            await asyncio.sleep(LOOK_S)
            unusable: dict[str, str] = {}
            try:
                self._connections.tls = await self._files.run(self._look)
            except ComponentError as error:
                unusable = {"": str(error)}
            self._tell_unusable(unusable | self._tokens.unusable)

    def _tell_unusable(self, unusable: dict[str, str]) -> None:
        for client, error in unusable.items():
            if self._told.get(client) == error:
                continue
            if client:
                self.context.log.warning("token cannot be used, its client is refused", client=client, error=error)
            else:
                self.context.log.warning("certificate cannot be renewed, the one before is used on", error=error)
        self._told = unusable

    def _refuse_certificate(self, reason: str, said: str) -> None:
        self.context.counters.error(reason)
        if times := self._rarely.times(reason):
            self.context.log.warning("certificate of a client refused", reason=reason, said=said, times=times)

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        response = await self._answered(request)
        response.headers["Server"] = "socmon"  # not which versions there are
        return response

    async def _answered(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method in _HEALTH:
            return web.Response(status=204)
        try:
            source = self._source_of(request)
            records = await self._requests.take(request, source)
            return web.Response(body=msgspec.json.encode({"records": records}), content_type="application/json")
        except RequestRefusedError as refusal:
            self._tell(refusal, request)
            return refusal.response()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if not self._failed.done():
                self._failed.set_exception(error)
            raise

    def _source_of(self, request: web.BaseRequest) -> Source:
        """Who sends.

        Raises:
            RequestRefusedError: 401 nobody that is known, 403 one that may not; 405 it is no POST.
        """
        if request.method != "POST":
            raise RequestRefusedError(405, "method", "records come by POST", headers={"Allow": "POST, GET, HEAD"})
        settings = self.settings
        connection = request.transport.get_extra_info("ssl_object") if request.transport else None
        if not settings.tokens and settings.client_ca is None:
            name = request.transport.get_extra_info("peername") if request.transport else None
            return self.source(in_one_spelling(name[0]) or "unknown" if name else "unknown", authenticated=False)
        authorization = request.headers.get("Authorization")
        if authorization is None or not settings.tokens:
            client = certificate_client(connection, settings.clients) if settings.client_ca else ""
        else:
            client = self._tokens.client(authorization)
        if client:
            return self.source(client)
        text = "send Authorization: Bearer and a token that is known here" if settings.tokens else "show a certificate"
        raise RequestRefusedError(401, "unauthorized", text, headers={"WWW-Authenticate": "Bearer"})

    def _tell(self, refusal: RequestRefusedError, request: web.BaseRequest) -> None:
        self.context.counters.error(refusal.reason)
        if times := self._rarely.times(refusal.reason):
            name = request.transport.get_extra_info("peername") if request.transport else None
            self.context.log.warning(
                "request refused",
                reason=refusal.reason,
                status=refusal.status,
                detail=str(refusal),
                peer=name[0] if name else "",
                times=times,
            )
