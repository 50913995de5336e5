"""Made-up traffic of an office: DNS, web, TLS, other TCP and UDP, pings; the same for the same seed.

It imports nothing of socmon, and says how many flows it made, so that this can be compared with what was found.
"""

import random
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

BEGAN_S = 1_764_000_000
_MACS = bytes.fromhex("020000000002020000000001") + b"\x08\x00"
_SYN, _ACK, _PUSH, _FIN, _RST = 0x02, 0x10, 0x08, 0x01, 0x04
_NAMES = ("dichvucong", "lgsp", "mail", "vanban", "hoctap", "thongke", "capnhat", "dulieu", "baocao", "hop")
_KINDS = {"dns": 40, "tls": 22, "http": 13, "tcp": 8, "udp": 10, "icmp": 7}

_End = tuple[bytes, int]  # address, port


@dataclass
class Traffic:
    """Packets in the order of time, and how many flows of each kind they are."""

    packets: list[tuple[float, bytes]] = field(default_factory=list)
    flows: Counter[str] = field(default_factory=Counter)


def traffic(flows: int, *, packets_a_second: float = 30_000, seed: int = 5) -> Traffic:
    """`flows` flows of the mix above, some hundred at a time."""
    chance = random.Random(seed)
    made = Traffic()
    kinds = chance.choices(list(_KINDS), list(_KINDS.values()), k=flows)
    waiting = [(number, kind) for number, kind in enumerate(kinds)]
    waiting.reverse()
    running: list[Iterator[bytes]] = []
    step_s = 1 / packets_a_second
    while waiting or running:
        while waiting and len(running) < 400:
            number, kind = waiting.pop()
            made.flows[kind] += 1
            running.append(_flow(kind, number, chance))
        at = chance.randrange(len(running))
        packet = next(running[at], None)
        if packet is None:
            running[at] = running[-1]
            running.pop()
            continue
        made.packets.append((BEGAN_S + len(made.packets) * step_s, packet))
    return made


def write(path: Path, packets: list[tuple[float, bytes]]) -> None:
    """As a capture file (pcap, microseconds, Ethernet)."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1))
        for moment, packet in packets:
            second, microsecond = int(moment), int(moment % 1 * 1e6)
            file.write(struct.pack("<IIII", second, microsecond, len(packet), len(packet)) + packet)


# ── flows ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _flow(kind: str, number: int, chance: random.Random) -> Iterator[bytes]:
    """The packets of flow `number`, whose addresses and ports no other one has."""
    client = bytes([10, 20, number // 20_000 % 250 + 1, number % 250 + 1])
    server = bytes([10, 30, number // 250 % 80, chance.randrange(1, 250)])
    port = 1024 + number // 250 % 60_000
    if kind == "icmp":
        return _pings(client, server, number)
    if kind == "dns":
        return _dns(client, server, port, number)
    if kind == "udp":
        return _udp_flow(client, server, port, chance)
    served = {"http": 80, "tls": 443, "tcp": 22}[kind]
    return _tcp((client, port), (server, served), _talk(kind, number, chance))


def _pings(client: bytes, server: bytes, number: int) -> Iterator[bytes]:
    for sequence in range(3):
        body = struct.pack(">HH", number & 0xFFFF, sequence) + bytes(48)
        yield _ip(client, server, 1, _icmp(8, body))
        yield _ip(server, client, 1, _icmp(0, body))


def _dns(client: bytes, server: bytes, port: int, number: int) -> Iterator[bytes]:
    name = f"{_NAMES[number % len(_NAMES)]}{number % 997}.tinh.gov.vn"
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0\0\x01\0\x01"
    head = struct.pack(">H", number & 0xFFFF)
    yield _udp(client, server, port, 53, head + struct.pack(">5H", 0x0100, 1, 0, 0, 0) + question)
    answer = b"\xc0\x0c\0\x01\0\x01" + struct.pack(">IH", 300, 4) + server
    yield _udp(server, client, 53, port, head + struct.pack(">5H", 0x8180, 1, 1, 0, 0) + question + answer)


def _udp_flow(client: bytes, server: bytes, port: int, chance: random.Random) -> Iterator[bytes]:
    for _ in range(chance.randrange(1, 5)):
        yield _udp(client, server, port, 5060, chance.randbytes(200))
        yield _udp(server, client, 5060, port, chance.randbytes(300))


def _talk(kind: str, number: int, chance: random.Random) -> list[tuple[bool, bytes]]:
    """What client (True) and server say in turn."""
    name = f"{_NAMES[number % len(_NAMES)]}.tinh.gov.vn"
    if kind == "http":
        request = f"GET /ho-so/{number} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n"
        body = chance.randbytes(1000)
        reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3000\r\n\r\n" + body
        return [(True, request.encode()), (False, reply), (False, body), (False, body)]
    if kind == "tls":
        return [
            (True, client_hello(name, chance)),
            (False, _record(22, b"\x02\0\0\x46\x03\x03" + chance.randbytes(32) + b"\0\xc0\x2f\0" + bytes(30))),
            (False, _record(23, chance.randbytes(1200))),
            (True, _record(23, chance.randbytes(120))),
            (False, _record(23, chance.randbytes(1300))),
            (False, _record(23, chance.randbytes(700))),
        ]
    said = [(True, b"SSH-2.0-OpenSSH_9.2\r\n"), (False, b"SSH-2.0-OpenSSH_9.2p1\r\n")]
    return said + [(bool(turn % 2), chance.randbytes(150)) for turn in range(chance.randrange(6, 16))]


def client_hello(name: str, chance: random.Random) -> bytes:
    """A TLS 1.2 ClientHello that asks for `name` (RFC 5246, section 7.4.1.2; RFC 6066, section 3)."""
    host = name.encode()
    sni = struct.pack(">HHHBH", 0, len(host) + 5, len(host) + 3, 0, len(host)) + host
    groups = bytes.fromhex("000a00060004001d0017") + bytes.fromhex("000b00020100")
    algorithms = bytes.fromhex("000d0008000604030804" + "0401")
    extensions = sni + groups + algorithms
    ciphers = bytes.fromhex("c02bc02fc02cc030009c009d")
    body = b"\x03\x03" + chance.randbytes(32) + b"\0" + struct.pack(">H", len(ciphers)) + ciphers + b"\x01\0"
    body += struct.pack(">H", len(extensions)) + extensions
    return _record(22, b"\x01" + len(body).to_bytes(3, "big") + body)


def _record(kind: int, body: bytes) -> bytes:
    return struct.pack(">BHH", kind, 0x0303, len(body)) + body


def _tcp(client: _End, server: _End, talk: list[tuple[bool, bytes]]) -> Iterator[bytes]:
    mine, theirs = 1000, 9000
    yield _segment(client, server, mine, 0, _SYN)
    yield _segment(server, client, theirs, mine + 1, _SYN | _ACK)
    mine, theirs = mine + 1, theirs + 1
    yield _segment(client, server, mine, theirs, _ACK)
    for from_client, data in talk:
        if from_client:
            yield _segment(client, server, mine, theirs, _PUSH | _ACK, data)
            mine += len(data)
            yield _segment(server, client, theirs, mine, _ACK)
        else:
            yield _segment(server, client, theirs, mine, _PUSH | _ACK, data)
            theirs += len(data)
            yield _segment(client, server, mine, theirs, _ACK)
    yield _segment(client, server, mine, theirs, _FIN | _ACK)
    yield _segment(server, client, theirs, mine + 1, _FIN | _ACK)
    yield _segment(client, server, mine + 1, theirs + 1, _ACK)


# ── headers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _segment(source: _End, to: _End, seq: int, ack: int, flags: int, data: bytes = b"") -> bytes:
    head = struct.pack(">HHIIBBHHH", source[1], to[1], seq, ack, 0x50, flags, 64_240, 0, 0)
    pseudo = source[0] + to[0] + struct.pack(">HH", 6, len(head) + len(data))
    return _ip(source[0], to[0], 6, head[:16] + _sum(pseudo + head + data) + head[18:] + data)


def _udp(source: bytes, to: bytes, port: int, to_port: int, data: bytes) -> bytes:
    return _ip(source, to, 17, struct.pack(">HHHH", port, to_port, len(data) + 8, 0) + data)  # 0: no checksum


def _icmp(kind: int, body: bytes) -> bytes:
    return bytes([kind, 0]) + _sum(bytes([kind, 0, 0, 0]) + body) + body


def _ip(source: bytes, to: bytes, protocol: int, data: bytes) -> bytes:
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(data), 0, 0x4000, 64, protocol, 0) + source + to
    return _MACS + head[:10] + _sum(head) + head[12:] + data


def _sum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~total & 0xFFFF)
