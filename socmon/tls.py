"""TLS for the feed: version 1.3 only; both sides show a certificate of one named authority, never of the system's."""

import ssl
from pathlib import Path

from socmon.errors import ComponentError, ConfigError


def client_context(ca: Path, cert: Path, key: Path) -> ssl.SSLContext:
    """For a client that shows `cert`; the server's name or address is checked against its certificate.

    Raises:
        ComponentError: a file cannot be used; worth another try, for a renewal replaces the files.
    """
    try:
        return _context(ssl.PROTOCOL_TLS_CLIENT, ca, cert, key)
    except _UnusableError as error:
        raise ComponentError(str(error), retry=True) from error


def server_context(ca: Path, cert: Path, key: Path) -> ssl.SSLContext:
    """For a server that lets in only clients with a certificate of `ca`.

    Raises:
        ConfigError: a file cannot be used.
    """
    try:
        context = _context(ssl.PROTOCOL_TLS_SERVER, ca, cert, key)
    except _UnusableError as error:
        raise ConfigError([str(error)]) from error
    context.verify_mode = ssl.CERT_REQUIRED
    # A session ticket would let a client come back without its certificate being looked at again.
    context.num_tickets = 0
    return context


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
    return context


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
