"""Where a broker is, and what proves to it who we are: the options that collector and forwarder share."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from ssl import SSLContext
from typing import Self

from pydantic import BaseModel, Field, model_validator

from socmon.errors import BlockedError, ConfigError
from socmon.secrets import SecretRef, unreadable
from socmon.tls import authority_expiry, client_of_others, expiry, is_loopback


class BrokerSettings(BaseModel):
    """Where the broker is, and what proves to it who we are."""

    host: str = Field(
        default="127.0.0.1", min_length=1, max_length=253, description="Name or address of the MQTT 5 broker."
    )
    port: int = Field(default=8883, ge=1, le=65_535, description="Its TCP port; mostly 8883 with TLS, 1883 without.")
    tls: bool = Field(default=True, description="Connect by TLS. Without it everybody on the way can read all.")
    ca: Path | None = Field(
        default=None, description="Authority that signed the broker's certificate, PEM; `null` for the system's."
    )
    cert: Path | None = Field(
        default=None, description="Our certificate, PEM, where the broker asks for one; it needs `key`."
    )
    key: SecretRef | None = Field(
        default=None, description="Private key of `cert`, PEM without password: file:PATH or credential:NAME."
    )
    username: str | None = Field(default=None, min_length=1, max_length=1024, description="User at the broker.")
    password: SecretRef | None = Field(
        default=None, description="Password of `username`: file:PATH or credential:NAME; a newline at its end is none."
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together; set both, or neither")
        if self.password and not self.username:
            raise ValueError("a password needs a username; set username too")
        if not self.tls and (self.ca or self.cert):
            raise ValueError("ca, cert and key are for TLS; set tls to true, or take them out")
        return self

    @property
    def place(self) -> str:
        """The broker, as messages name it."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def exposed(self) -> bool:
        """Whether a password goes over a network that others can read."""
        return self.password is not None and not self.tls and not is_loopback(self.host)

    def context(self) -> SSLContext | None:
        """For the connection, of the files as they are now.

        Raises:
            BlockedError: a file cannot be used.
        """
        if not self.tls:
            return None
        try:
            key = self.key.path() if self.key else None
        except ConfigError as error:
            raise unreadable(error) from error
        return client_of_others(self.ca, self.cert, key)

    def secret(self) -> str | None:
        """The password.

        Raises:
            BlockedError: it cannot be read.
        """
        if self.password is None:
            return None
        try:
            return self.password.read().rstrip(b"\r\n").decode("utf-8", "surrogateescape")
        except ConfigError as error:
            raise unreadable(error) from error

    def expiries(self) -> Mapping[Path, datetime | None]:
        """When the certificates end; reads them."""
        ends = {self.ca: authority_expiry(self.ca)} if self.ca else {}
        return ends | ({self.cert: expiry(self.cert)} if self.cert else {})

    def problems(self) -> list[str]:
        """What `socmon check` says of these settings; files that are not there are none."""
        found = []
        if self.exposed:
            found.append(f"the password goes to {self.place} readable for everybody on the way; set tls to true")
        for look in (self.context, self.secret):
            try:
                look()
            except BlockedError as error:
                if error.reason != "own_unreadable":
                    found.append(str(error))
        return found
