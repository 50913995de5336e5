"""Delivers alerts to the national centre: batches over mutual TLS 1.3, each event answered for by the centre."""

import asyncio
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from io import BytesIO
from itertools import chain
from pathlib import Path
from ssl import SSLContext
from typing import Annotated, Literal
from uuid import uuid4

import aiohttp
from pydantic import Field, StringConstraints, field_validator

from forwarders._advice import Advisor, shown
from forwarders._heartbeat import NcscHeart
from forwarders._http import Resolver, bounded, wait_s
from forwarders._own_thread import in_own_thread
from forwarders._rendering import rendering
from socmon.component import Context, Forwarder, ForwarderSettings, Heart, Outcome, OutcomeStatus, Release, Released
from socmon.errors import ComponentError, ConfigError, ParseError
from socmon.event import Alert
from socmon.feed.batch import BATCHES_PATH, Reply, Result, ResultStatus, pack, packed_size, read_reply
from socmon.feed.message import ORG_ID, Sender, event_id, render
from socmon.feed.vocabulary import stream_of
from socmon.secrets import SecretRef
from socmon.text import printable
from socmon.tls import Renewed, authority_expiry, client_context, expiry, uris

_MAX_REPLY_BYTES = 4 * 1024 * 1024
_TOO_LARGE = 413
_BUSY = frozenset({429, 503})
# A batch whose requests take more than so many times `timeout_s` in all is cut: what is answered must be written down.
_SEND_TIMEOUTS = 3
_KEYS_REMEDY = "check the disk or mount that holds them"

_STATUS: dict[ResultStatus, OutcomeStatus] = {
    "stored": "accepted",
    "duplicate": "duplicate",
    "stale": "stale",
    "quarantined": "rejected",
    "rejected": "rejected",
}

OrgId = Annotated[str, StringConstraints(pattern=f"^{ORG_ID.pattern}$")]


class NcscSettings(ForwarderSettings):
    """Where the centre is, who we are to it, and what is said of alerts until more is known."""

    url: str = Field(description="The centre's address, https://HOST:PORT.")
    ca: Path = Field(description="Certificate of the authority that signed the centre's certificate, PEM.")
    cert: Path = Field(description="Our client certificate, PEM; its SAN URI is urn:vn:soc:ORG_ID.")
    key: SecretRef = Field(description="Private key of cert, PEM without password: file:PATH or credential:NAME.")
    org_id: OrgId = Field(description="Our organisation, as the centre enrolled it: 000.00.00.H07.")
    org_path: tuple[OrgId, ...] = Field(default=(), description="Organisations from the top down to ours.")
    system_id: str = Field(default="", max_length=128, description="The monitored system, for alerts that name none.")
    system_level: int | None = Field(default=None, ge=1, le=5, description="Its security level, 1 to 5; 4 and 5 weigh.")
    tlp: Literal["CLEAR", "GREEN", "AMBER", "AMBER+STRICT"] = Field(
        default="AMBER", description="Traffic light protocol of what is sent; RED never leaves."
    )
    max_bytes: int = Field(
        default=1_000_000, ge=10_000, le=8_000_000, description="Bytes of one batch before compression, at most."
    )

    heartbeat_s: float = Field(
        default=60.0, ge=0, le=3600, description="Seconds between two heartbeats to the centre; 0 sends none."
    )

    @field_validator("url")
    @classmethod
    def _https_without_path(cls, url: str) -> str:
        scheme, _, rest = url.rstrip("/").partition("://")
        if scheme != "https" or not rest or any(char in rest for char in "/?#@ "):
            # Not repeated: what is too much in it may be a password.
            raise ValueError("not the centre's address; write https://HOST:PORT and nothing after it")
        return url.rstrip("/")

    def tls(self) -> SSLContext:
        """For the connection; reads the three files.

        Raises:
            ComponentError: one of them cannot be used.
        """
        try:
            key = self.key.path()
        except ConfigError as error:
            raise ComponentError(str(error), retry=False) from error
        return client_context(self.ca, self.cert, key)

    def own_files(self) -> list[Path]:
        """Certificate and key; without the key where `tls` has no place to look for it."""
        with suppress(ConfigError):
            return [self.cert, self.key.path()]
        return [self.cert]

    def expiries(self) -> Mapping[Path, datetime | None]:
        """When each of our certificates ends; reads them."""
        return {self.cert: expiry(self.cert), self.ca: authority_expiry(self.ca)}

    def problems(self) -> list[str]:
        """What keeps the keys from working, a line each; reads them, asks nobody. Keys that are not there are none."""
        with suppress(ConfigError):
            if all(os.access(path, os.R_OK) for path in (self.ca, self.cert, self.key.path())):
                return list(self._problems())
        return []

    def _problems(self) -> Iterator[str]:
        try:
            self.tls()
        except ComponentError as error:
            yield str(error)
        ours = "urn:vn:soc:"
        with suppress(OSError, ValueError):  # said above
            named = [uri.removeprefix(ours) for uri in uris(self.cert) if uri.startswith(ours)]
            if named != [self.org_id]:
                stated = " and ".join(repr(name[:64]) for name in named) or "no organisation"
                remedy = "set org_id to that of the certificate" if named else "ask the centre for one that names ours"
                yield f"org_id is {self.org_id}, and {self.cert} names {stated}; {remedy}"


class NcscForwarder(Forwarder[NcscSettings]):
    """Sends to the national centre. One connection, kept open between batches."""

    settings_type = NcscSettings

    def __init__(self, context: Context[NcscSettings]) -> None:
        super().__init__(context)
        settings = self.settings
        self._sender = Sender(
            org_id=settings.org_id,
            org_path=settings.org_path,
            system_id=settings.system_id,
            system_level=settings.system_level,
            tlp=settings.tlp,
        )
        self._advisor = Advisor(url=settings.url, ca=settings.ca, cert=settings.cert)
        self._keys = Renewed(settings.tls, settings.own_files(), [settings.ca])
        self._tls: SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def heart(cls, context: Context[NcscSettings]) -> Heart | None:
        """Tells the centre how we are, on a connection of its own."""
        settings = context.settings
        if not settings.heartbeat_s:
            return None
        advisor = Advisor(url=settings.url, ca=settings.ca, cert=settings.cert)
        every_s, timeout_s = settings.heartbeat_s, settings.timeout_s
        return NcscHeart(context.name, advisor, settings.tls, settings.expiries, every_s=every_s, timeout_s=timeout_s)

    async def open(self) -> None:
        """Read the keys, so that one which is missing or expired shows before there is an alert; connects to nobody.

        Raises:
            ComponentError: they cannot be used, or were not read within `timeout_s`.
        """
        timeout_s = self.settings.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await self._connected()
        except TimeoutError as error:
            raise ComponentError(f"the keys were not read within {timeout_s:g} s; {_KEYS_REMEDY}") from error

    def stream(self, alert: Alert) -> str:
        """`urgent` for high and critical alerts, which then wait behind no backlog; else `normal`."""
        return stream_of(alert.level)

    def render(self, alert: Alert, release: Release) -> bytes:
        """The CloudEvents message, without raw log lines, user names, host names and internal addresses.

        Raises:
            ValueError: the alert cannot be written as a message of the feed.
        """
        with rendering(alert):
            return render(alert, release, self._sender)

    async def send(self, released: Sequence[Released]) -> Sequence[Outcome]:
        """Send one batch, as several requests where it is larger than `max_bytes` or than the centre takes.

        Each request has `timeout_s`. Once something is answered, none is begun after three times that, so this returns
        within four. What was answered before a request failed, or time was up, keeps its outcome; the rest is `retry`.

        Raises:
            ComponentError: the centre gave no answer that can be trusted; what it has stored it will call duplicate.
        """
        now_s = asyncio.get_running_loop().time
        until_s = now_s() + _SEND_TIMEOUTS * self.settings.timeout_s
        outcomes: list[Outcome] = []
        parts = deque(self._parts(released))
        while parts:
            if outcomes and now_s() >= until_s:
                return outcomes + self._left(parts, "the link is too slow for the whole batch")
            try:
                answered = await self._send_part(parts[0])
            except ComponentError as error:
                if not outcomes:
                    raise
                return outcomes + self._left(parts, str(error), error.wait_s)
            part = parts.popleft()
            if answered is None:
                half = len(part) // 2
                parts.extendleft((part[half:], part[:half]))
            else:
                outcomes += answered
        return outcomes

    def _left(self, parts: deque[Sequence[Released]], reason: str, wait_s: float = 0.0) -> list[Outcome]:
        left = [Outcome(item.id, "retry", wait_s=wait_s) for item in chain(*parts)]
        self.context.log.warning("batch answered for in part, the rest is sent again", alerts=len(left), error=reason)
        return left

    async def close(self) -> None:
        """Close the connection; the next one reads certificate and key again."""
        if self._session:
            await self._session.close()
            self._session = None

    def _parts(self, released: Sequence[Released]) -> Iterator[Sequence[Released]]:
        """`released` cut, in order, into parts of at most `max_bytes`; one that is larger by itself is a part alone."""
        part: list[Released] = []
        size_bytes = packed_size([])
        for item in released:
            if part and size_bytes + len(item.body) + 1 > self.settings.max_bytes:
                yield part
                part, size_bytes = [], packed_size([])
            part.append(item)
            size_bytes += len(item.body) + 1
        if part:
            yield part

    async def _send_part(self, part: Sequence[Released]) -> list[Outcome] | None:
        """The answers for `part`; None if it must be halved."""
        if len(part) == 1 and packed_size([part[0].body]) > self.settings.max_bytes:
            return [Outcome(part[0].id, "rejected", "oversize")]
        batch_id = str(uuid4())
        status, body, retry_after_s = await self._post(batch_id, [item.body for item in part])
        if status == _TOO_LARGE:
            return None if len(part) > 1 else [Outcome(part[0].id, "rejected", "too_large")]
        if status in _BUSY:
            text = f"{self.settings.url} takes nothing at the moment (HTTP {status})"
            raise ComponentError(text, wait_s=retry_after_s)
        if status != 200:
            raise self._advisor.on_refusal(status, body, retry_after_s)
        return _outcomes(part, self._reply(body, batch_id, part))

    async def _post(self, batch_id: str, messages: Sequence[bytes]) -> tuple[int, bytes, float]:
        """HTTP status, body, and the wait that the centre asked for in seconds."""
        url = self.settings.url
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                headers, body = await asyncio.to_thread(pack, messages, batch_id)
                session = await self._connected()
                request = session.post(url + BATCHES_PATH, data=BytesIO(body), headers=headers, allow_redirects=False)
                async with request as response:
                    answer = await bounded(response.content, _MAX_REPLY_BYTES)
                    return response.status, answer, wait_s(response.headers.get("Retry-After", ""))
        except TimeoutError as error:
            text = f"{url} did not answer within {self.settings.timeout_s:g} s; look at the link and at the centre"
            raise ComponentError(text) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._advisor.on_failure(error) from error

    def _reply(self, body: bytes, batch_id: str, part: Sequence[Released]) -> Reply:
        sent = {event_id(item.release): item.release.seq for item in part}
        try:
            return read_reply(body, batch_id, sent)
        except ParseError as error:
            raise ComponentError(f"{self.settings.url} answered what cannot be trusted: {shown(error)}") from error

    async def _connected(self) -> aiohttp.ClientSession:
        """The session; a new one, and so a new handshake, when keys were replaced or have run out since the last."""
        name = f"read of the keys of {self.context.name}"
        tls = await in_own_thread(self._keys.current, name=name, remedy=_KEYS_REMEDY)
        if self._session is None or tls is not self._tls:
            await self.close()
            self._tls = tls
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls, limit=1, resolver=Resolver(self.context.name)),
                timeout=aiohttp.ClientTimeout(total=None),  # _post has its own, over all that it waits for
                # A compressed reply could be a bomb, and it is small anyway.
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
        return self._session


def _outcomes(part: Sequence[Released], reply: Reply) -> list[Outcome]:
    by_id: dict[str, Result] = {result.id: result for result in reply.results}
    results = ((item, by_id[event_id(item.release)]) for item in part)
    return [Outcome(item.id, _STATUS[result.status], printable(result.code)[:64]) for item, result in results]
