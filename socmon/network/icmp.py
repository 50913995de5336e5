"""ICMP for IPv4 and IPv6 (RFC 792, RFC 4443): which message answers which, and what an error says."""

from socmon.network.flows import ICMP, ONE_WAY

_ANSWERS = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10}
_ANSWERS6 = {128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130, 139: 140, 140: 139}


def counterpart(protocol: int, kind: int, code: int) -> int:
    """What stands for the responder's port: the type of message that answers `kind`, or else the code."""
    answer = (_ANSWERS if protocol == ICMP else _ANSWERS6).get(kind)
    return code | ONE_WAY if answer is None else answer
