"""Flows: who talked to whom, how much, and how it ended (Zeek's conn.log).

A packet finds its side of a flow, a `Half`, by one look into a table: both directions are keys. A flow of which only
one side has spoken yet waits in a table of its own under one key, so that a flood of those (a SYN flood, a scan) can
push out its own kind only.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import lru_cache
from hashlib import blake2b
from socket import AF_INET, AF_INET6, inet_ntop
from struct import Struct, pack
from typing import Protocol

from socmon.network.limits import Counts, Limits
from socmon.network.ports import is_server_port
from socmon.network.reading import Reader
from socmon.network.wheel import Wheel

ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

# Marks, in a flow's key, the code of an ICMP message that nobody answers: no answer may seem to fit.
ONE_WAY = 0x8000


Ends = tuple[str, int, str, int]
_ports = Struct("!HH").unpack_from

UNREAD = Reader()  # until there is payload
IGNORED = Reader()


class Half:
    """What one side of a flow sent.

    Attributes:
        bytes: of payload; of a TCP stream by its sequence numbers, so that what was sent twice counts once.
        next: the sequence number behind the last byte of payload seen.
        seen: the bits of what already stands in the history (`tcp`).
        state: of this end of a TCP connection (`tcp`).
        stream: its bytes in order, while something reads them.
    """

    __slots__ = (
        "bytes",
        "flow",
        "ip_bytes",
        "missed",
        "next",
        "orig",
        "packets",
        "peer",
        "repeats",
        "seen",
        "state",
        "stream",
    )

    def __init__(self, flow: "Flow", *, orig: bool) -> None:
        self.flow = flow
        self.orig = orig
        self.packets = self.ip_bytes = self.bytes = self.missed = 0
        self.next = 0
        self.seen = self.state = self.repeats = 0
        self.stream: Stream | None = None
        self.peer: Half


class Stream(Protocol):
    """See `streams.Stream`."""

    def segment(self, seq: int, data: bytes, ts: float) -> None:
        """Take one segment."""

    def drop(self) -> None:
        """Let go of what is held."""


class Flow:
    """One conversation.

    Attributes:
        key: source, destination and both ports as its originator's packets have them.
        answer_key: the same as its responder's packets have them.
    """

    __slots__ = (
        "_ends",
        "_uid",
        "answer_key",
        "app",
        "history",
        "key",
        "last",
        "orig",
        "over",
        "protocol",
        "resp",
        "service",
        "start",
        "timeout",
    )

    def __init__(self, protocol: int, key: bytes, answer_key: bytes, ts: float, timeout: float) -> None:
        self.protocol = protocol
        self.key = key
        self.answer_key = answer_key
        self.start = self.last = ts
        self.timeout = timeout
        self.history = ""
        self.service: str | None = None
        self.app: Reader = UNREAD
        self.over = False
        self._uid = ""
        self._ends: Ends | None = None
        self.orig = Half(self, orig=True)
        self.resp = Half(self, orig=False)
        self.orig.peer = self.resp
        self.resp.peer = self.orig

    def stop(self) -> None:
        """Read no more of its payload."""
        self.app.drop()
        self.app = IGNORED
        if self.protocol == TCP:
            for half in (self.orig, self.resp):
                if half.stream is not None:
                    half.stream.drop()
                    half.stream = None

    @property
    def uid(self) -> str:
        """Made of the flow's own packets, so that the same capture gives the same."""
        if not self._uid:
            self._uid = "C" + blake2b(self.key + pack("!dB", self.start, self.protocol), digest_size=9).hexdigest()
        return self._uid

    @property
    def ends(self) -> Ends:
        """Originator's address and port, responder's address and port."""
        if self._ends is None:
            self._ends = self._spelled()
        return self._ends

    def _spelled(self) -> Ends:
        key = self.key
        size = (len(key) - 4) // 2
        orig_p, resp_p = _ports(key, 2 * size)
        if self.protocol in (ICMP, ICMP6):
            resp_p &= ~ONE_WAY
        elif self.protocol not in (TCP, UDP):
            orig_p = resp_p = 0
        return _address(key[:size]), orig_p, _address(key[size : 2 * size]), resp_p


@lru_cache(maxsize=65_536)
def _address(packed: bytes) -> str:
    return inet_ntop(AF_INET if len(packed) == 4 else AF_INET6, packed)


def reverse(key: bytes) -> bytes:
    """The key that packets in the other direction have."""
    if len(key) == 12:
        return key[4:8] + key[:4] + key[10:] + key[8:10]
    return key[16:32] + key[:16] + key[34:] + key[32:34]


class Table:
    """The flows of one kind of protocol.

    Attributes:
        halves: both keys of each flow of which both sides spoke.
        attempts: flows that are one SYN or more, in the order of the first.
        unanswered: other flows with one side, the one that was quiet for longest first.
        timeout: silence after which a flow is over, in seconds.
    """

    __slots__ = ("attempts", "halves", "timeout", "unanswered")

    def __init__(self, timeout: float) -> None:
        self.halves: dict[bytes, Half] = {}
        self.attempts: OrderedDict[bytes, Flow] = OrderedDict()
        self.unanswered: OrderedDict[bytes, Flow] = OrderedDict()
        self.timeout = timeout

    def flows(self) -> list[Flow]:
        """All of them."""
        answered = {half.flow: None for half in self.halves.values()}
        return [*answered, *self.attempts.values(), *self.unanswered.values()]

    def clear(self) -> None:
        """Forget all."""
        self.halves.clear()
        self.attempts.clear()
        self.unanswered.clear()


class Flows:
    """All flows that are not over, by protocol: TCP, UDP and the rest."""

    def __init__(self, closed: Callable[[Flow], None], limits: Limits, counts: Counts) -> None:
        self.tcp = Table(limits.tcp_s)
        self.udp = Table(limits.udp_s)
        self.rest = Table(limits.icmp_s)
        self._tables = (self.tcp, self.udp, self.rest)
        self._wheel: Wheel[Flow] = Wheel()
        self._closed = closed
        self._limits = limits
        self._counts = counts
        self._answered = 0

    def __len__(self) -> int:
        return self._answered + sum(len(table.attempts) + len(table.unanswered) for table in self._tables)

    def start(self, ts: float) -> None:
        """Begin at `ts`; only while there is no flow."""
        self._wheel.start(ts)

    def table(self, protocol: int) -> Table:
        """Where the flows of a protocol stand."""
        return self.tcp if protocol == TCP else self.udp if protocol == UDP else self.rest

    def find(self, protocol: int, key: bytes, ts: float, flags: int = 0) -> Half:
        """The side that sent a packet of which no flow with two sides is known; a new flow if need be."""
        table = self.table(protocol)
        flow = table.attempts.get(key)
        if flow is not None:
            return flow.orig
        flow = table.unanswered.get(key)
        if flow is not None:
            table.unanswered.move_to_end(key)
            return flow.orig if flow.key == key else flow.resp
        first = reverse(key)
        flow = table.attempts.pop(first, None) or table.unanswered.pop(first, None)
        if flow is None:
            return self._new(table, protocol, key, first, ts, flags)
        self._answer(table, flow)
        return flow.orig if flow.key == key else flow.resp

    def _new(self, table: Table, protocol: int, key: bytes, reverse_key: bytes, ts: float, flags: int) -> Half:
        """A flow that begins with this packet; its sender is the originator unless it is known to answer."""
        attempt = protocol == TCP and flags & (SYN | ACK | FIN | RST) == SYN
        flip = not attempt and (
            (protocol == TCP and flags & (SYN | ACK) == SYN | ACK)
            or (protocol in (TCP, UDP) and _looks_like_an_answer(protocol, key))
        )
        if flip:
            flow = Flow(protocol, reverse_key, key, ts, table.timeout)
            flow.history = "^"
        else:
            flow = Flow(protocol, key, reverse_key, ts, table.timeout)
        waiting = table.attempts if attempt else table.unanswered
        if len(waiting) >= self._limits.half_open:
            self._counts.half_open_evicted += 1
            self._close(waiting.popitem(last=False)[1])
        waiting[key] = flow
        return flow.resp if flip else flow.orig

    def _answer(self, table: Table, flow: Flow) -> None:
        """Both sides spoke: from now on both keys find it."""
        if self._answered >= self._limits.flows:
            self._evict()
        table.halves[flow.key] = flow.orig
        table.halves[flow.answer_key] = flow.resp
        self._answered += 1
        self._wheel.add(flow, _due(flow))

    def _evict(self) -> None:
        """End the quietest of the few flows that the wheel will look at next: near enough to the quietest of all."""
        looked: list[Flow] = []
        for slot in self._wheel.next_slots():
            while slot and len(looked) < 8:
                flow = slot.pop()
                if not flow.over:
                    looked.append(flow)
        if not looked:
            return
        looked.sort(key=lambda flow: flow.last)
        for flow in looked[1:]:
            self._wheel.add(flow, _due(flow))
        self._counts.evicted += 1
        self.close(looked[0])

    def close(self, flow: Flow) -> None:
        """End a flow of which both sides spoke."""
        halves = self.table(flow.protocol).halves
        del halves[flow.key]
        del halves[flow.answer_key]
        self._answered -= 1
        self._close(flow)

    def _close(self, flow: Flow) -> None:
        flow.over = True
        self._closed(flow)

    def advance(self, ts: float) -> None:
        """End what was not heard of for its timeout."""
        for flow in self._wheel.advance(ts):
            if flow.over:
                continue
            due = _due(flow)
            if due <= ts:
                self.close(flow)
            else:
                self._wheel.add(flow, due)
        for table in self._tables:
            attempts, unanswered = table.attempts, table.unanswered
            while attempts and next(iter(attempts.values())).start + self._limits.attempt_s <= ts:
                self._close(attempts.popitem(last=False)[1])
            while unanswered and _due(next(iter(unanswered.values()))) <= ts:
                self._close(unanswered.popitem(last=False)[1])

    def finishing(self) -> Iterator[None]:
        """End all, in the order in which they began, one by one."""
        flows = [flow for table in self._tables for flow in table.flows()]
        for table in self._tables:
            table.clear()
        self._wheel = Wheel()
        self._answered = 0
        for flow in sorted(flows, key=lambda flow: flow.start):
            self._close(flow)
            yield


def _due(flow: Flow) -> float:
    """When it is over, if it stays silent."""
    return flow.last + flow.timeout


def _looks_like_an_answer(protocol: int, key: bytes) -> bool:
    ports = key[-4:]
    if key[-8:-4] == b"\xff\xff\xff\xff":  # to all: as DHCP servers do, who answer nobody else's packet
        return False
    return is_server_port(protocol, ports[0] << 8 | ports[1]) and not is_server_port(protocol, ports[2] << 8 | ports[3])
