"""Packets at a rate, from a cable to the journal: none may be dropped or unaccounted for, and every flow is told.

    .venv/bin/python -m bench.capture.run [--packets 300000] [--rate 30000] [--rounds 2]

tcpreplay sends made-up traffic into a veth pair in a network namespace; socmon-capture reads the other end and hands
events to a daemon, which journals and matches them. Ends with 1 if something is not as required. Needs root. Results
are written from 300,000 packets on.
"""

import argparse
import sys

from bench.capture import report, wire
from bench.capture.round import Round, played
from bench.capture.traffic import traffic, write
from bench.ssh_bruteforce.make import DATA

WORK = DATA / "capture"
FULL = 300_000
_PACKETS_A_FLOW = 9.5  # of the mix; measured


def show(found: Round) -> None:
    print(
        f"{found.sent:,} packets of {found.flows:,} flows sent in {found.took_s:.2f} s ({found.rate:,.0f} a second): "
        f"kernel {found.kernel:,} = read {found.read:,} + dropped {found.dropped:,}; {found.events:,} events, "
        f"{found.journalled:,} journalled, {found.evaluated:,} evaluated, {found.conns:,} conn; processor: capture "
        f"{found.capture_cpu_s:.1f} s, daemon {found.daemon_cpu_s:.1f} s"
    )
    for problem in found.problems:
        print(f"  NOT AS REQUIRED: {problem}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--packets", type=int, default=FULL)
    options.add_argument("--rate", type=int, default=30_000)
    options.add_argument("--rounds", type=int, default=2)
    asked = options.parse_args()
    if why := wire.why_not():
        sys.exit(why)
    WORK.mkdir(parents=True, exist_ok=True)
    made = traffic(int(asked.packets / _PACKETS_A_FLOW), packets_a_second=asked.rate)
    write(WORK / "traffic.pcap", made.packets)
    rounds: list[Round] = []
    for _ in range(asked.rounds):
        rounds.append(played(WORK, made, asked.rate))
        show(rounds[-1])
    if asked.packets >= FULL:
        report.write(rounds)
    sys.exit(1 if any(each.problems for each in rounds) else 0)


if __name__ == "__main__":
    main()
