"""Packets and capture files, byte by byte: what the tests of the network events send."""

import io
import json
from collections.abc import Iterable
from ipaddress import ip_address
from struct import pack
from typing import Any

from socmon.network import Analysis, Limits, read_capture

START = 1_764_174_645.123456
CLIENT, SERVER, RESOLVER = "192.0.2.1", "198.51.100.7", "203.0.113.53"
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def ethernet(payload: bytes, ethertype: int = 0x0800, *, tags: Iterable[tuple[int, int]] = ()) -> bytes:
    """A frame; `tags` are (TPID, VLAN), the outermost first."""
    inner = b"".join(pack("!HH", tpid, vlan) for tpid, vlan in tags)
    return bytes.fromhex("020000000002 020000000001") + inner + pack("!H", ethertype) + payload


def ipv4(
    src: str, dst: str, protocol: int, payload: bytes, *, number: int = 1, fragment: int = 0, options: bytes = b""
) -> bytes:
    """A packet; `fragment` is the field of flags and offset as it stands."""
    size = 20 + len(options)
    head = pack("!BBHHHBBH", 0x40 | size // 4, 0, size + len(payload), number, fragment, 64, protocol, 0)
    return head + ip_address(src).packed + ip_address(dst).packed + options + payload


def ipv6(src: str, dst: str, protocol: int, payload: bytes) -> bytes:
    return (
        pack("!IHBB", 0x60000000, len(payload), protocol, 64)
        + ip_address(src).packed
        + ip_address(dst).packed
        + payload
    )


def ip(src: str, dst: str, protocol: int, payload: bytes) -> bytes:
    """A packet in an Ethernet frame, of the version that the addresses have."""
    if ip_address(src).version == 6:
        return ethernet(ipv6(src, dst, protocol, payload), 0x86DD)
    return ethernet(ipv4(src, dst, protocol, payload))


def udp(src: str, sport: int, dst: str, dport: int, data: bytes = b"") -> bytes:
    return ip(src, dst, 17, datagram(sport, dport, data))


def datagram(sport: int, dport: int, data: bytes = b"") -> bytes:
    return pack("!HHHH", sport, dport, 8 + len(data), 0) + data


def tcp(  # noqa: PLR0917
    src: str, sport: int, dst: str, dport: int, flags: int, seq: int = 0, data: bytes = b"", *, ack: int = 0
) -> bytes:
    return ip(src, dst, 6, segment(sport, dport, flags, seq, data, ack=ack))


def segment(sport: int, dport: int, flags: int, seq: int = 0, data: bytes = b"", *, ack: int = 0) -> bytes:
    return pack("!HHIIHHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x5000 | flags, 8192, 0, 0) + data


class Conversation:
    """The frames of one TCP connection, with sequence numbers that go on."""

    def __init__(self, *, client: str = CLIENT, port: int = 50000, server: str = SERVER, server_port: int = 80) -> None:
        self.ends = {True: (client, port), False: (server, server_port)}
        self.next = {True: 1_000, False: 4_294_967_000}  # the server's wrap soon
        self.frames: list[bytes] = []

    def send(self, from_client: bool, flags: int, data: bytes = b"") -> bytes:
        frame = tcp(
            *self.ends[from_client],
            *self.ends[not from_client],
            flags,
            self.next[from_client],
            data,
            ack=self.next[not from_client],
        )
        self.next[from_client] += len(data) + bool(flags & (SYN | FIN))
        self.frames.append(frame)
        return frame

    def open(self) -> "Conversation":
        self.send(True, SYN)
        self.send(False, SYN | ACK)
        self.send(True, ACK)
        return self

    def client(self, data: bytes) -> "Conversation":
        self.send(True, PSH | ACK, data)
        return self

    def server(self, data: bytes) -> "Conversation":
        self.send(False, PSH | ACK, data)
        return self

    def close(self) -> "Conversation":
        self.send(True, FIN | ACK)
        self.send(False, FIN | ACK)
        self.send(True, ACK)
        return self


def extension(kind: int, data: bytes) -> bytes:
    return pack("!HH", kind, len(data)) + data


def client_hello(
    name: str = "www.example.com", *, alpn: str = "h2", ciphers: Iterable[int] = (0x1301, 0xC02F), padding: int = 0
) -> bytes:
    """The handshake message, without a record around it."""
    host, protocol = name.encode(), alpn.encode()
    extensions = [
        extension(0x0A0A, b""),
        extension(0, pack("!HBH", len(host) + 3, 0, len(host)) + host),
        extension(10, pack("!HHH", 4, 0x0A0A, 29)),
        extension(11, b"\x01\x00"),
        extension(13, pack("!HHH", 4, 0x0403, 0x0804)),
        extension(16, pack("!HB", len(protocol) + 1, len(protocol)) + protocol),
        extension(43, pack("!BHH", 4, 0x0304, 0x0303)),
        extension(21, bytes(padding)),
    ]
    suites = b"".join(pack("!H", suite) for suite in ciphers)
    body = pack("!H32sBH", 0x0303, bytes(32), 0, len(suites)) + suites + b"\x01\x00"
    joined = b"".join(extensions)
    body += pack("!H", len(joined)) + joined
    return b"\x01" + len(body).to_bytes(3, "big") + body


def server_hello(*, cipher: int = 0x1301, version: int = 0x0304) -> bytes:
    extensions = extension(43, pack("!H", version)) + extension(51, pack("!HH", 29, 0)) if version == 0x0304 else b""
    body = pack("!H32sBHBH", 0x0303, bytes(32), 0, cipher, 0, len(extensions)) + extensions
    return b"\x02" + len(body).to_bytes(3, "big") + body


def tls_record(data: bytes, *, kind: int = 22) -> bytes:
    return pack("!BHH", kind, 0x0301, len(data)) + data


def arp(operation: int, sender: str, target: str) -> bytes:
    mac = bytes.fromhex("020000000001")
    body = (
        pack("!HHBBH", 1, 0x0800, 6, 4, operation)
        + mac
        + ip_address(sender).packed
        + bytes(6)
        + ip_address(target).packed
    )
    return ethernet(body, 0x0806)


def dhcp(kind: int, *, host: bytes = b"desk-7", op: int = 1) -> bytes:
    """A message of type `kind` with a host name and a requested address."""
    head = pack("!BBBBIHH4s4s4s4s16s", op, 1, 6, 0, 7, 0, 0, *[bytes(4)] * 4, bytes.fromhex("020000000001"))
    options = bytes((53, 1, kind, 12, len(host))) + host + b"\x32\x04" + ip_address("192.0.2.77").packed + b"\xff"
    return head + bytes(192) + bytes.fromhex("63825363") + options


def dns_name(name: str) -> bytes:
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def dns_query(name: str, qtype: int = 1, *, number: int = 7) -> bytes:
    return pack("!6H", number, 0x0100, 1, 0, 0, 0) + dns_name(name) + pack("!HH", qtype, 1)


def dns_answer(
    name: str, records: Iterable[tuple[int, int, bytes]] = (), *, qtype: int = 1, number: int = 7, rcode: int = 0
) -> bytes:
    """`records` are (type, TTL, data), all of `name`, to which they point back."""
    records = list(records)
    body = pack("!6H", number, 0x8180 | rcode, 1, len(records), 0, 0) + dns_name(name) + pack("!HH", qtype, 1)
    return body + b"".join(pack("!HHHIH", 0xC00C, kind, 1, ttl, len(data)) + data for kind, ttl, data in records)


def pcap(frames: Iterable[tuple[float, bytes]], *, link: int = 1, order: str = "<", nanoseconds: bool = False) -> bytes:
    """A pcap file."""
    units = 1_000_000_000 if nanoseconds else 1_000_000
    file = pack(f"{order}IHHiIII", 0xA1B23C4D if nanoseconds else 0xA1B2C3D4, 2, 4, 0, 0, 262_144, link)
    for ts, frame in frames:
        seconds, fraction = divmod(round(ts * 1_000_000) * (units // 1_000_000), units)
        file += pack(f"{order}IIII", seconds, fraction, len(frame), len(frame)) + frame
    return file


def pcapng_block(kind: int, body: bytes, *, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    return pack(f"{order}II", kind, len(body) + 12) + body + pack(f"{order}I", len(body) + 12)


def pcapng_section(*, order: str = "<") -> bytes:
    return pcapng_block(0x0A0D0D0A, pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order=order)


def pcapng_interface(*, link: int = 1, resolution: int | None = None, order: str = "<") -> bytes:
    options = b"" if resolution is None else pack(f"{order}HHBxxxI", 9, 1, resolution, 0)
    return pcapng_block(1, pack(f"{order}HHI", link, 0, 0) + options, order=order)


def pcapng_packet(frame: bytes, ticks: int, *, interface: int = 0, order: str = "<") -> bytes:
    head = pack(f"{order}IIIII", interface, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return pcapng_block(6, head + frame, order=order)


def spaced(frames: Iterable[bytes], *, start: float = START, apart: float = 0.01) -> list[tuple[float, bytes]]:
    """Each frame with its time."""
    return [(start + index * apart, frame) for index, frame in enumerate(frames)]


def analysed(
    frames: Iterable[tuple[float, bytes]], *, link: int = 1, limits: Limits | None = None
) -> list[dict[str, Any]]:
    """The lines that an analysis makes of frames, read back."""
    return run(frames, link=link, limits=limits)[0]


def run(
    frames: Iterable[tuple[float, bytes]], *, link: int = 1, limits: Limits | None = None
) -> tuple[list[dict[str, Any]], Analysis]:
    """The lines, and the analysis for what it counted."""
    lines: list[dict[str, Any]] = []
    analysis = Analysis(lambda line: lines.append(json.loads(line)), limits=limits or Limits())
    for ts, frame in frames:
        analysis.packet(frame, ts, link)
    analysis.finish()
    return lines, analysis


def read_back(file: bytes) -> list[tuple[float, int, bytes]]:
    return list(read_capture(io.BytesIO(file)))


def of(lines: Iterable[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    """The lines of one log."""
    return [line for line in lines if line["_path"] == path]
