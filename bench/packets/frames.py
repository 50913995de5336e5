"""Frames by hand: Ethernet, IPv4 and IPv6 (RFC 791, 8200), TCP (9293), UDP (768), ICMP (792), ClientHello (8446)."""

import struct
from ipaddress import ip_address
from random import Random

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_ETHER = bytes.fromhex("020000000002 020000000001")
_PCAP_HEAD = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)
_GREASE = (0x0A0A, 0x2A2A, 0x7A7A, 0xDADA)  # RFC 8701: reserved values that clients mix in
_CIPHERS = (0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC013, 0xC014, 0x009C, 0x009D)
_SIGNATURES = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)
_KEY_SHARE_EXTENSION = 51

Packet = tuple[float, bytes]


def pcap(packets: list[Packet]) -> bytes:
    """A capture file of Ethernet frames, in the order given, with microseconds."""
    parts = [_PCAP_HEAD]
    for ts, frame in packets:
        second, micros = divmod(round(ts * 1_000_000), 1_000_000)
        parts += struct.pack("<IIII", second, micros, len(frame), len(frame)), frame
    return b"".join(parts)


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    total = (total & 0xFFFF) + (total >> 16)
    folded: int = ~(total + (total >> 16)) & 0xFFFF
    return folded


def frame(source: str, target: str, protocol: int, payload: bytes, *, identification: int = 1) -> bytes:
    """An Ethernet frame; both addresses are of one family."""
    ours, theirs = ip_address(source).packed, ip_address(target).packed
    if len(ours) == 16:
        return b"".join(
            (_ETHER, b"\x86\xdd\x60\0\0\0", struct.pack("!HBB", len(payload), protocol, 64), ours, theirs, payload)
        )
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), identification & 0xFFFF, 0x4000, 64, protocol, 0)
    head += ours + theirs
    return b"".join((_ETHER, b"\x08\0", head[:10], checksum(head).to_bytes(2, "big"), head[12:], payload))


def tcp(source: tuple[str, int], target: tuple[str, int], flags: int, seq: int, ack: int, data: bytes = b"") -> bytes:
    """A TCP segment; a SYN offers a maximum segment size."""
    options = b"\x02\x04\x05\xb4" if flags & SYN else b""
    offset = (20 + len(options)) // 4 << 4
    head = struct.pack(
        "!HHIIBBHHH", source[1], target[1], seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, offset, flags, 64_240, 0, 0
    )
    segment = head + options + data
    summed = checksum(_pseudo(source[0], target[0], 6, len(segment)) + segment)
    return frame(source[0], target[0], 6, segment[:16] + summed.to_bytes(2, "big") + segment[18:], identification=seq)


def udp(source: tuple[str, int], target: tuple[str, int], data: bytes) -> bytes:
    """A UDP datagram."""
    datagram = struct.pack("!HHHH", source[1], target[1], 8 + len(data), 0) + data
    summed = checksum(_pseudo(source[0], target[0], 17, len(datagram)) + datagram) or 0xFFFF
    return frame(source[0], target[0], 17, datagram[:6] + summed.to_bytes(2, "big") + data)


def icmp(source: str, target: str, kind: int, code: int, rest: bytes) -> bytes:
    """An ICMP message for IPv4; `rest` is what follows the checksum."""
    message = bytes((kind, code, 0, 0)) + rest
    return frame(source, target, 1, message[:2] + checksum(message).to_bytes(2, "big") + rest)


def _pseudo(source: str, target: str, protocol: int, length: int) -> bytes:
    return ip_address(source).packed + ip_address(target).packed + struct.pack("!II", length, protocol)


def dns(number: int, name: str, *, answer: str = "", kind: int = 1) -> bytes:
    """A question for `name`, or with `answer` (an IPv4 address) its answer (RFC 1035)."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split(".")) + b"\0"
    question = labels + struct.pack("!HH", kind, 1)
    if not answer:
        return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + question
    record = struct.pack("!HHHIH", 0xC00C, 1, 1, 300, 4) + ip_address(answer).packed
    return struct.pack("!HHHHHH", number, 0x8180, 1, 1, 0, 0) + question + record


def client_hello(name: str, random: Random) -> bytes:
    """A TLS record with a ClientHello as browsers send it, with GREASE, ALPN and a key share."""
    grease = random.choice(_GREASE)
    host = name.encode()
    extensions = [
        (grease, b""),
        (0, struct.pack("!HBH", len(host) + 3, 0, len(host)) + host),
        (23, b""),
        (65_281, b"\0"),
        (10, _sized(struct.pack("!4H", grease, 29, 23, 24))),
        (11, b"\x01\x00"),
        (16, _sized(b"\x02h2\x08http/1.1")),
        (13, _sized(struct.pack(f"!{len(_SIGNATURES)}H", *_SIGNATURES))),
        (_KEY_SHARE_EXTENSION, _sized(struct.pack("!HH", 29, 32) + random.randbytes(32))),
        (45, b"\x01\x01"),
        (43, b"\x06" + struct.pack("!3H", grease, 0x0304, 0x0303)),
    ]
    listed = b"".join(struct.pack("!HH", kind, len(body)) + body for kind, body in extensions)
    ciphers = struct.pack(f"!{len(_CIPHERS) + 1}H", grease, *_CIPHERS)
    body = b"\x03\x03" + random.randbytes(32) + b"\x20" + random.randbytes(32) + _sized(ciphers) + b"\x01\0"
    return handshake(1, body + _sized(listed))


def server_hello(random: Random) -> bytes:
    """The record that answers a ClientHello of TLS 1.3."""
    share = struct.pack("!HHHH", _KEY_SHARE_EXTENSION, 36, 29, 32) + random.randbytes(32)
    extensions = share + struct.pack("!HHH", 43, 2, 0x0304)
    body = b"\x03\x03" + random.randbytes(32) + b"\x20" + random.randbytes(32) + struct.pack("!HB", 0x1301, 0)
    return handshake(2, body + _sized(extensions))


def handshake(kind: int, body: bytes) -> bytes:
    """One handshake message in a record of its own."""
    message = bytes((kind,)) + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + _sized(message)


def _sized(body: bytes) -> bytes:
    return len(body).to_bytes(2, "big") + body
