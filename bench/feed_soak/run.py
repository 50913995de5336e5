"""A daemon and a centre under random faults; then the set here must be the set there, each once, at its last revision.

    .venv/bin/python -m bench.feed_soak.run [--seconds 600] [--seed 1] [--rate 20]

As root: it mounts two small disks. Ends with 1 if the sets differ, if an alert is stored twice, or if a kind of fault
never struck; then it says where logs and stores are. Results are written from 600 seconds on, a file a seed.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from bench.feed_soak import report
from bench.feed_soak.place import FAKETIME
from bench.feed_soak.soak import soak

FULL_S = 600


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=FULL_S)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--rate", type=int, default=20, help="lines a second")
    asked = options.parse_args()
    if os.geteuid() != 0 or FAKETIME is None:
        sys.exit("it mounts disks and sets clocks: run it as root, with libfaketime installed")
    root = Path(tempfile.mkdtemp(prefix="socmon-feed-soak"))
    found = soak(root, asked.seconds, asked.seed, rate=asked.rate, show=lambda line: print(line, flush=True))
    print(report.as_text(found))
    if found.problems:
        print(f"logs and stores are in {root}")
        sys.exit(1)
    shutil.rmtree(root)
    if asked.seconds >= FULL_S:
        report.write(found)


if __name__ == "__main__":
    main()
