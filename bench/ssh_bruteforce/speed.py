"""How fast: the truth script, socmon and SEC over the same log, in turns, by the CPU time the kernel charges them."""

import shutil
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

from bench.ssh_bruteforce import children, exact

TRUTH = Path(__file__).with_name("truth.py")

# The nearest that SEC has to our rule. It slides its window on the clock of the wall and cannot count a repeat as N.
SEC_RULE = r"""type=SingleWithThreshold
ptype=RegExp
pattern=sshd\[\d+\]: (?:message repeated \d+ times: \[ )?Failed \S+ for .* from (\S+) port \d+
desc=SSH brute force from $1
action=write - $1
window=60
thresh=5
"""


class Spread(NamedTuple):
    """Of several rounds."""

    least: float
    median: float
    most: float


def spread(values: list[float], digits: int) -> Spread:
    return Spread(*(round(value, digits) for value in (min(values), statistics.median(values), max(values))))


class Speed(NamedTuple):
    """What one runner needed.

    Attributes:
        lines_per_cpu_s: of each round's child, its start included.
        to_truth: lines per CPU second over the truth script's in the same round.
    """

    lines_per_cpu_s: Spread
    to_truth: Spread


def commands(log: Path, work: Path) -> dict[str, list[str]]:
    """{name: command}; SEC only where it is installed."""
    found = {
        "truth script": [sys.executable, str(TRUTH), str(log)],
        "socmon replay": exact.replay_command(log),
    }
    if sec := shutil.which("sec"):
        rule = work / "sec.conf"
        rule.write_text(SEC_RULE, encoding="utf-8")
        found["SEC"] = [sec, f"--conf={rule}", f"--input={log}", "--notail", "--debug=1"]
    return found


def output_of(name: str, work: Path) -> Path:
    """What runner `name` printed in the last round."""
    return work / f"speed.{name.replace(' ', '_')}.out"


def race(log: Path, lines: int, rounds: int, work: Path) -> dict[str, Speed]:
    """{name: what it needed}. Every round runs each once, a round later starting with the next one."""
    racing = list(commands(log, work).items())
    rates: dict[str, list[float]] = {name: [] for name, _ in racing}
    for turn in range(rounds):
        start = turn % len(racing)
        for name, command in racing[start:] + racing[:start]:
            rates[name].append(lines / children.run(command, output_of(name, work)))
    base = rates["truth script"]
    return {
        name: Speed(
            spread(of_rounds, 0),
            spread([rate / of_truth for rate, of_truth in zip(of_rounds, base, strict=True)], 3),
        )
        for name, of_rounds in rates.items()
    }
