"""Exact on a real job: SSH brute force found by socmon, replayed and live, against the truth; and how fast.

    .venv/bin/python bench/ssh_bruteforce/run.py [--lines 200000] [--rounds 5]

Ends with 1 if an offender is missed or invented, if the daemon answers otherwise than replay, or if a mutation goes
unnoticed. `--rounds 0` leaves the speed out; results are written only with it, and from 200,000 lines on.
"""

import argparse
import shutil
import sys
from collections import Counter

from bench.ssh_bruteforce import exact, live, make, report, speed, truth

WORK = make.DATA / "work"
FULL_LINES = 200_000
SHOWN = 5


def all_noticed(found: dict[str, exact.Difference]) -> bool:
    """Print what each mutation did; True if every one was noticed."""
    for broken, difference in found.items():
        print(f"  mutation, {broken}: " + (str(difference) if difference else "NOT NOTICED: the check cannot fail"))
    return all(found.values())


def unlike(replayed: list[exact.Alert], lived: list[exact.Alert]) -> list[str]:
    """A line for each alert, with its span and count, that only one of the two has."""
    ours, theirs = Counter(replayed), Counter(lived)
    only_replay = [f"only replay: {alert}" for alert in sorted((ours - theirs).elements())]
    return only_replay + [f"only the daemon: {alert}" for alert in sorted((theirs - ours).elements())]


def print_speeds(speeds: dict[str, speed.Speed]) -> None:
    print("lines per CPU second (least / median / most), ratio to the truth script:")
    for name, one in speeds.items():
        rate, ratio = one.lines_per_cpu_s, one.to_truth
        print(
            f"  {name:14} {rate.least:>9,.0f} / {rate.median:>9,.0f} / {rate.most:>9,.0f}"
            f"   {ratio.least:.3f} / {ratio.median:.3f} / {ratio.most:.3f}"
        )


def blamed_by_sec(offenders: dict[str, truth.Opening]) -> exact.Difference | None:
    """What SEC printed in the last round, as a difference; None where it did not run."""
    output = speed.output_of("SEC", WORK)
    if not output.exists():
        print("SEC is not installed (Debian package sec): left out")
        return None
    blamed = set(output.read_text(encoding="utf-8").split())
    difference = exact.Difference(missed=sorted(offenders.keys() - blamed), invented=sorted(blamed - offenders.keys()))
    print(f"SEC, {len(blamed):,} blamed: {len(difference.missed)} missed, {len(difference.invented)} invented")
    return difference


def bench(lines: int, seed: int, rounds: int) -> bool:
    """Run it all; True if socmon was exact and every mutation was noticed."""
    log, path = make.build(lines, seed), make.DATA / "auth.log"
    log.write(path)
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    offenders = truth.of_file(path)
    print(f"{lines:,} lines around {log.origin}: {len(offenders):,} offenders")

    replayed = exact.replay(path, WORK / "replay.ndjson")
    difference = exact.differences(offenders, replayed)
    print(f"socmon replay, {len(replayed):,} alerts: {difference}")

    mutations = exact.mutations(path, offenders, WORK)
    noticed = all_noticed(mutations)

    lived = live.alerts(path, lines, WORK)
    unequal = unlike(replayed, lived)
    print(f"through the daemon, {len(lived):,} alerts: {len(unequal)} unlike replay's")
    print("".join(f"  {line}\n" for line in unequal[:SHOWN]), end="")

    if rounds:
        speeds = speed.race(path, lines, rounds, WORK)
        print_speeds(speeds)
        blamed = blamed_by_sec(offenders)
        if lines >= FULL_LINES:
            found = report.Found(len(offenders), len(replayed), difference, len(unequal), mutations, blamed, speeds)
            report.write(log, found, rounds)
    return noticed and not difference and not unequal


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=FULL_LINES)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--rounds", type=int, default=5, help="interleaved rounds of the speed comparison")
    asked = options.parse_args()
    sys.exit(0 if bench(asked.lines, asked.seed, asked.rounds) else 1)


if __name__ == "__main__":
    main()
