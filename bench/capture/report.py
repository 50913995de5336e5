"""Writes the results: JSON for machines, a Markdown page for people; no name of a host and no path stands in them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.capture.round import Round
from bench.keeping import heading, keep, machine

NAME = "capture"


def as_json(rounds: Sequence[Round]) -> dict[str, Any]:
    return {
        **heading("capture"),
        "rounds": [asdict(each) | {"problems": each.problems} for each in rounds],
    }


def as_markdown(rounds: Sequence[Round]) -> str:
    on, first = machine(), rounds[0]
    return f"""# Capture: no packet is lost, and every flow is told

{first.sent:,} packets of {first.flows:,} flows (names asked for, TLS, web, other TCP and UDP, pings), sent by tcpreplay
into a veth pair; socmon-capture reads the other end, a daemon journals its events and shows them to all shipped rules,
on the same machine. Measured on {on["cores"]} cores of {on["cpu"]}, {on["system"]}, Python {on["python"]}, shared
with others. "kernel" is what the kernel counts for the socket; read + dropped must be that.

| packets/s | for | kernel | read | dropped | events | journalled | flows told | processor: capture | daemon |
|---|---|---|---|---|---|---|---|---|---|
{"".join(map(_row, rounds))}"""


def _row(each: Round) -> str:
    return (
        f"| {each.rate:,.0f} | {each.took_s:.2f} s | {each.kernel:,} | {each.read:,} | {each.dropped:,} "
        f"| {each.events:,} | {each.journalled:,} | {each.conns:,} | {each.capture_cpu_s:.1f} s "
        f"| {each.daemon_cpu_s:.1f} s |\n"
    )


def write(rounds: Sequence[Round]) -> None:
    keep("capture", as_json(rounds), as_markdown(rounds))
