"""What a request to the centre that failed means in the operator's words, and what to do about it."""

from pathlib import Path
from ssl import SSLCertVerificationError

import aiohttp
from msgspec import Struct

from socmon.text import printable

_FORBIDDEN = 403
# X509_V_ERR_* of OpenSSL's x509_vfy.h; Python's ssl has no names for them.
_NOT_TODAY = frozenset({9, 10})
_OTHER_NAME = frozenset({62, 64})


class Advisor(Struct, frozen=True):
    """Knows the options that a failure may be the fault of."""

    url: str
    ca: Path
    cert: Path

    def on_failure(self, error: Exception) -> str:
        """For a request that got no answer."""
        return f"cannot deliver to {self.url}: {self._meaning(error)}"

    def on_refusal(self, status: int, body: bytes) -> str:
        """For an answer that settles nothing."""
        remedy = "; set org_id to that of the certificate" if status == _FORBIDDEN and b"foreign_source" in body else ""
        return f"{self.url} refused the batch with HTTP {status}: {shown(body)}{remedy}"

    def _meaning(self, error: Exception) -> str:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return self._untrusted(error.certificate_error)
        if isinstance(error, aiohttp.ClientConnectorError):
            if isinstance(error.os_error, ConnectionRefusedError):
                return "nothing listens there; is the centre up, is url right?"
        elif isinstance(error, aiohttp.ServerDisconnectedError | OSError):
            # In TLS 1.3 our side of the handshake is over before the server has looked at our certificate.
            return f"{shown(error)}; the centre may not accept our certificate: see `socmon keys show {self.cert}`"
        return shown(error)

    def _untrusted(self, error: Exception) -> str:
        """The centre's certificate was refused, by us."""
        if not isinstance(error, SSLCertVerificationError):
            return shown(error)
        reason = f"(reason: {shown(error.verify_message.rstrip('.'))})"
        if error.verify_code in _OTHER_NAME:
            return f"the centre's certificate is for another name {reason}; write in url a name that it holds"
        if error.verify_code in _NOT_TODAY:
            return f"the centre's certificate is not valid today {reason}; see this machine's clock, or tell the centre"
        return f"the centre's certificate is not signed by {self.ca} {reason}; set ca to the authority that signed it"


def shown(said: object) -> str:
    """What the other side said, safe to print and cut."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said) or type(said).__name__
    return printable(text[:200])
