"""TLS handshakes: who was asked for, what was agreed, and the client's fingerprints (RFC 5246, RFC 8446)."""

from struct import Struct, error

from socmon.network.flows import Flow
from socmon.network.hello import ClientHello, ServerHello, read_client_hello, read_server_hello
from socmon.network.limits import Counts
from socmon.network.names import TLS_VERSIONS
from socmon.network.reading import Budget, Held, Reader
from socmon.network.tls_names import CIPHERS, CURVES
from socmon.network.zeek import Output, Ssl, stamp, text

_record = Struct("!BHH").unpack_from

_CHANGE_CIPHER_SPEC, _ALERT, _HANDSHAKE, _APPLICATION_DATA = 20, 21, 22, 23
_CLIENT_HELLO, _SERVER_HELLO = 1, 2
_LARGEST_RECORD = 16 * 1024 + 2048
_LARGEST_HELLO = 64 * 1024


def is_handshake(data: bytes) -> bool:
    """Whether a stream that begins so is one of TLS records."""
    return len(data) > 2 and data[0] == _HANDSHAKE and data[1] == 3 and data[2] <= 4


class _Side:
    """What one side sent so far."""

    __slots__ = ("buffer", "changed", "handshake", "read", "secured", "skip")

    def __init__(self) -> None:
        self.buffer = b""
        self.skip = 0  # bytes of a record that nobody needs
        self.handshake = bytearray()
        self.read = False  # its hello
        self.changed = False  # it said that it encrypts from now on
        self.secured = False  # and did


class TlsReader(Reader):
    """Reads both sides until the handshake is over, and writes one line."""

    __slots__ = ("_client", "_counts", "_flow", "_held", "_output", "_server", "_sides", "_ts")

    def __init__(self, flow: Flow, output: Output, counts: Counts, budget: Budget) -> None:
        self._flow = flow
        self._output = output
        self._counts = counts
        self._held = Held(budget, counts)
        self._client: ClientHello | None = None
        self._server: ServerHello | None = None
        self._sides = {True: _Side(), False: _Side()}
        self._ts = 0.0
        flow.service = "ssl"

    def data(self, from_originator: bool, data: bytes, ts: float) -> None:  # noqa: FBT001 - see Reader
        """Read the records that are whole."""
        self._ts = self._ts or ts
        side = self._sides[from_originator]
        if side.skip >= len(data):
            side.skip -= len(data)
            return
        data = side.buffer + data[side.skip :]
        side.skip = 0
        at = 0
        while len(data) - at >= 5:
            kind, version, length = _record(data, at)
            if version >> 8 != 3 or not _CHANGE_CIPHER_SPEC <= kind <= 24 or length > _LARGEST_RECORD:
                self._give_up()
                return
            wanted = kind == _HANDSHAKE and not side.read
            if wanted and len(data) - at - 5 < length:
                break
            if wanted:
                self._handshake(side, data[at + 5 : at + 5 + length])
            else:
                self._other(side, kind)
            at += 5 + length
            if self._flow.app is not self:
                return
        side.skip = max(at - len(data), 0)
        side.buffer = data[at:]
        if not self._held.fits(sum(len(side.buffer) + len(side.handshake) for side in self._sides.values())):
            self._give_up()

    def drop(self) -> None:
        """Give back the room."""
        self._held.fits(0)

    def gap(self, from_originator: bool, size: int) -> None:  # noqa: FBT001 - see Reader
        """Go on behind it only if it lies within a record that nobody needs."""
        side = self._sides[from_originator]
        if side.skip >= size:
            side.skip -= size
        else:
            self._give_up()

    def end(self) -> None:
        """Tell of a handshake that did not come to its end."""
        self._tell(established=False)

    def _handshake(self, side: _Side, data: bytes) -> None:
        """Hellos come in several records if a client wants that."""
        side.handshake += data
        hello = side.handshake
        if len(hello) < 4:
            return
        kind, size = hello[0], int.from_bytes(hello[1:4], "big")
        if kind not in (_CLIENT_HELLO, _SERVER_HELLO) or size > _LARGEST_HELLO:
            side.read, side.handshake = True, bytearray()
        elif len(hello) >= 4 + size:
            side.read, side.handshake = True, bytearray()
            try:
                if kind == _CLIENT_HELLO:
                    self._client = self._client or read_client_hello(bytes(hello[4 : 4 + size]))
                else:
                    self._server = self._server or read_server_hello(bytes(hello[4 : 4 + size]))
            except (IndexError, error):
                self._counts.bad += 1

    def _other(self, side: _Side, kind: int) -> None:
        if kind == _CHANGE_CIPHER_SPEC:
            side.changed = True
        elif kind == _APPLICATION_DATA or (kind == _HANDSHAKE and side.changed):
            side.secured = True
            if self._sides[True].secured and self._sides[False].secured:
                self._tell(established=self._server is not None)
                self._flow.stop()

    def _give_up(self) -> None:
        self._tell(established=False)
        self._flow.stop()

    def _tell(self, *, established: bool) -> None:
        client, server = self._client, self._server
        if client is None and server is None:
            return
        self._client = self._server = None
        orig_h, orig_p, resp_h, resp_p = self._flow.ends
        line = Ssl(
            ts=stamp(self._ts),
            uid=self._flow.uid,
            id_orig_h=orig_h,
            id_orig_p=orig_p,
            id_resp_h=resp_h,
            id_resp_p=resp_p,
            established=established,
        )
        if client is not None:
            line.server_name = text(client.server_name) if client.server_name else None
            line.ja3, line.ja4 = client.offer.fingerprints
        if server is not None:
            line.version = TLS_VERSIONS.get(server.version, f"unknown-{server.version}")
            line.cipher = CIPHERS.get(server.cipher, f"unknown-{server.cipher}")
            line.curve = CURVES.get(server.group) if server.group else None
            line.next_protocol = text(server.alpn) if server.alpn else None
            line.ja3s = server.ja3s()
        self._output.write(line)
