"""How a Kafka cluster is reached: brokers, TLS and account, and what its refusals mean in the operator's words."""

import asyncio
import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from ssl import SSLCertVerificationError, SSLContext, SSLError
from typing import Any, Literal, Self

import aiokafka.conn
from aiokafka import errors
from pydantic import BaseModel, Field, field_validator, model_validator

from socmon.errors import BlockedError, ComponentError, ConfigError
from socmon.secrets import SecretRef, unreadable
from socmon.text import printable
from socmon.tls import Renewed, authority_expiry, client_of_others, expiry, is_loopback, refused_ours, untrusted

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
TOPIC = r"[A-Za-z0-9._-]{1,249}"
_SERVER = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})")
_PROBE_S = 10.0

# It says at each try what we say once, and of what heals by itself besides.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

_LOGIN = (
    errors.AuthenticationFailedError,
    errors.AuthenticationMethodNotSupported,
    errors.IllegalSaslStateError,
    errors.SaslAuthenticationFailed,
    errors.UnsupportedSaslMechanismError,
)
_RIGHTS = (
    errors.ClusterAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.TopicAuthorizationFailedError,
    errors.TransactionalIdAuthorizationFailed,
)
_TOPIC = (errors.InvalidTopicError, errors.UnknownTopicOrPartitionError)
_SILENCE = (TimeoutError, errors.KafkaTimeoutError, errors.RequestTimedOutError)
# Refusals: what is raised, the reason (docs/operations.md), what happened, and what helps.
_REFUSALS = (
    (_LOGIN, "kafka_login", "does not let us in", "look at username, password and mechanism"),
    (_RIGHTS, "kafka_forbidden", "forbids it", "ask those who run it for the right to topic and group"),
    (_TOPIC, "kafka_no_topic", "has no such topic, or does not show it to us", "make it, or correct its name"),
)
FAILURES = (errors.KafkaError, errors.ConsumerStoppedError, OSError, ValueError, TimeoutError)
"""What aiokafka raises; ValueError where a server's proof of the password is wrong."""


class Cluster(BaseModel):
    """Where the brokers are, and who we are to them."""

    servers: list[str] = Field(
        min_length=1,
        max_length=50,
        description="Brokers to begin with, each HOST:PORT; the others of the cluster are learnt from them.",
    )
    tls: bool = Field(default=True, description="Encrypt, and check the brokers' certificates; TLS 1.2 or later.")
    ca: Path | None = Field(
        default=None, description="Authority that signed the brokers' certificates, PEM; `null` for the system's."
    )
    cert: Path | None = Field(
        default=None, description="Our client certificate, PEM, where the brokers ask for one; goes with key."
    )
    key: SecretRef | None = Field(
        default=None, description="Private key of cert, PEM without password: file:PATH or credential:NAME."
    )
    username: str | None = Field(default=None, max_length=255, description="Account of SASL; `null` signs in to none.")
    password: SecretRef | None = Field(default=None, description="Its password: file:PATH or credential:NAME.")
    mechanism: Mechanism = Field(
        default="SCRAM-SHA-512", description="How the account is proved. PLAIN tells the broker the password."
    )

    @field_validator("servers")
    @classmethod
    def _are_addresses(cls, servers: list[str]) -> list[str]:
        for server in servers:
            found = _SERVER.fullmatch(server)
            if not found or not 0 < int(found[1]) < 65_536:
                raise ValueError(f"{server[:60]!r} is no broker; write HOST:PORT, such as kafka1.example:9093")
        return servers

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key go together; name both, or none")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together; name both, or none")
        if not self.tls and (self.ca or self.cert):
            raise ValueError("ca and cert are of no use without tls; leave them out, or set tls: true")
        return self

    @property
    def where(self) -> str:
        """As it is shown."""
        return ", ".join(self.servers)

    @property
    def exposes_password(self) -> bool:
        """Whether who listens on the way learns the account, or may try passwords on what it hears."""
        return self.password is not None and not self.tls and not all(map(_is_here, self.servers))

    def tls_context(self) -> SSLContext:
        """For the connections; reads the files.

        Raises:
            BlockedError: one of them cannot be used.
        """
        return client_of_others(self.ca, self.cert, _path(self.key) if self.key else None)

    def renewed(self) -> Renewed:
        """The context of `tls_context`, made anew when a file of it was replaced."""
        own = [self.cert, *([_path(self.key)] if self.key else [])] if self.cert else []
        return Renewed(self.tls_context, own, [self.ca] if self.ca else [])

    def connection(self, tls: SSLContext | None) -> dict[str, Any]:
        """How aiokafka connects, as its keyword arguments; reads the password.

        Raises:
            BlockedError: it cannot be read.
        """
        account: dict[str, Any] = {}
        if self.username is not None and self.password is not None:
            account = {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": _text(self.password),
            }
        protocol = ("SASL_" if account else "") + ("SSL" if self.tls else "PLAINTEXT")
        return {
            "bootstrap_servers": self.servers,
            "security_protocol": protocol,
            "ssl_context": tls,
            **account,
        }

    def expiries(self) -> dict[Path, datetime | None]:
        """When each of our certificates ends; reads them."""
        found = {self.cert: expiry(self.cert)} if self.cert else {}
        return found | ({self.ca: authority_expiry(self.ca)} if self.ca else {})

    def problems(self) -> list[str]:
        """What keeps the keys from working, a line each; reads them, asks nobody. Files that are not there are none."""
        return list(self._problems())

    def _problems(self) -> Iterator[str]:
        if self.exposes_password:
            yield f"the account is told to {self.where} without encryption; set tls: true"
        try:
            if self.tls:
                self.tls_context()
            if self.password:
                _text(self.password)
        except BlockedError as error:
            if error.reason != "own_unreadable":
                yield str(error)


def trouble(cluster: Cluster, error: Exception) -> ComponentError:
    """What `error` of aiokafka means, and what helps."""
    at = f"Kafka at {cluster.where}"
    if isinstance(error, ComponentError):
        return error
    if isinstance(error, SSLError):
        return _no_tls(cluster, error)
    for kinds, reason, what, remedy in _REFUSALS:
        if isinstance(error, kinds):
            by = f" by {cluster.mechanism}" if kinds is _LOGIN else ""
            return BlockedError(f"{at} {what}{by}: {shown(error)}", reason=reason, remedy=remedy)
    if isinstance(error, _SILENCE):
        return ComponentError(f"{at} does not answer in time; look at the link and at the brokers")
    return ComponentError(f"cannot go on with {at}: {shown(error)}")


async def why_unreachable(cluster: Cluster, options: dict[str, Any]) -> ComponentError:
    """Why no broker of `cluster` can be reached: aiokafka itself tells only that."""
    last: Exception = ConnectionError("none of them answers")
    for server in cluster.servers:
        host, _, port = server.rpartition(":")
        account = {name: value for name, value in options.items() if name != "bootstrap_servers"}
        try:
            connection = await aiokafka.conn.create_conn(
                host.strip("[]"), int(port), request_timeout_ms=int(_PROBE_S * 1000), **account
            )
            connection.close()
        except FAILURES as error:
            last = error
            if isinstance(error, (SSLError, *_LOGIN)):
                break
    return trouble(cluster, last)


async def end(consumer: Any, timeout_s: float) -> None:
    """Stop an aiokafka consumer for good: one that went on by itself would keep partitions that nobody reads.

    Its own `stop` waits for brokers that may never answer, and may raise the cancellation of a fetch of its own: it
    gets a task of its own, so that whoever calls this is not taken for cancelled.
    """
    stopping = asyncio.create_task(consumer.stop(), name="stop of a Kafka consumer")
    stopping.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # asked for: asyncio tells of none
    try:
        await asyncio.wait([stopping], timeout=timeout_s)
    finally:
        stopping.cancel()
    if stopping.done() and not stopping.cancelled() and stopping.exception() is None:
        return
    parts = [part for part in (consumer._coordinator, consumer._fetcher) if part is not None]  # noqa: SLF001
    tasks = [each for part in parts for each in vars(part).values() if isinstance(each, asyncio.Task)]
    for task in tasks:
        task.cancel()
    await asyncio.wait([stopping, *tasks], timeout=timeout_s)
    with suppress(*FAILURES):
        async with asyncio.timeout(timeout_s):
            await consumer._client.close()  # noqa: SLF001


def shown(error: object) -> str:
    """What the other side said, safe to print and cut."""
    name = type(error).__name__
    text = printable(str(error)[:200])
    return text if name in text or isinstance(error, OSError) else f"{name}: {text}" if text else name


def _no_tls(cluster: Cluster, error: SSLError) -> ComponentError:
    at = f"Kafka at {cluster.where}"
    if isinstance(error, SSLCertVerificationError):
        return untrusted(error, f"the certificate of {at}", cluster.ca, name_in="servers")
    if refusal := refused_ours(error):
        what = f"{at} does not accept our certificate (it says: {refusal[1]})"
        return BlockedError(what, reason=refusal[0], remedy="see which one it asks for, and set cert and key")
    return ComponentError(f"cannot speak TLS with {at}: {shown(error)}; is it a port with TLS?")


def _is_here(server: str) -> bool:
    return is_loopback(server.rpartition(":")[0].strip("[]"))


def _path(reference: SecretRef) -> Path:
    try:
        return reference.path()
    except ConfigError as error:
        raise unreadable(error) from error


def _text(reference: SecretRef) -> str:
    try:
        text = reference.read().rstrip(b"\r\n").decode()
    except ConfigError as error:
        raise unreadable(error) from error
    except UnicodeDecodeError:
        text = ""
    if not text or "\0" in text:
        remedy = "write the password alone into it, UTF-8"
        raise BlockedError(f"{reference} holds no password", reason="own_unusable", remedy=remedy)
    return text
