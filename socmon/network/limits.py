"""What an analysis may hold, and what it counts."""

from math import inf

from msgspec import Struct


class Limits(Struct, frozen=True):
    """Bounds; the timeouts are Zeek's defaults, in seconds.

    Attributes:
        flows: flows of which both sides spoke, at most.
        half_open: flows of which one side spoke: at most so many TCP attempts, and at most so many others.
        buffered: bytes of streams that may wait for what comes before them, in all.
        datagrams: datagrams in reassembly.
        questions: DNS questions that may wait for their answer, in all.
        tcp_s: silence after which a TCP flow is over.
        udp_s: silence after which a UDP flow is over.
        icmp_s: silence after which a flow of any other protocol is over.
        attempt_s: how long a first SYN waits for an answer.
        closed_s: how long a TCP flow stays after its last FIN or its RST, for what is still on its way.
        fragment_s: how long fragments wait for the rest.
        rare_packets: packets that scapy may read in one second of the packets' time.
        rare_s: how long it may take for those, by this machine's clock. A capture process sets it, to lose no packets;
            without a bound, as it is, the same packets give the same lines wherever they are read.
    """

    flows: int = 200_000
    half_open: int = 100_000
    buffered: int = 64 * 1024 * 1024
    datagrams: int = 1_000
    questions: int = 100_000
    tcp_s: float = 300.0
    udp_s: float = 60.0
    icmp_s: float = 60.0
    attempt_s: float = 5.0
    closed_s: float = 5.0
    fragment_s: float = 30.0
    rare_packets: int = 500
    rare_s: float = inf


class Counts(Struct):
    """What happened so far.

    Attributes:
        bad: packets that are cut off or contradict themselves.
        other: packets of protocols that make no event.
        fragments: packets that held a part of a datagram.
        fragments_lost: datagrams given up because parts never came, or too many were open.
        evicted: flows that ended because too many were open.
        half_open_evicted: flows with one side that ended because too many were open.
        unbuffered: streams no longer read because too much of them was out of order.
        rare: packets handed to scapy.
        rare_skipped: packets for scapy that it had no time for, or that came where it is not installed.
        events: lines emitted.
    """

    packets: int = 0
    bad: int = 0
    other: int = 0
    fragments: int = 0
    fragments_lost: int = 0
    evicted: int = 0
    half_open_evicted: int = 0
    unbuffered: int = 0
    rare: int = 0
    rare_skipped: int = 0
    events: int = 0
