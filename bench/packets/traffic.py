"""An hour's ordinary traffic of an office, the same for the same seed: TLS, HTTP, DNS, plain TCP, UDP, ICMP."""

from collections.abc import Callable
from pathlib import Path
from random import Random

from bench.packets import frames
from bench.packets.frames import ACK, FIN, PSH, RST, SYN, Packet

START_S = 1_764_151_200.0  # 2025-11-26 10:00:00 UTC
LASTS_S = 3600.0
_SEGMENT = 1460
_RETRANSMITTED = 0.01  # of the segments with data
_SITES = [f"{word}.example.{end}" for word in ("www", "mail", "cdn", "api", "shop", "news") for end in ("com", "vn")]


def write_capture(path: Path, flows: int = 5000, seed: int = 1) -> int:
    """Write a pcap file of `flows` flows, about nine packets each; how many packets it has."""
    found = packets(flows, seed)
    path.write_bytes(frames.pcap(found))
    return len(found)


def packets(flows: int = 5000, seed: int = 1) -> list[Packet]:
    """(time, Ethernet frame), by time."""
    random = Random(seed)
    kinds, weights = zip(*_MIX, strict=True)
    found: list[Packet] = []
    for number, kind in enumerate(random.choices(kinds, weights, k=flows)):
        found += kind(random, number, START_S + LASTS_S * random.random())
    return sorted(found)


class _Talk:
    """One TCP connection, packet by packet."""

    def __init__(self, random: Random, number: int, ts: float, port: int) -> None:
        self.packets: list[Packet] = []
        self._random = random
        self._ts = ts
        self._ends = _ends(number, port, six=random.random() < 0.1)
        self._seq = [random.getrandbits(32), random.getrandbits(32)]
        self._put(0, SYN)
        self._seq[0] += 1
        self._put(1, SYN | ACK)
        self._seq[1] += 1
        self._put(0, ACK)

    def say(self, side: int, data: bytes) -> None:
        """Data from the client (0) or the server (1), in segments, each acknowledged; some are sent again."""
        for at in range(0, len(data), _SEGMENT):
            part = data[at : at + _SEGMENT]
            self._put(side, PSH | ACK, part)
            if self._random.random() < _RETRANSMITTED:
                self._put(side, PSH | ACK, part)
            self._seq[side] += len(part)
            self._put(1 - side, ACK)

    def end(self) -> list[Packet]:
        """Both sides close; one in twenty resets."""
        if self._random.random() < 0.05:
            self._put(0, RST | ACK)
            return self.packets
        self._put(0, FIN | ACK)
        self._seq[0] += 1
        self._put(1, FIN | ACK)
        self._seq[1] += 1
        self._put(0, ACK)
        return self.packets

    def _put(self, side: int, flags: int, data: bytes = b"") -> None:
        self._ts += 0.0005 + 0.02 * self._random.random()
        acknowledged = self._seq[1 - side] if flags & ACK else 0
        frame = frames.tcp(self._ends[side], self._ends[1 - side], flags, self._seq[side], acknowledged, data)
        self.packets.append((self._ts, frame))


def _ends(number: int, port: int, *, six: bool = False) -> tuple[tuple[str, int], tuple[str, int]]:
    """Client and server; no two flows of one port have the same."""
    local, ephemeral = number % 200 + 10, 20_000 + number // 200 % 40_000
    if six:
        return (f"2001:db8:1::{local:x}", ephemeral), (f"2001:db8:2::{number % 50 + 1:x}", port)
    return (f"10.20.0.{local}", ephemeral), (f"198.51.100.{number % 50 + 1}", port)


def _tls(random: Random, number: int, ts: float) -> list[Packet]:
    talk = _Talk(random, number, ts, 443)
    talk.say(0, frames.client_hello(random.choice(_SITES), random))
    talk.say(1, frames.server_hello(random) + _sealed(random, 2400))
    for _ in range(random.randint(1, 3)):
        talk.say(0, _sealed(random, random.randint(80, 900)))
        talk.say(1, _sealed(random, random.randint(200, 6000)))
    return talk.end()


def _sealed(random: Random, length: int) -> bytes:
    return b"\x17\x03\x03" + length.to_bytes(2, "big") + random.randbytes(length)


def _http(random: Random, number: int, ts: float) -> list[Packet]:
    talk = _Talk(random, number, ts, 80)
    for _ in range(random.randint(1, 3)):
        head = f"GET /page/{random.randint(1, 999)} HTTP/1.1\r\nHost: {random.choice(_SITES)}\r\n"
        talk.say(0, f"{head}User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n\r\n".encode())
        body = random.randbytes(random.randint(100, 5000)).hex().encode()
        talk.say(1, b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return talk.end()


def _dns(random: Random, number: int, ts: float) -> list[Packet]:
    (client, port), _ = _ends(number, 53)
    server, asked = ("10.20.0.2", 53), random.getrandbits(16)
    name = f"host{random.randint(1, 300)}.{random.choice(_SITES)}"
    answer = frames.dns(asked, name, answer=f"198.51.100.{random.randint(1, 50)}")
    return [
        (ts, frames.udp((client, port), server, frames.dns(asked, name))),
        (ts + 0.001 + random.random() / 50, frames.udp(server, (client, port), answer)),
    ]


def _plain_tcp(random: Random, number: int, ts: float) -> list[Packet]:
    talk = _Talk(random, number, ts, 5432)
    for _ in range(random.randint(1, 6)):
        talk.say(0, random.randbytes(random.randint(20, 200)))
        talk.say(1, random.randbytes(random.randint(20, 2000)))
    return talk.end()


def _plain_udp(random: Random, number: int, ts: float) -> list[Packet]:
    client, server = _ends(number, 5004)
    # As RTP (RFC 3550): 20 ms of speech in each.
    sounds = [b"\x80\0" + random.randbytes(170) for _ in range(random.randint(2, 20))]
    return [(ts + each / 50, frames.udp(client, server, sound)) for each, sound in enumerate(sounds)]


def _ping(random: Random, number: int, ts: float) -> list[Packet]:
    (client, _), (server, _) = _ends(number, 0)
    found: list[Packet] = []
    for each in range(random.randint(1, 4)):
        rest = number.to_bytes(4, "big")[2:] + each.to_bytes(2, "big") + random.randbytes(56)
        found.append((ts + each, frames.icmp(client, server, 8, 0, rest)))
        found.append((ts + each + 0.02, frames.icmp(server, client, 0, 0, rest)))
    return found


_MIX: list[tuple[Callable[[Random, int, float], list[Packet]], int]] = [
    (_dns, 45),
    (_tls, 25),
    (_http, 12),
    (_plain_tcp, 5),
    (_plain_udp, 6),
    (_ping, 7),
]
