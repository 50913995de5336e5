"""TLS of both sides: the feed's, version 1.3 with certificates of one named authority, and that of ordinary HTTPS.

Files may be replaced at any time, as a renewal does: see Renewed.
"""

import re
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509

from socmon.errors import BlockedError, ConfigError
from socmon.text import printable

# X509_V_ERR_* of OpenSSL's x509_vfy.h; Python's ssl has no names for them.
NOT_YET_VALID = 9
EXPIRED = 10
OTHER_NAME = frozenset({62, 64})
_RENEWAL = "renew it, no restart is needed"
# What the other side says of our certificate (RFC 8446, section 6.2), as OpenSSL names it.
_ALERT = re.compile(r"ALERT_(UNKNOWN_CA|\w*CERTIFICATE\w*|ACCESS_DENIED|DECRYPT_ERROR)")
_ALERTS = {
    "UNKNOWN_CA": "refused_untrusted",
    "CERTIFICATE_EXPIRED": "refused_expired",
    "CERTIFICATE_REVOKED": "refused_revoked",
    "CERTIFICATE_REQUIRED": "refused_missing",
}


def client_context(ca: Path, cert: Path, key: Path) -> ssl.SSLContext:
    """For a client that shows `cert`; the server's name or address is checked against its certificate.

    Raises:
        BlockedError: a file cannot be used, or its certificate not today; worth another try, for a renewal replaces
            the files.
    """
    try:
        return _context(ssl.PROTOCOL_TLS_CLIENT, ca, cert, key)
    except _UnusableError as error:
        raise error.blocked() from error


def https_context(ca: Path | None) -> ssl.SSLContext:
    """For a client of ordinary HTTPS, TLS 1.2 or later: the server must be vouched for by `ca`, None for the system's.

    Raises:
        BlockedError: the file cannot be used.
    """
    context = ssl.create_default_context() if ca is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is not None:
        try:
            _trust(context, ca)
            _valid_today(ca, _certificates(ca), _RENEWAL)
        except _UnusableError as error:
            raise error.blocked() from error
    return context


def client_of_others(ca: Path | None, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    """As `https_context`, for a server that may ask for a certificate too: then we show `cert`.

    Raises:
        BlockedError: a file cannot be used.
    """
    context = https_context(ca)
    if cert is not None and key is not None:
        try:
            _show(context, cert, key)
            _valid_today(cert, _certificates(cert)[:1], "renew it, no restart is needed")
        except _UnusableError as error:
            raise error.blocked() from error
    return context


def server_context(
    ca: Path, cert: Path, key: Path, refused: Callable[[str, str], None] | None = None
) -> ssl.SSLContext:
    """For a server that lets in only clients with a certificate of `ca`.

    Args:
        refused: told (reason, what OpenSSL says of it) of each client whose certificate is not accepted. The reason is
            client_expired, client_not_yet_valid, client_untrusted or client_missing.

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
    if refused is not None:
        context.sslobject_class = _told(refused)
    return context


def listener_context(
    cert: Path,
    key: Path,
    client_ca: Path | None = None,
    *,
    client_required: bool = False,
    refused: Callable[[str, str], None] | None = None,
) -> ssl.SSLContext:
    """For a server of ordinary clients, TLS 1.2 or later, which may or must show a certificate of `client_ca`.

    Args:
        client_ca: None where no client is asked for a certificate.
        refused: as in `server_context`.

    Raises:
        BlockedError: a file cannot be used, or its certificate not today.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # As in `server_context`; the option is for TLS 1.2.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    try:
        _show(context, cert, key)
        _valid_today(cert, _certificates(cert)[:1], _RENEWAL)
        if client_ca is not None:
            _trust(context, client_ca)
            context.verify_mode = ssl.CERT_REQUIRED if client_required else ssl.CERT_OPTIONAL
    except _UnusableError as error:
        raise error.blocked() from error
    if refused is not None:
        context.sslobject_class = _told(refused)
    return context


class Renewed:
    """The context that `make` makes of `files`, made anew when one of them was replaced or has run out.

    Reads files, so it has its place in a thread; one call at a time.

    Args:
        authorities: a file of them is good as long as one certificate in it is; of `files`, the first one counts.
    """

    def __init__(self, make: Callable[[], ssl.SSLContext], files: Sequence[Path], authorities: Sequence[Path]) -> None:
        self._make = make
        self._files = files
        self._authorities = authorities
        self._context: ssl.SSLContext | None = None
        self._stamps: list[tuple[int, ...] | None] = []
        self._until: datetime | None = None

    def current(self) -> ssl.SSLContext:
        """The context of the files as they are now; the same object while nothing has changed.

        Raises:
            SocmonError: as `make`.
        """
        stamps = [stamp(path) for path in (*self._files, *self._authorities)]
        if self._context is None or stamps != self._stamps or (self._until and datetime.now(UTC) > self._until):
            self._context = None
            self._context = self._make()
            self._until = min(
                (*filter(None, map(expiry, self._files)), *filter(None, map(authority_expiry, self._authorities))),
                default=None,
            )
            self._stamps = stamps
        return self._context


def expiry(cert: Path) -> datetime | None:
    """When the first certificate of a PEM file ends, its owner's; None if there is none that can be read."""
    return next((each.not_valid_after_utc for each in _certificates(cert)), None)


def authority_expiry(ca: Path) -> datetime | None:
    """When the last certificate of a PEM file ends; None if there is none that can be read."""
    return max((each.not_valid_after_utc for each in _certificates(ca)), default=None)


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


def is_loopback(host: str) -> bool:
    """Whether what is sent to `host`, a name or an address, stays on this machine, so that nobody can read it."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def untrusted(error: ssl.SSLCertVerificationError, certificate: str, ca: Path | None, *, name_in: str) -> BlockedError:
    """For a server that we refused: nothing was sent to it.

    Args:
        certificate: whose, as in "host:8883: the broker's certificate".
        ca: what vouches for it; None for the system's authorities.
        name_in: the option that holds the server's name.
    """
    said = f" (reason: {printable(error.verify_message.rstrip('.')[:200])})" if error.verify_message else ""
    if error.verify_code in OTHER_NAME:
        remedy = f"write in {name_in} a name that it holds"
        return BlockedError(f"{certificate} is for another name{said}", reason="server_name", remedy=remedy)
    if error.verify_code in {EXPIRED, NOT_YET_VALID}:
        reason = "server_expired" if error.verify_code == EXPIRED else "server_not_yet_valid"
        remedy = "see this machine's clock, or tell those who run it"
        return BlockedError(f"{certificate} is not valid today{said}", reason=reason, remedy=remedy)
    what = f"{certificate} is not signed by {ca or 'an authority of this system'}{said}"
    return BlockedError(what, reason="server_untrusted", remedy="set ca to the authority that signed it")


def refused_ours(error: Exception) -> tuple[str, str] | None:
    """Reason and words of a server that does not accept our certificate; None where it says nothing of it."""
    alert = _ALERT.search(str(error))
    if alert is None:
        return None
    return _ALERTS.get(alert[1], "refused_certificate"), alert[1].lower().replace("_", " ")


class _UnusableError(Exception):
    """A file of the three cannot be used; attributes as BlockedError's."""

    def __init__(self, what: str, reason: str, remedy: str) -> None:
        self.what, self.reason, self.remedy = what, reason, remedy
        super().__init__(f"{what}; {remedy}")

    def blocked(self) -> BlockedError:
        return BlockedError(self.what, reason=self.reason, remedy=self.remedy)


class _Handshake(ssl.SSLObject):
    """Tells why a handshake failed: asyncio hangs up without a word to us, and keeps the alert from the client."""

    _failure: ssl.SSLError | None = None

    @staticmethod
    def refused(reason: str, said: str) -> None:
        """Nobody wants to know, unless `server_context` puts another one here."""

    def do_handshake(self) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            if reason := _refusal(error):
                self.refused(reason, getattr(error, "verify_message", "") or _reason(error))
            self._failure = error
            # asyncio sends what was made, here the alert, only if it believes that more is to come. What comes next,
            # most often the client's end, brings it back here.
            raise ssl.SSLWantReadError from error


def _told(refused: Callable[[str, str], None]) -> type[_Handshake]:
    return type("_ToldHandshake", (_Handshake,), {"refused": staticmethod(refused)})


def _refusal(error: ssl.SSLError) -> str:
    """Why the client's certificate is not accepted; "" where the handshake failed of something else."""
    if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "client_missing"
    if not isinstance(error, ssl.SSLCertVerificationError):
        return ""
    known = {EXPIRED: "client_expired", NOT_YET_VALID: "client_not_yet_valid"}
    return known.get(error.verify_code, "client_untrusted")


def _context(protocol: int, ca: Path, cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    _trust(context, ca)
    _show(context, cert, key)
    renewal = _RENEWAL if protocol == ssl.PROTOCOL_TLS_CLIENT else "renew it"
    _valid_today(cert, _certificates(cert)[:1], renewal)
    _valid_today(ca, _certificates(ca), renewal)
    return context


def _show(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    for path in (cert, key):
        _readable(path)
    try:
        # An empty password: a key that needs one fails at once instead of asking on the terminal.
        context.load_cert_chain(cert, key, password=b"")
    except ssl.SSLError as error:
        remedy = "they must be a PEM certificate and its own key, without a password"
        raise _UnusableError(f"cannot use {cert} with {key}: {_reason(error)}", "own_unusable", remedy) from error


def _trust(context: ssl.SSLContext, ca: Path) -> None:
    _readable(ca)
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        remedy = "it must hold the authority's certificate in PEM"
        raise _UnusableError(f"cannot use {ca} as authority: {_reason(error)}", "own_unusable", remedy) from error


def stamp(path: Path) -> tuple[int, ...] | None:
    """Differs after a file was replaced or written to; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _valid_today(path: Path, certificates: Sequence[x509.Certificate], renewal: str) -> None:
    """Refuse `certificates` if none is valid: an authority that is being renewed stands there twice for a while.

    OpenSSL does not look at our own: it is the other side that would hang up, without a word.
    """
    now = datetime.now(UTC)
    if not certificates or any(each.not_valid_before_utc <= now <= each.not_valid_after_utc for each in certificates):
        return
    last = max(certificates, key=lambda each: each.not_valid_after_utc)
    if last.not_valid_after_utc < now:
        raise _UnusableError(f"{path} expired at {last.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}", "own_expired", renewal)
    begin = f"{last.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
    remedy = f"look at this machine's clock, or {renewal}"
    raise _UnusableError(f"{path} is not valid before {begin}", "own_not_yet_valid", remedy)


def _certificates(path: Path) -> list[x509.Certificate]:
    """None where OpenSSL took the file and the stricter cryptography does not: then the other side must judge."""
    with suppress(OSError, ValueError):
        return x509.load_pem_x509_certificates(path.read_bytes())
    return []


def _readable(path: Path) -> None:
    """OpenSSL's own errors do not say which file it is that they are about."""
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        remedy = "name an existing file that the user of socmon may read, or make one with socmon keys gen"
        what = f"cannot read {path}: {(error.strerror or 'error').lower()}"
        raise _UnusableError(what, "own_unreadable", remedy) from error


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "no PEM data in it").lower().replace("_", " ")
