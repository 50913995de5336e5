"""From a frame to its IP packet: link layers (LINKTYPE_* of tcpdump.org), tags (IEEE 802.1Q), labels (RFC 3032).

The commonest frames never come here: `Analysis.packet` knows Ethernet with IPv4. Whatever is cut off raises IndexError
or struct.error.
"""

from collections.abc import Callable
from struct import Struct

NULL, ETHERNET, PPP, PPP_HDLC, PPPOE, RAW, C_HDLC, WLAN, LOOP, SLL = 0, 1, 9, 50, 51, 101, 104, 105, 108, 113
RADIOTAP, PPI, IPV4, IPV6, NFLOG, SLL2 = 127, 192, 228, 229, 239, 276

IP4, ARP, IP6 = 0x0800, 0x0806, 0x86DD
_TAGS = frozenset((0x8100, 0x88A8, 0x9100, 0x9200))
_MPLS = frozenset((0x8847, 0x8848))
_PPPOE_SESSION = 0x8864
_PROVIDER_BACKBONE, _VN_TAG, _FABRIC_PATH = 0x88E7, 0x8926, 0x8903
_PPP_TYPES = {0x0021: IP4, 0x0057: IP6, 0x0281: 0x8847, 0x0283: 0x8848}
_MOST_TAGS = 8

_short = Struct("!H").unpack_from
_little_short = Struct("<H").unpack_from
_little_pair = Struct("<HH").unpack_from
_little_ppi = Struct("<2xHI").unpack_from


def network_layer(frame: bytes, link: int, at: int = 0) -> tuple[int, int]:
    """The EtherType of what a frame carries, tags taken off, and where that begins; type 0 when it is not known.

    Args:
        at: where the frame begins.
    """
    find = _LINKS.get(link)
    if find is None:
        return 0, 0
    return _without_tags(frame, *find(frame, at))


def _ethernet(frame: bytes, at: int) -> tuple[int, int]:
    return _short(frame, at + 12)[0], at + 14


def _sll(frame: bytes, at: int) -> tuple[int, int]:
    return _short(frame, at + 14)[0], at + 16


def _sll2(frame: bytes, at: int) -> tuple[int, int]:
    return _short(frame, at)[0], at + 20


def _c_hdlc(frame: bytes, at: int) -> tuple[int, int]:
    return _short(frame, at + 2)[0], at + 4


def _raw(frame: bytes, at: int) -> tuple[int, int]:
    return _by_version(frame, at), at


def _loopback(frame: bytes, at: int) -> tuple[int, int]:
    """The number of the family differs between systems; the IP version tells as much."""
    return _by_version(frame, at + 4), at + 4


def _pppoe(frame: bytes, at: int) -> tuple[int, int]:
    return _ppp(frame, at + 6)


def _wlan(frame: bytes, at: int) -> tuple[int, int]:
    """IEEE 802.11: data frames that are not encrypted."""
    control, flags = frame[at], frame[at + 1]
    if control & 0x4C not in (0x08, 0x48) or control & 0x0C != 0x08 or control & 0x40 or flags & 0x40:
        return 0, 0
    at += 24 + (6 if flags & 3 == 3 else 0) + (2 if control & 0x80 else 0)
    return (_short(frame, at + 6)[0], at + 8) if frame[at : at + 2] == b"\xaa\xaa" else (0, 0)


def _radiotap(frame: bytes, at: int) -> tuple[int, int]:
    return _wlan(frame, at + _little_short(frame, at + 2)[0])


def _ppi(frame: bytes, at: int) -> tuple[int, int]:
    size, link = _little_ppi(frame, at)
    return _LINKS[link](frame, at + size) if link in _LINKS and link != PPI else (0, 0)


def _nflog(frame: bytes, at: int) -> tuple[int, int]:
    at += 4
    for _ in range(_MOST_TAGS * 4):
        size, kind = _little_pair(frame, at)
        if kind == 9:
            return _by_version(frame, at + 4), at + 4
        if size < 4:
            break
        at += size + 3 & ~3
    return 0, 0


def _without_tags(frame: bytes, ethertype: int, offset: int) -> tuple[int, int]:
    for _ in range(_MOST_TAGS):
        if ethertype in _TAGS:
            ethertype, offset = _short(frame, offset + 2)[0], offset + 4
        elif ethertype == _PPPOE_SESSION:
            ethertype, offset = _ppp(frame, offset + 6)
        elif ethertype in _MPLS:
            while not frame[offset + 2] & 1:
                offset += 4
            ethertype, offset = _by_version(frame, offset + 4), offset + 4
        elif ethertype == _PROVIDER_BACKBONE:
            ethertype, offset = _ethernet(frame, offset + 4)
        elif ethertype == _VN_TAG:
            ethertype, offset = _short(frame, offset + 4)[0], offset + 6
        elif ethertype == _FABRIC_PATH:
            ethertype, offset = _ethernet(frame, offset + 2)
        elif 0 < ethertype <= 1500 and frame[offset : offset + 6] == b"\xaa\xaa\x03\0\0\0":
            ethertype, offset = _short(frame, offset + 6)[0], offset + 8
        else:
            break
    return ethertype, offset


def _by_version(frame: bytes, offset: int) -> int:
    return {4: IP4, 6: IP6}.get(frame[offset] >> 4, 0)


def _ppp(frame: bytes, offset: int) -> tuple[int, int]:
    """PPP with or without address and control, and with its protocol in one byte or two (RFC 1661, RFC 1662)."""
    if frame[offset : offset + 2] in (b"\xff\x03", b"\x0f\x00"):
        offset += 2
    if frame[offset] & 1:
        return _PPP_TYPES.get(frame[offset], 0), offset + 1
    return _PPP_TYPES.get(_short(frame, offset)[0], 0), offset + 2


_LINKS: dict[int, Callable[[bytes, int], tuple[int, int]]] = {
    NULL: _loopback,
    ETHERNET: _ethernet,
    PPP: _ppp,
    PPP_HDLC: _ppp,
    PPPOE: _pppoe,
    C_HDLC: _c_hdlc,
    WLAN: _wlan,
    LOOP: _loopback,
    SLL: _sll,
    RADIOTAP: _radiotap,
    PPI: _ppi,
    NFLOG: _nflog,
    SLL2: _sll2,
    IPV4: _raw,
    IPV6: _raw,
    RAW: _raw,
    12: _raw,  # RAW on some systems
    14: _raw,
}


_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION, _MOBILITY = 0, 43, 44, 51, 60, 135
_EXTENSIONS = frozenset((_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION, _MOBILITY))
_MOST_EXTENSIONS = 16


def after_extensions(frame: bytes, offset: int, protocol: int) -> tuple[int, int, int]:
    """What follows the extension headers of IPv6 (RFC 8200): protocol, offset, offset of the fragment header or 0.

    It stops behind a fragment header: what follows may be the middle of something.
    """
    for _ in range(_MOST_EXTENSIONS):
        if protocol not in _EXTENSIONS:
            break
        if protocol == _FRAGMENT:
            return frame[offset], offset + 8, offset
        following, length = frame[offset], frame[offset + 1]
        offset += (length + 2) * 4 if protocol == _AUTHENTICATION else (length + 1) * 8
        protocol = following
    return protocol, offset, 0
