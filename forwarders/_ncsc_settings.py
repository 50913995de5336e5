"""What is set of kind `ncsc`: where the centre is, who we are to it, and what is said of alerts."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from ssl import SSLContext
from typing import Annotated

import msgspec
from pydantic import Field, StringConstraints, field_validator

from forwarders._ncsc_detail import ApprovalSettings, PrivacySettings, ShareSettings
from forwarders._ncsc_keys import open_to_all, used_twice
from socmon import __version__
from socmon.component import ForwarderSettings
from socmon.errors import BlockedError, ComponentError, ConfigError
from socmon.feed.approving import ApprovalRule
from socmon.feed.keyring import Signer, read_keys
from socmon.feed.message import ORG_ID
from socmon.feed.privacy import Policy
from socmon.feed.sharing import Tlp
from socmon.secrets import SecretRef
from socmon.tls import authority_expiry, client_context, expiry, uris

OrgId = Annotated[str, StringConstraints(pattern=f"^{ORG_ID.pattern}$")]


class NcscSettings(ForwarderSettings):
    """Where the centre is, who we are to it, and what is said of alerts until more is known."""

    url: str = Field(description="The centre's address, https://HOST:PORT.")
    ca: Path = Field(description="Certificate of the authority that signed the centre's certificate, PEM.")
    cert: Path = Field(description="Our client certificate, PEM; its SAN URI is urn:vn:soc:ORG_ID.")
    key: SecretRef = Field(description="Private key of cert, PEM without password: file:PATH or credential:NAME.")
    signing_key: SecretRef | None = Field(
        default=None,
        description="Private keys that messages are signed with, not that of cert: JWK Set, or PEM: file:PATH or "
        "credential:NAME; null for none, which only a lab's centre takes.",
    )
    kid: str = Field(
        default="",
        max_length=128,
        description="The key of signing_key to use, by its id at the centre, and then those that were rotated in after "
        "it; by default the one that is valid, and the id of one in PEM is its RFC 7638 thumbprint.",
    )
    centre_key: Path | None = Field(
        default=None,
        description="The centre's public signing keys, JWK Set or PEM: then each answer must carry a receipt by one of "
        "them; null to take answers without.",
    )
    org_id: OrgId = Field(description="Our organisation, as the centre enrolled it: 000.00.00.H07.")
    org_path: tuple[OrgId, ...] = Field(default=(), description="Organisations from the top down to ours.")
    system_id: str = Field(default="", max_length=128, description="The monitored system, for alerts that name none.")
    system_level: int | None = Field(default=None, ge=1, le=5, description="Its security level, 1 to 5; 4 and 5 weigh.")
    tlp: Tlp = Field(
        default="AMBER",
        description="Traffic light protocol of alerts whose rule has no tag tlp.clear, tlp.green, tlp.amber or"
        " tlp.amber-strict; tlp.red never leaves.",
    )
    privacy: PrivacySettings = Field(default=PrivacySettings(), description="What leaves of an alert's detail.")
    share: ShareSettings = Field(default=ShareSettings(), description="Which alerts leave at all.")
    approval: tuple[ApprovalSettings, ...] = Field(
        default=(),
        description="Whose word lets an alert leave: a list of blocks of `mode` (auto, or person: it is held until "
        "somebody runs `socmon feed approve`), `levels`, `agencies`, `rules` and `name`; the first that fits decides, "
        "and without one it leaves by itself.",
    )
    max_bytes: int = Field(
        default=1_000_000, ge=10_000, le=8_000_000, description="Bytes of one batch before compression, at most."
    )
    quota_per_minute: int = Field(
        default=600,
        ge=0,
        le=1_000_000,
        description="Messages a minute of each of the streams normal and stats. Of more, new alerts of one rule and "
        "agency go as one message, and the rest waits; 0 is no quota.",
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

    def approvals(self) -> tuple[ApprovalRule, ...]:
        """Whose word lets alerts leave, as the feed takes it."""
        return tuple(each.rule(number) for number, each in enumerate(self.approval, 1))

    def policy(self) -> str:
        """What decides which alerts leave, as a text that differs when it does."""
        decides = (__version__, self.tlp, self.share.share(), self.approvals())
        return sha256(msgspec.json.encode(decides, order="deterministic")).hexdigest()

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

    def signing_path(self) -> Path:
        """The file of `signing_key`, which must be set.

        Raises:
            ConfigError: a credential is asked for, and systemd passed none.
        """
        if self.signing_key is None:
            raise ConfigError(["signing_key is not set"])
        return self.signing_key.path()

    def signer(self) -> Signer | None:
        """Signs messages; None where they are not signed."""
        return Signer(self.signing_path, self.kid) if self.signing_key else None

    def own_files(self) -> list[Path]:
        """Certificate and key; without the key where `tls` has no place to look for it."""
        with suppress(ConfigError):
            return [self.cert, self.key.path()]
        return [self.cert]

    def expiries(self) -> Mapping[Path, datetime | None]:
        """When each of our certificates ends; reads them."""
        return {self.cert: expiry(self.cert), self.ca: authority_expiry(self.ca)}

    def careful_policy(self) -> Policy:
        """What leaves of detail; reads the key, and goes without it where it cannot."""
        return self.privacy.careful(self.org_id)

    def problems(self) -> list[str]:
        """What keeps the keys from working, a line each; reads them, asks nobody. Keys that are not there are none."""
        problems = []
        with suppress(BlockedError):  # a key that is not there is none
            try:
                self.privacy.policy(self.org_id)
            except ConfigError as error:
                problems += error.problems
        with suppress(ConfigError):
            if all(os.access(path, os.R_OK) for path in (self.ca, self.cert, self.key.path())):
                problems += self._problems()
        return problems

    def warnings(self) -> list[str]:
        """What is not done as it is set, and keys that are kept carelessly, a line each."""
        secrets = (self.key, self.signing_key, self.privacy.pseudonym_key)
        return [*self.privacy.warnings(), *open_to_all(secrets)]

    def _problems(self) -> Iterator[str]:
        try:
            self.tls()
        except ComponentError as error:
            yield str(error)
        yield from self._signing_problems()
        ours = "urn:vn:soc:"
        with suppress(OSError, ValueError):  # said above
            named = [uri.removeprefix(ours) for uri in uris(self.cert) if uri.startswith(ours)]
            if named != [self.org_id]:
                stated = " and ".join(repr(name[:64]) for name in named) or "no organisation"
                remedy = "set org_id to that of the certificate" if named else "ask the centre for one that names ours"
                yield f"org_id is {self.org_id}, and {self.cert} names {stated}; {remedy}"

    def _signing_problems(self) -> Iterator[str]:
        """Of files that are there; without a key, or with it."""
        signer = self.signer()
        if signer is None:
            yield "signing_key is not set, and only a lab's centre takes that; make one with `socmon keys rotate`"
            return
        try:
            if self.signing_path().exists():
                signer.at(int(time.time()))
                yield from self._used_twice()
            if self.centre_key and self.centre_key.exists():
                read_keys(self.centre_key)
        except (ComponentError, ConfigError) as error:
            yield str(error)

    def _used_twice(self) -> Iterator[str]:
        with suppress(OSError, ValueError):  # a certificate that cannot be used is told of as such
            if used_twice(self.cert, read_keys(self.signing_path(), private=True).values()):
                yield f"signing_key holds the key of {self.cert}; sign with one that `socmon keys rotate` makes"
