"""Writes the results: JSON for machines, a Markdown page for people."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.keeping import heading, keep, machine
from bench.packets.exports import FLOWS
from bench.ssh_bruteforce.speed import Spread, spread

NAME = "packets"
LEAST = {"scapy": 20.0, "tshark": 2.0}
LABELS = {
    "ours": "socmon",
    "scapy": "scapy, without its TLS and HTTP layers",
    "scapy_with_layers": "scapy, with them, as we decode both",
    "tshark": "tshark",
}


@dataclass(frozen=True)
class Found:
    """What one run found.

    Attributes:
        differences: by kind of event, how many names only one of us and tshark found.
        rates: by reader, packets a CPU second of each round.
        flows: by version, flows a CPU second of each round.
    """

    packets: int
    events: int
    differences: Mapping[str, int]
    rates: Mapping[str, list[float]]
    flows: Mapping[int, list[float]]

    @property
    def rounds(self) -> int:
        """How often each reader ran."""
        return len(self.rates["ours"])

    def ratio(self, other: str) -> Spread:
        """How much faster we are, round by round."""
        pairs = zip(self.rates["ours"], self.rates[other], strict=True)
        return spread([ours / theirs for ours, theirs in pairs], 1)

    @property
    def problems(self) -> list[str]:
        """What is not as required."""
        told = [f"{count} {kind} differ from tshark's" for kind, count in self.differences.items() if count]
        return told + [
            f"only {ratio.median} times as fast as {other}, not {least:g}"
            for other, least in LEAST.items()
            if other in self.rates and (ratio := self.ratio(other)).median < least
        ]


def as_json(found: Found) -> dict[str, Any]:
    return {
        **heading("packets"),
        "packets": found.packets,
        "events": found.events,
        "differences": dict(found.differences),
        "rounds": found.rounds,
        "packets_per_cpu_second": {name: spread(rates, 0)._asdict() for name, rates in found.rates.items()},
        "ours_to": {name: found.ratio(name)._asdict() for name in found.rates if name != "ours"},
        "flows_per_cpu_second": {str(version): spread(rates, 0)._asdict() for version, rates in found.flows.items()},
    }


def as_markdown(found: Found) -> str:
    on = machine()
    whole = ", ".join(f"{kind}: {count}" for kind, count in found.differences.items())
    office = "packets of an office's ordinary traffic"
    return f"""# Packets: how fast they become events

{found.packets:,} {office} became {found.events:,} events: conn, dns, ssl with JA3 and JA4, http.
Names that only one of us and tshark found: {whole}.
Measured on {on["cores"]} cores of {on["cpu"]}, {on["system"]}, Python {on["python"]}, shared with others:
trust the ratios.

Packets per CPU second, user and system, without the start of each process, in {found.rounds} interleaved rounds:

| | least | median | most | we are faster by, median |
|---|---|---|---|---|
{"".join(_row(found, name) for name in found.rates)}
scapy dissects each packet and makes nothing of it; tshark prints eight fields of each. By itself scapy leaves TLS and
HTTP raw, and it is this faster one that we have to be {LEAST["scapy"]:g} times as fast as; twice as fast as tshark.

Flows per CPU second, from datagrams of {FLOWS} flows to lines of JSON:

| | least | median | most |
|---|---|---|---|
{"".join(_flows(version, rates) for version, rates in found.flows.items())}"""


def _row(found: Found, name: str) -> str:
    least, median, most = spread(found.rates[name], 0)
    ratio = "" if name == "ours" else f"{found.ratio(name).median}"
    return f"| {LABELS[name]} | {least:,.0f} | {median:,.0f} | {most:,.0f} | {ratio} |\n"


def _flows(version: int, rates: list[float]) -> str:
    least, median, most = spread(rates, 0)
    return f"| {'IPFIX' if version == 10 else f'NetFlow v{version}'} | {least:,.0f} | {median:,.0f} | {most:,.0f} |\n"


def write(found: Found) -> None:
    keep("packets", as_json(found), as_markdown(found))
