"""TLS for the feed: version 1.3 only; both sides show a certificate of one named authority, never of the system's."""

import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from socmon.errors import ComponentError, ConfigError


def client_context(ca: Path, cert: Path, key: Path) -> ssl.SSLContext:
    """For a client that shows `cert`; the server's name or address is checked against its certificate.

    Raises:
        ComponentError: a file cannot be used, or its certificate not today; worth another try, for a renewal replaces
            the files.
    """
    try:
        return _context(ssl.PROTOCOL_TLS_CLIENT, ca, cert, key)
    except _UnusableError as error:
        raise ComponentError(str(error), retry=True) from error


def server_context(ca: Path, cert: Path, key: Path) -> ssl.SSLContext:
    """For a server that lets in only clients with a certificate of `ca`.

    Raises:
        ConfigError: a file cannot be used, or its certificate not today.
    """
    try:
        context = _context(ssl.PROTOCOL_TLS_SERVER, ca, cert, key)
    except _UnusableError as error:
        raise ConfigError([str(error)]) from error
    context.verify_mode = ssl.CERT_REQUIRED
    # A session ticket would let a client come back without its certificate being looked at again.
    context.num_tickets = 0
    return context


def uris(cert: Path) -> list[str]:
    """The URIs that the first certificate of a PEM file names (SAN, RFC 5280, section 4.2.1.6); none if it has no SAN.

    Raises:
        OSError: it cannot be read.
        ValueError: there is no certificate in it.
    """
    first = x509.load_pem_x509_certificates(cert.read_bytes())[0]
    with suppress(x509.ExtensionNotFound):
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return names.get_values_for_type(x509.UniformResourceIdentifier)
    return []


class _UnusableError(Exception):
    """A file of the three cannot be used."""


def _context(protocol: int, ca: Path, cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    for path in (ca, cert, key):
        _readable(path)
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        remedy = "it must hold the authority's certificate in PEM"
        raise _UnusableError(f"cannot use {ca} as authority: {_reason(error)}; {remedy}") from error
    try:
        # An empty password: a key that needs one fails at once instead of asking on the terminal.
        context.load_cert_chain(cert, key, password=b"")
    except ssl.SSLError as error:
        remedy = "they must be a PEM certificate and its own key, without a password"
        raise _UnusableError(f"cannot use {cert} with {key}: {_reason(error)}; {remedy}") from error
    renewal = "renew it, no restart is needed" if protocol == ssl.PROTOCOL_TLS_CLIENT else "renew it"
    _valid_today(cert, _certificates(cert)[:1], renewal)
    _valid_today(ca, _certificates(ca), renewal)
    return context


def _valid_today(path: Path, certificates: Sequence[x509.Certificate], renewal: str) -> None:
    """Refuse `certificates` if none is valid: an authority that is being renewed stands there twice for a while.

    OpenSSL does not look at our own: it is the other side that would hang up, without a word.
    """
    now = datetime.now(UTC)
    if not certificates or any(each.not_valid_before_utc <= now <= each.not_valid_after_utc for each in certificates):
        return
    last = max(certificates, key=lambda each: each.not_valid_after_utc)
    if last.not_valid_after_utc < now:
        raise _UnusableError(f"{path} expired at {last.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}; {renewal}")
    begin = f"{last.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
    raise _UnusableError(f"{path} is not valid before {begin}; look at this machine's clock, or {renewal}")


def _certificates(path: Path) -> list[x509.Certificate]:
    """None where OpenSSL took the file and the stricter cryptography does not: then the other side must judge."""
    with suppress(ValueError):
        return x509.load_pem_x509_certificates(path.read_bytes())
    return []


def _readable(path: Path) -> None:
    """OpenSSL's own errors do not say which file it is that they are about."""
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        remedy = "name an existing file that the user of socmon may read, or make one with socmon keys gen"
        raise _UnusableError(f"cannot read {path}: {(error.strerror or 'error').lower()}; {remedy}") from error


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "no PEM data in it").lower().replace("_", " ")
