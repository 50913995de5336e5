"""How fast the engine is beside a naive one and beside the JSON decoder alone, on the same real events, one core.

    .venv/bin/python -m bench.engine.run --data FOLDER [--rounds 7] [--events 20000] [--naive 5000]

FOLDER holds windows_events.jsonl; SOCMON_BENCH_DATA names it too. All rules of SigmaHQ are loaded; what the engines
match must be identical. Ends with 1 if it is not, or if a ratio is below what is demanded. Results are written from
seven rounds of 20,000 events on.
"""

import argparse
import os
import sys

from bench.engine import report, workers
from bench.engine.hostile import Spoiler
from bench.engine.inputs import all_rules, chosen, events_file
from bench.engine.passes import Lines, Round, raced

ROUNDS, EVENTS, NAIVE = 7, 20_000, 5_000


def show(number: int, found: Round) -> None:
    rates = ", ".join(f"{name} {rate:,.0f}" for name, rate in found.rates.items())
    print(f"round {number}: {rates} events a CPU second; {len(found.differences)} differences", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", metavar="FOLDER")
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--events", type=int, default=EVENTS)
    options.add_argument("--naive", type=int, default=NAIVE)
    asked = options.parse_args()
    path = events_file(asked.data)
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(everywhere)})
    rules = all_rules()
    events = chosen(path, asked.events, asked.naive)
    hostile = list(Spoiler(rules).spoiled(events.other))
    lines = Lines(events.first, events.unseen, hostile, asked.naive)
    rounds = []
    for number in range(1, asked.rounds + 1):
        rounds.append(raced(rules, lines))
        show(number, rounds[-1])
    os.sched_setaffinity(0, everywhere)
    by_two, agree = workers.ratios(rules, lines.warm, asked.rounds) if workers.have_room() else ([], True)
    found = report.Found(len(rules.rules), lines, rounds, by_two, workers_agree=agree)
    print(report.as_markdown(found))
    for problem in found.problems:
        print(problem)
    if asked.rounds >= ROUNDS and asked.events >= EVENTS:
        report.write(found)
    sys.exit(1 if found.problems else 0)


if __name__ == "__main__":
    main()
