"""The protocols of which packets are few and variants many, read by scapy: ARP, DHCP, ICMP errors.

scapy is slow (0.2 to 3 ms a packet), an optional extra, and imported here alone, when first needed. What it gets is cut
to 2 KB and bounded in number per second of packets; whatever it raises makes the packet a bad one.
"""

import logging
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from socmon.network.flows import ICMP, Flow
from socmon.network.icmp import ERRORS, ERRORS6, message
from socmon.network.limits import Counts, Limits
from socmon.network.reading import Reader
from socmon.network.zeek import Arp, Dhcp, Icmp, Line, Output, stamp, text

LARGEST = 2_048
_OPERATIONS = {1: "request", 2: "reply"}
_MESSAGES = ("", "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM")
_TRANSPORTS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}
_ICMP6_ERRORS = {
    1: "ICMPv6DestUnreach",
    2: "ICMPv6PacketTooBig",
    3: "ICMPv6TimeExceeded",
    4: "ICMPv6ParamProblem",
}


class _Scapy:
    """The classes that are needed; None where scapy is not installed."""

    def __init__(self) -> None:
        logging.getLogger("scapy").setLevel(logging.CRITICAL)  # it warns of this machine's interfaces and routes
        # It would read its tables from pickles below the home directory, which others may have written.
        vars(import_module("scapy.main"))["SCAPY_CACHE_FOLDER"] = None
        self.arp = import_module("scapy.layers.l2").ARP
        self.icmp = import_module("scapy.layers.inet").ICMP
        self.bootp = import_module("scapy.layers.dhcp").BOOTP
        inet6 = import_module("scapy.layers.inet6")
        self.icmp6 = {kind: getattr(inet6, name) for kind, name in _ICMP6_ERRORS.items()}


_loaded: list[_Scapy | None] = []


def prepare() -> bool:
    """Import scapy now, which takes seconds; whether it is there."""
    if not _loaded:
        try:
            _loaded.append(_Scapy())
        except (ImportError, OSError):  # it looks at this machine's interfaces, which a unit may forbid
            _loaded.append(None)
    return _loaded[0] is not None


class Rare:
    """Hands packets to scapy, as far as there is time, and makes lines of what it says."""

    def __init__(self, output: Output, limits: Limits, counts: Counts) -> None:
        self._output = output
        self._limits = limits
        self._counts = counts
        self._second = -1
        self._packets = 0
        self._spent_s = 0.0

    def arp(self, data: bytes, ts: float) -> None:
        """Read a packet of ARP (RFC 826)."""
        self._read(lambda scapy: _arp(scapy.arp(data[:LARGEST]), ts), ts)

    def dhcp(self, flow: Flow, data: bytes, ts: float) -> None:
        """Read a message of DHCP (RFC 2131)."""
        self._read(lambda scapy: _dhcp(scapy.bootp(data[:LARGEST]), flow, ts), ts)

    def icmp_error(self, flow: Flow, data: bytes, ts: float) -> None:
        """Read an ICMP error, if it is one."""
        kind = data[0]
        if flow.protocol == ICMP and kind in ERRORS:
            self._read(lambda scapy: _icmp(scapy.icmp(data[:LARGEST]), flow, data, ts), ts)
        elif flow.protocol != ICMP and kind in ERRORS6:
            self._read(lambda scapy: _icmp(scapy.icmp6[kind](data[:LARGEST]), flow, data, ts), ts)

    def _read(self, read: Callable[[_Scapy], Line | None], ts: float) -> None:
        if int(ts) != self._second:
            self._second, self._packets, self._spent_s = int(ts), 0, 0.0
        if self._packets >= self._limits.rare_packets or self._spent_s >= self._limits.rare_s or not prepare():
            self._counts.rare_skipped += 1
            return
        scapy = _loaded[0]
        assert scapy is not None  # noqa: S101 - prepare() said so
        self._packets += 1
        self._counts.rare += 1
        began = time.perf_counter()
        try:
            line = read(scapy)
        except Exception:  # noqa: BLE001 - hostile bytes make it raise anything, RecursionError too
            self._counts.bad += 1
            line = None
        self._spent_s += time.perf_counter() - began
        if line is not None:
            self._output.write(line)


def _arp(packet: Any, ts: float) -> Arp | None:
    operation = _OPERATIONS.get(packet.op)
    if operation is None or (packet.hwtype, packet.ptype, packet.hwlen, packet.plen) != (1, 0x0800, 6, 4):
        return None
    return Arp(
        ts=stamp(ts),
        operation=operation,
        id_orig_h=packet.psrc,
        id_resp_h=packet.pdst,
        orig_l2_addr=packet.hwsrc,
        resp_l2_addr=packet.hwdst,
    )


def _dhcp(packet: Any, flow: Flow, ts: float) -> Dhcp | None:
    layer = packet.getlayer("DHCP")
    options = {} if layer is None else dict(option[:2] for option in reversed(layer.options) if len(option) >= 2)
    options = {name: value for name, value in options.items() if isinstance(name, str)}
    kind = options.get("message-type", 0)
    if not isinstance(kind, int) or not 0 < kind < len(_MESSAGES):
        return None
    client = _address(packet.ciaddr) or (_address(packet.yiaddr) if kind == 5 else None)
    reply = packet.op == 2
    said = _text(options.get("error_message"))
    return Dhcp(
        ts=stamp(ts),
        uids=[flow.uid],
        client_addr=client,
        server_addr=_address(options.get("server_id")),
        mac=":".join(f"{byte:02x}" for byte in packet.chaddr[:6]),
        host_name=_text(options.get("hostname")),
        client_fqdn=_text(options.get("client_FQDN", b"")[3:]),
        domain=_text(options.get("domain")),
        requested_addr=_address(options.get("requested_addr")),
        assigned_addr=_address(packet.yiaddr) if reply else None,
        lease_time=float(options["lease_time"]) if reply and "lease_time" in options else None,
        server_message=said if reply else None,
        client_message=None if reply else said,
        msg_types=[_MESSAGES[kind]],
    )


def _text(value: object) -> str | None:
    """Options come as bytes, or as text where scapy knows better."""
    if isinstance(value, bytes):
        value = text(value.rstrip(b"\0"))
    return value if isinstance(value, str) and value else None


def _address(value: object) -> str | None:
    return value if isinstance(value, str) and value != "0.0.0.0" else None  # noqa: S104 - means "none" there


def _icmp(packet: Any, flow: Flow, data: bytes, ts: float) -> Icmp:
    """The error, and of the packet it is about what it holds."""
    orig_h, _, resp_h, _ = flow.ends
    inner = packet.payload
    protocol = int(getattr(inner, "proto" if flow.protocol == ICMP else "nh", -1))
    quoted = getattr(inner, "src", None) is not None
    ports = inner.payload if quoted else None
    return Icmp(
        ts=stamp(ts),
        uid=flow.uid,
        id_orig_h=orig_h,
        id_resp_h=resp_h,
        icmp_type=data[0],
        icmp_code=data[1],
        message=message(flow.protocol, data[0], data[1]),
        proto="icmp" if flow.protocol == ICMP else "icmp6",
        inner_orig_h=inner.src if quoted else None,
        inner_orig_p=getattr(ports, "sport", None),
        inner_resp_h=inner.dst if quoted else None,
        inner_resp_p=getattr(ports, "dport", None),
        inner_proto=_TRANSPORTS.get(protocol, f"unknown-{protocol}") if quoted else None,
    )


class DhcpReader(Reader):
    """Reads the messages of a flow."""

    __slots__ = ("_flow", "_rare")

    def __init__(self, flow: Flow, rare: Rare) -> None:
        self._flow = flow
        self._rare = rare

    def data(self, from_originator: bool, data: bytes, ts: float) -> None:  # noqa: ARG002, FBT001 - see Reader
        """Read one message."""
        self._flow.service = "dhcp"
        self._rare.dhcp(self._flow, data, ts)
