"""Who a client of HTTP is: by its bearer token (RFC 6750), or by the name in its certificate."""

import hmac
import ssl
import time
from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Any

from collectors._http_refusals import RequestRefusedError
from socmon.errors import ConfigError
from socmon.secrets import SecretRef

MIN_TOKEN_BYTES = 16
_MAX_FILE_BYTES = 4096
_MAX_NAME = 255
_SCHEME = "bearer "


class Tokens:
    """The tokens of each client: a line each in its file, two while one is being replaced.

    Attributes:
        unusable: clients whose file cannot be used now, and why; nobody is let in as one of them.
    """

    def __init__(self, files: Mapping[str, SecretRef]) -> None:
        self._files = files
        self._digests: list[tuple[bytes, str]] = []
        self.unusable: dict[str, str] = {}

    def load(self) -> None:
        """Read the files; has its place in a thread."""
        digests: list[tuple[bytes, str]] = []
        unusable: dict[str, str] = {}
        for client, reference in self._files.items():
            try:
                digests += [(sha256(token).digest(), client) for token in _tokens(reference)]
            except ConfigError as error:
                unusable[client] = str(error)
        self._digests, self.unusable = digests, unusable

    def client(self, authorization: str) -> str:
        """Whose token a header holds; "" if it is nobody's. Takes as long whoever it is, and whether or not."""
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            return ""
        given = sha256(authorization[len(_SCHEME) :].strip().encode("utf-8", "surrogateescape")).digest()
        found = ""
        for digest, client in self._digests:
            if hmac.compare_digest(digest, given):
                found = client
        return found


def _tokens(reference: SecretRef) -> list[bytes]:
    lines = [line.strip() for line in reference.read()[:_MAX_FILE_BYTES].splitlines()]
    tokens = [line for line in lines if line]
    if not tokens or any(len(token) < MIN_TOKEN_BYTES or b" " in token for token in tokens):
        remedy = f"write a line of at least {MIN_TOKEN_BYTES} characters without a space, such as openssl rand -hex 32"
        raise ConfigError([f"{reference}: holds no token; {remedy}"])
    return tokens


def certificate_client(connection: ssl.SSLObject | None, allowed: Collection[str]) -> str:
    """The name in the certificate that the client showed; "" if it showed none.

    The handshake has proved that the certificate is the authority's, and that the client has its key.

    Args:
        allowed: names that may send; all if there are none.

    Raises:
        RequestRefusedError: 403, the certificate has ended since the handshake, or its name may not send.
    """
    certificate: Mapping[str, Any] = (connection.getpeercert() if connection else None) or {}
    if not certificate:
        return ""
    end = certificate.get("notAfter")
    if isinstance(end, str) and ssl.cert_time_to_seconds(end) < time.time():
        text = "the certificate has expired since the connection was made; renew it, connect again"
        raise RequestRefusedError(403, "certificate_expired", text)
    name = name_in(certificate)
    if not 0 < len(name) <= _MAX_NAME or (allowed and name not in allowed):
        text = f"the certificate's name {name[:100]!r} may not send; ask those who run socmon to add it to clients"
        raise RequestRefusedError(403, "forbidden", text)
    return name


def name_in(certificate: Mapping[str, Any]) -> str:
    """The first DNS name, URI or address of mail of a certificate, else its common name; "" if it has none."""
    alternatives = certificate.get("subjectAltName", ())
    for kind in ("DNS", "URI", "email"):
        for found, value in alternatives:
            if found == kind:
                return str(value)
    subject = [(key, value) for part in certificate.get("subject", ()) for key, value in part]
    return next((str(value) for key, value in subject if key == "commonName"), "")
