"""Names and resource records of DNS, as Zeek writes them (RFC 1035, RFC 4034, RFC 4255, RFC 9460)."""

from collections.abc import Callable
from socket import AF_INET6, inet_ntoa, inet_ntop
from struct import Struct

from socmon.network.zeek import text

_record = Struct("!HHIH").unpack_from
_short = Struct("!H").unpack_from

_LONGEST_NAME = 255
_LONGEST_LABEL, _POINTER = 0x3F, 0xC0
_MOST_POINTERS = 16


class Malformed(Exception):  # noqa: N818 - never leaves the readers
    """A message that cannot be."""


def name(data: bytes, at: int) -> tuple[str, int]:
    """A name, in lower case and without the last dot, and where it ends; pointers are followed backwards only."""
    labels: list[bytes] = []
    end, pointers = 0, 0
    bound = len(data)
    for _ in range(_LONGEST_NAME):
        length = data[at]
        if not length:
            break
        if length <= _LONGEST_LABEL:
            at += 1
            labels.append(data[at : at + length])  # one that is cut off leads behind the data
            at += length
            continue
        target = (length & 0x3F) << 8 | data[at + 1]
        end = end or at + 2
        pointers += 1
        # Each pointer leads before the one that led there, so that no name goes round in circles.
        if length < _POINTER or target >= min(at, bound) or pointers > _MOST_POINTERS:
            raise Malformed
        at = bound = target
    else:
        raise Malformed
    plain = b".".join(labels).lower()
    if len(plain) >= _LONGEST_NAME:  # its dots stand for the lengths of all labels but the first
        raise Malformed
    return text(plain), end or at + 1


def answers(data: bytes, at: int, count: int) -> list[tuple[str, str | None, float]]:
    """Owner, value and TTL of the next records; the value is None where Zeek writes none.

    A datagram that was cut keeps what came before the cut.
    """
    found: list[tuple[str, str | None, float]] = []
    for _ in range(count):
        if at >= len(data):
            break
        owner, at = name(data, at)
        kind, _, ttl, length = _record(data, at)
        at += 10
        read = _VALUES.get(kind)
        if at + length > len(data):
            raise Malformed
        found.append((owner, None if read is None else read(data, at, at + length), float(ttl)))
        at += length
    return found


def _address(data: bytes, at: int, end: int) -> str:
    if end - at != 4:
        raise Malformed
    return inet_ntoa(data[at:end])


def _address6(data: bytes, at: int, end: int) -> str:
    if end - at != 16:
        raise Malformed
    return inet_ntop(AF_INET6, data[at:end])


def _name(data: bytes, at: int, _end: int) -> str:
    return name(data, at)[0]


def _exchange(data: bytes, at: int, _end: int) -> str:
    return name(data, at + 2)[0]


def _target(data: bytes, at: int, _end: int) -> str:
    return name(data, at + 6)[0]


def _strings(label: str) -> Callable[[bytes, int, int], str]:
    def read(data: bytes, at: int, end: int) -> str:
        pieces = []
        while at < end:
            length = data[at]
            if at + 1 + length > end:
                raise Malformed
            pieces.append(f"{label} {length} {text(data[at + 1 : at + 1 + length])}")
            at += 1 + length
        return " ".join(pieces)

    return read


def _signature(data: bytes, at: int, _end: int) -> str:
    return f"RRSIG {_short(data, at)[0]} {name(data, at + 18)[0]}"


def _next_secure(data: bytes, at: int, end: int) -> str:
    following, _ = name(data, at)
    return f"NSEC {following} {end - at}"


def _fingerprint(data: bytes, at: int, end: int) -> str:
    return f"SSHFP: {data[at + 2 : end].hex()}"


def _fixed(value: str) -> Callable[[bytes, int, int], str]:
    return lambda _data, _at, _end: value


_VALUES: dict[int, Callable[[bytes, int, int], str]] = {
    1: _address,
    2: _name,
    5: _name,
    6: _name,
    12: _name,
    15: _exchange,
    16: _strings("TXT"),
    28: _address6,
    33: _target,
    39: _name,
    44: _fingerprint,
    46: _signature,
    47: _next_secure,
    99: _strings("SPF"),
    65534: _fixed("BIND9 signing signal"),
}
