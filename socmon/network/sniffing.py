"""Tells by a TCP connection's first bytes what is spoken on it, whatever its port."""

from collections.abc import Callable

from socmon.network.flows import Flow
from socmon.network.http import is_request
from socmon.network.reading import Reader
from socmon.network.tls import is_handshake

# What begins in plain and may go on with TLS: SMTP, FTP, IMAP, POP3, XMPP.
_MAY_START_TLS = (b"220", b"* OK", b"+OK", b"<?xml", b"<stream:")
_MOST_LOOKED_AT = 64  # pieces of data
_ENOUGH = 20

_SERVICES = {b"SSH-": "ssh", b"RFB ": "rfb", b"\xffSMB": "smb", b"\xfeSMB": "smb"}


class Sniffing(Reader):
    """Looks at the first bytes of both sides, and hands over to a reader or lets go."""

    __slots__ = ("_begun", "_flow", "_http", "_left", "_patient", "_tls")

    def __init__(self, flow: Flow, *, tls: Callable[[Flow], Reader], http: Callable[[Flow, bool], Reader]) -> None:
        self._flow = flow
        self._tls = tls
        self._http = http
        self._begun = {True: b"", False: b""}
        self._left = _MOST_LOOKED_AT
        self._patient = False

    def data(self, from_originator: bool, data: bytes, ts: float) -> None:  # noqa: FBT001 - see Reader
        """Look at what one side sent."""
        begun = self._begun[from_originator] = self._begun[from_originator] + data
        if is_handshake(data):
            begun = data
        reader = self._reader(from_originator, begun)
        if reader is not None:
            self._flow.app = reader
            reader.data(from_originator, begun, ts)
            return
        self._left -= 1
        if begun.startswith(_MAY_START_TLS):
            self._patient = True
        for first, service in _SERVICES.items():
            if begun.startswith(first):
                self._flow.service = service
        if self._left <= 0 or (not self._patient and all(len(said) >= _ENOUGH for said in self._begun.values())):
            self._flow.stop()
        elif self._patient or len(begun) >= _ENOUGH:
            self._begun[from_originator] = begun[:_ENOUGH]

    def gap(self, from_originator: bool, size: int) -> None:  # noqa: ARG002, FBT001 - see Reader
        """The beginning is lost."""
        self._flow.stop()

    def _reader(self, from_originator: bool, begun: bytes) -> Reader | None:  # noqa: FBT001 - see Reader
        if is_handshake(begun):
            return self._tls(self._flow)
        if is_request(begun):
            return self._http(self._flow, from_originator)
        if begun.startswith(b"HTTP/1."):
            return self._http(self._flow, not from_originator)
        return None
