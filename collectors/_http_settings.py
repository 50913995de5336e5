"""Options of collector `http`."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from ipaddress import ip_address, ip_network
from pathlib import Path
from ssl import SSLContext
from typing import Self

from pydantic import Field, field_validator, model_validator

from collectors._listening import ListenerSettings
from socmon.errors import ComponentError, ConfigError
from socmon.secrets import SecretRef
from socmon.tls import authority_expiry, expiry, listener_context

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class HttpSettings(ListenerSettings):
    """Options of `kind: http`."""

    port: int = Field(
        default=8088, ge=0, le=65_535, description="TCP port to listen on; 0 takes any free one and logs which."
    )
    cert: Path | None = Field(
        default=None, description="Our certificate, PEM, for https; without it the connection is plain."
    )
    key: SecretRef | None = Field(default=None, description="Private key of cert, PEM without password.")
    tokens: Mapping[str, SecretRef] = Field(
        default={},
        description="Client's name, and where its bearer token lies: a file with a line of at least 16 characters, "
        "two while it is being replaced. Read anew each second.",
    )
    client_ca: Path | None = Field(
        default=None,
        description="Authority whose certificates let clients in, PEM; needs cert. A client is called by its "
        "certificate's first DNS name, URI or mail address, else its common name.",
    )
    clients: list[str] = Field(default=[], description="Names in certificates that may send; empty for all of them.")
    max_request_bytes: int = Field(
        default=16_777_216,
        ge=1024,
        le=268_435_456,
        description="Bytes of a request's body, as sent and as unpacked, at most. Four times that much is held in "
        "all; who comes then is asked to wait.",
    )
    max_records: int = Field(default=50_000, ge=1, le=1_000_000, description="Records in a request, at most.")
    max_bytes: int = Field(
        default=262_144,
        ge=256,
        le=1_048_576,
        description="Longest record, in bytes. The rest of a longer one is cut off and the cut counted as too_long.",
    )
    max_requests: int = Field(
        default=64, ge=1, le=1000, description="Requests at work, at most; further ones are asked to wait."
    )
    max_requests_per_client: int = Field(
        default=8, ge=1, le=1000, description="Requests of one client at work, at most."
    )
    max_connections: int = Field(
        default=500, ge=1, le=10_000, description="Open connections, at most; further ones are refused."
    )
    max_connections_per_source: int = Field(
        default=50, ge=1, le=10_000, description="Open connections from one address, at most."
    )
    idle_s: float = Field(
        default=75.0,
        gt=0,
        le=3600,
        description="Seconds until a connection without the whole header of a next request is closed.",
    )
    receive_s: float = Field(default=30.0, gt=0, le=600, description="Seconds that a body may take to come in.")
    wait_s: float = Field(
        default=20.0,
        gt=0,
        le=600,
        description="Seconds that a request waits for the journal, then the client is asked to send it again later; "
        "less than the client waits for an answer.",
    )

    @field_validator("tokens")
    @classmethod
    def _are_names(cls, tokens: Mapping[str, SecretRef]) -> Mapping[str, SecretRef]:
        for name in tokens:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name[:80]!r} is no client's name; use 1 to 64 letters, digits, dots, _ and -")
        return tokens

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together; set both, or none")
        if self.client_ca is not None and self.cert is None:
            raise ValueError("client_ca needs https; set cert and key")
        if not self.tokens and self.client_ca is None and not self._only_this_machine():
            raise ValueError("anybody in allow could send in any name; set tokens or client_ca")
        return self

    def _only_this_machine(self) -> bool:
        return all(ip_network(network).is_loopback for network in self.allow)

    @property
    def plain_to_others(self) -> bool:
        """Whether what is sent, tokens too, can be read on the way."""
        return self.cert is None and not ip_address(self.address).is_loopback

    def problems(self) -> list[str]:
        """What `socmon check` says of these settings."""
        plain = f"listens on {self.address} without TLS, so tokens can be read on the way; set cert and key"
        return [*super().problems(), *([plain] if self.plain_to_others else [])]

    def expiries(self) -> Mapping[Path, datetime | None]:
        """When each certificate ends; reads them."""
        ends = {self.cert: expiry(self.cert)} if self.cert else {}
        return ends | ({self.client_ca: authority_expiry(self.client_ca)} if self.client_ca else {})

    def tls(self, refused: Callable[[str, str], None] | None = None) -> SSLContext:
        """For https; reads the files.

        Args:
            refused: told (reason, what OpenSSL says) of each client whose certificate is not accepted.

        Raises:
            ComponentError: one of them cannot be used.
        """
        if self.cert is None or self.key is None:
            raise ComponentError("no cert is set", retry=False)
        try:
            key = self.key.path()
        except ConfigError as error:
            raise ComponentError(str(error), retry=False) from error
        required = self.client_ca is not None and not self.tokens
        return listener_context(self.cert, key, self.client_ca, client_required=required, refused=refused)

    def own_files(self) -> list[Path]:
        """Certificate and key; without the key where `tls` has no place to look for it."""
        found = [self.cert] if self.cert else []
        with suppress(ConfigError):
            found += [self.key.path()] if self.key else []
        return found
