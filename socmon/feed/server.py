"""The receiving side of the feed: an aiohttp application behind mutual TLS that answers a batch only after commit."""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from msgspec import Struct
from msgspec.structs import replace

from socmon import failpoints
from socmon.errors import BlockedError, ConfigError, StoreError
from socmon.event import SECOND_US, rfc3339
from socmon.feed import receipt
from socmon.feed.batch import (
    BATCH_ID,
    BATCH_TYPE,
    BATCHES_PATH,
    CONTENT_DIGEST,
    CURSORS_PATH,
    ORGANISATION,
    Committed,
    Cursor,
    Cursors,
    RefusedError,
    Reply,
    Result,
    Window,
    check_digest,
    unpack,
)
from socmon.feed.checking import SUPPORTED, Item, Limits, bounded, check, split, verified
from socmon.feed.connections import Patience, body_of
from socmon.feed.keyring import Signer
from socmon.feed.message import ORG_ID
from socmon.feed.signing import Key
from socmon.log import get

_ORGANISATION = "urn:vn:soc:"
_BATCH_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_STORE_RETRY_S = 5
_MAX_AT_WORK = 8
_MAX_ARRIVING = 64  # bodies; a slow one takes no place of those at work
_PLACE_S = 30.0

log = get("feed")


class Stored(Struct, frozen=True):
    """What a store says of a batch: one result for each item, in order, and how far its stream is complete."""

    committed: Committed | None
    results: list[Result]


class Store(Protocol):
    """Where the server puts what it receives."""

    async def store(self, organisation: str, items: Sequence[Item]) -> Stored:
        """Commit `items` of one stream, in order; what this returns has survived a power cut.

        Raises:
            StoreError: nothing of it is stored.
        """

    async def cursors(self, organisation: str) -> list[Cursor]:
        """Where each of its streams stands, in the newest epoch.

        Raises:
            StoreError: it cannot be said now.
        """


class Trust(Struct, frozen=True):
    """What signatures stand on.

    Attributes:
        keys_of: public keys of an organisation by `kid`, as they are now; called in threads.
        demanded: nothing is stored without a good signature.
        signer: signs receipts; None where there are none.
    """

    keys_of: Callable[[str], Mapping[str, Key]] = lambda _org_id: {}
    demanded: bool = True
    signer: Signer | None = None


class FeedServer:
    """Checks batches and hands them to a store.

    Attributes:
        organisations: `org_id` of everyone who may send; asked at each request.

    Args:
        now_us: the time that replies and receipts tell, in microseconds since 1970 UTC.
    """

    def __init__(
        self,
        store: Store,
        organisations: Container[str],
        trust: Trust | None = None,
        limits: Limits | None = None,
        *,
        patience: Patience | None = None,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._now_us = now_us
        self.organisations = organisations
        self._store = store
        self._trust = trust or Trust()
        self._limits = limits or Limits()
        self._patience = patience or Patience()
        self._arriving = asyncio.Semaphore(_MAX_ARRIVING)
        self._room = asyncio.Semaphore(_MAX_AT_WORK)

    def runner(self, *middlewares: Middleware) -> web.AppRunner:
        """The application, ready for a `FeedSite` with `socmon.tls.server_context`; `middlewares` see it first."""
        app = web.Application(client_max_size=self._limits.max_bytes, middlewares=[*middlewares, refusals])
        app.router.add_post(BATCHES_PATH, self._receive)
        app.router.add_get(CURSORS_PATH, self._cursors)
        # The digest covers the compressed body, and a bomb is defused here, so aiohttp must not decompress.
        return web.AppRunner(app, auto_decompress=False, access_log=None, shutdown_timeout=2.0)

    async def _receive(self, request: web.Request) -> web.Response:
        organisation = admitted(request, self.organisations)
        batch_id = _batch_id(request)
        content = await self._arrived(request)
        async with self._place():
            encoding = request.headers.get("Content-Encoding", "identity").lower()
            digest = request.headers.get(CONTENT_DIGEST)
            items = await asyncio.to_thread(self._check, content, encoding, digest, organisation)
            failpoints.die("centre.checked")
            stored = await self._commit(organisation, items)
            failpoints.die("centre.committed")
            reply = await asyncio.to_thread(self._reply, batch_id, items, stored)
        return _json(200, reply)

    async def _arrived(self, request: web.Request) -> bytes:
        if self._arriving.locked():
            raise RefusedError(503, "busy", "too many batches at once; send again", retry_after_s=1)
        async with self._arriving:
            return await body_of(request, self._limits.max_bytes, self._patience)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """One of the places at work; each is given back when its batch is stored."""
        try:
            async with asyncio.timeout(_PLACE_S):
                await self._room.acquire()
        except TimeoutError as error:
            raise RefusedError(503, "busy", "too many batches at once; send again", retry_after_s=1) from error
        try:
            yield
        finally:
            self._room.release()

    async def _cursors(self, request: web.Request) -> web.Response:
        organisation = admitted(request, self.organisations)
        stated = request.query.get(ORGANISATION, organisation)
        if stated != organisation:
            text = f"cursors of {stated[:64]!r} are asked for with the certificate of {organisation}"
            raise RefusedError(403, "foreign_source", text)
        try:
            cursors = await self._store.cursors(organisation)
        except StoreError as error:
            log.error("cursors cannot be read", organisation=organisation, error=str(error))  # noqa: TRY400  the cause is in the text
            text = "the centre cannot read its state at the moment"
            raise RefusedError(503, "store", text, retry_after_s=_STORE_RETRY_S) from error
        return _json(200, Cursors(organisation, cursors, rfc3339(self._now_us())))

    def _check(self, content: bytes, encoding: str, digest: str | None, organisation: str) -> list[Item]:
        check_digest(digest, content)
        body = unpack(content, encoding, self._limits.max_bytes)
        events = split(body, self._limits)
        bounded(events, self._limits)
        items = [check(raw, self._limits.max_depth) for raw in events]
        sources = {item.source for item in items if item.source}
        for source in sources:
            if source.removeprefix(_ORGANISATION).partition("/")[0] != organisation:
                text = f"source {source!r} is not the certificate's organisation {organisation}; nothing is stored"
                raise RefusedError(403, "foreign_source", text)
        if len(sources) > 1:
            raise RefusedError(400, "mixed_streams", "a batch holds events of one stream; send one batch for each")
        return self._verified(items, organisation)

    def _verified(self, items: Sequence[Item], organisation: str) -> list[Item]:
        try:
            keys = self._trust.keys_of(organisation)
            if self._trust.signer:
                # Before anything is stored: what is stored must be answered for.
                self._trust.signer.at(self._now_us() // SECOND_US)
        except (ConfigError, BlockedError) as error:
            log.error("batch refused, the centre cannot use its keys", organisation=organisation, error=str(error))  # noqa: TRY400  the text says it
            text = "the centre cannot use its keys at the moment; nothing is stored"
            raise RefusedError(503, "keys", text, retry_after_s=_STORE_RETRY_S) from error
        return [verified(item, keys, demanded=self._trust.demanded) for item in items]

    async def _commit(self, organisation: str, items: Sequence[Item]) -> Stored:
        try:
            return await self._store.store(organisation, items)
        except StoreError as error:
            log.error("batch not stored", organisation=organisation, error=str(error))  # noqa: TRY400  the cause is in the text
            text = "the centre cannot store at the moment; nothing is stored"
            raise RefusedError(503, "store", text, retry_after_s=_STORE_RETRY_S) from error

    def _reply(self, batch_id: str, items: Sequence[Item], stored: Stored) -> Reply:
        now_us = self._now_us()
        reply = Reply(
            batch_id=batch_id,
            committed=stored.committed,
            results=stored.results,
            window=Window(self._limits.max_events, self._limits.max_bytes, retry_after_ms=0),
            server_time=rfc3339(now_us),
        )
        if self._trust.signer is None:
            return reply
        now_s = now_us // SECOND_US
        digests = [item.digest.hex() for item in items]
        try:
            return replace(reply, receipt=receipt.issue(reply, digests, self._trust.signer.at(now_s), now_s))
        except BlockedError as error:
            text = "the centre cannot sign its receipt at the moment; send again"
            raise RefusedError(503, "keys", text, retry_after_s=_STORE_RETRY_S) from error


def admitted(request: web.Request, organisations: Container[str]) -> str:
    """The organisation that asks.

    Raises:
        RefusedError: 403, it is none of `organisations`, or its certificate has ended.
    """
    connection = request.get_extra_info("ssl_object")
    if expired(connection, time.time()):
        # It was good when the connection was made. None is let in twice on the strength of one handshake.
        raise RefusedError(403, "certificate_expired", "the certificate has expired since; renew it, connect again")
    organisation = organisation_of(connection)
    if organisation not in organisations:
        stated = repr(organisation) if organisation else "none"
        text = f"the certificate's organisation ({stated}) is not enrolled here; ask the centre to enrol it"
        raise RefusedError(403, "not_enrolled", text)
    return organisation


def organisation_of(connection: ssl.SSLObject | None) -> str:
    """The organisation that the peer's certificate names: its one SAN URI `urn:vn:soc:<org_id>`; "" if it names none.

    The handshake has already proved that the certificate is the authority's and the peer holds its key.
    """
    certificate = (connection.getpeercert() if connection else None) or {}
    names = [str(name[1]) for name in certificate.get("subjectAltName", ()) if name[0] == "URI"]
    uris = [name for name in names if name.startswith(_ORGANISATION)]
    stated = uris[0].removeprefix(_ORGANISATION) if len(uris) == 1 else ""
    return stated if ORG_ID.fullmatch(stated) else ""


def expired(connection: ssl.SSLObject | None, now_s: float) -> bool:
    """Whether the peer's certificate has ended since the handshake."""
    certificate = (connection.getpeercert() if connection else None) or {}
    end = certificate.get("notAfter")
    return isinstance(end, str) and ssl.cert_time_to_seconds(end) < now_s


def _batch_id(request: web.Request) -> str:
    if request.content_type != BATCH_TYPE:
        raise RefusedError(415, "content_type", f"content type {request.content_type[:60]!r} is not {BATCH_TYPE}")
    batch_id = request.headers.get(BATCH_ID, "")
    if not _BATCH_ID.fullmatch(batch_id):
        raise RefusedError(400, "batch_id", f"{BATCH_ID} is missing or is not 1 to 64 letters, digits and dashes")
    return batch_id


@web.middleware
async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a refusal as `{error, message}`; each is logged: a refused sender is broken, or not who it says it is."""
    try:
        return await handler(request)
    except RefusedError as refusal:
        organisation = organisation_of(request.get_extra_info("ssl_object"))
        log.warning("request refused", organisation=organisation, status=refusal.status, code=refusal.code)
        answer = {"error": refusal.code, "message": str(refusal)}
        response = _json(refusal.status, answer | ({"supported": SUPPORTED} if refusal.code == "schema" else {}))
        if refusal.retry_after_s:
            response.headers["Retry-After"] = str(refusal.retry_after_s)
        return response


def _json(status: int, answer: object) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(answer), content_type="application/json")
