"""Packets in, Zeek's events out; the only clock is the packets' time.

`Analysis.packet` → `_ipv4` or `_ipv6` → `_tcp`, `_udp` or `_other` → the flow, and what reads its payload. These few
run for every packet, so they keep to local variables, and leave what is seldom to others.
"""

import struct
from collections import deque
from collections.abc import Callable, Iterator
from math import floor
from struct import Struct

from socmon.network import tcp, tunnels
from socmon.network.conn import conn_line
from socmon.network.flows import ACK, FIN, ICMP, ICMP6, IGNORED, RST, SYN, TCP, UDP, UNREAD, Flow, Flows, Half
from socmon.network.fragments import Fragments
from socmon.network.headers import ARP, ETHERNET, IP4, IP6, after_extensions, network_layer
from socmon.network.icmp import counterpart
from socmon.network.limits import Counts, Limits
from socmon.network.reading import Budget
from socmon.network.services import Services
from socmon.network.streams import Stream
from socmon.network.zeek import Output

# Of Ethernet, IPv4 without options and TCP, as most packets are, in one go: EtherType and IP version; total length;
# place of a fragment, time to live and protocol; addresses and ports; sequence number; length of the header and flags.
_common_head = Struct("!12x3sxHxxIxx12sI4xH").unpack_from
_COMMON_IPV4, _COMMON_IPV6 = b"\x08\x00\x45", b"\x86\xdd\x60"
_NO_FRAGMENT_OF = 0x3FFF00FF  # leaves the protocol only, of what is no fragment
_ipv4_head = Struct("!BxHxxHxB").unpack_from
_ipv6_head = Struct("!4xHB").unpack_from
_tcp_head = Struct("!4xI4xH").unpack_from
_udp_length = Struct("!4xHxx").unpack_from

_MORE_OR_OFFSET, _MORE, _OFFSET = 0x3FFF, 0x2000, 0x1FFF
_TUNNELS = frozenset((tunnels.IPV4_IN_IP, tunnels.IPV6_IN_IP, tunnels.GRE))
_COMMON = frozenset((TCP, UDP, ICMP6))
_SPECIAL = FIN | SYN | RST
_SEEN_DATA, _SEEN_ACK = tcp.SEEN_DATA, tcp.SEEN_ACK
_MASK = 0xFFFFFFFF
_FURTHEST_AHEAD = 1 << 31
_SHORTEST_HEADER = 0x5000  # of TCP: five words
_SHORTEST = 48  # of what `_common_head` reads

# A clock may be a little behind the others of a capture. One that is more behind than this was set anew, in seconds.
_CLOCK_WAS_SET_S = 60.0
_LATEST = 253_402_300_799.0  # the year 9999 ends


class Analysis:
    """Reads packets of one sensor in the order in which they came.

    Attributes:
        counts: what happened so far.
    """

    def __init__(self, emit: Callable[[bytes], None], *, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self._limits = limits
        self._counts = Counts()
        self._output = Output(emit)
        self._budget = Budget(limits.buffered)
        self._services = Services(self._output, limits, self._counts, self._budget, self._inner)
        self._flows = Flows(self._closed, limits, self._counts)
        self._tcp_halves = self._flows.tcp.halves
        self._udp_halves = self._flows.udp.halves
        self._rest_halves = self._flows.rest.halves
        self._fragments = Fragments(limits, self._counts)
        self._now = 0.0
        self._next_tick = 0.0  # before this second nothing can be due
        self._begun = False
        self._depth = 0
        self._packets = 0

    @property
    def counts(self) -> Counts:
        """What happened so far."""
        self._counts.packets = self._packets
        self._counts.events = self._output.events
        return self._counts

    def packet(self, frame: bytes, ts: float, link: int = ETHERNET) -> None:
        """Read one packet, whatever it holds.

        Args:
            frame: from its link layer on; it may be cut.
            ts: seconds since 1970; one that is a little earlier than the last is taken for the same.
            link: the capture's LINKTYPE_* (tcpdump.org).
        """
        self._packets += 1
        if self._now <= ts < self._next_tick:
            self._now = ts
        else:
            self.advance(ts)
            ts = self._now
        try:
            if link == ETHERNET and len(frame) >= _SHORTEST:
                kind, total, carried, key, seq, flags = _common_head(frame)
                if kind == _COMMON_IPV4:
                    carried &= _NO_FRAGMENT_OF
                    if carried == TCP and total:
                        self._tcp(frame, key, seq, flags, 34, 14 + total, total, ts)
                    elif carried == UDP and total:
                        self._udp(frame, key, 34, 14 + total, total, ts)
                    else:
                        self._ipv4(frame, 14, ts)
                elif kind == _COMMON_IPV6:
                    self._ipv6(frame, 14, ts)
                else:
                    self._linked(frame, link, ts)
            else:
                self._linked(frame, link, ts)
        except (IndexError, struct.error):
            self._counts.bad += 1

    def advance(self, ts: float) -> None:
        """Let time pass: end what is due, when no packet comes."""
        if not 0.0 <= ts <= _LATEST:
            ts = self._now
        if ts < self._now - _CLOCK_WAS_SET_S:
            self.finish()
        if not self._begun:
            self._begun = True
            self._now = ts
            self._flows.start(ts)
        ts = self._now = max(self._now, ts)
        if ts >= self._next_tick:
            self._flows.advance(ts)
            self._fragments.advance(ts)
        self._next_tick = floor(ts) + 1.0

    def finish(self) -> None:
        """End all flows. What comes later begins anew."""
        deque(self.finishing(), maxlen=0)

    def finishing(self) -> Iterator[None]:
        """As `finish`, flow by flow; to be taken to its end, with no packet meanwhile."""
        yield from self._flows.finishing()
        self._fragments.finish()
        self._begun = False
        self._now = self._next_tick = 0.0

    def _inner(self, frame: bytes, link: int, at: int, ts: float) -> None:
        """Read a packet within a packet."""
        if self._depth >= tunnels.DEEPEST:
            self._counts.other += 1
            return
        self._depth += 1
        try:
            self._linked(frame, link, ts, at)
        finally:
            self._depth -= 1

    def _linked(self, frame: bytes, link: int, ts: float, at: int = 0) -> None:
        ethertype, offset = network_layer(frame, link, at)
        if ethertype == IP4:
            self._ipv4(frame, offset, ts)
        elif ethertype == IP6:
            self._ipv6(frame, offset, ts)
        elif ethertype == ARP:
            self._services.rare.arp(frame[offset:], ts)
        else:
            self._counts.other += 1

    def _ipv4(self, frame: bytes, at: int, ts: float) -> None:
        version, total, fragment, protocol = _ipv4_head(frame, at)
        if version == 0x45:
            payload = at + 20
        else:
            payload = at + ((version & 15) << 2)
            if version >> 4 != 4 or payload < at + 20:
                self._counts.bad += 1
                return
        if total == 0:  # left to the network card to fill in
            total = len(frame) - at
        if payload - at > total:
            self._counts.bad += 1
        elif fragment & _MORE_OR_OFFSET:
            self._fragment4(frame, at, payload, total, ts)
        elif version == 0x45 and protocol == TCP:
            seq, flags = _tcp_head(frame, payload)
            self._tcp(frame, frame[at + 12 : at + 24], seq, flags, payload, at + total, total, ts)
        else:
            key = frame[at + 12 : at + 20] + frame[payload : payload + 4]
            self._transport(frame, key, protocol, payload, at + total, total, ts)

    def _ipv6(self, frame: bytes, at: int, ts: float) -> None:
        length, protocol = _ipv6_head(frame, at)
        if frame[at] >> 4 != 6:
            self._counts.bad += 1
            return
        total = 40 + length
        payload, fragment = at + 40, 0
        if protocol not in _COMMON:
            protocol, payload, fragment = after_extensions(frame, payload, protocol)
        if payload - at > total:
            self._counts.bad += 1
        elif fragment:
            self._fragment6(frame, at, fragment, protocol, total, ts)
        else:
            key = frame[at + 8 : at + 40] + frame[payload : payload + 4]
            self._transport(frame, key, protocol, payload, at + total, total, ts)

    def _fragment4(self, frame: bytes, at: int, payload: int, total: int, ts: float) -> None:
        _, _, fragment, protocol = _ipv4_head(frame, at)
        whole = self._fragments.add(
            frame[at + 12 : at + 20] + frame[at + 4 : at + 6] + bytes((protocol,)),
            frame[at:payload],
            (fragment & _OFFSET) * 8,
            frame[payload : at + total],
            more=bool(fragment & _MORE),
            ts=ts,
        )
        if whole is not None:
            header, data = whole
            key = header[12:20] + data[:4]
            size = len(header) + len(data)
            self._transport(header + data, key, protocol, len(header), size, size, ts)

    def _fragment6(self, frame: bytes, at: int, fragment: int, protocol: int, total: int, ts: float) -> None:
        _, where, number = struct.unpack_from("!BxHI", frame, fragment)
        addresses = frame[at + 8 : at + 40]
        if not where & 0xFFF9:  # the only fragment (RFC 6946)
            key = addresses + frame[fragment + 8 : fragment + 12]
            self._transport(frame, key, protocol, fragment + 8, at + total, total, ts)
            return
        whole = self._fragments.add(
            addresses + number.to_bytes(4, "big") + bytes((protocol,)),
            frame[at : at + 40],
            where & 0xFFF8,
            frame[fragment + 8 : at + total],
            more=bool(where & 1),
            ts=ts,
        )
        if whole is not None:
            header, data = whole
            size = 40 + len(data)
            self._transport(header + data, addresses + data[:4], protocol, 40, size, size, ts)

    def _transport(self, frame: bytes, key: bytes, protocol: int, at: int, end: int, total: int, ts: float) -> None:  # noqa: PLR0917
        """Read what an IP packet carries.

        Args:
            key: addresses and the first four bytes of the payload, which are the ports where there are any.
            at: where the payload begins.
            end: where the packet ends by its own account; the frame may be shorter, or padded.
            total: the size of the IP packet.
        """
        if at > len(frame):
            self._counts.bad += 1
        elif protocol == TCP:
            seq, flags = _tcp_head(frame, at)
            self._tcp(frame, key, seq, flags, at, end, total, ts)
        elif protocol == UDP:
            self._udp(frame, key, at, end, total, ts)
        else:
            self._other(frame, key, protocol, at, end, total, ts)

    def _tcp(  # noqa: PLR0913, PLR0917 - per packet, by position
        self, frame: bytes, key: bytes, seq: int, flags: int, at: int, end: int, total: int, ts: float
    ) -> None:
        """Read a segment; `flags` stand below the four bits that say how long the header is, in words."""
        data = at + (flags >> 12 << 2)
        size = end - data
        if size < 0 or flags < _SHORTEST_HEADER:
            self._counts.bad += 1
            return
        half = self._tcp_halves.get(key)
        if half is None or flags & SYN:
            half = self._tcp_half(half, key, ts, flags)
        half.flow.last = ts
        half.packets += 1
        half.ip_bytes += total
        if flags & _SPECIAL or not half.seen & (_SEEN_DATA if size else _SEEN_ACK):
            seq = self._tcp_special(half, flags, seq, size)
        if size:
            following = (seq + size) & _MASK
            ahead = (following - half.next) & _MASK
            if 0 < ahead < _FURTHEST_AHEAD:
                half.bytes += ahead
                half.next = following
            else:
                tcp.repeated(half)
            stream = half.stream
            if stream is not None:
                stream.segment(seq, frame[data:end], ts)

    def _tcp_half(self, half: Half | None, key: bytes, ts: float, flags: int) -> Half:
        """The side of a first packet, or of one with SYN, which may begin a flow anew where one just ended."""
        if half is None:
            return self._flows.find(TCP, key, ts, flags)
        if flags & (SYN | ACK) == SYN and tcp.finished(half.flow):
            self._flows.close(half.flow)
            return self._flows.find(TCP, key, ts, flags)
        return half

    def _tcp_special(self, half: Half, flags: int, seq: int, size: int) -> int:
        """What few packets need; returns the sequence number of the payload's first byte."""
        flow = half.flow
        tcp.observe(half, flags, size)
        if flags & SYN:
            seq = (seq + 1) & _MASK
            if not half.bytes:
                half.next = seq
        elif half.packets == 1:
            half.next = seq
        if size and half.stream is None and flow.app is not IGNORED:
            if flow.app is UNREAD:
                flow.app = self._services.stream(flow)
            half.stream = Stream(flow, self._budget, self._counts, from_originator=half.orig, first=half.next)
        if flags & _SPECIAL and tcp.finished(flow):
            flow.timeout = self._limits.closed_s
        return seq

    def _udp(self, frame: bytes, key: bytes, at: int, end: int, total: int, ts: float) -> None:
        (length,) = _udp_length(frame, at)
        if length < 8 or at + length > end:
            self._counts.bad += 1
            return
        half = self._udp_halves.get(key)
        if half is None:
            half = self._flows.find(UDP, key, ts)
            if half.flow.app is UNREAD:
                half.flow.app = self._services.datagrams(half.flow)
        flow = half.flow
        flow.last = ts
        half.packets += 1
        half.ip_bytes += total
        half.bytes += length - 8
        if not half.seen:
            tcp.note(half, _SEEN_DATA, "D")
        if flow.app is not IGNORED:
            flow.app.data(half.orig, frame[at + 8 : at + length], ts)

    def _other(self, frame: bytes, key: bytes, protocol: int, at: int, end: int, total: int, ts: float) -> None:  # noqa: PLR0917
        """ICMP, with type and code for ports as Zeek has it, and every other protocol."""
        inner = tunnels.in_ip(frame, at, protocol) if protocol in _TUNNELS else None
        if inner is not None:
            self._inner(frame, *inner, ts)
            return
        size = end - at
        if protocol in (ICMP, ICMP6):
            kind, code = frame[at], frame[at + 1]
            addresses = key[:8] if len(key) <= 12 else key[:32]
            key = addresses + struct.pack("!HH", kind, counterpart(protocol, kind, code))
            size -= 8
        else:
            addresses = key[:8] if len(key) <= 12 else key[:32]
            key = addresses + struct.pack("!HH", 0xFF00 | protocol, 0xFF00 | protocol)
        half = self._rest_halves.get(key)
        if half is None:
            half = self._flows.find(protocol, key, ts)
        half.flow.last = ts
        half.packets += 1
        half.ip_bytes += total
        half.bytes += max(size, 0)
        if protocol in (ICMP, ICMP6):
            self._services.rare.icmp_error(half.flow, frame[at:end], ts)

    def _closed(self, flow: Flow) -> None:
        flow.app.end()
        flow.stop()
        self._output.write(conn_line(flow))
