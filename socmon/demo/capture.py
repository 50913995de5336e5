"""What a sensor between the agencies saw: a capture file made packet by packet, and the events that it gives.

Two minutes of a turn: a scan of a health department's server, a tunnel from a commune's computer through the data
centre's resolver, and people who browse. Addresses of strangers are those for documentation, as in the sample logs.
"""

import hashlib
import io
from collections.abc import Iterator
from ipaddress import IPv4Address
from struct import pack

from socmon.demo.sample import SCANNER, TUNNELLER, fresh
from socmon.network.analysis import Analysis
from socmon.network.capture_file import read_capture

_LENGTH_S = 110.0
_RESOLVER, _TARGET, _WEB = "10.11.1.53", "10.14.0.20", "192.0.2.80"
_PORTS = (21, 22, 23, 25, 53, 80, 110, 111, 135, 139, 143, 443, 445, 993, 995, 1433, 1521, 3306, 3389, 5432, 5900, 8080)
_LOOKUPS = 60
_BROWSERS = ("10.12.0.21", "10.12.0.22", "10.13.4.31", "10.50.1.14")
_FIN, _SYN, _RST, _PUSH, _ACK = 1, 2, 4, 8, 16
_A, _TXT = 1, 16

Timed = tuple[float, bytes]  # seconds from the beginning, and a frame


def capture(turn: int, end_us: int) -> bytes:
    """A capture file of the `turn`-th repetition (from 0), whose last packets are of `end_us`."""
    file = io.BytesIO()
    file.write(pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1))
    for at_s, frame in sorted([*_scan(fresh(SCANNER, turn)), *_tunnel(turn), *_browsing(turn)]):
        time_us = end_us - round((_LENGTH_S - at_s) * 1_000_000)
        file.write(pack("<IIII", time_us // 1_000_000, time_us % 1_000_000, len(frame), len(frame)) + frame)
    return file.getvalue()


def events(data: bytes) -> list[bytes]:
    """The lines that a capture file gives, in their order."""
    found: list[bytes] = []
    analysis = Analysis(found.append)
    for ts, link, frame in read_capture(io.BytesIO(data)):
        analysis.packet(frame, ts, link)
    analysis.finish()
    return found


# ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _scan(scanner: str) -> Iterator[Timed]:
    """Every port once; the host refuses, but for three that a filter swallows."""
    for number, port in enumerate(_PORTS):
        at_s, own = 20.0 + number / 4, 40_000 + number
        yield at_s, _tcp(scanner, own, _TARGET, port, _SYN, 1000)
        if number % 8:
            yield at_s + 0.002, _tcp(_TARGET, port, scanner, own, _RST | _ACK, 0, 1001)


def _tunnel(turn: int) -> Iterator[Timed]:
    for number in range(_LOOKUPS):
        label = hashlib.sha256(b"%d %d" % (turn, number)).hexdigest()[:44]
        name = f"{label}.kho.example"
        yield from _lookup(30.0 + number, TUNNELLER, 50_000 + number, name, _TXT, b"\x10" + label[:16].encode())


def _browsing(turn: int) -> Iterator[Timed]:
    for number in range(12):
        at_s, client, port = 3.0 + 8 * number, _BROWSERS[number % len(_BROWSERS)], 42_000 + 20 * turn % 20_000 + number
        yield from _lookup(at_s, client, port, "www.tinh.example", _A, IPv4Address(_WEB).packed)
        yield from _visit(at_s + 0.05, client, port, b"/tin-tuc/%d" % number)


def _lookup(at_s: float, client: str, port: int, name: str, kind: int, answer: bytes) -> Iterator[Timed]:
    number = pack("!H", port)
    asked = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0" + pack("!HH", kind, 1)
    told = b"\xc0\x0c" + pack("!HHIH", kind, 1, 60, len(answer)) + answer
    yield at_s, _udp(client, port, _RESOLVER, 53, number + pack("!5H", 0x0100, 1, 0, 0, 0) + asked)
    yield at_s + 0.01, _udp(_RESOLVER, 53, client, port, number + pack("!5H", 0x8180, 1, 1, 0, 0) + asked + told)


def _visit(at_s: float, client: str, port: int, path: bytes) -> Iterator[Timed]:
    request = b"GET " + path + b" HTTP/1.1\r\nHost: www.tinh.example\r\nUser-Agent: Mozilla/5.0\r\n\r\n"
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello"
    ours, theirs = 1 + len(request), 1 + len(reply)
    said = (
        (True, _SYN, 0, 0, b""),
        (False, _SYN | _ACK, 0, 1, b""),
        (True, _ACK, 1, 1, b""),
        (True, _PUSH | _ACK, 1, 1, request),
        (False, _PUSH | _ACK, 1, ours, reply),
        (True, _FIN | _ACK, ours, theirs, b""),
        (False, _FIN | _ACK, theirs, ours + 1, b""),
        (True, _ACK, ours + 1, theirs + 1, b""),
    )
    for step, (from_client, flags, seq, ack, data) in enumerate(said):
        ends = (client, port, _WEB, 80) if from_client else (_WEB, 80, client, port)
        yield at_s + step / 100, _tcp(*ends, flags, seq, ack, data)


# ── as bytes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _tcp(  # noqa: PLR0913, PLR0917  as they stand in the header
    src: str, sport: int, dst: str, dport: int, flags: int, seq: int, ack: int = 0, data: bytes = b""
) -> bytes:
    head = pack("!HHIIHHHH", sport, dport, seq, ack, 0x5000 | flags, 8192, 0, 0)
    return _packet(src, dst, 6, head[:16] + _checksum(src, dst, 6, head + data) + head[18:] + data)


def _udp(src: str, sport: int, dst: str, dport: int, data: bytes) -> bytes:
    head = pack("!HHHH", sport, dport, 8 + len(data), 0)
    return _packet(src, dst, 17, head[:6] + _checksum(src, dst, 17, head + data) + data)


def _packet(src: str, dst: str, protocol: int, payload: bytes) -> bytes:
    """In an Ethernet frame (RFC 791, RFC 894)."""
    ends = IPv4Address(src).packed + IPv4Address(dst).packed
    head = pack("!BBHHHBB", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol)
    frame = bytes.fromhex("020000000002 020000000001 0800")
    return frame + head + _sum(head + ends) + ends + payload


def _checksum(src: str, dst: str, protocol: int, segment: bytes) -> bytes:
    pseudo = IPv4Address(src).packed + IPv4Address(dst).packed + pack("!BBH", 0, protocol, len(segment))
    return _sum(pseudo + segment)


def _sum(data: bytes) -> bytes:
    """The internet's checksum (RFC 1071)."""
    total = sum(int.from_bytes(data[at : at + 2].ljust(2, b"\0")) for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return pack("!H", ~total & 0xFFFF)
