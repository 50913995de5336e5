"""Posts alerts to a web address, one JSON object a request, signed as Standard Webhooks 1.0.0 specifies."""

import asyncio
import hmac
import re
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from ssl import SSLContext
from typing import Self
from urllib.parse import urlsplit

import aiohttp
from msgspec import Struct
from pydantic import Field, field_validator, model_validator

from forwarders._advice import shown, untrusted
from forwarders._alert_json import alert_json
from forwarders._http import Resolver, wait_s
from forwarders._own_thread import in_own_thread
from forwarders._reaching import Goal, reach
from socmon.component import Context, Forwarder, ForwarderSettings, Outcome, OutcomeStatus, Release, Released, Step
from socmon.errors import BlockedError, ComponentError, ConfigError
from socmon.event import Alert
from socmon.secrets import SecretRef, unreadable
from socmon.tls import Renewed, authority_expiry, https_context, is_loopback

_STREAM = "alerts"
_PREFIX = b"whsec_"
_SECRET_BYTES = range(24, 65)
_SHOWN_BYTES = 2048
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_OURS = frozenset({"host", "content-type", "content-length", "transfer-encoding", "connection", "accept-encoding"})
# A batch whose requests take more than so many times `timeout_s` in all is cut: what is answered must be written down.
_SEND_TIMEOUTS = 3

# What a status says of the alert. All others say something of the address, and no alert is given up for that.
_REJECTED = frozenset({400, 413, 422})
_DUPLICATE = 409
# Heals by itself, as every 5xx does; of these, 429 and 503 may say when.
_HEALS = frozenset({408, 425, 429})


class WebhookSettings(ForwarderSettings):
    """Where to post, and what proves that it is we who do."""

    url: str = Field(description="Where to post: https://HOST[:PORT]/PATH; http:// only to this machine.")
    path: SecretRef | None = Field(
        default=None,
        description="Path and query, in place of the address's, where they are a secret: file: or credential:.",
    )
    secrets: tuple[SecretRef, ...] = Field(
        min_length=1,
        max_length=4,
        description="What the signature is made with, each file:PATH or credential:NAME; two while one is replaced. The"
        " file holds whsec_ and base64 of 24 to 64 bytes, or the bytes themselves.",
    )
    headers: dict[str, SecretRef] = Field(
        default={}, max_length=16, description="Headers to add, each with a reference to its value, as Authorization."
    )
    ca: Path | None = Field(
        default=None, description="Authority that signed the receiver's certificate, PEM; `null` for the system's."
    )
    allow_plain: bool = Field(
        default=False, description="Send over http:// to other machines too, where everybody on the way can read it."
    )
    max_events: int = Field(default=20, ge=1, le=500, description="Alerts in one batch, at most; each is a request.")
    timeout_s: float = Field(
        default=15.0, gt=0, le=600, description="Seconds until an unanswered request is sent again."
    )

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            is_address = bool(parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0)
        except ValueError:
            is_address = False
        if not is_address or "@" in parts.netloc or parts.fragment or not url.isascii() or not url.isprintable():
            raise ValueError("not an address to post to; write https://HOST[:PORT]/PATH, and a password as a header")
        return url

    @field_validator("headers")
    @classmethod
    def _are_free(cls, headers: dict[str, SecretRef]) -> dict[str, SecretRef]:
        for name in headers:
            if not _HEADER_NAME.fullmatch(name) or name.lower() in _OURS or name.lower().startswith("webhook-"):
                raise ValueError(f"{name[:64]!r} is no header that can be added; choose another one")
        return headers

    @model_validator(mode="after")
    def _is_private(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not self.allow_plain and not is_loopback(parts.hostname or ""):
            raise ValueError("url would send alerts readable for everybody on the way; use https, or set allow_plain")
        return self

    @property
    def origin(self) -> str:
        """Scheme, host and port: all of the address that is ever shown."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def tls(self) -> SSLContext:
        """For the connection.

        Raises:
            BlockedError: `ca` cannot be used.
        """
        return https_context(self.ca)

    def expiries(self) -> Mapping[Path, datetime | None]:
        """When the authority's certificate ends; reads it."""
        return {self.ca: authority_expiry(self.ca)} if self.ca else {}

    def problems(self) -> list[str]:
        """What keeps requests from being made, a line each; files that are not there are none."""
        found = []
        for make in (self.tls, lambda: _Secrets.read(self)):
            try:
                make()
            except BlockedError as error:
                if error.reason != "own_unreadable":
                    found.append(str(error))
        return found


class _Secrets(Struct, frozen=True):
    """What the files of the settings hold."""

    url: str
    keys: list[bytes]
    headers: dict[str, str]

    @classmethod
    def read(cls, settings: WebhookSettings) -> "_Secrets":
        """Read them.

        Raises:
            BlockedError: one cannot be read, or holds what cannot be used.
        """
        url = settings.url
        if settings.path:
            url = f"{settings.origin}/{_text(settings.path).lstrip('/')}"
        return cls(
            url, [_key(each) for each in settings.secrets], {name: _text(ref) for name, ref in settings.headers.items()}
        )

    def signed(self, item: Released) -> dict[str, str]:
        """Headers of one request, made now: the body and its id never change, the time of the attempt does."""
        identity, at = webhook_id(item.release), str(int(time.time()))
        content = b".".join((identity.encode(), at.encode(), item.body))
        signatures = (b64encode(hmac.digest(key, content, sha256)).decode() for key in self.keys)
        return {
            **self.headers,
            "Content-Type": "application/json",
            "Webhook-Id": identity,
            "Webhook-Timestamp": at,
            "Webhook-Signature": " ".join(f"v1,{signature}" for signature in signatures),
        }


class WebhookForwarder(Forwarder[WebhookSettings]):
    """Posts to one address, one alert after the other, over one connection."""

    settings_type = WebhookSettings

    def __init__(self, context: Context[WebhookSettings]) -> None:
        super().__init__(context)
        self._tls = Renewed(self.settings.tls, [], [self.settings.ca] if self.settings.ca else [])
        self._used: SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Read the secrets, so that one which is missing shows before there is an alert; connects to nobody.

        Raises:
            ComponentError: they cannot be used, or were not read within `timeout_s`.
        """
        await self._ready()

    @classmethod
    async def trial(cls, name: str, settings: WebhookSettings, timeout_s: float) -> Sequence[Step]:
        """The connection alone; nothing is sent."""
        parts = urlsplit(settings.url)
        secure = parts.scheme == "https"
        context = settings.tls if secure else lambda: None
        port = parts.port or (443 if secure else 80)
        goal = Goal(parts.hostname or "", port, context, ca=settings.ca, name_in="url")
        return (await reach(name, goal, timeout_s)).steps

    def stream(self, alert: Alert) -> str:  # noqa: ARG002  the contract's signature
        """One stream: the receiver gets alerts in the order of their release."""
        return _STREAM

    def render(self, alert: Alert, release: Release) -> bytes:
        """The alert as one JSON object, as the `file` forwarder writes it.

        Raises:
            ValueError: the alert cannot be written as JSON.
        """
        return alert_json(alert, release)

    async def send(self, released: Sequence[Released]) -> Sequence[Outcome]:
        """Post one alert after the other; the first one without an answer, and all after it, are `retry`.

        Each request has `timeout_s`, and none is begun after three times that.

        Raises:
            ComponentError: not even the first one was answered for.
        """
        now_s = asyncio.get_running_loop().time
        until_s = now_s() + _SEND_TIMEOUTS * self.settings.timeout_s
        session, secrets = await self._ready()
        outcomes: list[Outcome] = []
        for item in released:
            try:
                if outcomes and now_s() >= until_s:
                    raise ComponentError("the receiver is too slow for the whole batch")  # noqa: TRY301  as any failure
                outcomes.append(await self._post(session, secrets, item))
            except ComponentError as error:
                if not outcomes:
                    raise
                left = [Outcome(each.id, "retry", wait_s=error.wait_s) for each in released[len(outcomes) :]]
                self.context.log.warning(
                    "batch posted in part, the rest is sent again", alerts=len(left), error=str(error)
                )
                return outcomes + left
        return outcomes

    async def close(self) -> None:
        """Close the connection."""
        if self._session:
            await self._session.close()
            self._session = None

    async def _post(self, session: aiohttp.ClientSession, secrets: _Secrets, item: Released) -> Outcome:
        origin, timeout_s = self.settings.origin, self.settings.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                request = session.post(
                    secrets.url, data=BytesIO(item.body), headers=secrets.signed(item), allow_redirects=False
                )
                async with request as response:
                    # Of a longer answer nothing more is read: leaving the block closes its connection.
                    said = await response.content.read(_SHOWN_BYTES)
                    return self._outcome(item, response, said)
        except TimeoutError as error:
            text = f"{origin} did not answer within {timeout_s:g} s; look at the link and at the receiver"
            raise ComponentError(text) from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise untrusted(error.certificate_error, origin, self.settings.ca, whose="the receiver's") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Never its text: aiohttp's may show the whole address.
            raise ComponentError(f"cannot deliver to {origin}: {_kind(error)}") from error

    def _outcome(self, item: Released, response: aiohttp.ClientResponse, said: bytes) -> Outcome:
        """What the status settles.

        Raises:
            ComponentError: nothing: the receiver is busy or broken, or the address or our right to use it is wrong.
        """
        status = response.status
        if 200 <= status < 300 or status == _DUPLICATE or status in _REJECTED:
            word: OutcomeStatus = (
                "duplicate" if status == _DUPLICATE else "rejected" if status in _REJECTED else "accepted"
            )
            return Outcome(item.id, word, "" if status < 300 else f"http_{status}")
        asked_s = wait_s(response.headers.get("Retry-After", ""))
        what = f"{self.settings.origin} answered HTTP {status}: {shown(said)}"
        if status >= 500 or status in _HEALS:
            raise ComponentError(what, wait_s=asked_s)
        remedy = "look at url, path, headers and secrets, or ask those who run the receiver"
        raise BlockedError(what, reason=f"http_{status}", remedy=remedy, wait_s=asked_s)

    async def _ready(self) -> tuple[aiohttp.ClientSession, _Secrets]:
        """Session and secrets, of the files as they are now.

        Raises:
            ComponentError: they cannot be used, or were not read within `timeout_s`.
        """
        timeout_s, remedy = self.settings.timeout_s, "check the disk or mount that holds them"
        try:
            async with asyncio.timeout(timeout_s):
                name = f"read of the secrets of {self.context.name}"
                tls, secrets = await in_own_thread(self._read, name=name, remedy=remedy)
        except TimeoutError as error:
            raise ComponentError(f"the secrets were not read within {timeout_s:g} s; {remedy}") from error
        if self._session is None or tls is not self._used:
            await self.close()
            self._used = tls
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls, limit=1, resolver=Resolver(self.context.name)),
                timeout=aiohttp.ClientTimeout(total=None),  # _post has its own, over all that it waits for
                cookie_jar=aiohttp.DummyCookieJar(),
                # A compressed answer could be a bomb, and next to nothing of it is read.
                auto_decompress=False,
                headers={"Accept-Encoding": "identity", "User-Agent": "socmon"},
            )
        return self._session, secrets

    def _read(self) -> tuple[SSLContext, _Secrets]:
        return self._tls.current(), _Secrets.read(self.settings)


def webhook_id(release: Release) -> str:
    """Names one release for ever, however often it is tried; without a full stop, which ends it in what is signed."""
    return f"{release.destination}_{release.epoch}_{release.seq}"


def _content(reference: SecretRef) -> bytes:
    try:
        return reference.read().rstrip(b"\r\n")
    except ConfigError as error:
        raise unreadable(error) from error


def _key(reference: SecretRef) -> bytes:
    """The bytes that sign."""
    key = _content(reference)
    if key.startswith(_PREFIX):
        with suppress(ValueError):
            key = b64decode(key.removeprefix(_PREFIX), validate=True)
    if len(key) not in _SECRET_BYTES or key.startswith(_PREFIX):
        remedy = "write whsec_ and the base64 of 24 to 64 random bytes, or such bytes themselves"
        raise BlockedError(f"{reference} holds no secret that can sign", reason="own_unusable", remedy=remedy)
    return key


def _text(reference: SecretRef) -> str:
    """What may stand in a request's head: printable ASCII, so that nothing can be smuggled in."""
    content = _content(reference)
    text = content.decode("ascii", "replace")
    if not text or not text.isascii() or not text.isprintable():
        remedy = "write one line of printable ASCII"
        raise BlockedError(f"{reference} holds what cannot stand in a request", reason="own_unusable", remedy=remedy)
    return text


def _kind(error: Exception) -> str:
    """What went wrong, without the address."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    reason = (cause.strerror or "") if isinstance(cause, OSError) else ""
    return shown(reason.lower() or type(cause).__name__)
