r"""The lines of Zeek's JSON logs (docs.zeek.org, "Zeek log formats"), and `arp` and `icmp`, which are ours.

A field that is not known is not written, as Zeek does. Text from packets keeps what is UTF-8; any other byte stands as
`\xHH`, so that a line is always valid JSON.
"""

from collections.abc import Callable
from math import floor

import msgspec
from msgspec import Struct

_NAMES = {
    f"{prefix}{field}": f"{dotted}{field}"
    for prefix, dotted in (("id_", "id."), ("inner_", "inner."))
    for field in ("orig_h", "orig_p", "resp_h", "resp_p", "proto")
}

_EXACT = 1 << 51


class Line(Struct, kw_only=True, omit_defaults=True, rename=_NAMES, gc=False):
    """What every line has."""

    ts: float


class FlowLine(Line, kw_only=True):
    """A line about a flow."""

    uid: str
    id_orig_h: str
    id_orig_p: int
    id_resp_h: str
    id_resp_p: int


class Conn(FlowLine, kw_only=True, tag_field="_path", tag="conn"):
    """A flow that ended, or was not heard of for its timeout."""

    proto: str
    service: str | None = None
    duration: float | None = None
    orig_bytes: int | None = None
    resp_bytes: int | None = None
    conn_state: str
    missed_bytes: int
    history: str | None = None
    orig_pkts: int
    orig_ip_bytes: int
    resp_pkts: int
    resp_ip_bytes: int
    ip_proto: int


class Dns(FlowLine, kw_only=True, tag_field="_path", tag="dns"):
    """A question and, when it came, its answer."""

    proto: str
    trans_id: int
    rtt: float | None = None
    query: str | None = None
    qclass: int | None = None
    qclass_name: str | None = None
    qtype: int | None = None
    qtype_name: str | None = None
    rcode: int | None = None
    rcode_name: str | None = None
    AA: bool
    TC: bool
    RD: bool
    RA: bool
    Z: int
    answers: list[str] | None = None
    TTLs: list[float] | None = None
    rejected: bool
    opcode: int
    opcode_name: str


class Ssl(FlowLine, kw_only=True, tag_field="_path", tag="ssl"):
    """A TLS handshake."""

    version: str | None = None
    cipher: str | None = None
    curve: str | None = None
    server_name: str | None = None
    next_protocol: str | None = None
    established: bool
    ja3: str | None = None
    ja3s: str | None = None
    ja4: str | None = None


class Http(FlowLine, kw_only=True, tag_field="_path", tag="http"):
    """A request and the head of its response."""

    trans_depth: int
    method: str | None = None
    host: str | None = None
    uri: str | None = None
    referrer: str | None = None
    version: str | None = None
    user_agent: str | None = None
    origin: str | None = None
    request_body_len: int | None = None
    status_code: int | None = None
    status_msg: str | None = None
    proxied: list[str] | None = None


class Dhcp(Line, kw_only=True, tag_field="_path", tag="dhcp"):
    """A message of DHCP; Zeek joins those of one exchange."""

    uids: list[str]
    client_addr: str | None = None
    server_addr: str | None = None
    mac: str | None = None
    host_name: str | None = None
    client_fqdn: str | None = None
    domain: str | None = None
    requested_addr: str | None = None
    assigned_addr: str | None = None
    lease_time: float | None = None
    client_message: str | None = None
    server_message: str | None = None
    msg_types: list[str]


class Arp(Line, kw_only=True, tag_field="_path", tag="arp"):
    """Who says to have an address, or asks for it."""

    operation: str
    id_orig_h: str
    id_resp_h: str
    orig_l2_addr: str
    resp_l2_addr: str


class Icmp(Line, kw_only=True, tag_field="_path", tag="icmp"):
    """An ICMP error, and the packet that it is about."""

    uid: str
    id_orig_h: str
    id_resp_h: str
    icmp_type: int
    icmp_code: int
    message: str
    proto: str
    inner_orig_h: str | None = None
    inner_orig_p: int | None = None
    inner_resp_h: str | None = None
    inner_resp_p: int | None = None
    inner_proto: str | None = None


class Output:
    """Writes lines.

    Attributes:
        events: how many were written.
    """

    __slots__ = ("_emit", "_encode", "events")

    def __init__(self, emit: Callable[[bytes], None]) -> None:
        self._emit = emit
        self._encode = msgspec.json.Encoder().encode
        self.events = 0

    def write(self, line: Line) -> None:
        """Hand one line on."""
        self.events += 1
        self._emit(self._encode(line))


def text(data: bytes) -> str:
    r"""Bytes from a packet as text: UTF-8 stays, any other byte becomes `\xHH`."""
    return data.decode("utf-8", "backslashreplace")


def stamp(ts: float) -> float:
    """A time or a duration with six decimals, as Zeek writes it.

    It is always `round(ts, 6)`, which goes by way of text and takes some three times as long. Below 2**51 µs, the year
    2041, the product is wrong by 1/8 µs at most: a whole number less than 1/4 away from it is the one nearest to `ts`
    too. And the quotient of numbers this small is the float that is nearest to their true one.
    """
    micros = ts * 1e6
    whole = floor(micros + 0.5)
    return whole / 1e6 if 0 <= whole < _EXACT and -0.25 < micros - whole < 0.25 else round(ts, 6)
