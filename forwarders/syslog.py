"""Sends alerts as syslog (RFC 5424) over TLS (RFC 5425), or over TCP alone (RFC 6587, section 3.4.1), as CEF.

Syslog has no acknowledgement. So each batch has a connection of its own, at whose end the receiver must have closed
its side too: by TLS's close_notify, which it sends after it has read ours, behind all of the batch; over TCP alone by a
FIN, for a kernel that holds what nobody has read says RST. Whatever else happens, the whole batch is sent again.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import Field, model_validator

from forwarders._advice import shown, untrusted
from forwarders._cef import cef
from forwarders._own_thread import in_own_thread
from forwarders._reaching import Goal, reach
from forwarders._rendering import rendering
from socmon.component import Context, Forwarder, ForwarderSettings, Outcome, Release, Released, Step
from socmon.errors import BlockedError, ComponentError, ConfigError
from socmon.event import Alert, rfc3339
from socmon.secrets import SecretRef, unreadable
from socmon.text import printable
from socmon.tls import Renewed, authority_expiry, client_of_others, expiry, is_loopback

T = TypeVar("T")

_STREAM = "alerts"
Facility = Literal[
    "daemon", "auth", "syslog", "authpriv", "audit", "alert",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
]  # fmt: skip
_BOM = "\ufeff"  # says that the message is UTF-8 (RFC 5424, section 6.4)
# RFC 5424, table 1.
_FACILITIES = {"daemon": 3, "auth": 4, "syslog": 5, "authpriv": 10, "audit": 13, "alert": 14}
_FACILITIES |= {f"local{number}": 16 + number for number in range(8)}
_SEVERITIES = {"critical": 2, "high": 3, "medium": 4, "low": 5, "informational": 6}
# The enterprise number for examples (RFC 5612): socmon has none of its own.
_SD_ID = "socmon@32473"
_NOT_IN_VALUE = re.compile(r'["\\\]]')
_NOT_IN_NAME = re.compile(r"[^!-~]")
_MOST_READ_BYTES = 64 * 1024  # of a receiver that talks
_READ_BYTES = 4096
_KEYS_REMEDY = "check the disk or mount that holds them"


class SyslogSettings(ForwarderSettings):
    """Where to send, and as what."""

    host: str = Field(
        min_length=1,
        max_length=253,
        pattern=r"^[0-9A-Za-z._:-]+$",
        description="Name or address of the receiver; its certificate must be for it.",
    )
    port: int = Field(default=6514, ge=1, le=65_535, description="Its TCP port.")
    tls: bool = Field(default=True, description="Encrypt, TLS 1.2 or later; without it, only to this machine.")
    allow_plain: bool = Field(
        default=False, description="Send without TLS to other machines too, where everybody on the way can read it."
    )
    ca: Path | None = Field(
        default=None, description="Authority that signed the receiver's certificate, PEM; `null` for the system's."
    )
    cert: Path | None = Field(
        default=None, description="Our certificate, PEM, where the receiver asks for one; with key."
    )
    key: SecretRef | None = Field(
        default=None, description="Private key of cert, PEM without password: file:PATH or credential:NAME."
    )
    close_notify: bool = Field(
        default=True,
        description="Wait for the receiver's own end of TLS, the proof that it has read everything (RFC 5425, section "
        "4.4). Set false for one that never sends it, as rsyslog with GnuTLS: one that dies while it reads may then "
        "lose a batch.",
    )
    facility: Facility = Field(default="local0", description="Facility of the messages (RFC 5424, table 1).")
    app_name: str = Field(default="socmon", pattern=r"^[!-~]{1,48}$", description="APP-NAME of the messages.")
    hostname: str = Field(
        default="", pattern=r"^[!-~]{0,255}$", description="HOSTNAME of the messages; empty for this machine's."
    )
    max_bytes: int = Field(
        default=8192,
        ge=2048,
        le=65_536,
        description="Bytes of one message, at most. Receivers take at least 2048, and should take 8192 (RFC 5425).",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.tls and not self.allow_plain and not is_loopback(self.host):
            raise ValueError("alerts would be readable for everybody on the way; set tls, or allow_plain")
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key go together; set both or neither")
        return self

    @property
    def place(self) -> str:
        """The receiver, as it is shown."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def tls_context(self) -> ssl.SSLContext:
        """For the connection; reads the files.

        Raises:
            BlockedError: one cannot be used.
        """
        try:
            key = self.key.path() if self.key else None
        except ConfigError as error:
            raise unreadable(error) from error
        return client_of_others(self.ca, self.cert, key)

    def own_files(self) -> list[Path]:
        """Certificate and key, as far as they can be looked for."""
        if self.cert is None or self.key is None:
            return []
        with suppress(ConfigError):
            return [self.cert, self.key.path()]
        return [self.cert]

    def expiries(self) -> Mapping[Path, datetime | None]:
        """When each certificate ends; reads them."""
        ours = {self.cert: expiry(self.cert)} if self.tls and self.cert else {}
        return ours | ({self.ca: authority_expiry(self.ca)} if self.tls and self.ca else {})

    def problems(self) -> list[str]:
        """What keeps the files from being used, a line each; files that are not there are none."""
        try:
            if self.tls:
                self.tls_context()
        except BlockedError as error:
            return [] if error.reason == "own_unreadable" else [str(error)]
        return []


class SyslogForwarder(Forwarder[SyslogSettings]):
    """Sends to one receiver, each batch over a connection of its own."""

    settings_type = SyslogSettings

    def __init__(self, context: Context[SyslogSettings]) -> None:
        super().__init__(context)
        settings = self.settings
        authorities = [settings.ca] if settings.ca else []
        self._tls = Renewed(settings.tls_context, settings.own_files(), authorities)
        self._hostname = _NOT_IN_NAME.sub("", settings.hostname or socket.gethostname())[:255] or "-"

    async def open(self) -> None:
        """Read the files of keys, so that one which is missing shows before there is an alert; connects to nobody.

        Raises:
            ComponentError: they cannot be used, or were not read within `timeout_s`.
        """
        if self.settings.tls:
            await self._in_thread(self._tls.current, f"read of the keys of {self.context.name}", _KEYS_REMEDY)

    @classmethod
    async def trial(cls, name: str, settings: SyslogSettings, timeout_s: float) -> Sequence[Step]:
        """The connection alone; nothing is sent."""
        context = settings.tls_context if settings.tls else lambda: None
        goal = Goal(settings.host, settings.port, context, cert=settings.cert, ca=settings.ca)
        return (await reach(name, goal, timeout_s)).steps

    def stream(self, alert: Alert) -> str:  # noqa: ARG002  the contract's signature
        """One stream: the receiver gets alerts in the order of their release."""
        return _STREAM

    def render(self, alert: Alert, release: Release) -> bytes:
        """The message, without its frame.

        Raises:
            ValueError: the alert cannot be written.
        """
        settings = self.settings
        with rendering(alert):
            priority = 8 * _FACILITIES[settings.facility] + _SEVERITIES[alert.level]
            data = " ".join(f'{name}="{_value(text)}"' for name, text in _parameters(alert, release))
            head = (
                f"<{priority}>1 {rfc3339(release.released_us)} {self._hostname} {settings.app_name} - alert "
                f"[{_SD_ID} {data}] {_BOM}"
            )
            return (head + cef(alert, release, settings.max_bytes - len(head.encode()))).encode()

    async def send(self, released: Sequence[Released]) -> Sequence[Outcome]:
        """Send the batch, and return when the receiver has closed behind it; after `timeout_s` at the latest.

        Raises:
            ComponentError: it has not, so nobody knows what it has read.
        """
        data = b"".join(b"%d %b" % (len(item.body), item.body) for item in released)
        remedy = "look at the link and at the receiver"
        await self._in_thread(partial(self._deliver, data), f"delivery to {self.settings.place}", remedy)
        return [Outcome(item.id, "accepted") for item in released]

    async def _in_thread(self, work: Callable[[], object], name: str, remedy: str) -> None:
        timeout_s = self.settings.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await in_own_thread(work, name=name, remedy=remedy)
        except TimeoutError as error:
            raise ComponentError(f"{name} took longer than {timeout_s:g} s; {remedy}") from error

    # ── in the thread ────────────────────────────────────────────────────────────────────────────────────────────

    def _deliver(self, data: bytes) -> None:
        settings = self.settings
        tls = self._tls.current() if settings.tls else None
        try:
            with socket.create_connection((settings.host, settings.port), settings.timeout_s) as plain:
                if tls is None:
                    plain.sendall(data)
                    plain.shutdown(socket.SHUT_WR)
                    self._until_closed(plain)
                    return
                session = _Session(tls, plain, settings.host)
                session.send(data)
                self._end(session)
        except OSError as error:
            raise self._failure(error) from error

    def _end(self, session: "_Session") -> None:
        """Send our end of TLS and wait for the receiver's."""
        session.say_goodbye()
        try:
            for _ in range(_MOST_READ_BYTES // _READ_BYTES):
                if not session.read():
                    return
        except ssl.SSLEOFError as error:
            if not self.settings.close_notify:
                return
            remedy = "it may have died; if it never sends one, set close_notify: false"
            raise ComponentError(
                f"{self.settings.place} closed without an end of TLS, so what it has read is not known; {remedy}"
            ) from error
        raise self._talks()

    def _talks(self) -> ComponentError:
        return ComponentError(f"{self.settings.place} talks instead of closing; is it a receiver of syslog?")

    def _until_closed(self, connection: socket.socket) -> None:
        for _ in range(_MOST_READ_BYTES // _READ_BYTES):
            if not connection.recv(_READ_BYTES):
                return
        raise self._talks()

    def _failure(self, error: OSError) -> ComponentError:
        place = self.settings.place
        if isinstance(error, ssl.SSLCertVerificationError):
            return untrusted(error, place, self.settings.ca, whose="the receiver's", name_in="host")
        if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
            said = (error.reason or "").lower().replace("_", " ")
            return BlockedError(
                f"cannot deliver to {place}: the receiver refused the connection (it says: {shown(said)})",
                reason="refused_certificate",
                remedy="see which certificate it asks for, and set cert and key",
            )
        if isinstance(error, ConnectionRefusedError):
            return ComponentError(
                f"cannot deliver to {place}: nothing listens there; is it up, are host and port right?"
            )
        if isinstance(error, TimeoutError):
            text = f"cannot deliver to {place}: no answer, or no end, within {self.settings.timeout_s:g} s"
            return ComponentError(f"{text}; look at the link and at the receiver")
        return ComponentError(f"cannot deliver to {place}: {shown((error.strerror or str(error)).lower())}")


class _Session:
    """TLS over a blocking socket.

    Not SSLSocket: after some failures its `unwrap` returns as it does when the other side has ended in order.
    """

    def __init__(self, tls: ssl.SSLContext, plain: socket.socket, host: str) -> None:
        self._plain = plain
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls.wrap_bio(self._in, self._out, server_hostname=host)
        self._do(self._tls.do_handshake)

    def send(self, data: bytes) -> None:
        self._do(partial(self._tls.write, data))

    def say_goodbye(self) -> None:
        """Send close_notify."""
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._plain.sendall(self._out.read())

    def read(self) -> bytes:
        """What comes; b"" at the other side's close_notify.

        Raises:
            SSLEOFError: it has closed without one.
        """
        try:
            return self._do(partial(self._tls.read, _READ_BYTES))
        except ssl.SSLZeroReturnError:
            return b""

    def _do(self, step: Callable[[], T]) -> T:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._plain.sendall(self._out.read())
                if data := self._plain.recv(65_536):
                    self._in.write(data)
                else:
                    self._in.write_eof()
            else:
                self._plain.sendall(self._out.read())
                return done


def _parameters(alert: Alert, release: Release) -> list[tuple[str, str]]:
    """What a receiver knows repeats and revisions by."""
    return [
        ("id", alert.id),
        ("revision", str(release.revision)),
        ("stream", release.stream),
        ("epoch", release.epoch),
        ("seq", str(release.seq)),
        ("status", alert.status),
    ]


def _value(text: str) -> str:
    """Of a parameter, escaped (RFC 5424, section 6.3.3)."""
    return _NOT_IN_VALUE.sub(r"\\\g<0>", printable(text[:128]))
