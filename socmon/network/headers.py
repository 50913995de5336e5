"""From a frame to its IP packet: link layers (LINKTYPE_* of tcpdump.org), tags (IEEE 802.1Q), labels (RFC 3032).

The commonest frames never come here: `Analysis.packet` knows Ethernet with IPv4. Whatever is cut off raises IndexError
or struct.error.
"""

from struct import Struct

NULL, ETHERNET, PPP, PPP_HDLC, PPPOE, RAW, C_HDLC, LOOP, SLL = 0, 1, 9, 50, 51, 101, 104, 108, 113
IPV4, IPV6, SLL2 = 228, 229, 276
_RAW_OF_OTHERS = (12, 14)  # what BSDs call RAW

IP4, ARP, IP6 = 0x0800, 0x0806, 0x86DD
_TAGS = frozenset((0x8100, 0x88A8, 0x9100, 0x9200))
_MPLS = frozenset((0x8847, 0x8848))
_PPPOE_SESSION = 0x8864
_PPP_TYPES = {0x0021: IP4, 0x0057: IP6, 0x0281: 0x8847, 0x0283: 0x8848}
_MOST_TAGS = 8

_short = Struct("!H").unpack_from
_two_shorts = Struct("!HH").unpack_from


def network_layer(frame: bytes, link: int) -> tuple[int, int]:
    """The EtherType of what a frame carries, tags taken off, and where that begins; type 0 when it is not known."""
    if link == ETHERNET:
        ethertype, offset = _short(frame, 12)[0], 14
    elif link == SLL:
        ethertype, offset = _short(frame, 14)[0], 16
    elif link == SLL2:
        ethertype, offset = _short(frame, 0)[0], 20
    elif link in (RAW, IPV4, IPV6, *_RAW_OF_OTHERS):
        ethertype, offset = _by_version(frame, 0), 0
    elif link in (NULL, LOOP):
        # The family's number differs between systems; the IP version tells as much.
        ethertype, offset = _by_version(frame, 4), 4
    elif link in (PPP, PPP_HDLC):
        ethertype, offset = _ppp(frame, 0)
    elif link == C_HDLC:
        ethertype, offset = _short(frame, 2)[0], 4
    elif link == PPPOE:
        ethertype, offset = _ppp(frame, 6)
    else:
        return 0, 0
    return _without_tags(frame, ethertype, offset)


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
