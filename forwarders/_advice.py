"""What a request that failed means in the operator's words, whose move it is, and what to do about it."""

from pathlib import Path
from ssl import SSLCertVerificationError

import aiohttp
from msgspec import Struct

from socmon import tls
from socmon.errors import BlockedError, ComponentError
from socmon.text import printable

_FORBIDDEN = 403
_SENDERS_FAULT = 4  # the class of statuses that say so (RFC 9110, section 15.5)


class Advisor(Struct, frozen=True):
    """Knows the options that a failure may be the fault of."""

    url: str
    ca: Path
    cert: Path

    def on_failure(self, error: Exception, *, met: bool = False) -> ComponentError:
        """For a request that got no answer; `met` if this certificate has had answers there before."""
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return untrusted(error.certificate_error, self.url, self.ca, whose="the centre's")
        if refusal := tls.refused_ours(error):
            reason, said = refusal
            return BlockedError(
                f"cannot deliver to {self.url}: the centre does not accept our certificate (it says: {said})",
                reason=reason,
                remedy=f"send the centre what `socmon keys show {self.cert}` prints, or renew that file",
            )
        return ComponentError(f"cannot deliver to {self.url}: {self._meaning(error, met=met)}")

    def on_refusal(self, status: int, body: bytes, wait_s: float) -> ComponentError:
        """For an answer that settles nothing."""
        what = f"{self.url} refused us with HTTP {status}: {shown(body)}"
        if status != _FORBIDDEN:
            return ComponentError(what, wait_s=wait_s, refused=status // 100 == _SENDERS_FAULT)
        if b"foreign_source" in body:
            remedy, reason = "set org_id to that of the certificate", "foreign_source"
        elif b"not_enrolled" in body:
            remedy, reason = "ask the centre to enrol the organisation of the certificate", "not_enrolled"
        else:
            remedy, reason = "ask the centre why", "forbidden"
        return BlockedError(what, reason=reason, remedy=remedy, wait_s=wait_s)

    def _meaning(self, error: Exception, *, met: bool) -> str:
        if isinstance(error, aiohttp.ClientConnectorError):
            if isinstance(error.os_error, ConnectionRefusedError):
                return "nothing listens there; is the centre up, is url right?"
        elif isinstance(error, aiohttp.ServerDisconnectedError | OSError):
            if met:
                return f"{shown(error)}; the connection was cut: look at the link and at the centre"
            # In TLS 1.3 our side of the handshake is over before the server has looked at our certificate.
            return f"{shown(error)}; the centre may not accept our certificate: see `socmon keys show {self.cert}`"
        return shown(error)


def untrusted(error: Exception, url: str, ca: Path | None, *, whose: str, name_in: str = "url") -> ComponentError:
    """For a server that we refused: nothing was sent to it.

    Args:
        ca: what vouches for it; None for the system's authorities.
        whose: the certificate, as in "the centre's".
        name_in: the option that holds the server's name.
    """
    where = f"cannot deliver to {url}"
    if not isinstance(error, SSLCertVerificationError):
        return ComponentError(f"{where}: {shown(error)}")
    return tls.untrusted(error, f"{where}: {whose} certificate", ca, name_in=name_in)


def shown(said: object) -> str:
    """What the other side said, safe to print and cut."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said) or type(said).__name__
    return printable(text[:200])
