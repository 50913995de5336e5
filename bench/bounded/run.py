"""Memory under an attacker who never repeats himself: by how much the process grows over five million events.

    .venv/bin/python -m bench.bounded.run [--events 5000000]

All rules of SigmaHQ and the shipped ones, with their correlations, at the bounds of the default configuration. Ends
with 1 if resident memory grows by more than 512 MiB. Results are written from 5,000,000 events on.
"""

import argparse
import sys

from bench.bounded import report
from bench.bounded.attack import events
from bench.bounded.siege import Sample, besieged
from bench.engine.inputs import all_rules
from socmon.detection import limits
from socmon.sections import DetectionSettings

FULL = 5_000_000
_SAMPLES = 50


def show(sample: Sample) -> None:
    print(f"{sample.events:,} events: {sample.rss_bytes >> 20:,} MiB resident, {sample.groups:,} groups", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=FULL)
    asked = options.parse_args()
    rules = all_rules(with_shipped=True)
    every = max(1000, asked.events // _SAMPLES)
    siege = besieged(rules, events(asked.events), every, limits=limits(DetectionSettings()), show=show)
    found = report.Found(len(rules.rules), siege)
    print(report.as_markdown(found))
    for problem in found.problems:
        print(problem)
    if asked.events >= FULL:
        report.write(found)
    sys.exit(1 if found.problems else 0)


if __name__ == "__main__":
    main()
