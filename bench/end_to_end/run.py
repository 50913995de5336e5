"""The daemon's rate from a file of real Windows events to stored alerts, with all rules and 0, 1 and 2 workers.

    .venv/bin/python -m bench.end_to_end.run --data FOLDER [--lines 100000] [--rounds 3]

FOLDER holds windows_events.jsonl; SOCMON_BENCH_DATA names it too. Ends with 1 if an event is not evaluated, or if the
alerts are not the same with any number of workers. Results are written from three rounds of 100,000 lines on.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from bench.end_to_end import report
from bench.end_to_end.journey import Journey, travelled
from bench.engine.inputs import chosen, events_file, unpacked_rules

FULL_LINES, FULL_ROUNDS = 100_000, 3


def show(found: Journey) -> None:
    main, workers = found.microseconds(found.main_cpu_s), found.microseconds(found.workers_cpu_s)
    print(
        f"{found.workers} workers: {found.events:,} events in {found.took_s:.1f} s ({found.rate:,.0f} a second); "
        f"processor per event: main {main:.1f} µs ({found.main_share:.0%} of all), workers {workers:.1f} µs; "
        f"{found.evaluated:,} evaluated, {found.unparsed:,} unparsed, {len(found.alerts):,} alerts",
        flush=True,
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", metavar="FOLDER")
    options.add_argument("--lines", type=int, default=FULL_LINES)
    options.add_argument("--rounds", type=int, default=FULL_ROUNDS)
    asked = options.parse_args()
    path = events_file(asked.data)
    journeys: list[Journey] = []
    with tempfile.TemporaryDirectory(prefix="socmon-bench") as folder:
        work = Path(folder)
        rules = unpacked_rules(work / "rules")
        events = work / "lines"
        events.write_bytes(b"".join(line + b"\n" for line in chosen(path, 0, asked.lines).other))
        for _ in range(asked.rounds):
            for workers in (0, 1, 2):
                journeys.append(travelled(events, asked.lines, work / "rules", workers, work / "daemon"))
                show(journeys[-1])
    found = report.Found(rules, journeys)
    print(report.as_markdown(found))
    for problem in found.problems:
        print(f"NOT AS REQUIRED: {problem}")
    if asked.lines >= FULL_LINES and asked.rounds >= FULL_ROUNDS:
        report.write(found)
    sys.exit(1 if found.problems else 0)


if __name__ == "__main__":
    main()
