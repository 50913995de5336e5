"""Writes the results: JSON for machines, a Markdown page for people; no name of a host and no path stands in them."""

from dataclasses import asdict, dataclass
from typing import Any

from bench.bounded.siege import Sample, Siege
from bench.keeping import heading, keep, machine

NAME = "bounded"
MOST_BYTES = 512 << 20
MOST_MEMO_BYTES = 128 << 20
_ROWS = 10


@dataclass(frozen=True)
class Found:
    """What one run found."""

    rules: int
    siege: Siege

    @property
    def memo_bytes(self) -> int | None:
        """The most that memos held; None where the rule set does not say."""
        return max((sample.memo_bytes for sample in self.siege.samples if sample.memo_bytes is not None), default=None)

    @property
    def problems(self) -> list[str]:
        """What is not as required."""
        told = []
        if self.siege.growth_bytes > MOST_BYTES:
            told.append(f"NOT REACHED: it grew by {_mib(self.siege.growth_bytes)}, not {_mib(MOST_BYTES)} at most")
        if (held := self.memo_bytes) is not None and held > MOST_MEMO_BYTES:
            told.append(f"NOT REACHED: memos held {_mib(held)}, not {_mib(MOST_MEMO_BYTES)} at most")
        return told


def as_json(found: Found) -> dict[str, Any]:
    siege = found.siege
    return {
        **heading("bounded"),
        "rules": found.rules,
        "events": siege.samples[-1].events,
        "growth_bytes": siege.growth_bytes,
        "demanded_bytes": MOST_BYTES,
        "memo_bytes": found.memo_bytes,
        "demanded_memo_bytes": MOST_MEMO_BYTES,
        "problems": found.problems,
        "matched": siege.matched,
        "alerts": siege.alerts,
        "took_s": round(siege.took_s, 1),
        "cpu_s": round(siege.cpu_s, 1),
        "samples": [asdict(sample) for sample in (siege.before, *siege.samples)],
    }


def as_markdown(found: Found) -> str:
    on, siege = machine(), found.siege
    shown = siege.samples[:: max(1, len(siege.samples) // _ROWS)]
    if shown[-1] is not siege.samples[-1]:
        shown.append(siege.samples[-1])
    verdict = "NOT REACHED" if siege.growth_bytes > MOST_BYTES else "reached"
    return f"""# Bounded: an attacker who is never the same twice

{siege.samples[-1].events:,} events through {found.rules:,} rules and their correlations: process starts, registry
values, logons, sshd and unknown programs, with event numbers, channels, users, addresses, hosts, tags and texts that no
other event has. {siege.matched:,} matched, {siege.alerts:,} times an alert changed.
It took {siege.took_s:,.0f} s, of the processor {siege.cpu_s:,.0f} s, the making of the events included.
Measured on {on["cores"]} cores of {on["cpu"]}, {on["system"]}, Python {on["python"]}, shared with others.

Grown by at most {_mib(siege.growth_bytes)} of resident memory; demanded: {_mib(MOST_BYTES)}: {verdict}.

| events | resident memory | remembered of values | groups of correlation | events in them |
|---|---|---|---|---|
{"".join(map(_row, (siege.before, *shown)))}"""


def _row(sample: Sample) -> str:
    held = "" if sample.memo_bytes is None else _mib(sample.memo_bytes)
    return f"| {sample.events:,} | {_mib(sample.rss_bytes)} | {held} | {sample.groups:,} | {sample.members:,} |\n"


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"


def write(found: Found) -> None:
    keep("bounded", as_json(found), as_markdown(found))
