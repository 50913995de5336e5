"""How fast the sshd job is: raw line → parsed → matched → correlated, against SEC on the same lines.

    .venv/bin/python -m bench.ssh_speed.run [--lines 1000000] [--rounds 5]

Demanded: with one rule at least as many lines per CPU second as SEC; with 1,000 rules of mixed log sources at least
0.85 of that. It says REACHED or NOT REACHED of each. Ends with 1 if the 1,000 rules change what our rule finds, or if
something that is demanded is not reached; results are written from 200,000 lines on.
"""

import argparse
import shutil
import sys
from itertools import islice
from pathlib import Path

from bench.ssh_bruteforce import children, exact, make
from bench.ssh_speed import report
from bench.ssh_speed.runners import MANY, ONE, SEC, SEC_OF_MANY, Runner, runners

WORK = make.DATA.parent / "ssh_speed"
FULL_LINES = 200_000
SHORT_LINES = 20_000
DEMANDED = {(ONE, SEC): 1.0, (MANY, ONE): 0.85}


def output_of(runner: Runner) -> Path:
    """What it printed of the log in the last round."""
    return WORK / f"{runner.name.replace(' ', '_').replace(',', '')}.out"


def race(racing: list[Runner], lines: int, rounds: int) -> dict[str, list[report.Cost]]:
    """{runner: what each round cost}. Every round runs each on both logs, a round later starting with the next one."""
    log, empty, short = (WORK / f"{name}.log" for name in ("auth", "empty", "short"))
    empty.touch()
    with log.open("rb") as whole, short.open("wb") as first:
        first.writelines(islice(whole, SHORT_LINES))
    costs: dict[str, list[report.Cost]] = {runner.name: [] for runner in racing}
    for turn in range(rounds):
        start = turn % len(racing)
        for runner in racing[start:] + racing[:start]:
            is_long = (
                runner.name == SEC_OF_MANY
            )  # for the record, and of few lines: it needs half a millisecond of each
            if is_long and turn:
                continue
            began_s = children.run(runner.on(empty), WORK / "empty.out")
            whole_s = children.run(runner.on(short if is_long else log), output_of(runner))
            cost = report.Cost(min(lines, SHORT_LINES) if is_long else lines, whole_s, began_s)
            costs[runner.name].append(cost)
            print(f"  round {turn + 1}: {runner.name:22} {whole_s:7.2f} CPU s, {began_s:.2f} to start", flush=True)
    return costs


def ours_of(runner: Runner) -> list[str]:
    """The lines of our rule's alerts, with every event that is in them."""
    with output_of(runner).open(encoding="utf-8") as said:
        return sorted(line for line in said if f'"{exact.TITLE}"' in line)


def bench(lines: int, rounds: int) -> bool:
    """Run it; True if 1,000 rules change nothing that our rule finds, and all that is demanded is reached."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    made = make.build(lines)
    made.write(WORK / "auth.log")
    racing = runners(WORK)
    print(f"{lines:,} lines around {made.origin}; CPU seconds of whole processes:")
    costs = race(racing, lines, rounds)

    by_name = {runner.name: runner for runner in racing}
    alerts = ours_of(by_name[ONE])
    unlike = None
    if MANY in by_name:
        unlike = len(set(alerts) ^ set(ours_of(by_name[MANY])))
        print(f"{len(alerts):,} alerts of our rule; with 1,000 others {unlike} are not the same")
    ratios = [_ratio(of, to, costs, least) for (of, to), least in DEMANDED.items() if of in costs and to in costs]
    for ratio in ratios:
        print(ratio)
    if lines >= FULL_LINES:
        report.write(report.Found(lines, made.origin, rounds, len(alerts), unlike, costs, ratios))
    return not unlike and bool(alerts) and all(ratio.is_reached for ratio in ratios)


def _ratio(of: str, to: str, costs: dict[str, list[report.Cost]], demanded: float) -> report.Ratio:
    """Of lines per CPU second: the median of the rounds, whole processes and beyond the start."""
    pairs = list(zip(costs[of], costs[to], strict=True))
    whole = report.spread_of([ours.rate / theirs.rate for ours, theirs in pairs])
    beyond = report.spread_of([ours.rate_beyond / theirs.rate_beyond for ours, theirs in pairs])
    return report.Ratio(of, to, demanded, whole, beyond)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=5, help="interleaved")
    asked = options.parse_args()
    sys.exit(0 if bench(asked.lines, asked.rounds) else 1)


if __name__ == "__main__":
    main()
