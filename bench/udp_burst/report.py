"""Writes the results: JSON for machines, a Markdown page for people; no name of a host and no path stands in them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.keeping import heading, keep, machine
from bench.udp_burst.burst import Burst

NAME = "udp_burst"


def as_json(bursts: Sequence[Burst]) -> dict[str, Any]:
    return {
        **heading("udp_burst"),
        "rounds": [asdict(each) | {"unaccounted": each.unaccounted} for each in bursts],
    }


def as_markdown(bursts: Sequence[Burst]) -> str:
    on, first = machine(), bursts[0]
    return f"""# UDP burst: what is lost is counted

{first.sent:,} syslog messages of {first.message_bytes} bytes in about a second, from one process on the same machine.
Each matches a rule of the benchmark's, and the shipped ones, which correlate it.
Receive buffer: {first.receive_buffer_bytes / 1024 / 1024:g} MiB.
Measured on {on["cores"]} cores of {on["cpu"]}, {on["system"]}, Python {on["python"]}, shared with others:
"processor" is what the daemon got of one while the burst was sent.

| sent in | processor | journalled | matched | dropped: kernel | by us | unaccounted | evaluated | settled in |
|---|---|---|---|---|---|---|---|---|
{"".join(map(_row, bursts))}"""


def _row(each: Burst) -> str:
    ours = sum(count for reason, count in each.dropped.items() if reason != "kernel")
    return (
        f"| {each.took_s:.2f} s | {each.cpu_s:.2f} s | {each.journalled:,} | {each.matched:,} "
        f"| {each.dropped.get('kernel', 0):,} | {ours:,} | {each.unaccounted} "
        f"| {each.evaluated / each.sent:.1%} | {each.settled_s:.1f} s |\n"
    )


def write(bursts: Sequence[Burst]) -> None:
    keep("udp_burst", as_json(bursts), as_markdown(bursts))
