"""Packets to events: ours, scapy, scapy with TLS and HTTP, and tshark, in turns; and flow records a second.

    .venv/bin/python -m bench.packets.run [--flows 1800] [--rounds 5]

Ends with 1 if our events name others than tshark, or if we are not 20 times as fast as scapy without its
layers of TLS and HTTP, and twice as tshark.
Results are written from 20,000 packets on.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from bench.packets import answers, exports, frames, readers, report
from bench.packets.traffic import write_capture
from bench.ssh_bruteforce import children
from bench.ssh_bruteforce.make import DATA

WORK = DATA / "packets"
FULL = 20_000


def measure(flows: int, rounds: int, work: Path) -> report.Found:
    """Make the capture, check the answers, then race."""
    work.mkdir(parents=True, exist_ok=True)
    capture, empty = work / "traffic.pcap", work / "empty.pcap"
    packets = write_capture(capture, flows)
    empty.write_bytes(frames.pcap([]))
    names = ["ours", "scapy", "scapy_with_layers", *(["tshark"] if shutil.which("tshark") else [])]
    rates: dict[str, list[float]] = {name: [] for name in names}
    of_flows: dict[int, list[float]] = {version: [] for version in exports.VERSIONS}
    for turn in range(rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            rates[name].append(packets / _cpu_s(name, capture, empty, work))
        for version in exports.VERSIONS:
            of_flows[version].append(exports.flows_per_cpu_s(version, 1000))
    ours = answers.of_events(work / "ours.out")
    differences = answers.differences(ours, answers.of_tshark(work / "tshark.out")) if "tshark" in rates else {}
    events = len((work / "ours.out").read_bytes().splitlines())
    return report.Found(packets, events, differences, rates, of_flows)


def _cpu_s(name: str, capture: Path, empty: Path, work: Path) -> float:
    """What reading `capture` took, without the start of the process; user and system."""
    whole_s = children.run(readers.command(name, capture), work / f"{name}.out")
    if name == "tshark":
        return whole_s - children.run(readers.command(name, empty), work / f"{name}.start")
    told: float = json.loads((work / f"{name}.stderr").read_text().splitlines()[-1])["cpu_s"]
    return told


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--flows", type=int, default=1800)
    options.add_argument("--rounds", type=int, default=5)
    asked = options.parse_args()
    found = measure(asked.flows, asked.rounds, WORK)
    print(report.as_markdown(found))
    for problem in found.problems:
        print(f"NOT AS REQUIRED: {problem}")
    if found.packets >= FULL:
        report.write(found)
    sys.exit(1 if found.problems else 0)


if __name__ == "__main__":
    main()
