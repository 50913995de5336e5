"""How fast a backlog drains to the centre, what urgent findings wait meanwhile, and what many senders get together.

    .venv/bin/python -m bench.feed_throughput.run [--findings 100000] [--senders 34] [--each 3000]

Ends with 1 if one sender drains less than 1,000 findings a second, or if urgent findings take 2 s or more at the 99th
percentile. Results are written from 100,000 findings on.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from bench.feed_throughput import report
from bench.feed_throughput.crowd import crowded
from bench.feed_throughput.drain import drained

FULL = 100_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--findings", type=int, default=FULL)
    options.add_argument("--senders", type=int, default=34)
    options.add_argument("--each", type=int, default=3000, help="findings of each of the many")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="socmon-bench") as folder:
        one = drained(Path(folder) / "one", asked.findings)
        found = report.Found(one, crowded(Path(folder) / "many", asked.senders, asked.each))
    print(report.as_text(found))
    for problem in found.problems:
        print(f"NOT AS REQUIRED: {problem}")
    if asked.findings >= FULL:
        report.write(found)
    sys.exit(1 if found.problems else 0)


if __name__ == "__main__":
    main()
