"""ICMP for IPv4 and IPv6 (RFC 792, RFC 4443): which message answers which, and what an error says."""

from socmon.network.flows import ICMP, ICMP6, ONE_WAY

_ANSWERS = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10}
_ANSWERS6 = {128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130, 139: 140, 140: 139}


def counterpart(protocol: int, kind: int, code: int) -> int:
    """What stands for the responder's port: the type of message that answers `kind`, or else the code."""
    answer = (_ANSWERS if protocol == ICMP else _ANSWERS6).get(kind)
    return code | ONE_WAY if answer is None else answer


ERRORS = frozenset((3, 4, 5, 11, 12))
ERRORS6 = frozenset((1, 2, 3, 4))

_UNREACHABLE = (
    "net unreachable",
    "host unreachable",
    "protocol unreachable",
    "port unreachable",
    "fragmentation needed",
    "source route failed",
    "destination network unknown",
    "destination host unknown",
    "source host isolated",
    "network prohibited",
    "host prohibited",
    "network unreachable for type of service",
    "host unreachable for type of service",
    "communication prohibited",
    "host precedence violation",
    "precedence cutoff",
)
_UNREACHABLE6 = (
    "no route",
    "communication prohibited",
    "beyond scope of source address",
    "address unreachable",
    "port unreachable",
    "source address failed policy",
    "reject route",
)
_EXCEEDED = ("time to live exceeded", "fragment reassembly time exceeded")
_EXCEEDED6 = ("hop limit exceeded", "fragment reassembly time exceeded")
_MESSAGES: dict[tuple[int, int], tuple[str, tuple[str, ...]]] = {
    (ICMP, 3): ("destination unreachable", _UNREACHABLE),
    (ICMP, 4): ("source quench", ()),
    (ICMP, 5): ("redirect", ("redirect for network", "redirect for host")),
    (ICMP, 11): ("time exceeded", _EXCEEDED),
    (ICMP, 12): ("parameter problem", ()),
    (ICMP6, 1): ("destination unreachable", _UNREACHABLE6),
    (ICMP6, 2): ("packet too big", ()),
    (ICMP6, 3): ("time exceeded", _EXCEEDED6),
    (ICMP6, 4): ("parameter problem", ()),
}


def message(protocol: int, kind: int, code: int) -> str:
    """What an error says, in a few words."""
    general, codes = _MESSAGES[protocol, kind]
    return codes[code] if code < len(codes) else general
