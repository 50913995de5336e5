"""Exporters of flows, written as naively as can be: each field by `int.to_bytes`, nothing shared with the decoder."""

import json
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Any

from harness import FakeContext

from collectors.netflow import NetflowSettings
from socmon.network.netflow import Decoder

EXPORT_S = 1_764_151_200
UPTIME_MS = 5_000_000
EXPORTER = "192.0.2.1"

# (element, bytes) of the templates that most exporters use.
FIELDS4 = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (6, 1), (5, 1), (2, 4), (1, 4), (22, 4), (21, 4), (10, 2), (14, 2)]
FIELDS6 = [(27, 16), (28, 16), *FIELDS4[2:]]

NetflowContext = FakeContext[NetflowSettings]


def netflow_context(**options: Any) -> NetflowContext:
    return FakeContext(NetflowSettings(**{"port": 0, **options}), name="flows")


def flow(number: int = 0, **changes: Any) -> dict[int, Any]:
    """A flow by element; `number` makes its source and its port."""
    six = changes.pop("six", False)
    source = f"2001:db8::{number + 1:x}" if six else f"10.0.{number >> 8 & 255}.{number & 255}"
    values: dict[int, Any] = {27: source, 28: "2001:db8:ffff::1"} if six else {8: source, 12: "198.51.100.7"}
    values |= {7: 1024 + number % 60_000, 11: 443, 4: 6, 6: 0x1B, 5: 0, 2: 10 + number, 1: 1000 + number}
    values |= {22: UPTIME_MS - 4000, 21: UPTIME_MS - 1500, 10: 1, 14: 2}
    return values | {int(element[1:]): value for element, value in changes.items()}


def field(value: Any, length: int) -> bytes:
    if isinstance(value, str):
        return ip_address(value).packed
    if isinstance(value, bytes):
        return value
    return int(value).to_bytes(length, "big")


def variable(value: bytes, *, long: bool = False) -> bytes:
    """A field of variable length (RFC 7011, section 7)."""
    return b"\xff" + len(value).to_bytes(2, "big") + value if long else bytes([len(value)]) + value


def a_set(kind: int, body: bytes, *, pad: bool = True) -> bytes:
    padding = bytes(-len(body) % 4) if pad else b""
    return kind.to_bytes(2, "big") + (4 + len(body + padding)).to_bytes(2, "big") + body + padding


def specifiers(fields: Iterable[Sequence[int]]) -> bytes:
    """(element, length) or (element, length, enterprise) of each."""
    found = b""
    for element, length, *enterprise in fields:
        found += (element | (0x8000 if enterprise else 0)).to_bytes(2, "big") + length.to_bytes(2, "big")
        found += enterprise[0].to_bytes(4, "big") if enterprise else b""
    return found


def template(kind: int, fields: Sequence[Sequence[int]]) -> bytes:
    return kind.to_bytes(2, "big") + len(fields).to_bytes(2, "big") + specifiers(fields)


def records(fields: Sequence[Sequence[int]], *flows: dict[int, Any]) -> bytes:
    return b"".join(field(each.get(one[0], 0), one[1]) for each in flows for one in fields)


def v5(*flows: dict[int, Any], sequence: int = 0, sampling: int = 0, engine: int = 0) -> bytes:
    head = b"\0\5" + len(flows).to_bytes(2, "big") + UPTIME_MS.to_bytes(4, "big") + EXPORT_S.to_bytes(4, "big")
    head += bytes(4) + sequence.to_bytes(4, "big") + b"\0" + bytes([engine]) + sampling.to_bytes(2, "big")
    order = [(8, 4), (12, 4), (15, 4), (10, 2), (14, 2), (2, 4), (1, 4), (22, 4), (21, 4), (7, 2), (11, 2)]
    order += [(0, 1), (6, 1), (4, 1), (5, 1), (0, 8)]
    return head + b"".join(field(each.get(element, 0), length) for each in flows for element, length in order)


def v9(*sets: bytes, sequence: int = 0, source: int = 0, uptime_ms: int = UPTIME_MS, count: int = 1) -> bytes:
    head = b"\0\x09" + count.to_bytes(2, "big") + uptime_ms.to_bytes(4, "big") + EXPORT_S.to_bytes(4, "big")
    return head + sequence.to_bytes(4, "big") + source.to_bytes(4, "big") + b"".join(sets)


def ipfix(*sets: bytes, sequence: int = 0, domain: int = 0) -> bytes:
    body = EXPORT_S.to_bytes(4, "big") + sequence.to_bytes(4, "big") + domain.to_bytes(4, "big") + b"".join(sets)
    return b"\0\x0a" + (4 + len(body)).to_bytes(2, "big") + body


def decoded(decoder: Decoder, *datagrams: bytes, exporter: str = EXPORTER, now_s: float = 0.0) -> list[dict[str, Any]]:
    return [json.loads(line) for each in datagrams for line in decoder.lines(each, exporter, now_s)]


def ends(line: dict[str, Any]) -> tuple[str, int, str, int, str]:
    return (line["id.orig_h"], line["id.orig_p"], line["id.resp_h"], line["id.resp_p"], line["proto"])
