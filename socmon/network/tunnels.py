"""Packets within packets: GRE, ERSPAN, VXLAN, Geneve, GTP-U, Teredo, AYIYA (RFC 2784, 7348, 8926, 4380; TS 29.281).

Each function says where the inner packet begins, and as what (a LINKTYPE); None when there is none. Whatever is cut off
raises IndexError or struct.error.
"""

from collections.abc import Callable
from struct import Struct

from socmon.network.flows import Flow
from socmon.network.headers import ETHERNET, IP4, IP6, PPP, RAW
from socmon.network.reading import Reader

_short = Struct("!H").unpack_from
_pair = Struct("!HH").unpack_from

IPV4_IN_IP, IPV6_IN_IP, GRE = 4, 41, 47
DEEPEST = 4

_BRIDGED, _PPP, _ERSPAN, _ERSPAN3 = 0x6558, 0x880B, 0x88BE, 0x22EB

Inner = tuple[int, int]


def in_ip(frame: bytes, at: int, protocol: int) -> Inner | None:
    """What a packet of an IP protocol carries."""
    if protocol == IPV4_IN_IP:
        return (RAW, at) if frame[at] >> 4 == 4 else None
    if protocol == IPV6_IN_IP:
        return (RAW, at) if frame[at] >> 4 == 6 else None
    return _gre(frame, at) if protocol == GRE else None


def _gre(frame: bytes, at: int) -> Inner | None:
    flags, kind = _pair(frame, at)
    version = flags & 7
    if version > 1 or flags & 0x4000:  # source routes: nobody uses them
        return None
    offset = at + (8 if version else 4)
    if not version:
        offset += (4 if flags & 0x8000 else 0) + (4 if flags & 0x2000 else 0)
    numbered = flags & 0x1000
    offset += (4 if numbered else 0) + (4 if version and flags & 0x0080 else 0)
    if kind == _ERSPAN:
        return ETHERNET, offset + (8 if numbered else 0)
    if kind == _ERSPAN3:
        return ETHERNET, offset + (20 if frame[offset + 11] & 1 else 12)
    return _by_type(kind, offset)


def _by_type(kind: int, offset: int) -> Inner | None:
    link = {IP4: RAW, IP6: RAW, _BRIDGED: ETHERNET, _PPP: PPP}.get(kind)
    return None if link is None else (link, offset)


def _vxlan(data: bytes) -> Inner | None:
    return (ETHERNET, 8) if data[0] & 8 else None


def _geneve(data: bytes) -> Inner | None:
    return _by_type(_short(data, 2)[0], 8 + (data[0] & 0x3F) * 4) if data[0] >> 6 == 0 else None


def _gtp(data: bytes) -> Inner | None:
    flags, kind = data[0], data[1]
    if flags >> 4 != 3 or kind != 255:  # version 1 with user data
        return None
    if not flags & 7:
        return RAW, 8
    following, offset = data[11] if flags & 4 else 0, 12
    while following and data[offset]:
        size = data[offset] * 4
        following, offset = data[offset + size - 1], offset + size
    return RAW, offset


def _teredo(data: bytes) -> Inner | None:
    offset = 0
    if data[:2] == b"\0\x01":  # authentication
        offset = 13 + data[2] + data[3]
    if data[offset : offset + 2] == b"\0\0":  # origin
        offset += 8
    return (RAW, offset) if data[offset] >> 4 == 6 else None


def _ayiya(data: bytes) -> Inner | None:
    identity, signature = 1 << (data[0] >> 4), (data[1] >> 4) * 4
    return (RAW, 8 + identity + signature) if data[3] in (IPV4_IN_IP, IPV6_IN_IP) else None


def _gre_in_udp(data: bytes) -> Inner | None:
    return _gre(data, 0)


# By port, with Zeek's name for the service.
UDP_TUNNELS: dict[int, tuple[str, Callable[[bytes], Inner | None]]] = {
    2152: ("gtpv1", _gtp),
    3544: ("teredo", _teredo),
    4754: ("gre", _gre_in_udp),
    4789: ("vxlan", _vxlan),
    5072: ("ayiya", _ayiya),
    6081: ("geneve", _geneve),
}


class TunnelReader(Reader):
    """Passes on what a UDP tunnel carries.

    Args:
        inner: reads a packet: its bytes, LINKTYPE, offset and time.
    """

    __slots__ = ("_find", "_flow", "_inner", "_service")

    def __init__(self, flow: Flow, port: int, inner: Callable[[bytes, int, int, float], None]) -> None:
        self._flow = flow
        self._service, self._find = UDP_TUNNELS[port]
        self._inner = inner

    def data(self, from_originator: bool, data: bytes, ts: float) -> None:  # noqa: ARG002, FBT001 - see Reader
        """Look into one datagram."""
        found = self._find(data)
        if found is not None:
            self._flow.service = self._service
            self._inner(data, *found, ts)
