"""Writes the results: JSON for machines, a Markdown page for people; no name of a host and no path stands in them."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bench.feed_throughput.crowd import Crowded
from bench.feed_throughput.drain import Drained
from bench.keeping import heading, keep, machine

NAME = "feed_throughput"
LEAST_RATE, MOST_URGENT_S = 1_000, 2.0
_BUSY = 0.85  # of a processor: a process that has so much of one is what bounds


@dataclass(frozen=True)
class Found:
    """What one run found."""

    drained: Drained
    crowded: Crowded

    @property
    def problems(self) -> list[str]:
        """What is not as required."""
        told = []
        if self.drained.rate < LEAST_RATE:
            told.append(f"{self.drained.rate:,.0f} findings a second, {LEAST_RATE:,} are demanded")
        if not self.drained.urgent_s:
            told.append("no urgent finding came during the drain")
        if self.drained.urgent_p99_s >= MOST_URGENT_S:
            told.append(f"urgent p99 {self.drained.urgent_p99_s:.2f} s, less than {MOST_URGENT_S:g} s is demanded")
        return told


def bound(took_s: float, senders_cpu_s: float, centre_cpu_s: float) -> str:
    """What the rate is bounded by, by how much of a processor each side had."""
    senders, centre = senders_cpu_s / took_s, centre_cpu_s / took_s
    shares = f"senders {senders:.0%}, centre {centre:.0%} of one processor"
    if centre >= _BUSY:
        return f"the centre's processor ({shares})"
    if senders >= _BUSY:
        return f"the senders' processor ({shares})"
    if senders + centre >= _BUSY:
        return f"processor time, one side after the other ({shares})"
    cores = os.cpu_count()
    return f"waiting: disk, link, or others on the {cores} processors ({shares})"


def as_text(found: Found) -> str:
    """All of one run."""
    one, many = found.drained, found.crowded
    return "\n".join([*_of_one(one), *_of_many(many)])


def _of_one(one: Drained) -> Iterator[str]:
    million = one.findings / 1e6
    sender, centre = one.sender_cpu_s / million, one.centre_cpu_s / million
    yield f"one sender: {one.findings:,} findings in {one.took_s:.1f} s: {one.rate:,.0f} a second, verified and stored"
    yield f"  bounded by {bound(one.took_s, one.sender_cpu_s, one.centre_cpu_s)}"
    yield f"  processor for each finding: sender {sender:.0f} µs, centre {centre:.0f} µs"
    slowest_s = max(one.urgent_s, default=0)
    yield f"  {len(one.urgent_s)} urgent ones meanwhile: p99 {one.urgent_p99_s:.2f} s, slowest {slowest_s:.2f} s"


def _of_many(many: Crowded) -> Iterator[str]:
    million = many.findings / 1e6
    senders, centre = many.senders_cpu_s / million, many.centre_cpu_s / million
    yield f"{many.senders} senders: {many.findings:,} findings in {many.took_s:.1f} s: {many.rate:,.0f} a second"
    yield f"  bounded by {bound(many.took_s, many.senders_cpu_s, many.centre_cpu_s)}"
    yield f"  processor for each finding: senders {senders:.0f} µs, centre {centre:.0f} µs; {many.again} put off"


def write(found: Found) -> None:
    """Keep it."""
    one, many = found.drained, found.crowded
    results: dict[str, Any] = {
        **heading(NAME),
        "one_sender": asdict(one) | {"rate": one.rate, "urgent_p99_s": one.urgent_p99_s},
        "many_senders": asdict(many) | {"rate": many.rate},
        "problems": found.problems,
    }
    on = machine()
    page = f"""# Feed throughput: a backlog drains

A daemon whose store holds {one.findings:,} findings when the centre comes up, and {many.senders} senders at once. Each
finding is signed by its sender, verified by the centre, and stored with its disk forced.
Measured on {on["cores"]} cores of {on["cpu"]}, {on["system"]}, Python {on["python"]}, shared with others.

```
{as_text(found)}
```
"""
    keep(NAME, results, page)
