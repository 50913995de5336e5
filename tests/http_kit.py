"""Clients of the `http` collector: ordinary ones, and one that sends whatever bytes it likes."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from ssl import SSLContext
from typing import Any

import aiohttp
import msgspec
from harness import LIMIT_S, FakeContext
from listening_kit import listens, where

from collectors._http_settings import HttpSettings
from collectors.http import HttpCollector

HttpContext = FakeContext[HttpSettings]
NDJSON = "application/x-ndjson"
SECRET = "0123456789abcdef0123456789abcdef"


def http_context(*, positions: Mapping[str, bytes] | None = None, **options: Any) -> HttpContext:
    return FakeContext(HttpSettings(**{"port": 0, **options}), name="web", positions=positions)


def objects(first: int, last: int) -> list[bytes]:
    return [b'{"n":%d,"message":"number %d"}' % (n, n) for n in range(first, last + 1)]


def ndjson(records: Sequence[bytes]) -> bytes:
    return b"".join(record + b"\n" for record in records)


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Client:
    """Sends to a collector that listens."""

    def __init__(self, session: aiohttp.ClientSession, url: str, collector: HttpCollector) -> None:
        self.session = session
        self.url = url
        self._collector = collector

    @property
    def at_work(self) -> int:
        """How many requests, of all clients, the collector has begun with and not answered."""
        return self._collector._requests.at_work

    async def post(
        self,
        body: bytes,
        *,
        media: str = NDJSON,
        key: str = "",
        token: str = "",
        packed: bool = False,
        method: str = "POST",
        **headers: str,
    ) -> Answer:
        headers = {name.replace("_", "-"): value for name, value in headers.items()} | {"Content-Type": media}
        headers |= {"Idempotency-Key": key} if key else {}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Content-Encoding": "gzip"} if packed else {}
        data = BytesIO(gzip.compress(body, 1) if packed else body)
        async with self.session.request(method, self.url, data=data, headers=headers) as response:
            text = await response.read()
            return Answer(response.status, response.headers, msgspec.json.decode(text) if text else None)


@asynccontextmanager
async def client_of(context: HttpContext, tls: SSLContext | None = None) -> AsyncIterator[Client]:
    """A client of a collector that runs while the body does."""
    async with listens(HttpCollector(context), context) as collector:
        address, port = where(context)
        url = f"{'https' if tls else 'http'}://{address}:{port}/"
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=tls or True)) as session:
            yield Client(session, url, collector)


async def raw(context: HttpContext, sent: bytes, *, end: bool = True) -> bytes:
    """All that the collector answers to `sent`, until it closes: in order, or by a reset if it has not read all."""
    reader, writer = await asyncio.open_connection(*where(context))
    answered = b""
    try:
        writer.write(sent)
        if end:
            writer.write_eof()
        async with asyncio.timeout(LIMIT_S):
            with suppress(ConnectionResetError, BrokenPipeError):
                while piece := await reader.read(65_536):
                    answered += piece
        return answered
    finally:
        writer.close()
